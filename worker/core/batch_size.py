"""How many images a PUT may have: what was taken, what was refused for its size, and what to try next.

The cloud publishes no maximum. It is found by the batches that are due anyway: a size larger than any taken before is
tried by one PUT alone, and between the largest size taken and the smallest refused for its size the middle comes next.
Source: the reference of IMS names no `maxItems` for `images`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from worker.core.clock import is_ahead

TRIED_AGAIN_AFTER = 7 * 86400.0
"""Seconds after which a size that was refused is tried once more."""


class SizeKey(NamedTuple):
    """Whose maximum it is."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class BatchSize:
    """What is known of one account's maximum in one region.

    `taken` is the largest number of images that a PUT was taken with, `refused` the smallest that was refused for it,
    and `learned_at` when that was, in seconds since the epoch; None where no size was refused yet.
    """

    taken: int = 0
    refused: int | None = None
    learned_at: float | None = None

    @property
    def maximum(self) -> int | None:
        """The largest number of images that the cloud takes, as far as it is known to have one."""
        return None if self.refused is None else self.taken

    @property
    def is_sought(self) -> bool:
        """Whether some size between what was taken and what was refused is yet to be tried."""
        return self.refused is not None and self.refused > self.taken + 1

    def next_size(self, images: int, now: float) -> int:
        """Return how many of so many images to put into the next PUT, at least one."""
        if self.refused is None or images <= self.taken:
            return images
        if self.is_sought:
            return min(images, max(1, (self.taken + self.refused) // 2))
        at = self.learned_at
        # By a clock that was put back since, nobody knows how old it is; to try costs one PUT.
        is_old = at is not None and (now - at >= TRIED_AGAIN_AFTER or is_ahead(at, now))
        return min(images, self.refused if is_old else max(1, self.taken))

    def is_trial(self, size: int) -> bool:
        """Tell whether a PUT with so many images is the first of its size, and so goes alone."""
        return size > self.taken

    def took(self, size: int) -> Self:
        """Return what is known after a PUT with so many images was taken."""
        if size <= self.taken:
            return self
        if self.refused is not None and size >= self.refused:
            # The maximum was raised meanwhile: how far is found as at first.
            return replace(self, taken=size, refused=None, learned_at=None)
        return replace(self, taken=size)

    def turned_down(self, size: int, now: float) -> Self:
        """Return what is known after a PUT with so many images was refused for its size, and both its halves taken."""
        taken = self.taken if self.taken < size else (size + 1) // 2
        refused = size if self.refused is None else min(size, self.refused)
        return replace(self, taken=taken, refused=refused, learned_at=now)
