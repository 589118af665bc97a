"""What is known now: every share, job and pass, folded from the events as they come.

The daemon's page, its JSON and its gauges are drawn from this; it is memory for people, and nothing is decided on it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

from worker.core import events
from worker.core.calls import CallCounts
from worker.core.drift import LeftOut
from worker.core.job import Job, JobState
from worker.core.outcome import End, Outcome, OutcomeKind
from worker.core.plan import Plan
from worker.core.report import PassRecord, RunReport
from worker.core.state import Batch, Change, DesiredState, InFlight, MemberStatus, Quarantined, Share
from worker.core.timing import format_duration

PASSES_KEPT = 50
TROUBLES_KEPT = 20


class Bucket(StrEnum):
    """Where a desired share stands: each is in exactly one."""

    CONVERGED = "converged"
    TO_ACCEPT = "to_accept"
    TO_REJECT = "to_reject"
    IN_FLIGHT = "in_flight"
    FAILED = "failed"
    UNSETTLED = "unsettled"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    BLOCKED = "blocked"
    QUARANTINED = "quarantined"
    NOT_SENT = "not_sent"


_BUCKETS = {kind: Bucket.CONVERGED if kind is OutcomeKind.CHANGED else Bucket(kind.value) for kind in OutcomeKind}


ON_THE_WAY = frozenset({Bucket.CONVERGED, Bucket.IN_FLIGHT, Bucket.TO_ACCEPT, Bucket.TO_REJECT})
"""Where a share is as it should be, or will be; elsewhere it is in trouble."""


class Phase(StrEnum):
    """What the daemon is about."""

    STARTING = "starting"
    STANDING_BY = "standing_by"
    AT_WORK = "at_work"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Note:
    """Why a share is where it is. `observed` is None where it is in no list, or was not read; `waits` allows that."""

    bucket: Bucket
    desired: MemberStatus
    observed: MemberStatus | None
    reason: str
    job_id: str | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class PassLine:
    """One pass of the timeline. Times in seconds since the epoch; `calls` is None for those of earlier processes."""

    record: PassRecord
    jobs: int | None = None
    calls: CallCounts | None = None


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that an operator wants to know; `at` in seconds since the epoch."""

    at: float
    what: str
    reason: str


@dataclass(slots=True)
class ProjectLine:
    """One project: the buckets of its images, by id, and why it could not be read, if it could not.

    `waiting` counts the shares that are not as desired and may be so.
    """

    name: str
    buckets: dict[str, Bucket] = field(default_factory=dict)
    counts: Counter[Bucket] = field(default_factory=Counter)
    unreadable: str = ""
    waiting: int = 0

    def put(self, image_id: str, bucket: Bucket) -> None:
        """Move an image to a bucket."""
        before = self.buckets.get(image_id)
        if before is not None:
            self.counts[before] -= 1
        self.buckets[image_id] = bucket
        self.counts[bucket] += 1


