"""When passes begin, for as long as the daemon lives: never two at once, and missed starts are one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from worker.core.events import Listener, Trouble
from worker.core.timing import Interval, next_start
from worker.errors import CloudError


async def run_forever(
    make_one_pass: Callable[[], Awaitable[object]],
    interval: Interval,
    stop: asyncio.Event,
    chance: Callable[[], float],
    emit: Listener,
) -> None:
    """Make passes until `stop` is set, the first at once. A cloud in trouble is reported, and tried again in time.

    Raises what else a pass raises. A pass under way when `stop` is set is waited for: it is told by other means.
    """
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        started = loop.time()
        try:
            await make_one_pass()
        except CloudError as error:
            emit(Trouble("the pass failed", str(error)))
        await _until(next_start(interval, started, loop.time(), chance()), stop)


async def _until(moment: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout_at(moment):
            await stop.wait()
    except TimeoutError:
        pass
