"""What people ask for: projects, wishes, and the names they gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from worker.core.documents import At
from worker.core.manifest.ids import IMAGE, PROJECT
from worker.core.operation import Operation
from worker.core.reading import Offer


@dataclass(frozen=True, slots=True)
class Project:
    """A receiving project. `region` is empty where the config's region holds."""

    id: str
    name: str
    credential: str = "default"
    region: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a share should be. `vault_id` is for accepting a full-ECS image; `source` is where it is written."""

    operation: Operation
    vault_id: str | None = None
    may_be_absent: bool = False
    source: str = field(default="", compare=False)


class Rule(Protocol):
    """What wishes for whatever it finds among the images that a project is offered."""

    def speaks_of(self, project: Project) -> bool:
        """Tell whether it may wish for anything in this project."""
        ...

    def wishes(self, project: Project, offers: Mapping[str, Offer]) -> Mapping[str, Wish]:
        """Return, by image id, what it wishes of the images that the project is offered."""
        ...


@dataclass(frozen=True, slots=True)
class Manifest:
    """What people ask for. Projects, wishes and names are keyed by ids, all in lower case.

    `len()` counts the shares with a wish; an empty manifest has none, and asks for nothing. An image may have
    several names: `image_ids` has them all, `image_names` the first. `credential_places` tells where each
    project's credential is written.
    """

    projects: Mapping[str, Project]
    wishes: Mapping[str, Mapping[str, Wish]]
    image_names: Mapping[str, str]
    image_ids: Mapping[str, str]
    vault_names: Mapping[str, str]
    credential_places: Mapping[str, At]
    rules: tuple[Rule, ...] = ()

    def __len__(self) -> int:
        return sum(len(wishes) for wishes in self.wishes.values())

    def project(self, name_or_id: str) -> Project | None:
        """Return the project with this name or id, or None."""
        named = (project for project in self.projects.values() if project.name == name_or_id)
        return next(named, None) or self.projects.get(name_or_id.lower())

    def project_id(self, name_or_id: str) -> str | None:
        """Return the id of the project with this name, or the id itself; None for what is neither."""
        project = self.project(name_or_id)
        return project.id if project else PROJECT.id_in(name_or_id)

    def image(self, name_or_id: str) -> str | None:
        """Return the id of the image with this name, or the id itself; None for what is neither."""
        return self.image_ids.get(name_or_id) or IMAGE.id_in(name_or_id)


def empty_manifest() -> Manifest:
    """Return a manifest that names nothing and wishes for nothing."""
    return Manifest({}, {}, {}, {}, {}, {})
