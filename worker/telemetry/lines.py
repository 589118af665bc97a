"""What the board keeps: a line for each project, pass and incident."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from worker.core import events
from worker.core.calls import CallCounts
from worker.core.fleet.history import PassRecord
from worker.core.manifest.model import Project
from worker.core.status import Status
from worker.core.timing import format_duration


@dataclass(frozen=True, slots=True)
class PassLine:
    """One pass of the timeline. Times in seconds since the epoch.

    `jobs` counts those that it followed, and those of earlier passes that were followed beside it. It is None, and so
    are `calls`, for passes of earlier processes.
    """

    record: PassRecord
    jobs: int | None = None
    calls: CallCounts | None = None


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """Something that an operator wants to know; `at` in seconds since the epoch."""

    at: float
    what: str
    reason: str


def incident_line(event: events.Incident | events.Noted | events.ClockSet, at: float) -> IncidentLine:
    """Return what an operator wants to know of an event; `at` in seconds since the epoch."""
    if isinstance(event, events.Incident):
        return IncidentLine(at, event.what, event.reason)
    if isinstance(event, events.Noted):
        return IncidentLine(at, "something to know of the last pass", event.note)
    what = f"the clock was put {'back' if event.by < 0 else 'forward'} by {format_duration(abs(event.by))}"
    return IncidentLine(at, what, "what was written down before counts from now")


@dataclass(slots=True)
class ProjectLine:
    """One project: where its images stand, by id, and why it could not be read, if it could not.

    `waiting` counts the shares that are known not to be as desired and may be so.
    """

    project: Project
    statuses: dict[str, Status] = field(default_factory=dict)
    counts: Counter[Status] = field(default_factory=Counter)
    unreadable: str = ""
    waiting: int = 0

    @property
    def name(self) -> str:
        """The project's name."""
        return self.project.name

    def put(self, image_id: str, status: Status) -> None:
        """Say where an image stands now."""
        before = self.statuses.get(image_id)
        if before is not None:
            self.counts[before] -= 1
        self.statuses[image_id] = status
        self.counts[status] += 1
