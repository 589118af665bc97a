"""CI's step for the page's scripts and styles: what it passes over in silence, which is nothing, and what it skips."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[2] / ".ci" / "page" / "check"
TOOLS = ("bash", "cat", "chmod", "cp", "dirname", "env", "grep", "mkdir", "mktemp", "rm", "timeout")
NPM = """#!/usr/bin/env bash
echo "$1" >&2
[ {status} = 0 ] || {{ echo "npm error code {code}"; exit {status}; }}
mkdir -p node_modules/.bin
printf '#!/usr/bin/env bash\\nexit {biome}\\n' > node_modules/.bin/biome
printf '#!/usr/bin/env bash\\nexit {tsc}\\n' > node_modules/.bin/tsc
chmod +x node_modules/.bin/*
"""


def checked(
    folder: Path, *, npm: bool, status: int = 0, code: str = "", biome: int = 0, tsc: int = 0
) -> tuple[int, str, list[str]]:
    """Run the step with a stand-in for npm; return its exit status, its last line, and what it leaves behind."""
    programs, scratch = folder / "bin", folder / "tmp"
    programs.mkdir()
    scratch.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (programs / tool).symlink_to(found)
    if npm:
        for name in ("npm", "node"):
            (programs / name).write_text(NPM.format(status=status, code=code, biome=biome, tsc=tsc))
            (programs / name).chmod(0o755)
    environ = {**os.environ, "PATH": str(programs), "TMPDIR": str(scratch)}
    command = [str(CHECK), sys.executable]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    last = (done.stdout.splitlines() or [""])[-1]
    return done.returncode, last, [each.name for each in scratch.iterdir()]


def test_the_tools_are_pinned_and_no_registry_is_named() -> None:
    """Each tool is one exact version, from wherever npm is set up to look."""
    source = (CHECK.parent / "package.json").read_text()
    assert "://" not in source + CHECK.read_text()
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", each) for each in json.loads(source)["devDependencies"].values())


def test_without_node_it_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """A machine without node passes, and says what was not checked."""
    assert checked(tmp_path, npm=False) == (0, "skipped: there is no node with npm", [])


@pytest.mark.parametrize("code", ["ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "SELF_SIGNED_CERT_IN_CHAIN"])
def test_where_npm_cannot_install_it_is_skipped_with_the_reason(tmp_path: Path, code: str) -> None:
    """A registry out of reach is no mistake of the page."""
    assert checked(tmp_path, npm=True, status=1, code=code) == (0, "skipped: npm cannot install (status 1)", [])


@pytest.mark.parametrize("code", ["ETARGET", "E404", "EJSONPARSE"])
def test_a_wrong_list_of_packages_is_a_failure(tmp_path: Path, code: str) -> None:
    """A version that nobody published is ours to correct."""
    assert checked(tmp_path, npm=True, status=1, code=code)[0] == 1


@pytest.mark.parametrize(("biome", "tsc", "status"), [(0, 0, 0), (1, 0, 1), (0, 2, 2)])
def test_what_the_tools_find_is_a_failure(tmp_path: Path, biome: int, tsc: int, status: int) -> None:
    """The step ends as the first tool that complains, and leaves nothing behind."""
    assert checked(tmp_path, npm=True, biome=biome, tsc=tsc) == (status, "", [])
