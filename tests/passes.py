"""Requests and passes for tests of `worker.reconcile`, with timings that virtual time makes cheap."""

from __future__ import annotations

from collections.abc import Mapping

from doubles import FakeCloud, FakeJournal, wall

from worker.core.allowance import Allowance
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.events import Listener
from worker.core.fleet.guard import GuardPolicy
from worker.core.fleet.report import RunReport
from worker.core.fleet.selection import Selection
from worker.core.manifest.model import Manifest, Project, Rule, Wish
from worker.core.operation import Operation
from worker.core.project.drift import VaultPolicy
from worker.core.timing import PollPolicy, QuarantinePolicy, RetryPolicy, Timings
from worker.reconcile.batch_sizes import BatchSizes, Turn
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.polls import Polls
from worker.reconcile.ports import PassContext
from worker.reconcile.request import PassRequest
from worker.reconcile.run import run_once

ACCEPT = Wish(Operation.ACCEPT)
REJECT = Wish(Operation.REJECT)
TIMINGS = Timings(
    polling=PollPolicy(0.7, 1.6, 30.0),
    retry=RetryPolicy(6, 0.5, 15.0),
    quarantine=QuarantinePolicy(900.0, 86400.0),
    deadline=900.0,
    abandon=86400.0,
    unknown=120.0,
    verify=10.0,
    silence=140.0,
)
KNOWN = BatchSize(taken=1000)
"""A maximum that no test is about: any batch may go at once."""


def images(count: int, prefix: str = "image") -> list[str]:
    """Return that many image ids, in order."""
    return [f"{prefix}-{number:04}" for number in range(count)]


def manifest(wishes: Mapping[str, Mapping[str, Wish]], *rules: Rule) -> Manifest:
    """Return a manifest with these wishes, by project and image id."""
    projects = {project_id: Project(project_id, f"name of {project_id}") for project_id in wishes}
    return Manifest(projects, wishes, {}, {}, {}, {}, rules)


def request(wishes: Mapping[str, Mapping[str, Wish]], **changes: object) -> PassRequest:
    """Return a request for these wishes, with no guard in the way unless one is given."""
    generous = GuardPolicy(Allowance.parse("100%"), Allowance.parse("100%"))
    parts: dict[str, object] = {
        "manifest": manifest(wishes),
        "selection": Selection(),
        "vaults": VaultPolicy.WHEN_NEEDED,
        "guard": generous,
        "max_images": 100,
        "resumes": True,
    }
    return PassRequest(**(parts | changes))  # type: ignore[arg-type]


def sizes(known: BatchSize = KNOWN) -> BatchSizes:
    """Return the maxima of batches: the same for all projects."""
    key = SizeKey("account", "region")

    async def forget(key: SizeKey, size: BatchSize) -> None:
        """Record nothing."""

    return BatchSizes({key: known}, lambda project: key, forget, wall)


def context(
    cloud: FakeCloud,
    journal: FakeJournal,
    *,
    deadlines: Deadlines | None = None,
    timings: Timings = TIMINGS,
    emit: Listener = lambda event: None,
    known: BatchSize = KNOWN,
) -> PassContext:
    """Return what a pass works with."""
    return PassContext(
        "run-1",
        cloud,
        journal,
        wall,
        lambda: 0.5,
        emit,
        deadlines or Deadlines(),
        timings,
        sizes(known),
        Polls({}, wall),
    )


async def turn(context: PassContext, project_id: str = "p", images: int = 1) -> Turn:
    """Return the turn of a batch of so many images."""
    return await context.sizes.turn(Project(project_id, f"name of {project_id}"), images)


async def run(wishes: Mapping[str, Mapping[str, Wish]], cloud: FakeCloud, journal: FakeJournal) -> RunReport:
    """Make one pass; see that its report adds up."""
    report = await run_once(request(wishes), context(cloud, journal))
    assert_adds_up(report)
    return report


def assert_adds_up(report: RunReport) -> None:
    """See that each desired share is counted once, and only once."""
    assert report.converged + sum(report.counts().values()) == report.desired
    shares = [outcome.share for outcome in report.outcomes]
    assert shares == sorted(set(shares))
