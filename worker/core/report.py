"""Outcomes → the report of a pass, and its exit status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from worker.core.calls import CallCounts
from worker.core.job import Settlement
from worker.core.outcome import Outcome, OutcomeKind
from worker.core.plan import Plan
from worker.core.target import WHOLE, Shard


class Exit(IntEnum):
    """What a command's exit status means."""

    CONVERGED = 0
    INCOMPLETE = 1
    USAGE = 2
    REFUSED = 3
    CLOUD = 4
    LOCKED = 5
    DRIFT = 6
    JOURNAL = 7
    BUG = 70


class Result(StrEnum):
    """The pass in one word: FAILED when nothing that was due converged, PARTIAL when some did."""

    CONVERGED = "converged"
    PARTIAL = "partial"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one pass did. Times in seconds since the epoch.

    `outcomes` has every desired share that changed or did not converge, sorted; `converged` counts the others. So
    `converged + len(outcomes) == desired`. `unreachable` tells that no project at all could be read,
    `journal_error` why the journal does not know all of this pass, `taken_over` that another worker holds it by now.
    `bugs` names those met in the work of single projects, `notes` say what a person should know of the pass.
    """

    run_id: str
    started_at: float
    finished_at: float
    result: Result
    desired: int
    converged: int
    unmanaged: int
    outcomes: tuple[Outcome, ...]
    jobs: tuple[Settlement, ...]
    calls: CallCounts
    digest: str
    refusals: tuple[str, ...] = ()
    unreachable: bool = False
    journal_error: str = ""
    taken_over: bool = False
    bugs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def count(self, kind: OutcomeKind) -> int:
        """Return how many shares ended this way."""
        return sum(outcome.kind is kind for outcome in self.outcomes)

    def counts(self) -> dict[OutcomeKind, int]:
        """Return how many shares ended each way, zeros included."""
        counted = Counter(outcome.kind for outcome in self.outcomes)
        return {kind: counted[kind] for kind in OutcomeKind}


@dataclass(frozen=True, slots=True)
class PassRecord:
    """One pass of the history, over a shard. Times in seconds since the epoch; `counts` as in the report."""

    run_id: str
    started_at: float
    finished_at: float
    result: str
    counts: Mapping[str, int]
    shard: Shard = WHOLE


def left_out(plan: Plan) -> tuple[Outcome, ...]:
    """Return the outcomes of the shares that the plan leaves out for good; those in flight are followed instead."""
    buckets = (
        (OutcomeKind.ABSENT, plan.absent),
        (OutcomeKind.UNKNOWN, plan.unknown),
        (OutcomeKind.BLOCKED, plan.blocked),
        (OutcomeKind.QUARANTINED, plan.quarantined),
    )
    return tuple(
        Outcome(left.share, left.desired, left.before, left.before, kind, left.reason, None, left.waits)
        for kind, bucket in buckets
        for left in bucket
    )


def not_sent(plan: Plan, reason: str) -> tuple[Outcome, ...]:
    """Return the outcomes of every share that was due or in flight, for a pass that sends nothing."""
    due = tuple(
        Outcome(change.share, change.after, change.before, change.before, OutcomeKind.NOT_SENT, reason)
        for change in plan.changes
    )
    return due + flying(plan)


def flying(plan: Plan) -> tuple[Outcome, ...]:
    """Return the outcomes of the shares in flight, for a pass that does not wait for them."""
    return tuple(
        Outcome(left.share, left.desired, left.before, left.before, OutcomeKind.UNSETTLED, left.reason)
        for left in plan.in_flight
    )


def result_of(outcomes: Iterable[Outcome]) -> Result:
    """Put a pass in one word. An absence that its wish allows does not count against it."""
    kinds = Counter(outcome.kind for outcome in outcomes if not _is_fine(outcome))
    changed = kinds.pop(OutcomeKind.CHANGED, 0)
    if not kinds:
        return Result.CONVERGED
    return Result.PARTIAL if changed else Result.FAILED


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


def exit_of_plan(plan: Plan, *, refused: bool, unreachable: bool, fail_on_drift: bool, broken: bool = False) -> Exit:
    """Return the exit status of `plan`: changes that are merely due are no failure.

    `broken` tells that there was a bug in the reading of some project.
    """
    if broken:
        return Exit.BUG
    if unreachable:
        return Exit.CLOUD
    if refused:
        return Exit.REFUSED
    if fail_on_drift and plan.changes:
        return Exit.DRIFT
    missing = any(not left.waits for left in plan.absent)
    if missing or plan.unknown or plan.blocked or plan.quarantined:
        return Exit.INCOMPLETE
    return Exit.CONVERGED


def _is_fine(outcome: Outcome) -> bool:
    return outcome.kind is OutcomeKind.ABSENT and outcome.waits
