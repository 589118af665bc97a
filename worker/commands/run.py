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
    from worker.session import opening, passes
    from worker.session.stopping import stopped_by_signals
    from worker.settings.inputs import load_inputs
    from worker.telemetry.logs import log_call
    from worker.wiring import cloud_config, pass_request

    inputs = load_inputs(command.configure())
    request = pass_request(inputs, command.asked.selector)
    deadline = command.asked.deadline
    config = cloud_config(inputs, command.environ)
    now = asyncio.get_running_loop().time
    ends_at = None if deadline is None else now() + deadline
    # The report too is printed under the signals' eyes: half of it would be worse than none.
    with stopped_by_signals(inputs.settings.schedule.grace) as stopper:
        stopper.last_words = partial(_say_ended, command)
        async with (
            opening.open_as_writer(inputs, config, "run", request.selection.shard, log_call, stopper.ends_at) as (
                journal,
                ims,
            ),
            watched(command, inputs, ims) as events,
        ):
            stopper.tell = lambda seconds, message: events(Stopping(seconds, message))
            with stopper.deadlines() as deadlines:
                if deadline is not None and ends_at is not None:
                    deadlines.finish_within(max(0.0, ends_at - now()), min(passes.RESERVE, deadline / 2))
                context = await passes.pass_context(inputs, ims, journal, events, deadlines)
                report = await passes.run_pass(inputs, request, context, journal)
                report = replace(report, notes=(*report.notes, *journal.notes))
        command.note(report.notes)
        shown = command.show(report_json(report), lambda: print_report(report, Names.of(inputs.manifest), command.out))
    command.own_up(report.bugs)
    return exit_of_report(report) or shown


def _say_ended(command: Command) -> None:
    """Say that there will be no report; a document that says so stands for it."""
    from rich.console import Console

    from worker.commands.command import error_json
    from worker.core.stopping import ended
    from worker.render.output import say

    said = ended()
    say(said)
    if command.is_live:
        Console(stderr=True).show_cursor()
    command.show(error_json(Exit.INCOMPLETE, (Problem.about("", said),)), lambda: None)


VERB = Verb(
    "run",
    "make one pass: observe, change, prove, report",
    run,
    _add_options,
    is_shown_live=True,
    if_stopped="interrupted: nothing was sent",
)
