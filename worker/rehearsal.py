"""The simulated cloud at work: `demo` runs the worker against it, `simulate` serves it to others."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from worker.core.calls import CallGroup
from worker.core.documents import Document
from worker.core.fleet.report import RunReport
from worker.core.manifest.parse import parse_manifest
from worker.core.status import Status
from worker.errors import Problem, SettingsError
from worker.journal.database import MEMORY
from worker.reconcile.deadlines import Deadlines
from worker.render.names import Names, plain
from worker.render.plan import plan_json, print_plan, view_of
from worker.render.report import print_report, report_json
from worker.settings import Address, Settings
from worker.settings.values import unreadable
from worker.simulator.demo import Demo
from worker.simulator.demo import demo as demo_fleet
from worker.simulator.document import DocumentError
from worker.simulator.faults import FaultSet, load_faults
from worker.simulator.seed import Seed, load_seed
from worker.simulator.server import Simulator, require_loopback
from worker.telemetry.logs import log_call, log_event
from worker.wiring import work
from worker.wiring.policies import cloud_config
from worker.wiring.site import Aim, Site, order_of

SCHEMA = "ims-share-worker/demo/1"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demo came to, for people and as JSON."""

    document: dict[str, Any]
    verdict: str
    as_expected: bool


async def demo(out: Console, *, quiet: bool) -> Shown:
    """Plan, run and run again on a simulated fleet with one absent and one poisoned image; tell if all went as it must.

    Nothing is read or written: config and manifest are in here, the journal is in memory.
    """
    fleet = demo_fleet()
    async with Simulator(fleet.world, faults=fleet.faults) as simulator:
        return await _rehearse(_site(fleet, simulator.url), fleet, out, quiet=quiet)


async def simulate(listen: str, seeds: tuple[Path, ...], faults: Path | None) -> None:
    """Serve a simulated cloud, print its address as the first line, and go on until SIGINT or SIGTERM."""
    try:
        at = Address.parse(listen)
        require_loopback(at.host)
    except ValueError as error:
        raise SettingsError((Problem("--listen", 0, 0, "", str(error), listen),)) from error
    named = (*seeds, *([faults] if faults else []))
    if wrong := tuple(Problem(str(file), 0, 0, "", why) for file in named if (why := unreadable(file))):
        raise SettingsError(wrong)
    try:
        seed = load_seed(*seeds) if seeds else Seed(demo_fleet().world)
        trouble = load_faults(faults) if faults else FaultSet()
        server = Simulator(
            seed.world, faults=trouble, options=seed.options, limits=seed.limits, listen=(at.host, at.port)
        )
    except DocumentError as error:
        raise SettingsError(tuple(Problem("simulate", 0, 0, "", each) for each in error.problems)) from error
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    try:
        async with server:
            print(server.url, flush=True)
            await over.wait()
    except OSError as error:
        raise SettingsError(
            (Problem("--listen", 0, 0, "", f"cannot listen there: {error.strerror}", listen),)
        ) from error


def _site(fleet: Demo, url: str) -> Site:
    settings = {
        "cloud": {"ims_endpoint": url},
        "credentials": {"default": {"kind": "static", "access_key": "DEMO", "secret_key": "a-secret-of-the-demo"}},
        "guards": {"max_reject": "10%"},
        "journal": {"url": MEMORY},
    }
    manifest = parse_manifest((Document("manifest.toml", fleet.manifest.encode()),))
    return Site(Settings.model_validate(settings), manifest)


async def _rehearse(site: Site, fleet: Demo, out: Console, *, quiet: bool) -> Shown:
    order = order_of(site, Aim())
    names = Names.of(site.manifest)
    async with work.at_work(site, cloud_config(site, {}), "demo", order.selection.shard, log_call) as (
        journal,
        ims,
    ):
        prepared, forecast = await work.plan(site, order, ims, journal, log_event)
        view = view_of(prepared, forecast, names)
        if not quiet:
            _heading(out, "ims-share-worker plan")
            print_plan(view, out)
        reports = []
        for _ in range(2):
            context = await work.make_pass(site, ims, journal, log_event, Deadlines())
            reports.append(await work.run(site, order, context, journal))
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


def _heading(out: Console, text: str) -> None:
    out.print()
    out.print(plain(f"$ {text}", "bold cyan"))
