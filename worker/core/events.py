"""What happens in a pass, as frozen records: logs, metrics and live progress are fed these and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.core.job import Job, Settlement
from worker.core.outcome import Outcome
from worker.core.plan import Plan
from worker.core.report import RunReport
from worker.core.state import Batch


@dataclass(frozen=True, slots=True)
class StandingBy:
    """The daemon waits until it may work; `reason` says who holds the journal, or why it cannot be had."""

    reason: str


@dataclass(frozen=True, slots=True)
class AtWork:
    """The daemon holds the journal from now on; `unclean` tells that the last holder did not give it back."""

    unclean: bool


@dataclass(frozen=True, slots=True)
class PassStarted:
    """A pass begins."""

    run_id: str
    projects: int


@dataclass(frozen=True, slots=True)
class ProjectObserved:
    """A project was read: how many images it is offered, or the reason why it could not be read."""

    project_id: str
    offers: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan is made and its batches are known; `refusals` says why the guards refuse it, if they do."""

    plan: Plan
    batches: int
    resumed: int
    refusals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BatchSubmitted:
    """A PUT was answered with a job."""

    job: Job


@dataclass(frozen=True, slots=True)
class BatchNotAccepted:
    """A PUT did not give a job: refused, unanswered (its work may be alive), or not sent."""

    batch: Batch
    how: str
    reason: str


@dataclass(frozen=True, slots=True)
class JobSettled:
    """A job was followed to its end, or to the end of the worker's patience."""

    settlement: Settlement


@dataclass(frozen=True, slots=True)
class ShareJudged:
    """The final word for one share of a batch."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that does not stop the pass and that an operator wants to know."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class PassFinished:
    """A pass has ended and this is its report."""

    report: RunReport


Event = (
    StandingBy
    | AtWork
    | PassStarted
    | ProjectObserved
    | Planned
    | BatchSubmitted
    | BatchNotAccepted
    | JobSettled
    | ShareJudged
    | Trouble
    | PassFinished
)
Listener = Callable[[Event], None]
