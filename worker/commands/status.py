"""`status`: print what the journal knows."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from worker.commands.verb import Verb
from worker.core.exit import Exit
from worker.errors import Problem

if TYPE_CHECKING:
    from worker.commands.command import Command


_PASSES_SHOWN = 10


async def status(command: Command) -> Exit:
    """Print what the journal knows; make no call, take no lock."""
    from worker.core.fleet.selection import Selection, select
    from worker.journal.rows import WAY_OUT
    from worker.journal.store import read_journal
    from worker.render.names import Names
    from worker.render.problems import problems_text
    from worker.render.status import StatusView, print_status, status_json
    from worker.settings.inputs import names_of
    from worker.wiring import journal_url, timings

    loaded = command.configure()
    async with read_journal(journal_url(loaded.settings)) as journal:
        now = time.time()
        found = await journal.memory.overview(_PASSES_SHOWN, now)
    sizes = found.batch_sizes
    manifest = names_of(loaded)
    view = StatusView(
        loaded.settings.journal.place,
        found.in_flight.values,
        found.quarantined.values,
        found.passes.values,
        found.fleet.values,
        now,
        Names.of(manifest),
        timings(loaded.settings),
        found.odd,
        found.ahead,
        journal.exists,
        (*journal.notes, *(f"what was learned of a batch's size cannot be read: {each}" for each in sizes.odd)),
        dict(sizes.values),
        dict(found.readings.values),
        found.standing.pause,
        frozenset(select(manifest, Selection())),
    )
    command.note(view.notes)
    shown = command.show(status_json(view), lambda: print_status(view, command.out))
    if not view.unreadable:
        return shown
    odd = tuple(Problem.about("journal", f"has what cannot be read: {row}", hint=WAY_OUT) for row in view.unreadable)
    print(problems_text(odd, color=command.errors_in_color), file=sys.stderr)
    return Exit.USAGE


VERB = Verb("status", "show jobs in flight, quarantined shares and the last passes", status, logs=False)
