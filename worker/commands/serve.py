"""`serve`: make passes on a schedule."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from worker.commands.verb import JOURNAL_AWAY, Verb, add_shard
from worker.core.exit import Exit

if TYPE_CHECKING:
    from worker.commands.command import Command


async def serve(command: Command) -> Exit:
    """Make passes on the schedule until SIGTERM or SIGINT, and show what goes on."""
    from worker.daemon.revision import Reader
    from worker.daemon.serve import Daemon
    from worker.session.stopping import stopped_by_signals

    reader = Reader(command.options.config, command.environ, command.asked.selector)
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
        await Daemon(reader, first, stopper, command.take).run()
    return Exit.CONVERGED


VERB = Verb(
    "serve",
    "make passes on a schedule, until SIGTERM",
    serve,
    (
        "The daemon: passes as [schedule] says, files read again when they change, health, metrics and a "
        "status page as [server] says. Beside another one it stands by."
    ),
    ("serve", "serve --shard 0/4 --log-format json"),
    {0: "it was asked to stop, and did", **JOURNAL_AWAY},
    add_options=add_shard,
    rereads=True,
    if_stopped="",
)
