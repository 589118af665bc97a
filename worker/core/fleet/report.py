"""Outcomes → the report of a pass, and its exit status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from worker.core.calls import CallCounts
from worker.core.exit import Exit
from worker.core.fleet.noticed import Unsolicited
from worker.core.fleet.plan import Plan
from worker.core.fleet.refusal import Refusal
from worker.core.fleet.unread import Unread
from worker.core.job import Settlement
from worker.core.project.noticed import Noticed
from worker.core.project.plan import ProjectPlan
from worker.core.status import FINAL, ShareStatus, Status


class Result(StrEnum):
    """The pass in one word.

    | word       | what it says                                                                                       |
    |------------|----------------------------------------------------------------------------------------------------|
    | CONVERGED  | all is as desired, but for an absence that its wish allows                                         |
    | INCOMPLETE | nothing went wrong, and something waits: for an owner, a vault, a job, its next try, the next pass |
    | PARTIAL    | a share failed, while others that were sent converged; or a project could not be read              |
    | FAILED     | what was sent failed, and nothing that was sent converged; or no project could be read             |
    | REFUSED    | a guard refused the plan                                                                           |
    """

    CONVERGED = "converged"
    INCOMPLETE = "incomplete"
    PARTIAL = "partial"
    FAILED = "failed"
    REFUSED = "refused"


WAY_TO_WAIT = 'Where an owner may share later, when_absent = "wait" in the [[share]] makes that no failure.'
"""What makes a pass quiet that only waits for owners."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one pass did. Times in seconds since the epoch.

    `outcomes` has every desired share that changed or did not converge, sorted, but for the `unlisted` ones, which are
    unknown and which nobody can name; `converged` counts the others. So `converged + len(outcomes) + unlisted ==
    desired`. `unread` are those of its `projects` that were not read, `unreachable` tells that not one could be,
    `journal_error` why the journal does not know all of this pass, `taken_over` that another worker holds it by now.
    `bugs` names those met in the work of single projects, `notes` say what a person should know of the pass. Shares
    that were left alone are `reported` by rules, or `unsolicited`. `image_names` has what images are called, by id.
    """

    run_id: str
    started_at: float
    finished_at: float
    result: Result
    desired: int
    converged: int
    unmanaged: int
    outcomes: tuple[ShareStatus, ...]
    jobs: tuple[Settlement, ...]
    calls: CallCounts
    digest: str
    refusals: tuple[Refusal, ...] = ()
    unlisted: int = 0
    projects: int = 0
    unread: tuple[Unread, ...] = ()
    unreachable: bool = False
    journal_error: str = ""
    taken_over: bool = False
    bugs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reported: tuple[Noticed, ...] = ()
    unsolicited: tuple[Unsolicited, ...] = ()
    image_names: Mapping[str, str] = field(default_factory=dict)

    def count(self, status: Status) -> int:
        """Return how many shares ended this way."""
        return self.counts()[status]

    @property
    def refused(self) -> tuple[ShareStatus, ...]:
        """The shares that would have changed, had the guards allowed it."""
        return tuple(each for each in self.outcomes if self.refusals and each.status is Status.NOT_SENT)

    def counts(self) -> dict[Status, int]:
        """Return how many shares ended each way, zeros included."""
        counted = Counter(outcome.status for outcome in self.outcomes)
        counted[Status.UNKNOWN] += self.unlisted
        return {status: counted[status] for status in FINAL}


def left_out(plan: Plan | ProjectPlan) -> tuple[ShareStatus, ...]:
    """Return the shares that the plan leaves out for good; those in flight are followed instead."""
    return tuple(each for each in plan.statuses if each.status is not Status.IN_FLIGHT)


def not_sent(plan: Plan | ProjectPlan, reason: str) -> tuple[ShareStatus, ...]:
    """Return how every share that was due or in flight ends in a pass that sends nothing."""
    return tuple(change.as_status(Status.NOT_SENT, reason) for change in plan.changes) + still_in_flight(plan)


def still_in_flight(plan: Plan | ProjectPlan) -> tuple[ShareStatus, ...]:
    """Return how the shares in flight end in a pass that does not wait for them."""
    return tuple(replace(each, status=Status.UNSETTLED) for each in plan.statuses if each.status is Status.IN_FLIGHT)


def result_of(plan: Plan, outcomes: Iterable[ShareStatus], *, refused: bool) -> Result:
    """Put a pass in one word, by how its shares ended and not by what it did: the same state has the same word.

    An absence that its wish allows does not count against it. A project that the pass was told to stop before is not
    amiss: its shares wait for the next pass, as what was not sent does. Projects that should be found and are not known
    at all are like one that could not be read.
    """
    if refused:
        return Result.REFUSED
    if plan.is_unreachable:
        return Result.FAILED
    cut_short = {each.project.id for each in plan.unread if each.is_cut_short}
    ends = {each.status for each in outcomes if is_amiss(each) and each.share.project_id not in cut_short}
    if Status.FAILED in ends and Status.CHANGED not in ends:
        return Result.FAILED
    is_unread = len(cut_short) < len(plan.unread) or plan.unlisted_projects
    if Status.FAILED in ends or Status.UNKNOWN in ends or is_unread:
        return Result.PARTIAL
    return Result.INCOMPLETE if cut_short or ends - {Status.CHANGED} else Result.CONVERGED


def is_amiss(status: ShareStatus) -> bool:
    """Tell whether a share that is absent, failed and so on counts against its pass: its wish may allow the absence."""
    return not (status.status is Status.ABSENT and status.may_be_absent)


def exit_of_report(report: RunReport) -> Exit:
    """Return the exit status of `run`: when several meanings hold, the gravest."""
    if report.bugs:
        return Exit.BUG
    if report.taken_over:
        return Exit.LOCKED
    if report.journal_error:
        return Exit.JOURNAL
    if report.unreachable:
        return Exit.CLOUD
    if report.result is Result.REFUSED:
        return Exit.REFUSED
    return Exit.CONVERGED if report.result is Result.CONVERGED else Exit.INCOMPLETE


def exit_of_plan(plan: Plan, *, refused: bool, fail_on_drift: bool, broken: bool = False) -> Exit:
    """Return the exit status of `plan`: changes that are merely due are no failure.

    `broken` tells that there was a bug in the reading of some project.
    """
    if broken:
        return Exit.BUG
    if plan.is_unreachable:
        return Exit.CLOUD
    if refused:
        return Exit.REFUSED
    if fail_on_drift and plan.changes:
        return Exit.DRIFT
    in_trouble = plan.unlisted or any(is_amiss(each) for each in left_out(plan))
    return Exit.INCOMPLETE if in_trouble or plan.unread or plan.unlisted_projects else Exit.CONVERGED
