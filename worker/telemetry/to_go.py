"""What is left of the pass under way, folded from the events as they come: for the time that it has to go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from worker.core import daemon_events, events
from worker.core.batch import End
from worker.core.fleet.forecast import Rest
from worker.core.job import Settlement
from worker.core.operation import Operation
from worker.core.project.plan import ProjectPlan

_ENDED = frozenset({End.SUCCEEDED, End.PARTIAL, End.FAILED})


class ToGo:
    """A listener that keeps what a pass has yet to read, to send and to follow. Nothing is decided on it.

    `resumes` tells whether passes wait for what earlier ones left in flight.
    """

    def __init__(self, *, resumes: bool) -> None:
        self._resumes = resumes
        self._is_under_way = False
        self._took, self._ended = 0.0, 0
        self._begin(0)

    def __call__(self, event: events.Event) -> None:
        """Take one event."""
        match event:
            case events.PassStarted(_, projects):
                self._begin(projects)
                self._is_under_way = True
            case events.PassFinished() | events.PassBroken() | daemon_events.StandingBy():
                self._is_under_way = False
            case events.ProjectPlanned(plan):
                self._unread -= 1
                self._take(plan)
            case events.Planned(refusals=refusals) if refusals:
                self._due.clear()
            case daemon_events.Stopping():
                self._due.clear()
            case events.BatchSubmitted(job):
                self._sent(job.batch.project_id, job.batch.operation, job.batch.images)
                self._jobs[job.batch.project_id][job.key] = job.submitted_at
            case events.BatchNotAccepted(batch, End.UNANSWERED | End.NOT_SENT):
                self._sent(batch.project_id, batch.operation, batch.images)
            case events.ShareJudged(status):
                self._sent(status.share.project_id, status.desired, (status.share.image_id,))
            case events.JobSettled(settlement):
                self._settle(settlement)
            case _:
                pass

    def rest(self) -> Rest | None:
        """Return what is left of the pass under way; None where none is."""
        if not self._is_under_way:
            return None
        return Rest(
            due={project: [len(images) for images in kinds.values()] for project, kinds in self._due.items()},
            jobs={project: tuple(jobs.values()) for project, jobs in self._jobs.items()},
            offers=self._offers,
            unread=max(self._unread, 0),
            took=self._took / self._ended if self._ended else None,
        )

    def _begin(self, projects: int) -> None:
        self._unread = projects
        self._offers: dict[str, int] = {}
        self._due: defaultdict[str, dict[Operation, set[str]]] = defaultdict(dict)
        self._jobs: defaultdict[str, dict[int, float]] = defaultdict(dict)

    def _take(self, plan: ProjectPlan) -> None:
        self._offers[plan.project.id] = plan.offers
        for change in plan.changes:
            self._due[plan.project.id].setdefault(change.operation, set()).add(change.share.image_id)
        for sent in plan.in_flight if self._resumes else ():
            self._jobs[plan.project.id][sent.key] = sent.intent_at

    def _sent(self, project_id: str, operation: Operation, images: Iterable[str]) -> None:
        kinds = self._due.get(project_id, {})
        if operation in kinds:
            kinds[operation].difference_update(images)
            if not kinds[operation]:
                del kinds[operation]
            if not kinds:
                del self._due[project_id]

    def _settle(self, settlement: Settlement) -> None:
        jobs = self._jobs.get(settlement.job.batch.project_id, {})
        jobs.pop(settlement.job.key, None)
        if not jobs:
            self._jobs.pop(settlement.job.batch.project_id, None)
        if settlement.end in _ENDED and settlement.noticed_within is not None:
            self._took += max(0.0, settlement.settled_at - settlement.job.submitted_at)
            self._ended += 1
