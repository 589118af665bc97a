"""The plans of the projects → the plan of a pass, and the digest that names it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from worker.core.batch import Change, InFlight
from worker.core.fleet.notes import notes_of, vault_notes
from worker.core.fleet.noticed import names_of
from worker.core.project.noticed import Noticed
from worker.core.project.plan import ProjectPlan
from worker.core.reading import CUT_SHORT
from worker.core.status import ShareStatus, Status

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pass would do. Every desired share is converged, a change, or has a status that says why not.

    `projects` are in the order of their ids, `changes` and `statuses` in that of the shares. `unlisted` counts shares
    that are unknown and that nobody can name, `managed` those of the whole manifest by project id. `digest` names the
    plan by its content. `unlisted_projects` says of each credential whose projects were to be found, and are not known
    at all, why not. `notes` are for people, as `image_names` are: what images are called, by id.
    """

    projects: tuple[ProjectPlan, ...]
    desired: int
    converged: int
    changes: tuple[Change, ...]
    statuses: tuple[ShareStatus, ...]
    unlisted: int
    unmanaged: int
    managed: Mapping[str, int]
    digest: str
    notes: tuple[str, ...] = ()
    unlisted_projects: tuple[str, ...] = ()
    image_names: Mapping[str, str] = field(default_factory=dict)

    def of(self, status: Status) -> tuple[ShareStatus, ...]:
        """Return the shares that the plan leaves out with this status."""
        return tuple(each for each in self.statuses if each.status is status)

    @property
    def in_flight(self) -> tuple[InFlight, ...]:
        """What earlier passes have sent and has not ended, in the projects that could be read."""
        return tuple(sent for project in self.projects for sent in project.in_flight)

    def in_flight_of(self, images: Collection[str]) -> tuple[InFlight, ...]:
        """Return what is in flight for any of these images, of no image for all."""
        return tuple(sent for sent in self.in_flight if not images or any(each in images for each in sent.batch.images))

    @property
    def reported(self) -> tuple[Noticed, ...]:
        """The shares that rules only report, in the order of the shares."""
        return tuple(each for project in self.projects for each in project.reported)

    @property
    def unknown(self) -> int:
        """How many shares are neither known to be as desired nor not: their projects could not be read."""
        return len(self.of(Status.UNKNOWN)) + self.unlisted

    @property
    def unread(self) -> tuple[ProjectPlan, ...]:
        """The projects that could not be read, or that the pass was told to stop before."""
        return tuple(project for project in self.projects if project.failure)

    @property
    def is_unread(self) -> bool:
        """Whether not a single project was read, though there are some, or may be."""
        return bool(self.projects or self.unlisted_projects) and len(self.unread) == len(self.projects)

    @property
    def is_unreachable(self) -> bool:
        """Whether not a single project could be read; what was cut short says nothing of the cloud."""
        is_cut_short = any(each.is_cut_short for each in self.projects) or any(
            CUT_SHORT in why for why in self.unlisted_projects
        )
        return self.is_unread and not is_cut_short


def make_plan(
    projects: Iterable[ProjectPlan], managed: Mapping[str, int], image_names: Mapping[str, str] = _NO_NAMES
) -> Plan:
    """Put the plans of projects together.

    `managed` counts the shares of the whole manifest by project id; `image_names` has its names of images by id.
    """
    ordered = tuple(sorted(projects, key=lambda each: each.project.id))
    changes = tuple(change for project in ordered for change in project.changes)
    names = names_of(ordered, image_names)
    return Plan(
        projects=ordered,
        desired=sum(project.desired for project in ordered),
        converged=sum(project.converged for project in ordered),
        changes=changes,
        statuses=tuple(status for project in ordered for status in project.statuses),
        unlisted=sum(project.unlisted for project in ordered),
        unmanaged=sum(project.unmanaged for project in ordered),
        managed=managed,
        digest=digest(ordered, managed),
        notes=(*notes_of(ordered, names), *vault_notes(ordered)),
        image_names=names,
    )


def digest(projects: Iterable[ProjectPlan], managed: Mapping[str, int]) -> str:
    """Name a plan by what it would do and by the totals that guards compare it with; no clock is in it."""
    content = hashlib.sha256()
    for project in projects:
        content.update(project.digest)
    for project_id, count in sorted(managed.items()):
        content.update(f"{project_id} {count}\n".encode())
    return f"sha256:{content.hexdigest()}"
