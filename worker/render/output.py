"""Standard output, whatever is behind it: nothing, a full disk, a reader who has gone, any encoding.

Results go there, and it matters whether they arrive: what cannot be written raises OutputError.
"""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn, TextIO

from worker.core.text import visible_lines
from worker.errors import OutputError

_SIZE = re.compile("[1-9][0-9]{0,3}")
_LAST_CHANCE = 0.3
"""Seconds that a reader of a result is waited for at a signal."""


def set_up_output() -> None:
    """Have standard output take any text, and raise OutputError once where it takes none."""
    with suppress(OSError):
        os.set_blocking(1, True)
    sys.stdout = _Results(sys.stdout)
    for name in ("COLUMNS", "LINES"):  # libraries read any digit of Unicode, and fail
        if not _SIZE.fullmatch(os.environ.get(name, "")):
            os.environ.pop(name, None)


def write_no_more() -> None:
    """Have what is left to be written go nowhere, lest Python fail once more, or wait, when it does so at its end."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def say(text: str) -> None:
    """Say something to people, on standard error."""
    sys.stderr.write(f"{visible_lines(text)}\n")


def say_unwritten(error: OutputError) -> None:
    """Say why a result could not be written, unless nobody wants it any more."""
    if not isinstance(error.__cause__, BrokenPipeError):
        say(f"error: {error}")


@contextmanager
def printing() -> Iterator[None]:
    """Have SIGTERM and SIGINT end what the body prints where nobody reads it: OutputError is raised a moment later.

    The event loop, which knows better ways to stop, waits for the body. What somebody reads is printed to its end.
    """
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}

    def wait_a_moment(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, _LAST_CHANCE)

    signal.signal(signal.SIGTERM, wait_a_moment)
    signal.signal(signal.SIGINT, wait_a_moment)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        write_no_more()
        raise OutputError(
            "the result could not be written: nobody took it when the command was asked to stop"
        ) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


class _Results(io.TextIOWrapper):
    """Text to descriptor 1, in the encoding of the stream that Python has made for it, if any."""

    def __init__(self, made: TextIO | None) -> None:
        buffer = io.BufferedWriter(io.FileIO(1, "w", closefd=False))
        encoding = made.encoding if made else "utf-8"
        super().__init__(buffer, encoding, "backslashreplace", line_buffering=buffer.isatty())

    def write(self, text: str) -> int:
        """Write; raise OutputError, once."""
        try:
            return super().write(text)
        except (OSError, ValueError) as error:
            self._give_up(error)

    def flush(self) -> None:
        """Flush; raise OutputError, once."""
        try:
            super().flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: OSError | ValueError) -> NoReturn:
        write_no_more()
        why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise OutputError(f"the result could not be written: {why}") from error
