"""Orders and passes for tests of `worker.reconcile`, with tempos that virtual time makes cheap."""

from __future__ import annotations

from collections.abc import Mapping

from doubles import FakeCloud, FakeJournal, wall

from worker.core.allowance import Allowance
from worker.core.drift import VaultPolicy
from worker.core.events import Listener
from worker.core.guard import GuardPolicy
from worker.core.manifest import Manifest
from worker.core.plan import Patience
from worker.core.quarantine import QuarantinePolicy
from worker.core.report import RunReport
from worker.core.state import MemberStatus, Project, Wish
from worker.core.target import Target
from worker.core.timing import PollPolicy, RetryPolicy
from worker.reconcile.halt import Halt
from worker.reconcile.ports import Pass, Tempo
from worker.reconcile.run import Order, run_once

ACCEPT = Wish(MemberStatus.ACCEPTED)
REJECT = Wish(MemberStatus.REJECTED)
TEMPO = Tempo(
    polling=PollPolicy(0.7, 1.6, 30.0),
    retry=RetryPolicy(6, 0.5, 15.0),
    deadline=900.0,
    verify=10.0,
    patience=Patience(unknown=120.0, abandon=86400.0),
    quarantine=QuarantinePolicy(900.0, 86400.0),
    stall=140.0,
)


def images(count: int, prefix: str = "image") -> list[str]:
    """Return that many image ids, in order."""
    return [f"{prefix}-{number:04}" for number in range(count)]


def manifest(wishes: Mapping[str, Mapping[str, Wish]]) -> Manifest:
    """Return a manifest with these wishes, by project and image id."""
    projects = {project_id: Project(project_id, f"name of {project_id}") for project_id in wishes}
    return Manifest(projects, wishes, {}, {}, {}, {})


def order(wishes: Mapping[str, Mapping[str, Wish]], **changes: object) -> Order:
    """Return an order for these wishes, with no guard in the way unless one is given."""
    generous = GuardPolicy(Allowance.parse("100%"), Allowance.parse("100%"))
    parts: dict[str, object] = {
        "manifest": manifest(wishes),
        "target": Target(),
        "vaults": VaultPolicy.WHEN_NEEDED,
        "guard": generous,
        "max_images": 100,
        "resumes": True,
    }
    return Order(**(parts | changes))  # type: ignore[arg-type]


def a_pass(
    cloud: FakeCloud,
    journal: FakeJournal,
    *,
    halt: Halt | None = None,
    tempo: Tempo = TEMPO,
    emit: Listener = lambda event: None,
) -> Pass:
    """Return what the verbs of a pass work with."""
    return Pass("run-1", cloud, journal, wall, lambda: 0.5, emit, halt or Halt(), tempo)


async def run(wishes: Mapping[str, Mapping[str, Wish]], cloud: FakeCloud, journal: FakeJournal) -> RunReport:
    """Make one pass; see that its report adds up."""
    report = await run_once(order(wishes), a_pass(cloud, journal))
    assert_adds_up(report)
    return report


def assert_adds_up(report: RunReport) -> None:
    """See that each desired share is counted once, and only once."""
    assert report.converged + sum(report.counts().values()) == report.desired
    shares = [outcome.share for outcome in report.outcomes]
    assert shares == sorted(set(shares))