class Board:
    """A listener that keeps what is known now. `now` is the wall clock in seconds since the epoch.

    `notes` has every share that is not as desired, and `in_trouble` those of them that nothing is done about now.
    `revision` grows with each event, so that a reader can tell whether anything has changed. `broken` is why the last
    pass ended without a report, until the next begins.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.revision = 0
        self.phase = Phase.STARTING
        self.phase_since = now()
        self.waits_for = ""
        self.run_id = ""
        self.broken = ""
        self.pass_started_at = 0.0
        self.projects_to_read = 0
        self.projects_read = 0
        self.next_pass_at = 0.0
        self.desired = DesiredState({}, {}, {})
        self.projects: dict[str, ProjectLine] = {}
        self.notes: dict[Share, Note] = {}
        self.in_trouble: dict[Share, None] = {}
        self.absent_waiting = 0
        self._judged: set[Share] = set()
        self.unmanaged = 0
        self.refusals: tuple[str, ...] = ()
        self.digest = ""
        self.flights: dict[int, InFlight] = {}
        self.quarantined: tuple[Quarantined, ...] = ()
        self.passes: deque[PassLine] = deque(maxlen=PASSES_KEPT)
        self.troubles: deque[Mishap] = deque(maxlen=TROUBLES_KEPT)
        self.bugs = 0
        self.last_bug = ""
        self.reload_error: Mishap | None = None

    def __call__(self, event: events.Event) -> None:
        """Take one event."""
        self.revision += 1
        match event:
            case events.StandingBy(reason):
                self._enter(Phase.STANDING_BY, reason)
            case events.AtWork():
                self._enter(Phase.AT_WORK)
            case events.Stopping():
                self._enter(Phase.STOPPING)
            case events.Reloaded():
                self.reload_error = None
            case events.ReloadFailed(reason):
                self.reload_error = Mishap(self._now(), "the files cannot be used, so the last good ones stay", reason)
            case events.PassScheduled(at):
                self.next_pass_at = at
            case events.Remembered(in_flight, quarantined, passes):
                self._remember(in_flight, quarantined, passes)
            case events.Trouble() | events.ClockSet():
                self.troubles.appendleft(_mishap(event, self._now()))
            case events.BugFound(project_id, what, _):
                self.bugs += 1
                self.last_bug = f"project {project_id}: {what}"
                self.troubles.appendleft(Mishap(self._now(), f"a bug in the work of project {project_id}", what))
            case _:
                self._follow_pass(event)

    def snapshot(self, shares: int) -> Board:
        """Return a board that stays as this one is now, for who reads it in a thread of its own.

        To be quick for any fleet it has the notes of so many shares in trouble only, and the buckets of the shares
        where there are no more than ten times as many; else these go on changing, though not their number.
        """
        is_small = sum(len(line.buckets) for line in self.projects.values()) <= 10 * shares
        other = copy(self)
        other.projects = {
            project_id: replace(
                line, buckets=line.buckets.copy() if is_small else line.buckets, counts=line.counts.copy()
            )
            for project_id, line in self.projects.items()
        }
        other.notes = {share: self.notes[share] for share in islice(self.in_trouble, shares)}
        other.in_trouble = dict.fromkeys(other.notes)
        other.flights, other.passes, other.troubles = self.flights.copy(), self.passes.copy(), self.troubles.copy()
        return other

    @property
    def is_read(self) -> bool:
        """Whether a pass has said how the shares stand; before that, nothing is known of any."""
        return bool(self.digest)

    def counts(self) -> Counter[Bucket]:
        """Return how many desired shares stand in each bucket."""
        total: Counter[Bucket] = Counter()
        for line in self.projects.values():
            total.update(line.counts)
        return total

    def _follow_pass(self, event: events.Event) -> None:
        match event:
            case events.PassStarted(run_id, projects):
                self.run_id, self.broken, self.pass_started_at = run_id, "", self._now()
                self.projects_to_read, self.projects_read = projects, 0
            case events.ProjectObserved(project_id, _, reason):
                self.projects_read += 1
                if line := self.projects.get(project_id):
                    line.unreadable = reason
            case events.Planned(plan, desired, _, _, refusals):
                self.refusals, self.digest, self.unmanaged = refusals, plan.digest, plan.unmanaged
                self._judged.clear()
                self._lay_out(desired)
                self._spread(plan)
            case events.PassFinished(report):
                self._finish(report)
            case events.PassBroken(reason):
                self.run_id, self.broken = "", reason
            case _:
                self._follow_batch(event)

    def _follow_batch(self, event: events.Event) -> None:
        match event:
            case events.BatchSubmitted(job):
                self._take_off(job)
            case events.BatchNotAccepted(batch, End.UNANSWERED):
                self._put_in_flight(batch, "the answer to its PUT was lost")
            case events.JobSettled(settlement) if settlement.state is not JobState.UNSETTLED:
                self.flights.pop(settlement.job.key, None)
            case events.ShareJudged(outcome):
                self._judged.add(outcome.share)
                self._judge(outcome)
            case _:
                pass

    def _enter(self, phase: Phase, reason: str = "") -> None:
        if phase is not self.phase:
            self.phase_since = self._now()
        self.phase, self.waits_for = phase, reason
        if phase is Phase.STANDING_BY:
            # Another worker knows better from now on.
            self.run_id, self.next_pass_at, self.refusals, self.digest = "", 0.0, (), ""
            self.flights, self.quarantined, self.unmanaged = {}, (), 0
            self._lay_out(DesiredState({}, {}, {}))

    def _remember(
        self, in_flight: tuple[InFlight, ...], quarantined: tuple[Quarantined, ...], passes: tuple[PassRecord, ...]
    ) -> None:
        self.flights = {flight.key: flight for flight in in_flight}
        self.quarantined = quarantined
        lines = {each.run_id: PassLine(each) for each in passes}
        lines |= {line.record.run_id: line for line in self.passes if line.calls is not None}
        newest_first = sorted(lines.values(), key=lambda line: line.record.finished_at, reverse=True)
        self.passes = deque(newest_first[:PASSES_KEPT], maxlen=PASSES_KEPT)
        for flight in in_flight:
            self._keep_in_flight(flight)

    def _keep_in_flight(self, flight: InFlight) -> None:
        """Show what no pass waits for as what it is: in flight, and followed."""
        batch = flight.batch
        for image in batch.images:
            share = Share(batch.project_id, image)
            note = self.notes.get(share)
            if note is not None and note.bucket is Bucket.UNSETTLED and note.desired is batch.status:
                self._put(share, Note(Bucket.IN_FLIGHT, note.desired, note.observed, note.reason, flight.job_id))

    def _lay_out(self, desired: DesiredState) -> None:
        """Begin anew: every desired share stands as desired until the plan says otherwise."""
        unreadable = {project_id: line.unreadable for project_id, line in self.projects.items()}
        self.desired, self.projects, self.notes = desired, {}, {}
        self.in_trouble, self.absent_waiting = {}, 0
        for project_id, wishes in sorted(desired.wishes.items()):
            buckets = dict.fromkeys(wishes, Bucket.CONVERGED)
            self.projects[project_id] = ProjectLine(
                desired.projects[project_id].name,
                buckets,
                Counter({Bucket.CONVERGED: len(buckets)}),
                unreadable.get(project_id, ""),
            )

    def _spread(self, plan: Plan) -> None:
        for change in plan.changes:
            bucket = Bucket.TO_ACCEPT if change.after is MemberStatus.ACCEPTED else Bucket.TO_REJECT
            self._put(change.share, _due(change, bucket))
        for bucket, left_out in (
            (Bucket.ABSENT, plan.absent),
            (Bucket.UNKNOWN, plan.unknown),
            (Bucket.BLOCKED, plan.blocked),
            (Bucket.QUARANTINED, plan.quarantined),
            (Bucket.IN_FLIGHT, plan.in_flight),
        ):
            for left in left_out:
                self._put(left.share, _left(left, bucket))
                if bucket is Bucket.UNKNOWN:
                    self.projects[left.share.project_id].unreadable = left.reason

    def _take_off(self, job: Job) -> None:
        batch = job.batch
        self.flights[job.key] = InFlight(job.key, batch, job.submitted_at, job.job_id, job.submitted_at, self.run_id)
        self._put_in_flight(batch, "", job.job_id)

    def _put_in_flight(self, batch: Batch, reason: str, job_id: str | None = None) -> None:
        for image in batch.images:
            share = Share(batch.project_id, image)
            note = self.notes.get(share)
            self._put(share, Note(Bucket.IN_FLIGHT, batch.status, note.observed if note else None, reason, job_id))

    def _judge(self, outcome: Outcome) -> None:
        note = Note(
            _BUCKETS[outcome.kind], outcome.desired, outcome.after, outcome.reason, outcome.job_id, outcome.waits
        )
        self._put(outcome.share, note)

    def _put(self, share: Share, note: Note) -> None:
        line = self.projects.get(share.project_id)
        if line is None or share.image_id not in line.buckets:
            return
        line.put(share.image_id, note.bucket)
        if (before := self.notes.get(share)) is not None:
            self._count_waiting(line, before, -1)
        self._count_waiting(line, note, 1)
        if note.bucket in ON_THE_WAY:
            self.in_trouble.pop(share, None)
        else:
            self.in_trouble[share] = None
        if note.bucket is Bucket.CONVERGED:
            self.notes.pop(share, None)
        else:
            self.notes[share] = note

    def _count_waiting(self, line: ProjectLine, note: Note, by: int) -> None:
        if note.waits and note.bucket is not Bucket.CONVERGED:
            line.waiting += by
            self.absent_waiting += by * (note.bucket is Bucket.ABSENT)

    def _finish(self, report: RunReport) -> None:
        for outcome in report.outcomes:
            # What a pass reports as in flight may have been settled beside it since it was planned.
            if outcome.kind is not OutcomeKind.UNSETTLED or outcome.share not in self._judged:
                self._judge(outcome)
        record = PassRecord(report.run_id, report.started_at, report.finished_at, report.result.value, _numbers(report))
        self.passes.appendleft(PassLine(record, len(report.jobs), report.calls))
        self.run_id = ""


def _mishap(event: events.Trouble | events.ClockSet, at: float) -> Mishap:
    if isinstance(event, events.Trouble):
        return Mishap(at, event.what, event.reason)
    what = f"the clock was put {'back' if event.by < 0 else 'forward'} by {format_duration(abs(event.by))}"
    return Mishap(at, what, "what was written down before counts from now")


def _due(change: Change, bucket: Bucket) -> Note:
    return Note(bucket, change.after, change.before, "")


def _left(left: LeftOut, bucket: Bucket) -> Note:
    return Note(bucket, left.desired, left.before, left.reason, None, left.waits)


def _numbers(report: RunReport) -> Mapping[str, int]:
    counts = {kind.value: count for kind, count in report.counts().items()}
    return {"desired": report.desired, "converged": report.converged, **counts}
