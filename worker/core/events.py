"""What happens in a pass, as frozen records: all that operators see is fed these, and those of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from worker.core.batch import Batch, End, InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.daemon_events import DaemonEvent
from worker.core.fleet.plan import Plan
from worker.core.fleet.refusal import Refusal
from worker.core.fleet.report import RunReport
from worker.core.job import Job, Settlement
from worker.core.project.plan import ProjectPlan
from worker.core.status import ShareStatus


@dataclass(frozen=True, slots=True)
class Superseded:
    """Files that ask for something else were loaded at `at` (seconds since the epoch) while a pass is under way.

    They hold at once: nothing more is sent that they do not ask for. The pass ends early, the next begins by them.
    """

    at: float


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The wall clock was put forward by `by` seconds, or back where that is less than 0.

    What had been written down by the clock as it was counts from now: at most its own span.
    """

    by: float


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A batch that an earlier pass left in flight is followed beside the passes from now on."""

    sent: InFlight


@dataclass(frozen=True, slots=True)
class PassStarted:
    """A pass begins, about so many projects; `image_names` has the manifest's names of images by id."""

    run_id: str
    projects: int
    image_names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProjectObserved:
    """A project was read: how many images it is offered, or the reason why it could not be read."""

    project_id: str
    offers: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProjectPlanned:
    """A project was read, or could not be, and its plan is made. The guards may not have allowed it yet."""

    plan: ProjectPlan


@dataclass(frozen=True, slots=True)
class Planned:
    """Every project is planned and the batches are known; `refusals` says why the guards refuse the plan, if they do.

    Where the guards were certain before, some of it may have been sent, and have ended, already.
    `image_names` has the manifest's names of images by id.
    """

    plan: Plan
    image_names: Mapping[str, str]
    batches: int
    resumed: int
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class PassWaits:
    """A limit holds the pass up: `cause` names it, and it lets go of the last call that waits at `until`.

    The pass takes `seconds` more, where that is known, and at least so long unless `is_all`. `until` is in seconds
    since the epoch.
    """

    cause: str
    until: float
    seconds: float | None
    is_all: bool


@dataclass(frozen=True, slots=True)
class BatchSubmitted:
    """A PUT was answered with a job."""

    job: Job


@dataclass(frozen=True, slots=True)
class BatchNotAccepted:
    """A PUT did not give a job: refused, unanswered (its work may be alive), or not sent."""

    batch: Batch
    how: End
    reason: str


@dataclass(frozen=True, slots=True)
class JobSettled:
    """A job was followed to its end, or to the end of the worker's patience."""

    settlement: Settlement


@dataclass(frozen=True, slots=True)
class ShareJudged:
    """Where one share of a batch stands in the end."""

    status: ShareStatus


@dataclass(frozen=True, slots=True)
class BatchSizeLearned:
    """It was found how many images the cloud takes in one PUT, of an account in a region."""

    key: SizeKey
    size: BatchSize


@dataclass(frozen=True, slots=True)
class BatchSizesRemembered:
    """What earlier passes learned of how many images the cloud takes in one PUT."""

    known: Mapping[SizeKey, BatchSize]


@dataclass(frozen=True, slots=True)
class Noted:
    """What a person should know of a pass beside its plan; the report has it too, among its notes."""

    note: str


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that does not stop the pass and that an operator wants to know."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class BugFound:
    """The work of one project met an exception that nobody foresaw; the others go on.

    `what` names the exception and its place in the code, without its words, which may hold anything; `trace` is its
    traceback, for the log alone.
    """

    project_id: str
    what: str
    trace: str


@dataclass(frozen=True, slots=True)
class PassBroken:
    """A pass ended without a report."""

    reason: str


@dataclass(frozen=True, slots=True)
class PassFinished:
    """A pass has ended and this is its report."""

    report: RunReport


Event = (
    DaemonEvent
    | Superseded
    | ClockSet
    | TakenUp
    | PassStarted
    | ProjectObserved
    | ProjectPlanned
    | Planned
    | PassWaits
    | BatchSubmitted
    | BatchNotAccepted
    | JobSettled
    | ShareJudged
    | BatchSizeLearned
    | BatchSizesRemembered
    | Noted
    | Incident
    | BugFound
    | PassBroken
    | PassFinished
)
TOLD_IN_THE_END = (Planned, BatchNotAccepted, JobSettled, ShareJudged, Noted)
"""What the plan or the report of a pass says again, so that who is shown that need not be told before."""
Listener = Callable[[Event], None]
