"""Hostile input for everything that reads from outside: no exception but the documented, no hang, bounded memory.

A minute's worth runs with the other tests, with fixed seeds. `SOAK=1 pytest tests/soak/test_fuzz.py` reads a hundred
times as much.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

INPUTS = {"manifest": 3000, "config": 2000, "replies": 3000, "journal": 150, "daemon": 300, "client": 400}
LARGEST = 300
"""MB that a process may have used at the end."""
IN_FULL = bool(os.environ.get("SOAK"))
SEEDS = range(1, 101 if IN_FULL else 2)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", INPUTS)
def test_whatever_comes_in_is_a_value_or_a_documented_error(kind: str, seed: int) -> None:
    """Each input takes at most five seconds of the processor, and all of them no more memory than a few do."""
    command = [sys.executable, str(Path(__file__).parents[1] / "fuzz.py"), kind, str(seed), str(INPUTS[kind])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "never retrieved" not in done.stderr
    assert int(done.stdout) <= LARGEST
