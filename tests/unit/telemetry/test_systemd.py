"""What systemd is told, and how often it wants to hear it."""

from __future__ import annotations

import os
import time

import pytest

from worker.telemetry.systemd import reloading, status, watchdog_interval


def test_a_status_is_one_line() -> None:
    """A text of several lines cannot tell systemd anything else."""
    assert status(" at work\nSTOPPING=1\r\n") == "STATUS=at work STOPPING=1"


def test_a_status_is_text_that_can_be_shown() -> None:
    """What a terminal would obey is escaped, and so is what is no text."""
    assert status("held by a\x1b[2J\u202e\udcff") == "STATUS=held by a\\x1b[2J\\u202e\\xff"


def test_a_reload_says_when_it_began() -> None:
    """The time is of the clock that systemd compares it with, and READY without one would end no reload."""
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    lines = dict(line.split("=") for line in reloading().splitlines())
    assert lines.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert before - 1e-6 <= int(lines["MONOTONIC_USEC"]) / 1e6 <= time.clock_gettime(time.CLOCK_MONOTONIC)


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid() + 1)}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "٣"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_heeded_where_it_watches_this_process(environ: dict[str, str], interval: float | None) -> None:
    """The interval is in seconds; there is none without a watchdog, or with one that watches another process."""
    assert watchdog_interval(environ) == interval
