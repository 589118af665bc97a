"""How a fixed number of connections is shared out: between lanes, and in a lane between projects.

A lane is an account at a host. Half of the connections are shared out evenly among the lanes that are known, and a
lane has its share at any time, whatever the others do. The other half is lent: each answer lets a lane hold one more
than its share, so that a lane that answers soon has all it can use, and one that hangs never holds more than it did
when it began to hang. A call without an answer takes that back, and so does a lane's coming to rest.

In a lane, a project may hold as many as it leaves free: one that hangs leaves half to the others, two a third, and so
on (the dynamic threshold of Choudhury and Hahne, 1998). Nothing here knows the time.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

Lane = tuple[str, str]
"""An account, and the origin of a host."""

_FEW: Final = 8
"""With fewer connections than this none is kept free for a lane that is not known yet."""


class Allotment:
    """Counts who holds connections, and tells who may have one more. Raises ValueError for less than one."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("there is at least one connection to share out")
        self._size = size
        self._free = size
        self._lanes: dict[Lane, _Held] = {}

    def know(self, lane: Lane) -> None:
        """Have a share for a lane from now on."""
        self._lanes.setdefault(lane, _Held())

    def admits(self, lane: Lane, project: str) -> bool:
        """Tell whether a project may have a connection in a lane that is known."""
        return self.room(lane) > self._lanes[lane].of[project]

    def room(self, lane: Lane) -> int:
        """Return how many connections a lane that is known may have besides those it holds."""
        held = self._lanes[lane]
        share = self.share
        kept = sum(max(0, share - other.all) for other in self._lanes.values() if other is not held)
        for_a_stranger = 1 if self._size >= max(_FEW, 2 * len(self._lanes)) else 0
        room = min(share + held.borrows - held.all, self._free - kept - for_a_stranger)
        return room if held.all else max(room, min(self._free, 1))

    def take(self, lane: Lane, project: str) -> None:
        """Have a project hold one more connection; `admits` must say so."""
        held = self._lanes[lane]
        held.of[project] += 1
        held.all += 1
        self._free -= 1

    def release(self, lane: Lane, project: str) -> None:
        """Have a project hold one connection less."""
        held = self._lanes[lane]
        held.of[project] -= 1
        if not held.of[project]:
            del held.of[project]
        held.all -= 1
        self._free += 1

    def answered(self, lane: Lane) -> None:
        """Note that a call in a lane was answered."""
        held = self._lanes[lane]
        held.borrows = min(held.borrows + 1, self._size)

    def unanswered(self, lane: Lane) -> None:
        """Note that a call in a lane ended without an answer."""
        self._lanes[lane].borrows = 0

    def rest(self, lane: Lane) -> None:
        """Note that a lane has nothing to do for now: what its answers have earned is over."""
        self._lanes[lane].borrows = 0

    def held(self, lane: Lane) -> int:
        """Return how many connections a lane that is known holds."""
        return self._lanes[lane].all

    @property
    def share(self) -> int:
        """How many connections each lane has at any time."""
        return max(1, self._size // (2 * max(1, len(self._lanes))))


class _Held:
    """What one lane holds, in all and by project, and how many more than its share it may."""

    def __init__(self) -> None:
        self.all = 0
        self.of: Counter[str] = Counter()
        self.borrows = 0
