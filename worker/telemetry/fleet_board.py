"""Where every share of the fleet stands, project by project, as far as that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace
from itertools import islice

from worker.core.batch import Batch, InFlight
from worker.core.fleet.last_read import LastRead, last_read_of
from worker.core.fleet.report import RunReport
from worker.core.fleet.unread import Unread
from worker.core.project.plan import ProjectPlan
from worker.core.reading import LastReading
from worker.core.share import Share
from worker.core.status import ShareStatus, Status, due, standing
from worker.telemetry.lines import ProjectLine


class FleetBoard:
    """Where the shares stand.

    `statuses` has every share that is not as desired, and `in_trouble` those of them that nothing is done about now.
    """

    def __init__(self) -> None:
        self.projects: dict[str, ProjectLine] = {}
        self.statuses: dict[Share, ShareStatus] = {}
        self.in_trouble: dict[Share, None] = {}
        self.absent_waiting = 0
        self.last_read: dict[str, LastRead] = {}
        self._judged: dict[str, set[Share]] = {}

    def snapshot(self, shares: int) -> FleetBoard:
        """Return one that stays as this is now, for who reads it in a thread of its own.

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
        return other

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

    def know_of_before(self, readings: Mapping[str, LastReading]) -> None:
        """Show when projects could last be read, and what they were then."""
        self.last_read = {project_id: last_read_of(reading) for project_id, reading in readings.items()}

    def lay_out(self, plan: ProjectPlan) -> None:
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

    def keep_only(self, planned: Iterable[str]) -> None:
        """Forget the projects that are not among those that were planned; the others stand in their order."""
        planned = list(planned)
        for gone in self.projects.keys() - set(planned):
            self._clear(gone)
        self.projects = {project_id: self.projects[project_id] for project_id in planned}

    def put_in_flight(self, batch: Batch, reason: str, job_id: str | None = None) -> None:
        """Show the shares of a batch as in flight."""
        for image in batch.images:
            share = Share(batch.project_id, image)
            known = self.statuses.get(share)
            status = known or ShareStatus(share, Status.IN_FLIGHT, batch.operation)
            self._put(replace(status, status=Status.IN_FLIGHT, desired=batch.operation, reason=reason, job_id=job_id))

    def keep_in_flight(self, sent: InFlight) -> None:
        """Show what no pass waits for as what it is: in flight, and followed."""
        batch = sent.batch
        for image in batch.images:
            status = self.statuses.get(Share(batch.project_id, image))
            if status is not None and status.status is Status.UNSETTLED and status.desired is batch.operation:
                self._put(replace(status, status=Status.IN_FLIGHT, job_id=sent.job_id))

    def judge_in_pass(self, status: ShareStatus) -> None:
        """Show where a share stands at the end of what a pass, or who follows its jobs beside it, did about it."""
        self._judged.setdefault(status.share.project_id, set()).add(status.share)
        self._judge(status)

    def finish(self, report: RunReport) -> None:
        """Show where the shares stand at the end of a pass."""
        for outcome in report.outcomes:
            # What a pass reports as in flight may have been settled beside it since it was planned.
            if outcome.status is not Status.UNSETTLED or outcome.share not in self._judged.get(outcome.share[0], ()):
                self._judge(outcome)
        for project_id, line in self.projects.items():
            if not line.unreadable:
                read = LastRead(report.started_at, line.counts.total(), line.counts[Status.CONVERGED])
                self.last_read[project_id] = read

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
