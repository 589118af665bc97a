"""Every document of one invented pass, to the byte: a reshape that changes one of them by accident is seen here.

After a change that is meant, `GOLDEN=write pytest tests/unit/test_golden.py` writes them anew, and the diff is read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import looptime
import pytest
from doubles import EPOCH, FakeCloud, FakeJournal, Fate, wall
from golden_texts import assert_golden
from passes import ACCEPT, REJECT, TIMINGS, context, manifest, request
from structlog.testing import capture_logs

from worker.core import daemon_events, events
from worker.core.allowance import Allowance
from worker.core.batch import Batch, End, InFlight
from worker.core.calls import CallGroup, CallRecord
from worker.core.fleet.forecast import Forecast
from worker.core.fleet.guard import GuardPolicy
from worker.core.fleet.history import PassRecord
from worker.core.fleet.report import RunReport
from worker.core.limits import LimitStanding, Rate
from worker.core.manifest.model import Project, Wish
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined
from worker.core.reading import LastReading
from worker.core.share import MemberStatus, Share
from worker.core.source import Source
from worker.core.status import Status
from worker.errors import BadRequest, Forbidden, Problem, Scope
from worker.reconcile.run import Prepared, prepare, run_once
from worker.render.check import CheckView, check_json
from worker.render.daemon import DaemonView, daemon_json
from worker.render.names import Names
from worker.render.plan import plan_json, view_of
from worker.render.report import report_json
from worker.render.status import StatusView, status_json
from worker.simulator.naming import image_id, project_id
from worker.telemetry.board import Board
from worker.telemetry.gauges import Readings
from worker.telemetry.logs import log_event
from worker.telemetry.metrics import Metrics

WAIT = Wish(Operation.ACCEPT, may_be_absent=True)
PAYMENTS, LEDGER, STOCK = (project_id(name) for name in ("payments", "ledger", "stock"))
NAMES = ("good-1", "good-2", "right-1", "right-2", "gone", "awaited", "server", "held", "stuck", "revoked")
"""Images of the payments project: what each is called tells what becomes of it."""
BAD = BadRequest("The image does not exist.", status=400, code="IMG.0144", scope=Scope.IMAGE, request_id="7c1e")


@dataclass(frozen=True)
class Told:
    """What one pass told: its plan, its report, and all events in order."""

    prepared: Prepared
    report: RunReport
    events: tuple[events.Event, ...]
    in_flight: tuple[InFlight, ...]


def image(name: str) -> str:
    """Return an image's id."""
    return image_id(name)


SHARE = Source("manifest.toml", 21, "share[0]")
"""Where all is wished but for what a rule has decided."""
WISHES: Mapping[str, Mapping[str, Wish]] = {
    PAYMENTS: {
        **{image(name): replace(ACCEPT, source=SHARE) for name in NAMES},
        image("awaited"): WAIT,
        image("revoked"): REJECT,
    },
    LEDGER: {image(name): ACCEPT for name in ("good-1", "good-2", "awaited")},
    STOCK: {image(name): ACCEPT for name in ("good-1", "bad", "liar", "good-2")},
}


def fate(batch: Batch) -> Fate:
    """Refuse the bad image by name, let a job lie about another and a third never end, and do everything else."""
    if image("stuck") in batch.images:
        return Fate(stuck=True)
    if image("bad") in batch.images:
        return Fate(BAD, begun=False)
    if image("liar") in batch.images:
        return Fate(done=frozenset(batch.images) - {image("liar")})
    return Fate()


async def nothing() -> None:
    """Do nothing when the turn of a PUT has come."""


async def tell(**changes: object) -> Told:
    """Make one pass over a fleet with something of everything in it."""
    cloud, journal, told = FakeCloud(fate), FakeJournal(), list[events.Event]()
    cloud.offer(PAYMENTS, [image(name) for name in NAMES if name not in {"gone", "awaited"}])
    cloud.offer(PAYMENTS, [image(name) for name in ("right-1", "right-2", "revoked")], MemberStatus.ACCEPTED)
    cloud.offer(PAYMENTS, [image("nobody asked")])
    cloud.offer(STOCK, list(WISHES[STOCK]))
    cloud.full_ecs.add(image("server"))
    cloud.unreadable[LEDGER] = Forbidden("no right to list images", status=403, code="IMG.0026", request_id="9d2f")
    held = Share(PAYMENTS, image("held"))
    journal.quarantine[held] = Quarantined(
        held, Operation.ACCEPT, 3, "first it failed", "then it failed again", EPOCH + 1500
    )
    stuck = Batch(PAYMENTS, Operation.ACCEPT, None, (image("stuck"),))
    key = await journal.batches.intend(stuck, "run-0", wall(), 0)
    await journal.batches.accept(key, await cloud.update_members(Project(PAYMENTS, "payments"), stuck, nothing), wall())
    asked = request(WISHES, **changes)
    prepared = await prepare(asked, context(cloud, journal))
    report = await run_once(asked, context(cloud, journal, emit=told.append))
    return Told(prepared, report, tuple(told), await journal.batches.in_flight())


