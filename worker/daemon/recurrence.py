"""When passes begin, for as long as the daemon lives: never two at once, and missed starts are one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from worker.core.daemon_events import PassScheduled
from worker.core.events import Listener, PassBroken
from worker.core.schedule import Interval, next_wait
from worker.errors import CloudError
from worker.reconcile.background import first_of
from worker.settings import Settings
from worker.wiring import schedule_of

_LEAST_GAP = 2.0
"""Seconds from the beginning of a pass to that of one that is asked for early, however often it is asked for."""
_WORTH_TELLING = 1.0
"""Seconds by which a start has moved when that is told."""
_LONGEST_NAP = 30.0
"""Seconds after which a wait is looked at again: wall clocks step, and machines sleep."""


async def run_forever(
    make_pass: Callable[[asyncio.Event], Awaitable[object]],
    countdown: Callable[[], Callable[[], float]],
    early: asyncio.Event,
    stop: asyncio.Event,
    emit: Listener,
) -> None:
    """Make passes until `stop` is set, the first at once; one comes before its time where `early` asks for it.

    Each pass gets an event that is set when the next one is due. `countdown`, called when a pass begins, gives what
    tells the seconds that are left until the next one. A cloud in trouble is reported, and the next pass comes in its
    time; what else a pass raises ends it all. A pass under way when `stop` is set is waited for: it is told by
    other means.
    """
    while not stop.is_set():
        early.clear()
        due = asyncio.Event()
        alarm = asyncio.create_task(_ring(due, countdown(), early))
        try:
            await _attempt(make_pass(due), emit)
            await first_of(due, stop)
        finally:
            alarm.cancel()


def countdown(settings: Settings, wall: Callable[[], float], emit: Listener) -> Callable[[], float]:
    """Tell when the next pass begins, and return what tells the seconds that are left until then.

    `wall` is the wall clock, in seconds since the epoch: where it is set meanwhile, that is told anew.
    """
    schedule = schedule_of(settings)
    jitter, u = settings.schedule.jitter, random.random()  # noqa: S311 - it guards nothing
    loop = asyncio.get_running_loop()
    wait = next_wait(schedule, wall(), jitter, u)
    end, at = loop.time() + wait, wall() + wait
    emit(PassScheduled(at))

    def left() -> float:
        """Return the seconds until the pass; tell anew when that is, if the wall clock was set meanwhile."""
        nonlocal at
        now = wall()
        if isinstance(schedule, Interval):
            seconds = end - loop.time()
        else:
            # With a clock that was put back there are starts to come again that seemed to have passed.
            seconds = min(at - now, next_wait(schedule, now, jitter, u))
        if abs(now + seconds - at) > _WORTH_TELLING:
            at = now + seconds
            emit(PassScheduled(at))
        return seconds

    return left


async def _attempt(a_pass: Awaitable[object], emit: Listener) -> None:
    try:
        await a_pass
    except CloudError as error:
        emit(PassBroken(str(error)))


async def sleep_until(moment: float, stop: asyncio.Event) -> None:
    """Sleep until the loop's clock says `moment`, or `stop` is set."""
    try:
        async with asyncio.timeout_at(moment):
            await stop.wait()
    except TimeoutError:
        pass


async def _ring(due: asyncio.Event, left: Callable[[], float], early: asyncio.Event) -> None:
    """Set `due` when nothing is left of the wait, or a pass is asked for before."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not early.is_set() and (seconds := left()) > 0:
        await sleep_until(loop.time() + min(seconds, _LONGEST_NAP), early)
    if early.is_set():
        await asyncio.sleep(min(max(0.0, began + _LEAST_GAP - loop.time()), max(0.0, left())))
    due.set()
