"""The live progress of a pass that a person watches, beside its log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console

from worker.cloud.ims import Ims
from worker.commands.command import Command
from worker.core.events import TOLD_IN_THE_END, Event, Listener, Stopping
from worker.reconcile.background import background_tasks
from worker.streams import say
from worker.telemetry.logs import log_event
from worker.telemetry.progress import Gauges, LiveProgress
from worker.wiring import work
from worker.wiring.forecasts import to_go
from worker.wiring.site import Site
from worker.wiring.times import timings

_LOOK_EVERY = 1.0


@asynccontextmanager
async def watched(command: Command, site: Site, ims: Ims) -> AsyncIterator[Listener]:
    """Give the listener of a pass: the log, and live progress where a person watches."""
    if not command.is_live:
        yield _tell
        return
    gauges = Gauges(
        lambda: work.calls_left(ims),
        lambda rest: to_go(rest, site, ims, time.time()),
        time.time,
        timings(site.settings),
    )
    with LiveProgress(Console(stderr=True), gauges) as progress:

        def both(event: Event) -> None:
            # The drawing first: it is drawn again below what is told.
            progress(event)
            # Who watches reads the plan or the report in a moment, and need not read the same twice.
            if command.options.verbose or not isinstance(event, TOLD_IN_THE_END):
                _tell(event)

        async with background_tasks() as start:
            start(_keep_looking(progress))
            yield both


def _tell(event: Event) -> None:
    if isinstance(event, Stopping):
        say(event.message)
    else:
        log_event(event)


async def _keep_looking(progress: LiveProgress) -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        progress.look()
