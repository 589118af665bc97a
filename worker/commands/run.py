"""`run`: make one pass."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from rich.console import Console

from worker.commands.command import Command, error_json
from worker.commands.watched import watched
from worker.core.events import Stopping
from worker.core.fleet.report import Exit, exit_of_report
from worker.core.stopping import ended
from worker.errors import Problem
from worker.render.names import Names
from worker.render.report import print_report, report_json
from worker.streams import say
from worker.telemetry.logs import log_call
from worker.wiring import work
from worker.wiring.policies import cloud_config
from worker.wiring.site import load_site, order_of
from worker.wiring.stop import stopped_by_signals


async def run(command: Command) -> Exit:
    """Make one pass, and print its report."""
    site = load_site(command.configure())
    order = order_of(site, command.asked.aim)
    deadline = command.asked.deadline
    config = cloud_config(site, command.environ)
    now = asyncio.get_running_loop().time
    ends_at = None if deadline is None else now() + deadline
    # The report too is printed under the signals' eyes: half of it would be worse than none.
    with stopped_by_signals(site.settings.schedule.grace) as stopper:
        stopper.last_words = partial(_say_ended, command)
        async with (
            work.at_work(site, config, "run", order.selection.shard, log_call, stopper.ends_at) as (
                journal,
                ims,
            ),
            watched(command, site, ims) as events,
        ):
            stopper.tell = lambda seconds, message: events(Stopping(seconds, message))
            with stopper.halting() as deadlines:
                if deadline is not None and ends_at is not None:
                    deadlines.finish_within(max(0.0, ends_at - now()), min(work.RESERVE, deadline / 2))
                context = await work.make_pass(site, ims, journal, events, deadlines)
                report = await work.run(site, order, context, journal)
                report = replace(report, notes=(*report.notes, *journal.notes))
        command.note(report.notes)
        shown = command.show(report_json(report), lambda: print_report(report, Names.of(site.manifest), command.out))
    command.own_up(report.bugs)
    return exit_of_report(report) or shown


def _say_ended(command: Command) -> None:
    """Say that there will be no report; a document that says so stands for it."""
    said = ended()
    say(said)
    if command.is_live:
        Console(stderr=True).show_cursor()
    command.show(error_json(Exit.INCOMPLETE, (Problem("", 0, 0, "", said),)), lambda: None)
