"""What the board keeps: a line for each project, pass and mishap."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from worker.core.calls import CallCounts
from worker.core.fleet.history import PassRecord
from worker.core.manifest.model import Project
from worker.core.status import Status


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
    """One project: where its images stand, by id, and why it could not be read, if it could not.

    `waiting` counts the shares that are not as desired and may be so.
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
