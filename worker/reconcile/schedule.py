"""When passes begin, for as long as the daemon lives: never two at once, and missed starts are one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from worker.core.events import Listener, Trouble
from worker.errors import CloudError


async def run_forever(
    make_pass: Callable[[], Awaitable[object]],
    wait: Callable[[float], float],
    stop: asyncio.Event,
    emit: Listener,
) -> None:
    """Make passes until `stop` is set, the first at once; `wait` tells how long to sleep from the seconds one took.

    A cloud in trouble is reported, and the next pass comes in its time; what else a pass raises ends it all. A pass
    under way when `stop` is set is waited for: it is told by other means.
    """
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        started = loop.time()
        try:
            await make_pass()
        except CloudError as error:
            emit(Trouble("the pass failed", str(error)))
        await sleep_until(loop.time() + wait(loop.time() - started), stop)


async def sleep_until(moment: float, stop: asyncio.Event) -> None:
    """Sleep until the loop's clock says `moment`, or `stop` is set."""
    try:
        async with asyncio.timeout_at(moment):
            await stop.wait()
    except TimeoutError:
        pass
