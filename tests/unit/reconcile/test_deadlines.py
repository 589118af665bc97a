"""When a pass must stop: what sleeps wakes, what submits ends, and the earliest limit counts."""

from __future__ import annotations

import asyncio

import pytest

from worker.reconcile.deadlines import Deadlines

pytestmark = pytest.mark.looptime


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


async def test_nothing_ends_while_nobody_says_so() -> None:
    """A sleep lasts as long as it was asked to, and there is time to follow after it."""
    deadlines, started = Deadlines(), now()
    assert not deadlines.to_submit.is_over
    assert await deadlines.to_follow.sleep(1000.0)
    assert now() - started == pytest.approx(1000.0)
    assert not deadlines.to_submit.passed.is_set()


async def test_told_to_stop_nothing_more_is_submitted_and_following_lasts_the_grace() -> None:
    """A sleep that would outlast the grace ends with it, and says that the time is over."""
    deadlines, started = Deadlines(), now()
    asyncio.get_running_loop().call_later(1.0, deadlines.stop, 25.0)
    assert not await deadlines.to_follow.sleep(3600.0)
    assert now() - started == pytest.approx(26.0)
    assert deadlines.to_submit.is_over
    assert deadlines.to_submit.passed.is_set()


async def test_a_sleep_that_ends_within_the_grace_is_slept_to_its_end() -> None:
    """The limit that came meanwhile wakes it early to look, and it goes on sleeping."""
    deadlines, started = Deadlines(), now()
    asyncio.get_running_loop().call_later(1.0, deadlines.stop, 25.0)
    assert await deadlines.to_follow.sleep(3.0)
    assert now() - started == pytest.approx(3.0)


async def test_all_sleepers_learn_of_a_new_limit() -> None:
    """Each ends at its own time or at the limit, whichever comes first."""
    deadlines, started = Deadlines(), now()
    ends: dict[float, float] = {}

    async def sleeper(seconds: float) -> bool:
        in_time = await deadlines.to_follow.sleep(seconds)
        ends[seconds] = round(now() - started, 3)
        return in_time

    asyncio.get_running_loop().call_later(1.0, deadlines.stop, 4.0)
    in_time = await asyncio.gather(*map(sleeper, (2.0, 5.0, 6.0, 600.0)))
    assert in_time == [True, False, False, False]
    assert ends == {2.0: 2.0, 5.0: 5.0, 6.0: 5.0, 600.0: 5.0}


async def test_a_sleeper_that_was_cancelled_is_forgotten() -> None:
    """A limit that comes later wakes the others, and finds nothing of it."""
    deadlines = Deadlines()
    gone, stays = (
        asyncio.create_task(deadlines.to_follow.sleep(50.0)),
        asyncio.create_task(deadlines.to_follow.sleep(50.0)),
    )
    await asyncio.sleep(1.0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    deadlines.stop(10.0)
    assert not await stays
    assert now() == pytest.approx(11.0)


async def test_past_the_limit_no_sleep_is_slept() -> None:
    """What has no time left is told so at once, even for no time at all."""
    deadlines = Deadlines()
    deadlines.stop(0.0)
    started = now()
    assert not await deadlines.to_follow.sleep(10.0)
    assert not await deadlines.to_follow.sleep(0.0)
    assert now() == started


@pytest.mark.parametrize("graces", [(5.0, 25.0), (25.0, 5.0)])
async def test_the_earliest_limit_counts(graces: tuple[float, float]) -> None:
    """A second word can shorten the time, never give some back."""
    deadlines, started = Deadlines(), now()
    for grace in graces:
        deadlines.stop(grace)
    assert not await deadlines.to_follow.sleep(100.0)
    assert now() - started == pytest.approx(5.0)


async def test_a_deadline_keeps_a_reserve_for_following() -> None:
    """Submissions end the reserve before the deadline, without anybody having to ask; following ends with it."""
    deadlines, started = Deadlines(), now()
    deadlines.finish_within(100.0, 30.0)
    await deadlines.to_submit.passed.wait()
    assert now() - started == pytest.approx(70.0)
    assert deadlines.to_submit.is_over
    assert await deadlines.to_follow.sleep(29.0)
    assert not await deadlines.to_follow.sleep(29.0)
    assert now() - started == pytest.approx(100.0)


async def test_a_deadline_shorter_than_its_reserve_submits_nothing() -> None:
    """What could not be followed to its end is not begun."""
    deadlines = Deadlines()
    deadlines.finish_within(10.0, 30.0)
    assert deadlines.to_submit.is_over
    assert deadlines.to_submit.passed.is_set()
    assert await deadlines.to_follow.sleep(9.0)


async def test_submissions_may_end_alone() -> None:
    """What was submitted is followed as long as ever."""
    deadlines = Deadlines()
    deadlines.stop_submitting()
    assert deadlines.to_submit.is_over
    assert await deadlines.to_follow.sleep(86400.0)
