"""The queue before standard error, on real pipes: what is read, what is dropped, and that nobody waits for a reader."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from worker.telemetry import logs, standard_error
from worker.telemetry.standard_error import StandardError, lines_dropped

FILLING = "x" * 1_000 + "\n"


@dataclass
class Pipe:
    """A pipe, and its ends."""

    ours: int
    theirs: int

    def read(self) -> str:
        """Return what has come; b"" is not waited for."""
        os.set_blocking(self.ours, False)
        found = bytearray()
        try:
            while chunk := os.read(self.ours, 1 << 20):
                found += chunk
        except BlockingIOError:
            pass
        return found.decode()

    def read_all_of(self, stream: StandardError) -> str:
        """Read until nothing is queued any more; return all of it."""
        found = ""
        for _ in range(10_000):
            is_over = stream.drain(0.01, 0.01)
            found += self.read()
            if is_over:
                return found
        raise AssertionError("it does not end")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Open a pipe."""
    ours, theirs = os.pipe()
    yield Pipe(ours, theirs)
    for end in (ours, theirs):
        os.close(end)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave the streams and the logs as they were."""
    stream = sys.stderr
    yield
    sys.stderr = stream
    structlog.reset_defaults()
    logging.getLogger().removeHandler(logs._LIBRARIES)
    logging.captureWarnings(capture=False)


def documents(text: str) -> list[dict[str, Any]]:
    """Read each line as JSON."""
    return [json.loads(line) for line in text.splitlines()]


def test_what_is_written_comes_in_order(pipe: Pipe) -> None:
    """As it was written, with what cannot be encoded escaped."""
    stream = StandardError(pipe.theirs, "ascii")
    for text in ("one\n", "tw", "ö\n", "\r\x1b[2K"):
        stream.write(text)
    assert stream.drain(60.0, 60.0)
    assert pipe.read() == "one\ntw\\xf6\n\r\x1b[2K"


def test_a_full_pipe_is_not_waited_for_and_what_was_dropped_is_said(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer goes on, memory stays within bounds, and once somebody reads, each line is there or counted."""
    monkeypatch.setattr(standard_error, "MAX_QUEUED", 100_000)
    stream = StandardError(pipe.theirs, "utf-8")
    for _ in range(1_000):
        stream.write(FILLING)
    assert 0 < stream.dropped < 1_000
    assert not stream.drain(0.01, 0.01)
    lines = pipe.read_all_of(stream).splitlines()
    said = [int(line.split()[1]) for line in lines if line.startswith("warning: ")]
    assert sum(said) == stream.dropped
    assert lines.count(FILLING.strip()) + stream.dropped == 1_000


def test_a_reader_that_has_gone_disturbs_nobody(pipe: Pipe) -> None:
    """Nothing is raised, what is lost is counted, and the end does not wait."""
    stream = StandardError(pipe.theirs, "utf-8")
    gone = os.dup(pipe.ours)
    os.close(pipe.ours)
    os.close(gone)
    for _ in range(3):
        stream.write("lost\n")
        assert stream.drain(60.0, 60.0)
    assert stream.dropped == 3
    pipe.ours = os.open(os.devnull, os.O_RDONLY)


def test_without_a_thread_what_goes_at_once_goes(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has no thread to give makes the log no worse than it must be, and a full pipe blocks nobody."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    stream = StandardError(pipe.theirs, "utf-8")
    stream.write("one\n")
    assert pipe.read() == "one\n"
    for _ in range(100):
        stream.write(FILLING)
    assert not stream.drain(0.01, 0.01)
    assert pipe.read_all_of(stream) == FILLING * 100


def test_in_json_each_message_is_a_document(pipe: Pipe) -> None:
    """Whoever printed it, of however many lines it is, with a level that its beginning tells."""
    stream = StandardError(pipe.theirs, "utf-8", as_json=True)
    print("warning: odd", file=stream)
    print("error: bad\n  in two lines", file=stream)
    print("note:", "parts", 3, file=stream)
    stream.write("no end")
    stream.drain(60.0, 60.0)
    found = documents(pipe.read())
    assert [(each["level"], each["message"]) for each in found] == [
        ("warning", "warning: odd"),
        ("error", "error: bad\n  in two lines"),
        ("info", "note: parts 3"),
        ("error", "no end"),
    ]
    assert {each["event"] for each in found} == {"message.printed"}


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_in_the_journal_each_line_has_its_priority(pipe: Pipe, log_format: str) -> None:
    """Of the log and of what is printed, each line of several; elsewhere none has."""
    sys.stderr = stream = StandardError(pipe.theirs, "utf-8", as_json=log_format == "json", in_journal=True)
    logs.set_up(log_format, "debug", colors=False)
    log = structlog.get_logger()
    for write in (log.debug, log.info, log.warning, log.error, log.critical):
        write("something", why="a\nb")
    stream.write("error: in\ntwo lines\n")
    stream.drain(60.0, 60.0)
    lines = pipe.read().splitlines()
    found = [line[:3] for line in lines if "something" in line]
    assert found == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert all(line[0] == "<" and line[1].isdigit() and line[2] == ">" for line in lines)
    assert lines[-1].startswith("<3>")


def test_the_journal_is_known_by_its_device_and_inode(pipe: Pipe) -> None:
    """A child inherits the variable, and its standard error may be something else."""
    status = os.fstat(pipe.theirs)
    same = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    other = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"}
    assert [standard_error._is_journal(pipe.theirs, environ) for environ in (same, other, {})] == [True, False, False]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--log-format", "json"], True),
        (["--log-format=json", "run"], True),
        (["run", "--log-f", "json", "--oops"], False),
        (["run", "--log-format", "json", "--log-format", "console"], False),
        (["run", "--json"], False),
        (["run", "--log-format"], False),
        (["run"], False),
    ],
)
def test_the_form_is_known_before_the_arguments_are_right(arguments: list[str], expected: bool) -> None:  # noqa: FBT001
    """Their errors have it too."""
    assert standard_error._asks_for_json(arguments) is expected


def test_what_libraries_and_python_say_is_in_the_log(pipe: Pipe) -> None:
    """A warning, a logger's record and its traceback are one line each, with secrets masked."""
    sys.stderr = stream = StandardError(pipe.theirs, "utf-8", as_json=True)
    logs.set_up("json", "info", colors=False)
    warnings.showwarning("odd", UserWarning, "file.py", 3)
    try:
        int("no number")
    except ValueError:
        logging.getLogger("asyncio").exception("Task %s", "broke")
    logging.getLogger("somebody").info("chatter")
    logs._LIBRARIES.handle(logging.LogRecord("somebody", logging.WARNING, "", 1, "%d", ("no number",), None))
    stream.drain(60.0, 60.0)
    found = documents(pipe.read())
    assert [(each["event"], each["level"], each["logger"]) for each in found] == [
        ("library.logged", "warning", "py.warnings"),
        ("library.logged", "error", "asyncio"),
        ("library.logged", "warning", "somebody"),
    ]
    assert "ValueError" in found[1]["exception"]
    assert found[1]["message"] == "Task broke"


def test_the_metric_counts_what_was_dropped(pipe: Pipe) -> None:
    """Of the queue in use; a process without one drops nothing."""
    assert lines_dropped() == 0
    sys.stderr = stream = StandardError(pipe.theirs, "utf-8")
    stream.dropped = 7
    assert lines_dropped() == 7
