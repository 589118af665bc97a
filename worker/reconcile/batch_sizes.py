"""How many images a PUT may have, for all batches of an account in a region: one finds out, the others wait for it.

A PUT larger than any that was taken before goes alone until it is answered; where it is refused, until its division
tells whether its size or its images were to blame. Batches of other sizes go as they come. One of those that is refused
waits for such a verdict too, or brings it about, unless its size was taken in this very pass. Who gets no answer in
time lets the others go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from worker.core.batch_size import BatchSize, SizeKey
from worker.core.manifest.model import Project

PATIENCE: Final = 10.0
"""Seconds that a PUT without an answer holds up the others; each further one has half of that."""

_HALVED_AT_MOST: Final = 4


@dataclass(slots=True)
class _Trial:
    """Who may try a size: one batch at a time. `taken` is the largest that was taken in this pass.

    `in_vain` counts the PUTs that had no answer in time.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    taken: int = 0
    in_vain: int = 0


class BatchSizes:
    """The maxima that are known, and who may try a size that is not.

    `key_of` tells whose maximum holds for a project, `record` keeps what was learned, and `now` is the wall clock in
    seconds since the epoch.
    """

    def __init__(
        self,
        known: Mapping[SizeKey, BatchSize],
        key_of: Callable[[Project], SizeKey],
        record: Callable[[SizeKey, BatchSize], Awaitable[None]],
        now: Callable[[], float],
    ) -> None:
        self._known = dict(known)
        self._key_of = key_of
        self._record = record
        self._now = now
        self._trials: dict[SizeKey, _Trial] = {}

    async def turn(self, project: Project, images: int) -> Turn:
        """Wait until a batch of so many images may be sent, whole or in part; return how many of them may.

        The turn is to be closed when nothing more is to be learned from the batch. Cancelled, the others go on.
        """
        key = self._key_of(project)
        turn = Turn(self, key, self._trials.setdefault(key, _Trial()), self.next_size(key, images))
        if turn.goes_alone(turn.size):
            await turn.wait_to_be_alone()
            turn.size = self.next_size(key, images)
            if not turn.goes_alone(turn.size):
                turn.close()
        return turn

    def of(self, key: SizeKey) -> BatchSize:
        """Return what is known of a maximum."""
        return self._known.get(key, BatchSize())

    def next_size(self, key: SizeKey, images: int) -> int:
        """Return how many of so many images the next PUT may have."""
        return self.of(key).next_size(images, self._now())

    async def took(self, key: SizeKey, size: int) -> None:
        """Learn that a PUT with so many images was taken."""
        await self._learn(key, self.of(key).took(size))

    async def turned_down(self, key: SizeKey, size: int) -> None:
        """Learn that so many images were too many."""
        await self._learn(key, self.of(key).turned_down(size, self._now()))

    async def _learn(self, key: SizeKey, size: BatchSize) -> None:
        if size != self.of(key):
            self._known[key] = size
            await self._record(key, size)


class Turn:
    """A batch's turn: `size` is how many of its images its PUT may have."""

    def __init__(self, sizes: BatchSizes, key: SizeKey, trial: _Trial, size: int) -> None:
        self.size = size
        self._sizes = sizes
        self._key = key
        self._trial = trial
        self._is_alone = False
        self._timer: asyncio.TimerHandle | None = None

    async def wait_to_be_alone(self) -> None:
        """Wait until nobody else tries a size, and hold up who would, until the turn is closed."""
        if not self._is_alone:
            await self._trial.lock.acquire()
            self._is_alone = True

    def goes_alone(self, size: int) -> bool:
        """Tell whether a PUT with so many images must go alone: no such size was taken yet."""
        return self._sizes.of(self._key).is_trial(size)

    def may_be_too_large(self, size: int) -> bool:
        """Tell whether no PUT with so many images was taken in this pass."""
        return size > self._trial.taken

    def is_too_large(self, size: int) -> bool:
        """Tell whether so many images are by now known to be too many for one PUT."""
        return self._sizes.next_size(self._key, size) < size

    def begins(self) -> None:
        """Tell that a PUT of the batch leaves now; the others wait for its answer, but not for ever."""
        if self._is_alone and self._timer is None:
            patience = PATIENCE / 2 ** min(self._trial.in_vain, _HALVED_AT_MOST)
            self._timer = asyncio.get_running_loop().call_later(patience, self._give_way)

    def ends(self) -> None:
        """Tell that a PUT of the batch has an answer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def took(self, size: int) -> None:
        """Tell that a PUT with so many images was taken; if it is the one that was tried, the others may go."""
        self._trial.taken = max(self._trial.taken, size)
        await self._sizes.took(self._key, size)
        if size >= self.size:
            self.close()

    async def turned_down(self, size: int) -> None:
        """Tell that so many images were too many, and neither half of them was; the others may go."""
        await self._sizes.turned_down(self._key, size)
        self.close()

    def close(self) -> None:
        """Let the others go: nothing more is to be learned from this batch."""
        self.ends()
        if self._is_alone:
            self._is_alone = False
            self._trial.lock.release()

    def _give_way(self) -> None:
        self._timer = None
        self._trial.in_vain += 1
        self.close()
