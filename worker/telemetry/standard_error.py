"""Standard error, written by a thread of its own: who reads it slowly, or not at all, holds up nobody.

All that a process says there goes through one bounded queue: its log, its live progress, and what libraries and Python
itself print. What finds no room is dropped and counted, and that is said once there is room again.
"""

from __future__ import annotations

import io
import json
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

MAX_QUEUED = 8 * 1024 * 1024
"""Bytes that wait to be written, with what each text costs besides; further ones are dropped."""
_COST = 256
"""Bytes that a text in the queue takes beside its own."""
_CHUNK = 64 * 1024
_SURE = 512
"""Bytes that a pipe with any room takes at once. Source: POSIX, PIPE_BUF."""
_STUCK = 1.0
"""Seconds without a byte taken after which nobody is waited for any more at the end."""
_LOOK_AGAIN = 0.05
_END = 5.0
"""Seconds that the end of a process may wait for a slow reader."""
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_BEGINNINGS = {"warning:": "warning", "note:": "info"}


class StandardError(io.TextIOBase):
    """A text stream to `descriptor` that never waits and never fails; `dropped` counts the lines that got lost.

    With `as_json` each message that is printed becomes a JSON document of one line; with `in_journal` each line begins
    with its priority, as systemd's journal reads it. What is written to `lines` is taken to be as it should be.
    """

    def __init__(self, descriptor: int, encoding: str, *, as_json: bool = False, in_journal: bool = False) -> None:
        super().__init__()
        self.in_journal = in_journal
        self.lines = _Lines(self)
        self.dropped = 0
        self._descriptor = descriptor
        self._encoding = encoding
        self._as_json = as_json
        self._message = ""
        self._changed = threading.Condition()
        self._queue: deque[memoryview] = deque()
        self._queued = 0
        self._unsaid = 0
        self._is_broken = False
        self._has_thread = False

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base's is no property
        """How text becomes bytes."""
        return self._encoding

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Tell whether a terminal shows it."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Say that it is."""
        return True

    def write(self, text: str) -> int:
        """Take a text; where lines have a form, a message is what ends with the end of a line."""
        with self._changed:
            if not (self._as_json or self.in_journal):
                self.put(text)
                return len(text)
            self._message += text
            if self._message.endswith("\n"):
                message, self._message = self._message[:-1], ""
                self.put(self._formed(message, _level_of(message)))
        return len(text)

    def put(self, text: str) -> None:
        """Queue a text as it stands, or drop it."""
        data = text.encode(self._encoding, "backslashreplace")
        with self._changed:
            if self._queued + len(data) + _COST > MAX_QUEUED:
                self._drop(data)
                return
            self._say_what_was_dropped()
            self._add(data)

    def drain(self, stuck: float = _STUCK, in_all: float = _END) -> bool:
        """Wait until all is written, as long as some of it is taken each `stuck` seconds; tell whether it was."""
        now = time.monotonic()
        end, moved_at = now + in_all, now
        with self._changed:
            if self._message:
                self.write("\n")
            while self._queue and now < min(end, moved_at + stuck):
                left = self._queued
                if not self._has_thread:
                    self._write_what_goes()
                self._changed.wait(min(_LOOK_AGAIN, stuck))
                now = time.monotonic()
                moved_at = now if self._queued < left else moved_at
            return not self._queue

    def _formed(self, message: str, level: str) -> str:
        if self._as_json:
            at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            message = json.dumps({"event": "message.printed", "message": message, "level": level, "timestamp": at})
        return (with_priority(message, level) if self.in_journal else message) + "\n"

    def _add(self, data: bytes) -> None:
        self._queue.append(memoryview(data))
        self._queued += len(data) + _COST
        self._changed.notify_all()
        if not self._has_thread:
            try:
                threading.Thread(target=self._write_out, name="standard-error", daemon=True).start()
                self._has_thread = True
            except RuntimeError:  # the system has no thread to give: what goes at once goes from here
                self._write_what_goes()

    def _drop(self, data: bytes | memoryview) -> None:
        lines = bytes(data).count(b"\n") or 1
        self.dropped += lines
        self._unsaid += lines

    def _say_what_was_dropped(self) -> None:
        if self._unsaid and not self._is_broken:
            count, self._unsaid = self._unsaid, 0
            said = f"warning: {count} lines of the log were dropped, since nobody took them in time"
            self._add(self._formed(said, "warning").encode(self._encoding, "backslashreplace"))

    def _write_out(self) -> None:
        """Write what is queued, for as long as the process lives."""
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                data = self._queue[0]
            if not self._write(data[:_CHUNK]):
                _has_room(self._descriptor, _STUCK)

    def _write_what_goes(self) -> None:
        while self._queue and _has_room(self._descriptor, 0.0) and self._write(self._queue[0][:_SURE]):
            pass

    def _write(self, data: memoryview) -> bool:
        """Write a part of the first in the queue; what cannot be written is dropped. Tell whether it did not block."""
        try:
            taken = os.write(self._descriptor, data)
        except BlockingIOError:
            return False
        except OSError:  # nobody reads it any more, or the disk is full
            taken = -1
        with self._changed:
            first = self._queue[0]
            self._is_broken = taken < 0
            if self._is_broken:
                self._drop(first)
                taken = len(first)
            self._queued -= taken
            if taken < len(first):
                self._queue[0] = first[taken:]
            else:
                self._queue.popleft()
                self._queued -= _COST
            if not self._queue:
                self._say_what_was_dropped()
            self._changed.notify_all()
        return True


