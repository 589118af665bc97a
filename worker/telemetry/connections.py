"""Who may stay connected: idle connections make room for new ones, and probes find room in any case."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_CONNECTIONS = 256
"""Connections that are open at a time."""
MAX_OF_ONE = 128
"""Of them, those of one address: many, since behind a proxy or a port forward all have the same."""
RESERVED = 32
"""Connections beyond these, which have nothing answered but probes."""


@dataclass(eq=False, slots=True)
class Place:
    """The place of one connection from `address`; `close` ends it. On a `reserved` one only probes are answered."""

    address: str
    close: Callable[[], None]
    reserved: bool = False

    @property
    def kind(self) -> str | None:
        """What it is idle among."""
        return None if self.reserved else self.address


@dataclass(slots=True)
class Room:
    """The connections of a server: so many, of one address so many, and some that are reserved.

    `idle` has those that have no request in hand, oldest first, by address; the reserved ones under None.
    """

    most: int
    most_of_one: int
    reserved: int
    open: dict[Place, None] = field(default_factory=dict)
    idle: dict[str | None, dict[Place, None]] = field(default_factory=dict)

    def enter(self, place: Place) -> bool:
        """Let a connection in, at the cost of an idle one where room is needed; tell whether it may stay.

        That is the oldest of its own address where this has too many, else of the address that has the most. Where
        all are at work, it gets a reserved place.
        """
        common = [each for each in self.open if not each.reserved]
        if sum(each.address == place.address for each in common) >= self.most_of_one:
            place.reserved = not self._close_idle(place.address)
        elif len(common) >= self.most:
            crowds = (address for address in self.idle if address is not None)
            crowd = max(crowds, key=lambda address: len(self.idle[address]), default="")
            place.reserved = not self._close_idle(crowd)
        if place.reserved and len(self.open) - len(common) >= self.reserved and not self._close_idle(None):
            return False
        self.open[place] = None
        self.rest(place)
        return True

    def work(self, place: Place) -> None:
        """Note that a request has come: its connection is not cut off."""
        of_its_kind = self.idle.get(place.kind, {})
        of_its_kind.pop(place, None)
        if not of_its_kind:
            self.idle.pop(place.kind, None)

    def rest(self, place: Place) -> None:
        """Note that there is no request in hand, from now on."""
        if place in self.open:
            self.work(place)
            self.idle.setdefault(place.kind, {})[place] = None

    def leave(self, place: Place) -> None:
        """Note that a connection has ended."""
        self.work(place)
        self.open.pop(place, None)

    def _close_idle(self, kind: str | None) -> bool:
        place = next(iter(self.idle.get(kind, {})), None)
        if place is None:
            return False
        self.leave(place)
        place.close()
        return True


def room() -> Room:
    """Return the room for connections: a quarter of the files that the process may open, if that is less."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return Room(MAX_CONNECTIONS, MAX_OF_ONE, RESERVED)
    most = max(1, min(MAX_CONNECTIONS, files // 4))
    return Room(most, min(MAX_OF_ONE, most), min(RESERVED, max(1, most // 4)))
