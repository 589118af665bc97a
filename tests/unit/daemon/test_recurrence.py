"""When passes begin, in virtual time: at once, on time, early, never two at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from doubles import wall

from worker.core.events import Event, PassBroken
from worker.daemon.recurrence import run_forever
from worker.errors import TransientCloudError

pytestmark = pytest.mark.looptime


def every(seconds: float) -> Callable[[], Callable[[], float]]:
    """Return the countdown of an interval."""

    def countdown() -> Callable[[], float]:
        end = asyncio.get_running_loop().time() + seconds
        return lambda: end - asyncio.get_running_loop().time()

    return countdown


@dataclass(frozen=True, slots=True)
class Asked:
    """What people may ask for: a pass before its time, or none any more."""

    early: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class Passes:
    """Passes that take some seconds each, and stop the daemon after so many; `starts` has when they began."""

    def __init__(self, asked: Asked, count: int, seconds: float = 1.0) -> None:
        self.starts: list[float] = []
        self.dues: list[bool] = []
        self._asked = asked
        self._count = count
        self._seconds = seconds

    async def __call__(self, due: asyncio.Event) -> None:
        """Make one."""
        self.starts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._seconds)
        self.dues.append(due.is_set())
        if len(self.starts) == self._count:
            self._asked.stop.set()


def quiet(event: Event) -> None:
    """Listen to nothing."""
    raise AssertionError(event)


async def test_the_first_pass_begins_at_once_and_the_others_on_time() -> None:
    """The interval counts from beginning to beginning."""
    asked = Asked()
    passes = Passes(asked, 3)
    await run_forever(passes, every(900.0), asked.early, asked.stop, quiet)
    assert passes.starts == [0.0, 900.0, 1800.0]
    assert passes.dues == [False] * 3


async def test_missed_starts_are_one() -> None:
    """A pass of two and a half intervals is followed by one at once, and was told when the next one was due."""
    asked = Asked()
    passes = Passes(asked, 2, seconds=2250.0)
    await run_forever(passes, every(900.0), asked.early, asked.stop, quiet)
    assert passes.starts == [0.0, 2250.0]
    assert passes.dues == [True, True]


async def test_a_pass_that_is_asked_for_comes_early() -> None:
    """Between two passes it begins at once; during one it begins after that, and once only."""
    asked = Asked()
    passes = Passes(asked, 3, seconds=10.0)
    loop = asyncio.get_running_loop()
    loop.call_later(100.0, asked.early.set)
    loop.call_later(103.0, asked.early.set)
    loop.call_later(104.0, asked.early.set)
    await run_forever(passes, every(900.0), asked.early, asked.stop, quiet)
    assert passes.starts == [0.0, 100.0, 110.0]
    assert passes.dues == [False, True, False]


async def test_a_cloud_in_trouble_is_told_and_the_next_pass_comes_in_its_time() -> None:
    """An error of the cloud ends one pass, and no more."""
    asked = Asked()
    told: list[Event] = []
    starts: list[float] = []

    async def fail(due: asyncio.Event) -> None:
        starts.append(asyncio.get_running_loop().time())
        if len(starts) == 2:
            asked.stop.set()
        raise TransientCloudError("no route")

    await run_forever(fail, every(60.0), asked.early, asked.stop, told.append)
    assert starts == [0.0, 60.0]
    assert told == [PassBroken("no route")] * 2


async def test_asked_to_stop_it_waits_for_the_pass_under_way_and_begins_no_other() -> None:
    """The pass is told to stop by other means."""
    asked = Asked()
    passes = Passes(asked, 99, seconds=50.0)
    asyncio.get_running_loop().call_later(10.0, asked.stop.set)
    await run_forever(passes, every(900.0), asked.early, asked.stop, quiet)
    assert passes.starts == [0.0]
    assert asyncio.get_running_loop().time() == 50.0


async def test_a_wall_clock_that_steps_is_followed() -> None:
    """A start on the clock comes when the clock says so, though it was put forward by an hour meanwhile."""
    asked = Asked()
    ahead = 0.0

    def step() -> None:
        nonlocal ahead
        ahead = 3600.0

    def countdown() -> Callable[[], float]:
        at = wall() + ahead + 7200.0
        return lambda: at - (wall() + ahead)

    asyncio.get_running_loop().call_later(100.0, step)
    passes = Passes(asked, 2)
    await run_forever(passes, countdown, asked.early, asked.stop, quiet)
    assert 3600.0 <= passes.starts[1] <= 3631.0
