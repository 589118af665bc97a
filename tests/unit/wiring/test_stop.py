"""The process is asked to stop: passes stop with grace, whenever they began, and a second time ends it at once."""

from __future__ import annotations

import os

import pytest

from worker.wiring.stop import Stopper

pytestmark = pytest.mark.looptime


async def test_passes_under_way_are_halted_and_those_that_begin_later_too() -> None:
    """Nothing is submitted any more, and what was is followed for the grace."""
    stopper = Stopper(10.0)
    with stopper.halting() as before:
        assert before.submitting
        stopper.stop()
        with stopper.halting() as after:
            assert (stopper.asked.is_set(), before.submitting, after.submitting) == (True, False, False)
            assert [await deadlines.sleep(9.0) for deadlines in (before, after)] == [True, False]


async def test_the_grace_is_the_one_of_the_last_settings() -> None:
    """It may have been changed while the daemon ran."""
    stopper = Stopper(10.0)
    stopper.grace = 2.0
    with stopper.halting() as deadlines:
        stopper.stop()
        assert not await deadlines.sleep(3.0)


async def test_a_pass_that_has_ended_is_not_halted_any_more() -> None:
    """Its deadlines are let go of, also after an error."""
    stopper = Stopper(10.0)
    with pytest.raises(ZeroDivisionError), stopper.halting() as deadlines:
        raise ZeroDivisionError
    stopper.stop()
    assert deadlines.submitting


async def test_the_second_time_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and not with the status of success."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    stopper = Stopper(10.0)
    stopper.stop()
    assert ended == []
    stopper.stop()
    assert ended == [1]
