"""`status`: print what the journal knows."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from worker.commands.verb import JOURNAL_AWAY, UNWRITTEN, Verb, add_grouping, name
from worker.core.exit import Exit
from worker.errors import Problem

if TYPE_CHECKING:
    from worker.commands.command import Command


_PASSES_SHOWN = 10


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image_name", nargs="?", type=name, metavar="IMAGE", help="only this, by name or id")
    add_grouping(parser)


async def status(command: Command) -> Exit:
    """Print what the journal knows; make no call, take no lock."""
    from worker.core.fleet.last_read import image_standing
    from worker.core.fleet.selection import Selection, select
    from worker.core.manifest.found import join_found
    from worker.core.manifest.named import image_of
    from worker.journal.rows import WAY_OUT
    from worker.journal.store import read_journal
    from worker.render.durations import KnownDurations
    from worker.render.learned_limits import known_limits
    from worker.render.names import Names
    from worker.render.problems import problems_text
    from worker.render.status import StatusView, print_status, status_json
    from worker.settings.inputs import names_of
    from worker.wiring import journal_url, rates, timings

    loaded = command.configure()
    async with read_journal(journal_url(loaded.settings)) as journal:
        now = time.time()
        found = await journal.memory.overview(_PASSES_SHOWN, now)
    sizes, limits, durations = found.batch_sizes, found.learned_limits, found.durations
    manifest = join_found(names_of(loaded), loaded.settings.cloud.region, dict(found.project_lists.values)).manifest
    credentials = loaded.settings.credentials
    accounts = {
        each.id: credentials[each.credential].account
        for each in manifest.projects.values()
        if each.credential in credentials
    }
    options = command.options
    image = None
    if options.image_name is not None:
        image_id = image_of(manifest, options.image_name, "IMAGE")
        wished_in = {project_id for project_id, wishes in manifest.wishes.items() if image_id in wishes}
        image = image_standing(image_id, wished_in, dict(found.readings.values))
    view = StatusView(
        loaded.settings.journal.place,
        tuple(each for each in found.in_flight.values if image is None or image.image_id in each.batch.images),
        tuple(each for each in found.quarantined.values if image is None or each.share.image_id == image.image_id),
        found.passes.values,
        found.fleet.values,
        now,
        Names.of(manifest),
        timings(loaded.settings),
        found.odd,
        found.ahead,
        journal.exists,
        (
            *journal.notes,
            *(f"what was learned of a batch's size cannot be read: {each}" for each in sizes.odd),
            *(f"what was learned of a limit cannot be read: {each}" for each in limits.odd),
            *(f"what was found of how long jobs last cannot be read: {each}" for each in durations.odd),
        ),
        dict(sizes.values),
        known_limits(limits.values, rates(loaded.settings), loaded.settings.limits.burst, now),
        KnownDurations(dict(durations.values), accounts),
        dict(found.readings.values),
        found.standing.pause,
        frozenset(select(manifest, Selection())),
        image,
        options.by,
        is_cut=not options.every,
    )
    command.note(view.notes)
    verbose = command.options.verbose
    shown = command.show(status_json(view), lambda: print_status(view, command.out, verbose=verbose))
    if not view.unreadable:
        return shown
    odd = tuple(Problem.about("journal", f"has what cannot be read: {row}", hint=WAY_OUT) for row in view.unreadable)
    print(problems_text(odd, color=command.errors_in_color), file=sys.stderr)
    return Exit.USAGE


VERB = Verb(
    "status",
    "show whether the fleet is as desired, jobs in flight, quarantined shares and the last passes",
    status,
    "Reads the journal alone: no call, no lock, also while a worker runs.",
    ("status", "status golden-ubuntu", "status --by project --all", "status --json"),
    {0: "it is shown", 1: UNWRITTEN, **JOURNAL_AWAY},
    add_options=_add_options,
    logs=False,
)
