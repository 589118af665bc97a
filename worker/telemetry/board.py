"""What is known now: every share, job and pass, folded from the events as they come.

The daemon's page, its JSON and its gauges are drawn from this; it is memory for people, and nothing is decided on it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace
from enum import StrEnum
from itertools import islice

from worker.core import events
from worker.core.batch import Batch, End, InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.fleet.history import PassRecord
from worker.core.fleet.plan import Plan
from worker.core.fleet.report import RunReport
from worker.core.job import Job
from worker.core.project.plan import ProjectPlan
from worker.core.quarantine import Quarantined
from worker.core.share import Share
from worker.core.status import ShareStatus, Status, due, standing
from worker.core.timing import format_duration
from worker.telemetry.lines import Mishap, PassLine, ProjectLine

PASSES_KEPT = 50
TROUBLES_KEPT = 20


class Phase(StrEnum):
    """What the daemon is about."""

    STARTING = "starting"
    STANDING_BY = "standing_by"
    AT_WORK = "at_work"
    STOPPING = "stopping"


class Board:
    """A listener that keeps what is known now. `now` is the wall clock in seconds since the epoch.

    `statuses` has every share that is not as desired, and `in_trouble` those of them that nothing is done about now.
    `revision` grows with each event, so that a reader can tell whether anything has changed. `broken` is why the last
    pass ended without a report, until the next begins. `newer_loaded_at` is when a newer manifest was loaded that
    waits for the pass under way to end; 0 while none does.
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
        self.image_names: Mapping[str, str] = {}
        self.projects: dict[str, ProjectLine] = {}
        self.statuses: dict[Share, ShareStatus] = {}
        self.in_trouble: dict[Share, None] = {}
        self.absent_waiting = 0
        self._judged: set[Share] = set()
        self.unmanaged = 0
        self.refusals: tuple[str, ...] = ()
        self.digest = ""
        self.in_flight: dict[int, InFlight] = {}
        self.quarantined: tuple[Quarantined, ...] = ()
        self.batch_sizes: Mapping[SizeKey, BatchSize] = {}
        self.passes: deque[PassLine] = deque(maxlen=PASSES_KEPT)
        self.troubles: deque[Mishap] = deque(maxlen=TROUBLES_KEPT)
        self.bugs = 0
        self.last_bug = ""
        self.reload_error: Mishap | None = None
        self.newer_loaded_at = 0.0

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

        To be quick for any fleet it says of so many shares in trouble only why they are, and where all shares stand
        where there are no more than ten times as many; else these go on changing, though not their number.
        """
        is_small = sum(len(line.statuses) for line in self.projects.values()) <= 10 * shares
        other = copy(self)
        other.projects = {
            project_id: replace(
                line, statuses=line.statuses.copy() if is_small else line.statuses, counts=line.counts.copy()
            )
            for project_id, line in self.projects.items()
        }
        other.statuses = {share: self.statuses[share] for share in islice(self.in_trouble, shares)}
        other.in_trouble = dict.fromkeys(other.statuses)
        other.in_flight, other.passes, other.troubles = self.in_flight.copy(), self.passes.copy(), self.troubles.copy()
        return other

    @property
    def is_read(self) -> bool:
        """Whether a pass has said how the shares stand; before that, nothing is known of any."""
        return bool(self.digest)

    def counts(self) -> Counter[Status]:
        """Return how many desired shares stand where."""
        total: Counter[Status] = Counter()
        for line in self.projects.values():
            total.update(line.counts)
        return total

    def _follow_pass(self, event: events.Event) -> None:
        match event:
            case events.PassStarted(run_id, projects):
                self.run_id, self.broken, self.pass_started_at = run_id, "", self._now()
                self.projects_to_read, self.projects_read, self.newer_loaded_at = projects, 0, 0.0
            case events.ProjectObserved(project_id, _, reason):
                self.projects_read += 1
                if line := self.projects.get(project_id):
                    line.unreadable = reason
            case events.Planned(plan, image_names, _, _, refusals):
                self.refusals, self.digest, self.unmanaged = refusals, plan.digest, plan.unmanaged
                self.image_names = image_names
                self._judged.clear()
                self._lay_out(plan.projects)
                self._spread(plan)
            case events.PassFinished(report):
                self._finish(report)
            case events.PassBroken(reason):
                self.run_id, self.broken = "", reason
            case events.Superseded(at):
                self.newer_loaded_at = at
            case _:
                self._follow_batch(event)

    def _follow_batch(self, event: events.Event) -> None:
        match event:
            case events.BatchSubmitted(job):
                self._begin_job(job)
            case events.BatchSizesRemembered(known):
                self.batch_sizes = dict(known)
            case events.BatchSizeLearned(key, size):
                self.batch_sizes = {**self.batch_sizes, key: size}
            case events.BatchNotAccepted(batch, End.UNANSWERED):
                self._put_in_flight(batch, "the answer to its PUT was lost")
            case events.JobSettled(settlement) if settlement.end is not End.UNSETTLED:
                self.in_flight.pop(settlement.job.key, None)
            case events.ShareJudged(status):
                self._judged.add(status.share)
                self._judge(status)
            case _:
                pass

    def _enter(self, phase: Phase, reason: str = "") -> None:
        if phase is not self.phase:
            self.phase_since = self._now()
        self.phase, self.waits_for = phase, reason
        if phase is Phase.STANDING_BY:
            # Another worker knows better from now on.
            self.run_id, self.next_pass_at, self.refusals, self.digest = "", 0.0, (), ""
            self.newer_loaded_at = 0.0
            self.in_flight, self.quarantined, self.unmanaged = {}, (), 0
            self._lay_out(())

    def _remember(
        self, in_flight: tuple[InFlight, ...], quarantined: tuple[Quarantined, ...], passes: tuple[PassRecord, ...]
    ) -> None:
        self.in_flight = {each.key: each for each in in_flight}
        self.quarantined = quarantined
        lines = {each.run_id: PassLine(each) for each in passes}
        lines |= {line.record.run_id: line for line in self.passes if line.calls is not None}
        newest_first = sorted(lines.values(), key=lambda line: line.record.finished_at, reverse=True)
        self.passes = deque(newest_first[:PASSES_KEPT], maxlen=PASSES_KEPT)
        for each in in_flight:
            self._keep_in_flight(each)

    def _keep_in_flight(self, sent: InFlight) -> None:
        """Show what no pass waits for as what it is: in flight, and followed."""
        batch = sent.batch
        for image in batch.images:
            status = self.statuses.get(Share(batch.project_id, image))
            if status is not None and status.status is Status.UNSETTLED and status.desired is batch.operation:
                self._put(replace(status, status=Status.IN_FLIGHT, job_id=sent.job_id))

    def _lay_out(self, projects: Iterable[ProjectPlan]) -> None:
        """Begin anew: every desired share stands as desired until the plan says otherwise."""
        self.projects, self.statuses, self.in_trouble, self.absent_waiting = {}, {}, {}, 0
        for plan in projects:
            statuses = dict.fromkeys(plan.meant, Status.CONVERGED)
            counts = Counter({Status.CONVERGED: len(statuses), Status.UNKNOWN: plan.unlisted})
            self.projects[plan.project.id] = ProjectLine(plan.project, statuses, counts, plan.failure)

    def _spread(self, plan: Plan) -> None:
        for change in plan.changes:
            self._put(change.as_status(due(change.operation)))
        for status in plan.statuses:
            self._put(status, is_planned=True)

    def _begin_job(self, job: Job) -> None:
        batch = job.batch
        self.in_flight[job.key] = InFlight(job.key, batch, job.submitted_at, job.job_id, job.submitted_at, self.run_id)
        self._put_in_flight(batch, "", job.job_id)

    def _put_in_flight(self, batch: Batch, reason: str, job_id: str | None = None) -> None:
        for image in batch.images:
            share = Share(batch.project_id, image)
            known = self.statuses.get(share)
            status = known or ShareStatus(share, Status.IN_FLIGHT, batch.operation)
            self._put(replace(status, status=Status.IN_FLIGHT, desired=batch.operation, reason=reason, job_id=job_id))

    def _judge(self, status: ShareStatus) -> None:
        self._put(replace(status, status=standing(status.status)))

    def _put(self, status: ShareStatus, *, is_planned: bool = False) -> None:
        """Show where a share stands; of what the plan does not speak of nothing is shown."""
        share = status.share
        line = self.projects.get(share.project_id)
        if line is None:
            return
        if share.image_id not in line.statuses and not is_planned:
            return
        line.put(share.image_id, status.status)
        if (before := self.statuses.get(share)) is not None:
            self._count_waiting(line, before, -1)
        self._count_waiting(line, status, 1)
        if status.status.is_trouble:
            self.in_trouble[share] = None
        else:
            self.in_trouble.pop(share, None)
        if status.status is Status.CONVERGED:
            self.statuses.pop(share, None)
        else:
            self.statuses[share] = status

    def _count_waiting(self, line: ProjectLine, status: ShareStatus, by: int) -> None:
        if status.may_be_absent and status.status is not Status.CONVERGED:
            line.waiting += by
            self.absent_waiting += by * (status.status is Status.ABSENT)

    def _finish(self, report: RunReport) -> None:
        for outcome in report.outcomes:
            # What a pass reports as in flight may have been settled beside it since it was planned.
            if outcome.status is not Status.UNSETTLED or outcome.share not in self._judged:
                self._judge(outcome)
        record = PassRecord(report.run_id, report.started_at, report.finished_at, report.result.value, _numbers(report))
        self.passes.appendleft(PassLine(record, len(report.jobs), report.calls))
        self.run_id = ""


def _mishap(event: events.Trouble | events.ClockSet, at: float) -> Mishap:
    if isinstance(event, events.Trouble):
        return Mishap(at, event.what, event.reason)
    what = f"the clock was put {'back' if event.by < 0 else 'forward'} by {format_duration(abs(event.by))}"
    return Mishap(at, what, "what was written down before counts from now")


def _numbers(report: RunReport) -> Mapping[str, int]:
    counts = {kind.value: count for kind, count in report.counts().items()}
    return {"desired": report.desired, "converged": report.converged, **counts}
