"""When passes begin, for as long as the daemon lives: never two at once, and missed starts are one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from worker.core.events import Listener, PassBroken
from worker.errors import CloudError

_LEAST_GAP = 2.0
"""Seconds from the beginning of a pass to that of one that is asked for early, however often it is asked for."""
_LONGEST_NAP = 30.0
"""Seconds after which a wait is looked at again: wall clocks step, and machines sleep."""


@dataclass(frozen=True, slots=True)
class Bells:
    """What a daemon's passes listen to: `early` asks for a pass before its time, `stop` for none any more."""

    early: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


async def run_forever(
    make_pass: Callable[[asyncio.Event], Awaitable[object]],
    countdown: Callable[[], Callable[[], float]],
    bells: Bells,
    emit: Listener,
) -> None:
    """Make passes until `bells.stop` is set, the first at once.

    Each pass gets an event that is set when the next one is due. `countdown`, called when a pass begins, gives what
    tells the seconds that are left until the next one. A cloud in trouble is reported, and the next pass comes in its
    time; what else a pass raises ends it all. A pass under way when `bells.stop` is set is waited for: it is told by
    other means.
    """
    while not bells.stop.is_set():
        bells.early.clear()
        due = asyncio.Event()
        alarm = asyncio.create_task(_ring(due, countdown(), bells.early))
        try:
            await _attempt(make_pass(due), emit)
            await first_of(due, bells.stop)
        finally:
            alarm.cancel()


async def _attempt(a_pass: Awaitable[object], emit: Listener) -> None:
    try:
        await a_pass
    except CloudError as error:
        emit(PassBroken(str(error)))


async def first_of(*events: asyncio.Event) -> None:
    """Wait until any of these events is set. Cancelled, nothing is left behind."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


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
