"""What is known now: every share, job and pass, folded from the events as they come.

The daemon's page, its JSON and its gauges are drawn from this; it is memory for people, and nothing is decided on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from copy import copy
from enum import StrEnum

from worker.core import daemon_events, events
from worker.core.batch import End, InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.fleet.history import PassRecord
from worker.core.fleet.noticed import NoticedBy, by_owner, by_rule
from worker.core.fleet.refusal import Refusal, told_refusals
from worker.core.fleet.report import RunReport, not_sent
from worker.core.instruction import Instruction
from worker.core.job import Job
from worker.core.quarantine import Quarantined
from worker.telemetry.fleet_board import FleetBoard
from worker.telemetry.lines import IncidentLine, PassLine, incident_line

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

    `fleet` has where the shares stand. `heard` counts the events, so that a reader can tell whether anything has
    changed. `broken` is why the last pass ended without a report, until the next begins. `newer_loaded_at` is when a
    newer manifest was loaded that waits for the pass under way to end; 0 while none does. `pause` is the one that
    holds, if one does; `instructions` are the last that people gave, newest first. What the last pass left alone and
    told of is `reported`, by rule, and `unsolicited`, by owner.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.heard = 0
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
        self.fleet = FleetBoard()
        self.unmanaged = 0
        self.reported: tuple[NoticedBy, ...] = ()
        self.unsolicited: tuple[NoticedBy, ...] = ()
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
        self.heard += 1
        match event:
            case daemon_events.StandingBy(reason):
                self._enter(Phase.STANDING_BY, reason)
            case daemon_events.AtWork():
                self._enter(Phase.AT_WORK)
            case daemon_events.Stopping():
                self._enter(Phase.STOPPING)
            case daemon_events.Reloaded():
                self.reload_error = None
            case daemon_events.ReloadFailed(reason):
                self.reload_error = IncidentLine(
                    self._now(), "the files cannot be used, so the last good ones stay", reason
                )
            case daemon_events.PassScheduled(at):
                self.next_pass_at = at
            case daemon_events.Remembered(in_flight, quarantined, passes):
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
        """Return a board that stays as this is now, with so many shares in trouble, for who reads it in a thread."""
        other = copy(self)
        other.fleet = self.fleet.snapshot(shares)
        other.in_flight, other.passes, other.troubles = self.in_flight.copy(), self.passes.copy(), self.troubles.copy()
        other.instructions = self.instructions.copy()
        return other

    @property
    def is_read(self) -> bool:
        """Whether a pass has said how the shares stand; before that, nothing is known of any."""
        return bool(self.digest)

    def _follow_pass(self, event: events.Event) -> None:
        match event:
            case daemon_events.LastKnown(readings):
                self.fleet.know_of_before(readings)
            case events.PassStarted(run_id, projects, image_names):
                self.image_names = image_names or self.image_names
                self.run_id, self.broken, self.pass_started_at = run_id, "", self._now()
                self.projects_to_read, self.projects_read, self.newer_loaded_at = projects, 0, 0.0
            case events.ProjectObserved():
                self.projects_read += 1
            case events.ProjectPlanned(plan):
                self.fleet.lay_out(plan)
            case events.Planned(plan, image_names, _, _, refusals):
                self.refusals, self.digest, self.unmanaged = refusals, plan.digest, plan.unmanaged
                self.image_names = image_names
                self.refused = told_refusals(refusals, not_sent(plan, ""), image_names) if refusals else ()
                self.fleet.keep_only(project.project.id for project in plan.projects)
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
                self.fleet.put_in_flight(batch, "the answer to its PUT was lost")
            case events.JobSettled(settlement) if settlement.end is not End.UNSETTLED:
                self.in_flight.pop(settlement.job.key, None)
            case events.ShareJudged(status):
                self.fleet.judge_in_pass(status)
            case _:
                self._follow_people(event)

    def _follow_people(self, event: events.Event) -> None:
        match event:
            case daemon_events.AskedFor(instruction):
                self.instructions.appendleft(instruction)
            case daemon_events.PauseBegan(pause):
                self.pause = pause
            case daemon_events.PauseEnded():
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
            self.reported, self.unsolicited = (), ()
            self.fleet = FleetBoard()

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
            self.fleet.keep_in_flight(each)

    def _begin_job(self, job: Job) -> None:
        batch = job.batch
        self.in_flight[job.key] = InFlight(job.key, batch, job.submitted_at, job.job_id, job.submitted_at, self.run_id)
        self.fleet.put_in_flight(batch, "", job.job_id)

    def _finish(self, report: RunReport) -> None:
        """Take over the end of a pass."""
        self.fleet.finish(report)
        self.reported = by_rule(report.reported, report.image_names)
        self.unsolicited = by_owner(report.unsolicited, report.image_names)
        record = PassRecord(report.run_id, report.started_at, report.finished_at, report.result.value, _numbers(report))
        jobs = {settlement.job.key for settlement in report.jobs} | self.in_flight.keys()
        self.passes.appendleft(PassLine(record, len(jobs), report.calls))
        self.run_id = ""


def _numbers(report: RunReport) -> Mapping[str, int]:
    counts = {kind.value: count for kind, count in report.counts().items()}
    return {"desired": report.desired, "converged": report.converged, **counts}
