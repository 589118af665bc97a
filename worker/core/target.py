"""The part of a fleet that one command is aimed at: `--project`, `--image` and `--shard`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.core.state import DesiredState


@dataclass(frozen=True, slots=True)
class Shard:
    """The `index`-th (from 0) of `count` parts of the fleet; a project is in exactly one."""

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, slots=True)
class Target:
    """Which projects and images, by id; an empty set means all of them."""

    projects: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    shard: Shard = field(default_factory=Shard)

    @property
    def is_whole(self) -> bool:
        """Whether all of the fleet is meant."""
        return not (self.projects or self.images) and self.shard.count == 1


def parse_shard(text: str) -> Shard:
    """Read `I/N` with 0 <= I < N; raise ValueError."""
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count) <= 10_000):
        raise ValueError(f"{text!r} is not a shard: write I/N with I from 0 to N-1, such as 0/4")
    return Shard(int(index), int(count))


def shard_of(project_id: str, count: int) -> int:
    """Place a project by rendezvous hashing: from N to N+1 shards about 1/(N+1) of the projects move."""
    return max(range(count), key=lambda index: hashlib.sha256(f"{index}/{project_id}".encode()).digest())


def aim(target: Target, project_ids: Iterable[str]) -> tuple[str, ...]:
    """Return the projects, of those given, that the target means; sorted."""
    return tuple(
        sorted(
            project_id
            for project_id in project_ids
            if (not target.projects or project_id in target.projects)
            and (target.shard.count == 1 or shard_of(project_id, target.shard.count) == target.shard.index)
        )
    )


def narrow(desired: DesiredState, target: Target) -> DesiredState:
    """Return the desired state with only the wishes that the target means."""
    wishes = {project_id: desired.wishes[project_id] for project_id in aim(target, desired.wishes)}
    if target.images:
        wishes = {
            project_id: {image: wish for image, wish in of_project.items() if image in target.images}
            for project_id, of_project in wishes.items()
        }
    kept = {project_id: of_project for project_id, of_project in wishes.items() if of_project}
    return DesiredState(desired.projects, kept, desired.image_names)
