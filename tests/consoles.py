"""Consoles whose output a test reads, set up as the commands do."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from rich.console import Console

COLOR = re.compile(r"\x1b\[[0-9;]*(?:3[0-9]|4[0-9]|9[0-7]|10[0-7])[0-9;]*m")
"""A control sequence that sets a colour; bold and dim are none."""

HOSTILE = "\x1b[31mred\x1b[0m\u202eevil\nnext\u2066line\x00\x9b2J"
"""A name that would paint, turn text around, begin a line, and clear the screen."""


def piped(show: Callable[[Console], None]) -> str:
    """Return what is shown to a pipe."""
    out = io.StringIO()
    show(Console(file=out, width=200, soft_wrap=True, highlight=False))
    return out.getvalue()


def on_terminal(show: Callable[[Console], None], *, no_color: bool = False) -> str:
    """Return what is shown on a terminal of 100 columns."""
    out = io.StringIO()
    console = Console(
        file=out, width=100, highlight=False, force_terminal=True, color_system="standard", no_color=no_color
    )
    show(console)
    return out.getvalue()


def assert_harmless(text: str) -> None:
    """See that a text has no control character but the ends of its lines, and nothing that turns it around."""
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