def told_in_virtual_time(**changes: object) -> Told:
    """Make the pass in virtual time."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(tell(**changes))


@pytest.fixture(scope="module")
def told() -> Told:
    """Make the pass once."""
    return told_in_virtual_time()


@pytest.fixture(scope="module")
def refused() -> Told:
    """Make the pass once with a guard that allows no change to speak of."""
    return told_in_virtual_time(guard=GuardPolicy(Allowance.parse("0"), Allowance.parse("10%")))


def names() -> Names:
    """Return the names of the fleet."""
    found = manifest(WISHES)
    ids = {image(name): name for name in (*NAMES, "bad", "liar", "nobody asked")}
    return Names(found.projects, ids)


def plan_document(told: Told) -> dict[str, Any]:
    """Return the document of `plan`."""
    return plan_json(view_of(told.prepared, Forecast(17, 4.5), names()))


def status_document(told: Told) -> dict[str, Any]:
    """Return the document of `status`."""
    report = told.report
    counts = {kind.value: count for kind, count in report.counts().items()}
    record = PassRecord(report.run_id, report.started_at, report.finished_at, report.result.value, counts)
    held = Quarantined(Share(STOCK, image("bad")), Operation.ACCEPT, 1, "it failed", "it failed", EPOCH + 900)
    view = StatusView(
        "sqlite:///journal.db",
        told.in_flight,
        (held,),
        (record,),
        (record,),
        EPOCH + 100,
        names(),
        TIMINGS,
        (),
        0.0,
        last_readings={STOCK: LastReading(EPOCH, 5, report.outcomes[:2])},
    )
    return status_json(view)


def board_after(told: Told) -> Board:
    """Return the daemon's board after the pass."""
    board = Board(lambda: EPOCH)
    board(daemon_events.AtWork(unclean=False))
    for event in told.events:
        board(event)
    return board


def daemon_document(told: Told) -> dict[str, Any]:
    """Return the document of `/api/status` after the pass."""
    view = DaemonView(board_after(told), EPOCH + 100, "1.2.3", "every 15m", TIMINGS, refused={"default": False})
    return daemon_json(view)


def check_document(told: Told) -> dict[str, Any]:
    """Return the document of `check`, with a problem."""
    problem = Problem("manifest.toml", 3, 1, "images.x", "'x' cannot be the id of this image", "x", "a UUID")
    return check_json(CheckView((problem,), ("an odd variable",), (), manifest(WISHES)))


def log_lines(told: Told) -> list[Any]:
    """Return the log lines of the pass."""
    with capture_logs() as lines:
        for event in told.events:
            log_event(event)
    return [dict(line) for line in lines]


def metrics_text(told: Told) -> list[str]:
    """Return the metrics after the pass, without those of the process itself."""
    standing = {CallGroup.MEMBERS_PUT: LimitStanding(Rate(200, 300.0), 190, 0, 0.0, Rate(200, 300.0))}
    readings = Readings(lambda: {"default": standing}, lambda: {"default": False}, lambda: 900.0, lambda: 0.0)
    metrics = Metrics(board_after(told), readings, "1.2.3", EPOCH, lambda: EPOCH + 100)
    for event in told.events:
        metrics.observe(event)
    metrics.observe_call(CallRecord("default", CallGroup.MEMBERS_PUT, PAYMENTS, 200, 0.2, 1))
    text, _ = asyncio.run(metrics.exposition("text/plain"))
    lines = text.decode().splitlines()
    return [line for line in lines if not any(word in line for word in ("_process_", "_build_info"))]


DOCUMENTS: dict[str, Callable[[Told], Any]] = {
    "plan": plan_document,
    "report": lambda told: report_json(told.report),
    "status": status_document,
    "daemon": daemon_document,
    "check": check_document,
    "log": log_lines,
    "metrics": metrics_text,
}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_is_as_it_was(told: Told, name: str) -> None:
    """The document of the invented pass is the golden one, to the byte."""
    assert_golden_document(name, DOCUMENTS[name](told))


@pytest.mark.parametrize("name", ["plan", "report", "daemon", "log"])
def test_a_document_of_a_refused_pass_is_as_it_was(refused: Told, name: str) -> None:
    """The document of the same pass, refused by a guard, is the golden one, to the byte."""
    assert_golden_document(f"refused-{name}", DOCUMENTS[name](refused))


def assert_golden_document(name: str, document: object) -> None:
    """See that a document is the golden one."""
    assert_golden(f"{name}.json", json.dumps(document, indent=1, ensure_ascii=True, default=str) + "\n")


def test_each_desired_share_is_in_one_list_of_a_plan_or_counted(told: Told) -> None:
    """None is lost between what is as desired, what is due, and what is left out, whatever statuses there are."""
    document = plan_document(told)
    left_out = sum(len(document[status]) for status in Status if status.is_left_out)
    assert document["desired"] == document["converged"] + len(document["changes"]) + left_out


def test_the_pass_has_something_of_everything(told: Told) -> None:
    """Every outcome that a share can have is in the golden report, so none can change unseen."""
    assert [kind.value for kind, count in told.report.counts().items() if not count] == ["not_sent"]
    assert {job.end for job in told.report.jobs} >= {End.SUCCEEDED, End.UNSETTLED}
