"""`serve`: make passes on a schedule."""

from __future__ import annotations

import asyncio

from worker.commands.command import Command
from worker.core.fleet.report import Exit
from worker.wiring.daemon import Daemon
from worker.wiring.front import Front
from worker.wiring.generation import Reader
from worker.wiring.stop import stopped_by_signals


async def serve(command: Command) -> Exit:
    """Make passes on the schedule until SIGTERM or SIGINT, and show what goes on."""
    reader = Reader(command.options.config, command.environ, command.asked.aim)
    with stopped_by_signals(grace=0.0) as stopper:
        stopper.reports = False
        # In a thread: a disk that hangs must not keep a signal from ending it.
        reading = asyncio.ensure_future(asyncio.to_thread(reader.read))
        asked = asyncio.ensure_future(stopper.asked.wait())
        await asyncio.wait((reading, asked), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if stopper.asked.is_set():
            return Exit.CONVERGED
        first = reading.result()
        stopper.grace = first.settings.schedule.grace
        command.take(first.loaded)
        front = Front(first, command.environ, command.take)
        await Daemon(reader, first, stopper, front).run()
    return Exit.CONVERGED
