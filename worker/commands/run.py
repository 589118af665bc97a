"""`run`: make one pass."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from worker.commands.verb import Verb, add_selection
from worker.core.exit import Exit
from worker.errors import Problem

if TYPE_CHECKING:
    from worker.commands.command import Command


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--deadline", metavar="TIME", help="stop submitting in time to end by then, such as 10m")


async def run(command: Command) -> Exit:
    """Make one pass, and print its report."""
    from worker.commands.watched import watched
    from worker.core.daemon_events import Stopping
    from worker.core.fleet.report import exit_of_report
    from worker.render.names import Names
    from worker.render.report import print_report, report_json
    from worker.session import finding, opening, passes
    from worker.session.stopping import stopped_by_signals
    from worker.settings.inputs import load_inputs
    from worker.telemetry.logs import log_call
    from worker.wiring import cloud_config

    loaded = command.configure()
    inputs = load_inputs(loaded)
    selector, deadline = command.asked.selector, command.asked.deadline
    finding.see_that_known(inputs, selector)
    config = cloud_config(inputs, command.environ)
    now = asyncio.get_running_loop().time
    ends_at = None if deadline is None else now() + deadline
    # The report too is printed under the signals' eyes: half of it would be worse than none.
    with stopped_by_signals(inputs.settings.schedule.grace) as stopper:
        stopper.last_words = partial(_say_ended, command)
        async with opening.open_as_writer(inputs, config, "run", selector.shard, log_call, stopper.ends_at) as opened:
            journal, ims = opened
            with stopper.deadlines() as deadlines:
                if deadline is not None and ends_at is not None:
                    deadlines.finish_within(max(0.0, ends_at - now()), min(passes.RESERVE, deadline / 2))
                lists = await finding.list_projects(inputs, ims, journal, deadlines)
                found = finding.found_in(inputs, lists)
                await finding.keep_lists(journal, lists)
                found.insist(loaded)
                inputs, request = found.inputs, found.request(selector)
                async with watched(command, inputs, ims) as events:
                    stopper.tell = lambda seconds, message: events(Stopping(seconds, message))
                    context = await passes.pass_context(inputs, ims, journal, events, deadlines)
                    report = await passes.run_pass(inputs, request, context, journal)
                report = replace(report, notes=(*report.notes, *journal.notes))
        command.note(report.notes)
        status, names = exit_of_report(report), Names.of(inputs.manifest)
        shown = command.show(
            report_json(report), lambda: print_report(report, names, command.out), is_well=status is Exit.CONVERGED
        )
    command.own_up(report.bugs)
    return status or shown


def _say_ended(command: Command) -> None:
    """Say that there will be no report; a document that says so stands for it."""
    from worker.commands.command import console, error_json
    from worker.core.stopping import ended
    from worker.render.output import say

    said = ended()
    say(said)
    if command.is_live:
        console(command.options.color, stderr=True).show_cursor()
    command.show(error_json(Exit.INCOMPLETE, (Problem.about("", said),)), lambda: None)


VERB = Verb(
    "run",
    "make one pass: observe, change, prove, report",
    run,
    (
        "Sends what differs, follows each job to its end, and reads again to prove the result. For people, "
        "cron and a CronJob."
    ),
    ("run", "run --deadline 10m --log-format json", "run --image golden-ubuntu"),
    {
        0: "converged, or nothing to do",
        1: "some shares failed, are absent, unknown, quarantined or not settled; or the report could not be written",
        3: "a guard refused the plan",
        4: "the cloud could not be reached or refused the credentials",
        5: "another worker holds the journal",
        7: "the journal cannot be reached for now, or failed during the pass: try again",
    },
    add_options=_add_options,
    is_shown_live=True,
    if_stopped="interrupted: nothing was sent",
)
