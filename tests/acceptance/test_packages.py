"""The package as it is built: what is not Python is in it too."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from worker.telemetry.page.joined import SCRIPTS, STYLES

ROOT = Path(__file__).parents[2]


def test_a_wheel_has_the_page_and_the_mark_of_a_typed_package(tmp_path: Path) -> None:
    """Every part of the page is in the wheel, and so is py.typed."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if "No matching distribution found for hatchling" in built.stderr:
        pytest.skip("hatchling cannot be had here")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    page = {f"worker/telemetry/page/{name}" for name in ("index.html", *STYLES, *SCRIPTS)}
    assert {"worker/py.typed", *page} - names == set()
