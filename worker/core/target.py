"""The part of a fleet that one command is aimed at: `--project`, `--image` and `--shard`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker.core.limits import Rate
from worker.core.state import DesiredState

SHARDS_AT_MOST = 10_000
_SHARD = re.compile("([0-9]{1,5})/([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Shard:
    """The `index`-th (from 0) of `count` parts of the fleet; a project is in exactly one."""

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard()
"""All of the fleet, as one part."""


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


@dataclass(frozen=True, slots=True)
class Split:
    """The shards, by index and in order, that share the limits of an account; `own` is this process and one of them."""

    own: int = 0
    shards: tuple[int, ...] = (0,)

    def part(self, rate: Rate) -> Rate:
        """Return the part of a rate of the account that this process may use."""
        return self._part_of(self.own, rate)

    def counting(self, rate: Rate, ages: Mapping[int | None, Iterable[float]]) -> list[float]:
        """Return which of the earlier calls this process must count, so that all shards together keep `rate`.

        `ages` tells for each shard, by index, how many seconds ago its calls were answered, and under None those of
        nobody who could count them. Our own and nobody's count, and of each other shard all but the newest, as many
        as its part holds:

            A shard that finds `n` calls of its own and has a part of `c` adds none before fewer than `c` of them are
            in the window. So it accounts for at most `c` of any window, or for those of the `n` that are in it, which
            are more than `c` just as long as one of its oldest `n - c` is among them. With those counted by
            each other shard, the excess of one is room that the others leave.
        """
        counted: list[float] = []
        for shard, of_shard in ages.items():
            is_others = shard is not None and shard != self.own and shard in self.shards
            counted += sorted(of_shard)[self._part_of(shard, rate).count if is_others else 0 :]
        return counted

    def _part_of(self, shard: int | None, rate: Rate) -> Rate:
        return rate.part(self.shards.index(shard), len(self.shards))


def parse_shard(text: str) -> Shard:
    """Read `I/N` with 0 <= I < N; raise ValueError."""
    match = _SHARD.fullmatch(text)
    if match is None or not int(match[1]) < int(match[2]) <= SHARDS_AT_MOST:
        raise ValueError(f"{text!r} is not a shard: write I/N with I from 0 to N-1, such as 0/4")
    return Shard(int(match[1]), int(match[2]))


def shard_of(project_id: str, count: int) -> int:
    """Place a project by rendezvous hashing: from N to N+1 shards about 1/(N+1) of the projects move."""
    return max(range(count), key=lambda index: hashlib.sha256(f"{index}/{project_id}".encode()).digest())


def split_of(project_ids: Iterable[str], shard: Shard) -> Split:
    """Return how `shard` shares the limits of an account with the shards that these projects of the account are in."""
    if shard.count == 1:
        return Split()
    in_use = {shard_of(project_id, shard.count) for project_id in project_ids}
    return Split(shard.index, tuple(sorted(in_use | {shard.index})))


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
