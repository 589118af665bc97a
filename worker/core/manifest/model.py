"""What people ask for: projects, wishes, rules, and the names they gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.core.documents import At
from worker.core.globs import Glob
from worker.core.manifest.groups import NameGroups
from worker.core.manifest.ids import IMAGE, PROJECT
from worker.core.operation import Operation
from worker.core.source import Source

ANYONE = "*"
"""The owner of a rule about all that the manifest gives no name."""


@dataclass(frozen=True, slots=True)
class Project:
    """A receiving project. `region` is empty where the config's region holds.

    `vault_id` is where its full-ECS images go that no share or rule names a vault for.
    `missing` says why nobody knows which project a name means, where that is so: its `id` is then none of the cloud's,
    and it cannot be read.
    """

    id: str
    name: str
    credential: str = "default"
    region: str = ""
    missing: str = ""
    vault_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a share should be. `vault_id` is for accepting a full-ECS image; `source` is where it is written."""

    operation: Operation
    vault_id: str | None = None
    may_be_absent: bool = False
    source: Source | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Newest:
    """Of each name group only the `count` newest images match.

    Of a rule that accepts, `min_accepted` is how many newer ones read as accepted at least before an older is rejected.
    """

    count: int
    groups: NameGroups = field(default_factory=NameGroups)
    min_accepted: int = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """What is wished of whatever a project is offered that is as it says; `operation` is None where it only reports.

    `projects` are ids, and None means all; `names` are names or ids of others, that may be found. `owner` is the id of
    the owner's project, or `ANYONE`: then it is about all that the manifest does not name, and leaves alone what is
    accepted. Durations are in seconds. `place` is where it is written, with which keys `written`.
    """

    name: str
    projects: frozenset[str] | None
    owner: str
    image: Glob
    operation: Operation | None
    os_type: str = ""
    full_ecs: bool | None = None
    tags: frozenset[str] = frozenset()
    max_age: float | None = None
    newest: Newest | None = None
    pending_for: float | None = None
    vault_id: str | None = None
    names: frozenset[str] = frozenset()
    source: Source | None = field(default=None, compare=False)
    place: At = field(default_factory=lambda: At(""), compare=False)
    written: frozenset[str] = field(default=frozenset(), compare=False)

    def speaks_of(self, project: Project) -> bool:
        """Tell whether it may wish for anything in this project."""
        own = (project.id, project.name, f"{project.credential}/{project.name}")
        return self.projects is None or project.id in self.projects or not self.names.isdisjoint(own)

    @property
    def asks(self) -> frozenset[str]:
        """What it decides by that is read only where it is asked for: fields of `ObservedImage`."""
        asked = {
            "os_type": bool(self.os_type),
            "tags": bool(self.tags),
            "created_at": self.max_age is not None or self.newest is not None,
        }
        return frozenset(fact for fact, is_asked in asked.items() if is_asked)


@dataclass(frozen=True, slots=True)
class Discovery:
    """A `[[discover]]`: the projects that a credential is told of and whose names match.

    `vault_id` is the default vault of these projects, empty for none.
    """

    credential: str
    glob: Glob
    vault_id: str
    at: At


@dataclass(frozen=True, slots=True)
class OpenShare:
    """A `[[share]]`, as far as it is about projects that are found: about all of them, or those in `names`.

    `images` has ids, and `names` the names or ids of projects that nothing declares, each with its position in the
    block; None stands for all. `vault_id` is empty where the project's default holds.
    """

    operation: Operation
    vault_id: str
    may_be_absent: bool
    source: Source
    images: Mapping[str, int]
    names: Mapping[str, int] | None
    at: At

    def wish(self, default_vault_id: str) -> Wish:
        """Return what it wishes in a project with this default vault, empty for none."""
        vault_id = (self.vault_id or default_vault_id or None) if self.operation.takes_vault else None
        return Wish(self.operation, vault_id, self.may_be_absent, self.source)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What people ask for. Projects, wishes and names are keyed by ids, all in lower case.

    `len()` counts the shares that are named; one that is empty has no rules either, and asks for nothing. An image may
    have several names: `image_ids` has them all, `image_names` the first, as `owner_names` has of owners.
    `credential_places` tells where each declared
    project's credential is written. `discoveries` tell which projects are to be found, `open_shares` what is wished of
    these, and `found` has the ids of those that are in it, all of them as `found.join_found` puts them there.
    """

    projects: Mapping[str, Project]
    wishes: Mapping[str, Mapping[str, Wish]]
    image_names: Mapping[str, str]
    image_ids: Mapping[str, str]
    vault_names: Mapping[str, str]
    credential_places: Mapping[str, At]
    rules: tuple[Rule, ...] = ()
    discoveries: tuple[Discovery, ...] = ()
    open_shares: tuple[OpenShare, ...] = ()
    found: frozenset[str] = frozenset()
    owner_names: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(wishes) for wishes in self.wishes.values())

    def __bool__(self) -> bool:
        return bool(len(self) or self.rules)

    def rules_of(self, project: Project) -> tuple[Rule, ...]:
        """Return the rules that speak of a project, in their order."""
        return tuple(rule for rule in self.rules if rule.speaks_of(project))

    @property
    def spoken_of(self) -> tuple[str, ...]:
        """The ids of the projects in which anything is wished, or may be, by what they are offered."""
        return tuple(
            project_id
            for project_id, project in self.projects.items()
            if project_id in self.wishes or any(rule.speaks_of(project) for rule in self.rules)
        )

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
