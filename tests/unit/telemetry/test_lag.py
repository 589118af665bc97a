"""The beat of the event loop: how late it comes, how long that is remembered, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest

from worker.telemetry.lag import INTERVAL, MEMORY, LoopLag


def nobody() -> None:
    """Be told, and do nothing."""


@asynccontextmanager
async def watched(
    observe: Callable[[float], None] = lambda seconds: None, on_beat: Callable[[], None] = nobody, every: float = 5.0
) -> AsyncIterator[LoopLag]:
    """Have the loop watched for a while."""
    lag = LoopLag(observe, on_beat, every)
    watching = asyncio.create_task(lag.watch())
    try:
        yield lag
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def stall(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time pass for the loop while nothing that it runs gets a turn."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    monkeypatch.setattr(loop, "time", lambda: clock() + seconds)


@pytest.mark.looptime
async def test_a_loop_that_turns_is_not_late() -> None:
    """Each beat is measured, at the pace of the interval, and none of them is late."""
    lags: list[float] = []
    async with watched(lags.append) as lag:
        await asyncio.sleep(10.5 * INTERVAL)
        assert len(lags) == 10
        assert max(lags) == pytest.approx(0.0, abs=0.01)
        assert lag.worst() == max(lags)
        assert 0.0 <= lag.beat_age() < INTERVAL


@pytest.mark.looptime
async def test_a_stall_is_seen_and_forgotten_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest lag is the one told, also after shorter ones, until it is a minute old."""
    lags: list[float] = []
    async with watched(lags.append) as lag:
        await asyncio.sleep(1.0)
        for seconds in (1.5, 3.0, 0.5):
            stall(seconds, monkeypatch)
            await asyncio.sleep(1.0)
        assert lag.worst() == pytest.approx(3.0, abs=INTERVAL)
        assert sorted(lags)[-3:] == pytest.approx([0.5, 1.5, 3.0], abs=INTERVAL)
        await asyncio.sleep(MEMORY - 1.6)
        assert lag.worst() == pytest.approx(0.5, abs=INTERVAL)
        await asyncio.sleep(1.6)
        assert lag.worst() == pytest.approx(0.0, abs=0.01)


@pytest.mark.looptime
async def test_the_age_of_the_last_beat_grows_while_the_loop_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks before the next beat sees that it is overdue."""
    async with watched() as lag:
        await asyncio.sleep(1.0)
        stall(7.0, monkeypatch)
        assert lag.beat_age() >= 7.0


@pytest.mark.looptime
async def test_a_lag_is_forgotten_even_if_nothing_beats_any_more() -> None:
    """What is told is of the last minute, whoever has stopped watching."""
    async with watched() as lag:
        await asyncio.sleep(1.0)
    await asyncio.sleep(MEMORY + 1.0)
    assert lag.worst() == 0.0
    assert lag.beat_age() >= MEMORY


@pytest.mark.looptime
async def test_a_watchdog_is_told_at_once_and_then_no_more_often_than_it_wants() -> None:
    """The first beat tells it, and then one about every so many seconds, never more often."""
    calls: list[float] = []
    async with watched(on_beat=lambda: calls.append(asyncio.get_running_loop().time()), every=5.0):
        await asyncio.sleep(21.0)
    assert len(calls) == 5
    assert calls[0] < 2 * INTERVAL
    assert all(later - earlier >= 5.0 for earlier, later in pairwise(calls))


@pytest.mark.looptime
async def test_a_stalled_loop_tells_no_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall longer than the watchdog's interval is one call late, not made up for by several."""
    calls: list[None] = []
    async with watched(on_beat=lambda: calls.append(None), every=2.0):
        await asyncio.sleep(1.0)
        stall(20.0, monkeypatch)
        await asyncio.sleep(1.0)
    assert len(calls) == 2