class _Lines:
    """The way for lines that have their form already."""

    def __init__(self, stream: StandardError) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Queue whole lines."""
        self._stream.put(text)

    def flush(self) -> None:
        """Do nothing: they are written as soon as they can be."""


@contextmanager
def standard_error(arguments: Sequence[str], environ: Mapping[str, str]) -> Iterator[None]:
    """Put a queue before standard error while a command with these arguments runs, and wait for it at the end.

    Of the arguments only the form of the logs is read, which holds for what is wrong with the others too.
    """
    _see_that_they_are_open()
    before = sys.stderr
    encoding = before.encoding if before is not None else "utf-8"
    stream = StandardError(2, encoding, as_json=_asks_for_json(arguments), in_journal=_is_journal(2, environ))
    sys.stderr = stream
    try:
        yield
    finally:
        # What Python says while it ends must not wait for a reader either.
        sys.stderr = before if stream.drain() else None


def drain(seconds: float) -> None:
    """Wait for what is queued before standard error, if it has a queue."""
    if isinstance(sys.stderr, StandardError):
        sys.stderr.drain(seconds, seconds)


def lines_dropped() -> int:
    """Return how many lines of standard error found no room in its queue, or nobody to read them."""
    return sys.stderr.dropped if isinstance(sys.stderr, StandardError) else 0


def with_priority(text: str, level: str) -> str:
    """Put a level before each line as systemd's journal reads it. Source: sd-daemon(3)."""
    return "\n".join(f"<{_PRIORITIES[level]}>{line}" for line in text.split("\n"))


def _see_that_they_are_open() -> None:
    """Open what stands for the three standard streams, so that no other file is taken for one of them."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # A result that nobody can get must not pass for written.
            os.open(os.devnull, os.O_RDONLY if descriptor == 1 else os.O_RDWR)


def _is_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Tell whether systemd has connected this descriptor with its journal. Source: systemd.exec(5), $JOURNAL_STREAM."""
    status = os.fstat(descriptor)
    return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Tell which form of the logs the arguments ask for, the last of several."""
    form = ""
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--log-format":
            form = value if equals else "".join(arguments[index + 1 : index + 2])
    return form == "json"


def _level_of(message: str) -> str:
    return next((level for beginning, level in _BEGINNINGS.items() if message.startswith(beginning)), "error")


def _has_room(descriptor: int, patience: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(patience * 1000))
