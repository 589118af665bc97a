"""`status`: print what the journal knows."""

from __future__ import annotations

import sys
import time

from worker.commands.command import NO_SOURCES, Command
from worker.core.fleet.report import Exit
from worker.core.fleet.selection import Selection, select
from worker.errors import Problem
from worker.journal.batch_sizes import by_key
from worker.journal.rows import WAY_OUT
from worker.journal.store import read_journal
from worker.render.names import Names
from worker.render.problems import problems_text
from worker.render.status import StatusView, print_status, status_json
from worker.wiring.site import journal_url, names_of
from worker.wiring.times import timings

_PASSES_SHOWN = 10


async def status(command: Command) -> Exit:
    """Print what the journal knows; make no call, take no lock."""
    loaded = command.configure()
    async with read_journal(journal_url(loaded.settings)) as journal:
        memory, now = await journal.memory(_PASSES_SHOWN), time.time()
        sizes = await journal.sizes.known()
        readings = await journal.last_readings()
        ahead = await journal.ahead(now)
        standing = await journal.instructions.standing(now)
    manifest = names_of(loaded)
    view = StatusView(
        loaded.settings.journal.place,
        memory.in_flight.values,
        memory.quarantined.values,
        memory.passes.values,
        memory.fleet.values,
        now,
        Names.of(manifest),
        timings(loaded.settings),
        (*memory.odd, *standing.odd),
        ahead,
        journal.exists,
        (*journal.notes, *(f"what was learned of a batch's size cannot be read: {row}" for row in sizes.odd)),
        by_key(sizes),
        readings,
        standing.pause,
        frozenset(select(manifest, Selection())),
    )
    command.note(view.notes)
    shown = command.show(status_json(view), lambda: print_status(view, command.out))
    if not view.unreadable:
        return shown
    odd = tuple(Problem("journal", 0, 0, "", f"has what cannot be read: {row}", "", WAY_OUT) for row in view.unreadable)
    print(problems_text(odd, NO_SOURCES, color=command.errors_in_color), file=sys.stderr)
    return Exit.USAGE
