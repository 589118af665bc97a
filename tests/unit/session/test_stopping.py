"""The process is asked to stop: with grace, a second time at once, and a third time it ends."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time

import pytest

from worker.core.stopping import Awaited
from worker.session.stopping import Stopper, stopped_by_signals

pytestmark = pytest.mark.looptime


async def test_passes_under_way_are_halted_and_those_that_begin_later_too() -> None:
    """Nothing is submitted any more, and what was is followed for the grace."""
    stopper = Stopper(10.0)
    with stopper.deadlines() as before:
        assert not before.to_submit.is_over
        stopper.stop()
        with stopper.deadlines() as after:
            assert (stopper.asked.is_set(), not before.to_submit.is_over, not after.to_submit.is_over) == (
                True,
                False,
                False,
            )
            assert [await deadlines.to_follow.sleep(9.0) for deadlines in (before, after)] == [True, False]


async def test_the_grace_is_the_one_of_the_last_settings() -> None:
    """It may have been changed while the daemon ran."""
    stopper = Stopper(10.0)
    stopper.grace = 2.0
    with stopper.deadlines() as deadlines:
        stopper.stop()
        assert not await deadlines.to_follow.sleep(3.0)


async def test_a_pass_that_has_ended_is_not_halted_any_more() -> None:
    """Its deadlines are let go of, also after an error."""
    stopper = Stopper(10.0)
    with pytest.raises(ZeroDivisionError), stopper.deadlines() as deadlines:
        raise ZeroDivisionError
    stopper.stop()
    assert not deadlines.to_submit.is_over


async def test_the_second_time_nothing_more_is_followed() -> None:
    """Neither what is under way, nor what begins later; and nobody waits for what does not get on."""
    stopper = Stopper(1000.0)
    with stopper.deadlines() as before:
        stopper.stop()
        assert stopper.ends_at() - time.monotonic() == pytest.approx(1000.0, abs=500.0)
        stopper.grace = 2000.0
        stopper.stop()
        assert not await before.to_follow.sleep(0.0)
    with stopper.deadlines() as after:
        assert not await after.to_follow.sleep(0.0)
    assert stopper.ends_at() <= time.monotonic()


async def test_what_begins_late_has_what_is_left_of_the_grace() -> None:
    """The process ends when it said, though one thing begins after the other."""
    stopper = Stopper(10.0)
    stopper.stop()
    await asyncio.sleep(8.0)
    with stopper.deadlines() as late:
        assert late.to_follow.left == pytest.approx(2.0)


async def test_where_nothing_has_begun_nobody_has_time_to_wait() -> None:
    """Whoever waits for a lease when the process is asked to stop gives up."""
    stopper = Stopper(10.0)
    assert stopper.ends_at() == math.inf
    stopper.stop()
    assert stopper.ends_at() <= time.monotonic()


async def test_the_third_time_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, with a last word, and not with the status of success."""
    ended: list[object] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    stopper = Stopper(10.0)
    stopper.last_words = lambda: ended.append("a last word")
    stopper.stop()
    stopper.stop()
    assert ended == []
    stopper.stop()
    assert ended == ["a last word", 1]


async def test_it_is_told_what_is_awaited_and_for_how_long() -> None:
    """Of all that is under way: the longest that any of it is followed, which may be less than the grace."""
    told: list[tuple[float, str]] = []
    stopper = Stopper(25.0)
    stopper.tell = lambda seconds, text: told.append((seconds, text))
    with stopper.deadlines() as one, stopper.deadlines() as other:
        one.awaited |= {1: Awaited.JOB, 2: Awaited.JOB}
        other.awaited |= {3: Awaited.JOB}
        one.finish_within(4.0, 1.0)
        other.finish_within(12.0, 1.0)
        stopper.stop()
        del other.awaited[3]
        stopper.stop()
    assert told == [
        (
            12.0,
            "Stopping: nothing more is sent; waiting up to 12 s for 3 jobs, press again to leave them to the next run",
        ),
        (0.0, "Leaving 2 jobs to the next run; press again to end without a report"),
    ]


async def test_after_the_body_no_signal_takes_the_result_away() -> None:
    """What is told is told: the process ends with its status, whoever is impatient."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        with stopped_by_signals(10.0):
            pass
        assert {signal.getsignal(number) for number in numbers} == {signal.SIG_IGN}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
