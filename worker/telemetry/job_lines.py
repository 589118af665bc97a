"""The jobs of the pass under way, folded from the events as they come: how many, and a line for each that is late."""

from __future__ import annotations

from collections.abc import Mapping

from worker.core import events
from worker.core.batch import InFlight
from worker.core.facts import many
from worker.core.job import underway
from worker.core.project.plan import ProjectPlan
from worker.core.timing import Timings

_SHOWN = 5
_LATE = 60.0
"""Seconds after which a job has a line of its own; one that an earlier pass has sent has it at once."""


class JobLines:
    """A listener that keeps what is in flight. `timings` tell when a job that does not end is given up."""

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self._sent: dict[int, InFlight] = {}
        self._resumed: set[int] = set()
        self._projects: dict[str, str] = {}
        self._images: Mapping[str, str] = {}

    def __call__(self, event: events.Event) -> None:
        """Take one event."""
        match event:
            case events.PassStarted():
                self._sent.clear()
                self._resumed.clear()
            case events.ProjectPlanned(plan):
                self._take_up(plan)
            case events.Planned(_, image_names):
                self._images = image_names
            case events.BatchSubmitted(job):
                self._sent[job.key] = InFlight(job.key, job.batch, job.submitted_at, job.job_id, job.submitted_at)
            case events.JobSettled(settlement):
                self._sent.pop(settlement.job.key, None)
            case _:
                pass

    @property
    def count(self) -> int:
        """How many jobs are in flight, those of earlier passes included."""
        return len(self._sent)

    def late(self, now: float) -> tuple[str, ...]:
        """Return a line for each job that is late at `now` (seconds since the epoch), of many for the oldest."""
        late = [each for key, each in self._sent.items() if key in self._resumed or now - each.intent_at >= _LATE]
        lines = tuple(
            work.told(
                self._projects.get(work.batch.project_id, work.batch.project_id),
                sorted(self._images.get(image, image) for image in work.batch.images),
            )
            for work in underway(late, now, self._timings)[:_SHOWN]
        )
        rest = len(late) - len(lines)
        return (*lines, f"and {many(rest, 'more job')}") if rest else lines

    def _take_up(self, plan: ProjectPlan) -> None:
        self._projects[plan.project.id] = plan.project.name
        for sent in plan.in_flight:
            if sent.job_id is not None:
                self._sent[sent.key] = sent
                self._resumed.add(sent.key)
