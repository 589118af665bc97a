"""Who waits for a call of one group: hosts take turns, so do the projects of one, and their callers go in order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, TypeVar

from worker.cloud.limits.pool import AccountConnections

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Callers by host and key: hosts take turns, so do the keys of one, and the callers of one key go in order.

    Those of the keys in `paused` are passed over.
    """

    def __init__(self, paused: Mapping[str, float]) -> None:
        self._paused = paused
        self._hosts: OrderedDict[str, OrderedDict[str, OrderedDict[T, None]]] = OrderedDict()
        # Counted, since the keys may be as many as the fleet has projects, and it is asked for again and again.
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def __bool__(self) -> bool:
        return bool(self._hosts)

    def __contains__(self, host: str) -> bool:
        return host in self._hosts

    def join(self, host: str, key: str, turn: T) -> None:
        """Put a caller behind the others of its key, a new key behind the other keys, and a new host likewise."""
        self._hosts.setdefault(host, OrderedDict()).setdefault(key, OrderedDict())[turn] = None
        self._waiting += 1

    def leave(self, host: str, key: str, turn: T) -> None:
        """Take out a caller that no longer waits, if it is still there."""
        keys = self._hosts.get(host)
        if keys and turn in keys.get(key, ()):
            self._take_out(host, key, turn)

    def find(self, connections: AccountConnections) -> tuple[str, str] | None:
        """Return the host and the key whose turn it is among those for whom there is a connection."""
        for host, keys in self._hosts.items():
            if connections.room(host) > 0:
                # Those for whom there is none hold some already, so they are few, and so are those that are paused.
                for key in keys:
                    if key not in self._paused and connections.admits(host, key):
                        return host, key
        return None

    def next(self, connections: AccountConnections) -> tuple[str, str, T]:
        """Take out the caller whose turn it is; `find` must find one."""
        found = self.find(connections)
        if found is None:
            raise LookupError("nobody may go")
        host, key = found
        turn = next(iter(self._hosts[host][key]))
        self._take_out(host, key, turn)
        if keys := self._hosts.get(host):
            self._hosts.move_to_end(host)
            if key in keys:
                keys.move_to_end(key)
        return host, key, turn

    def _take_out(self, host: str, key: str, turn: T) -> None:
        keys = self._hosts[host]
        del keys[key][turn]
        self._waiting -= 1
        if not keys[key]:
            del keys[key]
        if not keys:
            del self._hosts[host]
