"""`demo`: reconcile a small simulated fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.commands.verb import Verb
from worker.core.exit import Exit

if TYPE_CHECKING:
    from rich.console import Console

    from worker.commands.command import Command
    from worker.core.fleet.report import RunReport
    from worker.core.status import Status
    from worker.settings.inputs import Inputs
    from worker.simulator.demo import Demo


SCHEMA = "ims-share-worker/demo/1"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demo came to, for people and as JSON."""

    document: dict[str, Any]
    verdict: str
    as_expected: bool


async def demo(command: Command) -> Exit:
    """Reconcile a small simulated fleet: plan, run, and run again."""
    from worker.telemetry.logs import set_up

    set_up(command.options.log_format, "debug" if command.options.verbose else "error", colors=command.errors_in_color)
    demo = await _show(command.out, quiet=command.options.json or command.options.quiet)
    shown = command.show(demo.document, lambda: print(demo.verdict), is_well=demo.as_expected)
    return shown if demo.as_expected else Exit.INCOMPLETE


async def _show(out: Console, *, quiet: bool) -> Shown:
    """Plan, run and run again on a simulated fleet with one absent and one poisoned image; tell if all went as it must.

    Nothing is read or written: config and manifest are in here, the journal is in memory.
    """
    from worker.simulator.demo import demo as demo_fleet
    from worker.simulator.server import Simulator

    fleet = demo_fleet()
    async with Simulator(fleet.world, faults=fleet.faults) as simulator:
        return await _rehearse(_inputs(fleet, simulator.url), fleet, out, quiet=quiet)


def _inputs(fleet: Demo, url: str) -> Inputs:
    from worker.core.documents import Document
    from worker.core.manifest.parse import parse_manifest
    from worker.journal.database import MEMORY
    from worker.settings import Settings
    from worker.settings.inputs import Inputs

    settings = {
        "cloud": {"ims_endpoint": url},
        "credentials": {
            "default": {"kind": "static", "access_key": "DEMO", "secret_key": "a-secret-of-the-demo"},
            fleet.credential: {
                "kind": "agency",
                "account": fleet.credential,
                "source": "default",
                "agency": "image-sharing",
                "domain": fleet.credential,
            },
        },
        "guards": {"max_reject": "10%"},
        "journal": {"url": MEMORY},
    }
    manifest = parse_manifest((Document("manifest.toml", fleet.manifest.encode()),))
    return Inputs(Settings.model_validate(settings), manifest)


async def _rehearse(inputs: Inputs, fleet: Demo, out: Console, *, quiet: bool) -> Shown:
    from worker.core.fleet.selection import Selector
    from worker.reconcile.deadlines import Deadlines
    from worker.render.names import Names
    from worker.render.plan import plan_json, print_plan, view_of
    from worker.render.report import print_report, report_json
    from worker.session.opening import open_as_writer
    from worker.session.passes import pass_context, plan_pass, run_pass
    from worker.telemetry.logs import log_call, log_event
    from worker.wiring import cloud_config, pass_request

    request = pass_request(inputs, Selector())
    names = Names.of(inputs.manifest)
    async with open_as_writer(inputs, cloud_config(inputs, {}), "demo", request.selection.shard, log_call) as (
        journal,
        ims,
    ):
        prepared, forecast = await plan_pass(inputs, request, ims, journal, log_event)
        view = view_of(prepared, forecast, names)
        if not quiet:
            _introduce(out, inputs, fleet)
            _heading(out, "ims-share-worker plan")
            print_plan(view, out)
        reports = []
        for _ in range(2):
            context = await pass_context(inputs, ims, journal, log_event, Deadlines())
            reports.append(await run_pass(inputs, request, context, journal))
            if not quiet:
                _heading(out, "ims-share-worker run")
                print_report(reports[-1], names, out)
    wrong = _surprises(fleet, reports[0], reports[1])
    document = {
        "schema": SCHEMA,
        "as_expected": not wrong,
        "surprises": wrong,
        "plan": plan_json(view),
        "runs": [report_json(report) for report in reports],
    }
    verdict = "\nThe reports are the expected ones." if not wrong else "\nNot as expected: " + "; ".join(wrong)
    return Shown(document, verdict, not wrong)


def _surprises(fleet: Demo, first: RunReport, second: RunReport) -> list[str]:
    """Compare the reports with what this fleet must lead to."""
    from worker.core.calls import CallGroup
    from worker.core.status import Status

    expected: Mapping[str, bool] = {
        "the first run changes shares": first.count(Status.CHANGED) > 0,
        "only the poisoned image fails": _images(first, Status.FAILED) == {fleet.poisoned},
        "only the absent image is absent": _images(first, Status.ABSENT) == {fleet.absent},
        "every other share is as desired": first.converged + first.count(Status.CHANGED) == first.desired - 2,
        "the second run finds the same": second.converged == second.desired - 2,
        "the poisoned image is in quarantine": _images(second, Status.QUARANTINED) == {fleet.poisoned},
        "the second run sends no PUT": second.calls.made.get(CallGroup.MEMBERS_PUT, 0) == 0,
    }
    return [f"not so: {what}" for what, is_so in expected.items() if not is_so]


def _images(report: RunReport, kind: Status) -> set[str]:
    return {outcome.share.image_id for outcome in report.outcomes if outcome.status is kind}


def _introduce(out: Console, inputs: Inputs, fleet: Demo) -> None:
    from worker.render.names import plain

    projects = inputs.manifest.projects.values()
    theirs = ", ".join(sorted(each.name for each in projects if each.credential == fleet.credential))
    ours = " and ".join(sorted(each.name for each in projects if each.credential != fleet.credential))
    out.print()
    out.print(plain(f"Two accounts: {ours} by keys, {theirs} by an agency of {fleet.credential}.", "dim"))


def _heading(out: Console, text: str) -> None:
    from worker.render.names import plain

    out.print()
    out.print(plain(f"$ {text}", "bold cyan"))


VERB = Verb(
    "demo",
    "reconcile a small simulated fleet: plan, run, and run again",
    demo,
    "Needs no config, no key and no cloud: the first thing to try.",
    ("demo",),
    {0: "the reports are as expected", 1: "they are not, or could not be written"},
)
