"""A fleet in parts: which project is in which, and how the parts share the limits of an account."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.core.limits import Rate

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
