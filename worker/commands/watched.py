"""What is said of a pass while it lasts: its log, and live progress where a person watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from worker.cloud.ims import Ims
from worker.commands.command import Command, console
from worker.core.daemon_events import Stopping
from worker.core.events import TOLD_IN_THE_END, Event, Listener
from worker.core.fleet.forecast import Forecast, Rest
from worker.reconcile.background import background_tasks
from worker.render.output import say
from worker.session.forecasts import to_go
from worker.session.limits import calls_left
from worker.settings.inputs import Inputs
from worker.telemetry.limit_waits import LimitWaits
from worker.telemetry.logs import log_event
from worker.telemetry.progress import Gauges, LiveProgress
from worker.telemetry.to_go import ToGo
from worker.wiring import timings

_LOOK_EVERY = 1.0


@asynccontextmanager
async def watched(command: Command, inputs: Inputs, ims: Ims) -> AsyncIterator[Listener]:
    """Give the listener of a pass: the log, and live progress where a person watches."""

    def foretell(rest: Rest) -> Forecast:
        return to_go(rest, inputs, ims, time.time())

    if command.is_live:
        gauges = Gauges(lambda: calls_left(ims), foretell, time.time, timings(inputs.settings))
        drawn = LiveProgress(console(command.options.color, stderr=True), gauges)
        watching = _drawn(drawn, is_verbose=command.options.verbose)
    else:
        watching = _logged(foretell)
    async with watching as listener:
        yield listener


@asynccontextmanager
async def _drawn(drawn: LiveProgress, *, is_verbose: bool) -> AsyncIterator[Listener]:
    with drawn as progress:

        def both(event: Event) -> None:
            # The drawing first: it is drawn again below what is told.
            progress(event)
            # Who watches reads the plan or the report in a moment, and need not read the same twice.
            if is_verbose or not isinstance(event, TOLD_IN_THE_END):
                _tell(event)

        async with background_tasks() as start:
            start(_keep_looking(progress))
            yield both


@asynccontextmanager
async def _logged(foretell: Callable[[Rest], Forecast]) -> AsyncIterator[Listener]:
    left = ToGo(resumes=True)

    def both(event: Event) -> None:
        left(event)
        _tell(event)

    def now_foretold() -> Forecast | None:
        rest = left.rest()
        return None if rest is None else foretell(rest)

    async with background_tasks() as start:
        start(LimitWaits(now_foretold, time.time, _tell).watch())
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
