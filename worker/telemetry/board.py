"""What is known now: every share, job and pass, folded from the events as they come.

The daemon's page, its JSON and its gauges are drawn from this; it is memory for people, and nothing is decided on it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from enum import StrEnum
from itertools import islice

from worker.core import events
from worker.core.batch import Batch, End, InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.fleet.history import PassRecord
from worker.core.fleet.last_read import LastRead, last_read_of
from worker.core.fleet.refusal import Refusal, told_refusals
from worker.core.fleet.report import RunReport, not_sent
from worker.core.fleet.unread import Unread
from worker.core.instruction import Instruction
from worker.core.job import Job
from worker.core.project.plan import ProjectPlan
from worker.core.quarantine import Quarantined
from worker.core.share import Share
from worker.core.status import ShareStatus, Status, due, standing
from worker.telemetry.lines import IncidentLine, PassLine, ProjectLine, incident_line

PASSES_KEPT = 50
TROUBLES_KEPT = 20
INSTRUCTIONS_KEPT = 20


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
    waits for the pass under way to end; 0 while none does. `pause` is the one that holds, if one does; `instructions`
    are the last that people gave, newest first.
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
        self.last_read: dict[str, LastRead] = {}
        self._judged: dict[str, set[Share]] = {}
        self.unmanaged = 0
        self.refusals: tuple[Refusal, ...] = ()
        self.refused: tuple[str, ...] = ()
        self.digest = ""
        self.in_flight: dict[int, InFlight] = {}
        self.quarantined: tuple[Quarantined, ...] = ()
        self.batch_sizes: Mapping[SizeKey, BatchSize] = {}
        self.passes: deque[PassLine] = deque(maxlen=PASSES_KEPT)
        self.troubles: deque[IncidentLine] = deque(maxlen=TROUBLES_KEPT)
        self.bugs = 0
        self.last_bug = ""
        self.reload_error: IncidentLine | None = None
        self.newer_loaded_at = 0.0
        self.pause: Instruction | None = None
        self.instructions: deque[Instruction] = deque(maxlen=INSTRUCTIONS_KEPT)

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
                self.reload_error = IncidentLine(
                    self._now(), "the files cannot be used, so the last good ones stay", reason
                )
            case events.PassScheduled(at):
                self.next_pass_at = at
            case events.Remembered(in_flight, quarantined, passes):
                self._remember(in_flight, quarantined, passes)
            case events.Incident() | events.Noted() | events.ClockSet():
                self.troubles.appendleft(incident_line(event, self._now()))
            case events.BugFound(project_id, what, _):
                self.bugs += 1
                self.last_bug = f"project {project_id}: {what}"
                self.troubles.appendleft(IncidentLine(self._now(), f"a bug in the work of project {project_id}", what))
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
        other.last_read = self.last_read.copy()
        other.in_flight, other.passes, other.troubles = self.in_flight.copy(), self.passes.copy(), self.troubles.copy()
        other.instructions = self.instructions.copy()
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

    def unread(self) -> tuple[Unread, ...]:
        """Return the projects that could not be read when that was last tried, and why."""
        return tuple(
            Unread(project_id, line.name, line.unreadable)
            for project_id, line in self.projects.items()
            if line.unreadable
        )

    def _follow_pass(self, event: events.Event) -> None:
        match event:
            case events.LastKnown(readings):
                self.last_read = {project_id: last_read_of(reading) for project_id, reading in readings.items()}
            case events.PassStarted(run_id, projects, image_names):
                self.image_names = image_names or self.image_names
                self.run_id, self.broken, self.pass_started_at = run_id, "", self._now()
                self.projects_to_read, self.projects_read, self.newer_loaded_at = projects, 0, 0.0
            case events.ProjectObserved():
                self.projects_read += 1
            case events.ProjectPlanned(plan):
                self._lay_out(plan)
            case events.Planned(plan, image_names, _, _, refusals):
                self.refusals, self.digest, self.unmanaged = refusals, plan.digest, plan.unmanaged
                self.image_names = image_names
                self.refused = told_refusals(refusals, not_sent(plan, ""), image_names) if refusals else ()
                planned = [project.project.id for project in plan.projects]
                for gone in self.projects.keys() - set(planned):
                    self._clear(gone)
                self.projects = {project_id: self.projects[project_id] for project_id in planned}
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
                # What is sent is not refused: another plan was.
                self.refusals, self.refused = (), ()
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
                self._judged.setdefault(status.share.project_id, set()).add(status.share)
                self._judge(status)
            case _:
                self._follow_people(event)

    def _follow_people(self, event: events.Event) -> None:
        match event:
            case events.AskedFor(instruction):
                self.instructions.appendleft(instruction)
            case events.PauseBegan(pause):
                self.pause = pause
            case events.PauseEnded():
                self.pause = None
            case _:
                pass

    def _enter(self, phase: Phase, reason: str = "") -> None:
        if phase is not self.phase:
            self.phase_since = self._now()
        self.phase, self.waits_for = phase, reason
        # Who takes the journal over tells of a pause that stands.
        self.pause = self.pause if phase is Phase.STOPPING else None
        if phase is Phase.STANDING_BY:
            # Another worker knows better from now on.
            self.run_id, self.next_pass_at, self.refusals, self.refused, self.digest = "", 0.0, (), (), ""
            self.newer_loaded_at = 0.0
            self.in_flight, self.quarantined, self.unmanaged = {}, (), 0
            self.projects, self.statuses, self.in_trouble, self.absent_waiting = {}, {}, {}, 0
            self.last_read = {}

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

    def _lay_out(self, plan: ProjectPlan) -> None:
        """Show a project as it is planned: every desired share stands as desired unless its plan says otherwise."""
        project_id = plan.project.id
        self._clear(project_id)
        statuses = dict.fromkeys(plan.meant, Status.CONVERGED)
        counts = Counter({Status.CONVERGED: len(statuses), Status.UNKNOWN: plan.unlisted})
        self.projects[project_id] = ProjectLine(plan.project, statuses, counts, plan.failure)
        for change in plan.changes:
            self._put(change.as_status(due(change.operation)))
        for status in plan.statuses:
            self._put(status, is_planned=True)

    def _clear(self, project_id: str) -> None:
        """Forget where the shares of a project stand."""
        self._judged.pop(project_id, None)
        line = self.projects.pop(project_id, None)
        if line is None:
            return
        for image_id, status in line.statuses.items():
            if status is not Status.CONVERGED:
                share = Share(project_id, image_id)
                self.in_trouble.pop(share, None)
                self._count_waiting(line, self.statuses.pop(share), -1)

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
        if status.may_be_absent and status.status not in {Status.CONVERGED, Status.UNKNOWN}:
            line.waiting += by
            self.absent_waiting += by * (status.status is Status.ABSENT)

    def _finish(self, report: RunReport) -> None:
        """Take over the end of a pass."""
        for outcome in report.outcomes:
            # What a pass reports as in flight may have been settled beside it since it was planned.
            if outcome.status is not Status.UNSETTLED or outcome.share not in self._judged.get(outcome.share[0], ()):
                self._judge(outcome)
        for project_id, line in self.projects.items():
            if not line.unreadable:
                read = LastRead(report.started_at, line.counts.total(), line.counts[Status.CONVERGED])
                self.last_read[project_id] = read
        record = PassRecord(report.run_id, report.started_at, report.finished_at, report.result.value, _numbers(report))
        jobs = {settlement.job.key for settlement in report.jobs} | self.in_flight.keys()
        self.passes.appendleft(PassLine(record, len(jobs), report.calls))
        self.run_id = ""


def _numbers(report: RunReport) -> Mapping[str, int]:
    counts = {kind.value: count for kind, count in report.counts().items()}
    return {"desired": report.desired, "converged": report.converged, **counts}
