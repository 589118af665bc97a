"""`plan`: observe, and print what a run would do."""

from __future__ import annotations

import argparse
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from worker.commands.verb import JOURNAL_AWAY, Verb, add_grouping, add_selection
from worker.core.exit import Exit
from worker.errors import Problem, SettingsError

if TYPE_CHECKING:
    from worker.commands.command import Command
    from worker.render.plan import PlanView


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--fail-on-drift", action="store_true", help="exit with 6 when there are changes")
    add_grouping(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="save the plan, for `approve FILE`")


async def plan(command: Command) -> Exit:
    """Observe and diff, and print what a run would do; save it, where that is asked for."""
    from worker.commands.watched import watched
    from worker.core.fleet.report import exit_of_plan
    from worker.core.job import underway
    from worker.reconcile.deadlines import Deadlines
    from worker.render.names import Names
    from worker.render.plan import plan_json, print_plan, view_of
    from worker.session.finding import found_in, list_projects, see_that_known
    from worker.session.opening import open_for_reading, record_calls
    from worker.session.passes import plan_pass
    from worker.settings.inputs import load_inputs
    from worker.telemetry.logs import log_call
    from worker.wiring import cloud_config, timings

    _see_where_to_save(command)
    loaded = command.configure()
    inputs = load_inputs(loaded)
    see_that_known(inputs, command.asked.selector)
    config, shard = cloud_config(inputs, command.environ), command.asked.selector.shard
    async with open_for_reading(inputs, config, shard, log_call) as (journal, ims):
        found = found_in(inputs, await list_projects(inputs, ims, journal, Deadlines()))
        found.insist(loaded)
        inputs, request = found.inputs, found.request(command.asked.selector)
        async with watched(command, inputs, ims) as events:
            prepared, forecast = await plan_pass(inputs, request, ims, journal, events)
        notes = (*prepared.plan.notes, *journal.notes, *await record_calls(journal))
    sent = prepared.plan.in_flight_of(request.selection.images)
    in_flight = underway(sent, time.time(), timings(inputs.settings))
    options = command.options
    view = replace(
        view_of(prepared, forecast, Names.of(inputs.manifest), notes, in_flight),
        by=options.by,
        is_cut=not options.every,
        way_on=shlex.join(["ims-share-worker", "run", *_selected(options)]),
    )
    command.note(notes)
    view, saved = _save(command, view)
    status = exit_of_plan(
        prepared.plan,
        refused=bool(prepared.verdict.refusals),
        fail_on_drift=command.options.fail_on_drift,
        broken=bool(prepared.bugs),
    )
    shown = command.show(plan_json(view), lambda: print_plan(view, command.out), is_well=status is Exit.CONVERGED)
    command.own_up(prepared.bugs)
    return status or saved or shown


def _selected(options: argparse.Namespace) -> list[str]:
    """Return the options that have a run find the same config, and mean the same part of the fleet."""
    named = (("--config", [options.config]), ("--project", options.project), ("--image", options.image))
    given = [*named, ("--shard", [options.shard])]
    return [word for name, values in given for value in values if value is not None for word in (name, str(value))]


def _see_where_to_save(command: Command) -> None:
    """Raise SettingsError for a file that surely cannot be written, before anything is read for it."""
    file = command.options.out
    if file is None:
        return
    why = ""
    try:
        if file.is_dir():
            why = "it is a folder, and a plan is saved in a file"
        elif not file.parent.is_dir():
            why = f"there is no folder {file.parent}"
    except (OSError, ValueError) as error:
        why = f"it cannot be the name of a file: {getattr(error, 'strerror', None) or error}"
    if why:
        raise SettingsError((Problem.about("--out", why, value=str(file)),))


def _save(command: Command, view: PlanView) -> tuple[PlanView, Exit]:
    """Save a plan where that is asked for; return what is shown of it, and what this adds to the exit status."""
    from worker.files import write_file
    from worker.render.output import say
    from worker.render.plan_file import plan_file

    file = command.options.out
    if file is None:
        return view, Exit.CONVERGED
    try:
        write_file(file, plan_file(view, time.time()))
    except OSError as error:
        say(f"error: the plan cannot be written to {file}: {error.strerror or error}")
        return view, Exit.INCOMPLETE
    return replace(view, approval=f"ims-share-worker approve {shlex.quote(str(file))}"), Exit.CONVERGED


VERB = Verb(
    "plan",
    "observe, and print what a run would do",
    plan,
    "Reads what the projects hold now and compares it with the manifest. It changes nothing.",
    ("plan", "plan --by project --all", "plan --project payments-prod --json", "plan --fail-on-drift"),
    {
        0: "nothing to do, or changes that a run would make",
        1: "some shares are absent, unknown or quarantined; or the plan could not be written",
        3: "a guard refuses the plan",
        4: "the cloud could not be reached or refused the credentials",
        6: "there are changes, and --fail-on-drift was given",
        **JOURNAL_AWAY,
    },
    add_options=_add_options,
    is_shown_live=True,
)
