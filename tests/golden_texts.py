"""What is shown, to the letter: a change of it that nobody meant is seen in a file of `tests/golden`.

After a change that is meant, `GOLDEN=write pytest` on the tests that failed writes their files anew, and the diff is
read. What people read is drawn on terminals of 80 and of 200 columns, without colour.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

WIDTHS = (80, 200)
_GOLDEN = Path(__file__).parent / "golden"


def assert_golden(file: str, text: str) -> None:
    """See that a text is the one in a golden file, or write it where that is asked for."""
    golden = _GOLDEN / file
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text(), f"{file} differs; GOLDEN=write writes it anew"


def assert_golden_texts(name: str, show: Callable[[Console], None]) -> None:
    """See that what is shown is in `NAME-80.txt` and `NAME-200.txt`, as terminals of so many columns draw it."""
    for width in WIDTHS:
        assert_golden(f"{name}-{width}.txt", drawn(show, width))


def drawn(show: Callable[[Console], None], width: int) -> str:
    """Return what a terminal of so many columns shows, without the blanks at the ends of its lines."""
    out = io.StringIO()
    show(Console(file=out, width=width, highlight=False, force_terminal=True, color_system=None))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())
