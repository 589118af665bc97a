"""The connections of the process, shared out between accounts and hosts; who waits for one is told when one is free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from worker.core.allotment import Allotment, Lane


class Pool:
    """The connections of the process: `size` of them, for all accounts."""

    def __init__(self, size: int) -> None:
        self.allotment = Allotment(size)
        self._waiting: dict[AccountConnections, Callable[[], None]] = {}

    def of_account(self, account: str) -> AccountConnections:
        """Return what an account sees of it."""
        return AccountConnections(self, account)

    def wait(self, connections: AccountConnections, look: Callable[[], None]) -> None:
        """Call `look` once, as soon as there may be a connection for an account."""
        self._waiting[connections] = look

    def tell(self) -> None:
        """Let those who wait look whether there is a connection for them: who holds least looks first."""
        waiting, self._waiting = self._waiting, {}
        for _, look in sorted(waiting.items(), key=lambda each: each[0].held):
            look()


class AccountConnections:
    """The connections of one account, by host: which it may have, holds, and since when a host is silent."""

    def __init__(self, pool: Pool, account: str) -> None:
        self._pool = pool
        self._account = account
        self._silent_since: dict[str, float] = {}
        self.held = 0

    def know(self, host: str) -> None:
        """Have a share for a host from now on, although there is no call yet."""
        self._pool.allotment.know(self._lane(host))

    def room(self, host: str) -> int:
        """Return how many more connections to a host that is known there may be."""
        return self._pool.allotment.room(self._lane(host))

    def admits(self, host: str, project: str) -> bool:
        """Tell whether a project may have a connection to a host that is known."""
        return self._pool.allotment.admits(self._lane(host), project)

    def take(self, host: str, project: str) -> None:
        """Have a project hold one more connection to a host."""
        self._pool.allotment.take(self._lane(host), project)
        self._silent_since.setdefault(host, _now())
        self.held += 1

    def release(self, host: str, project: str) -> None:
        """Give a connection back, and let whoever waits for one look."""
        self._pool.allotment.release(self._lane(host), project)
        self.held -= 1
        self._pool.tell()

    def rest(self, host: str) -> None:
        """Note that nobody waits for a host; where nothing is under way either, it begins anew with the next call."""
        lane = self._lane(host)
        if not self._pool.allotment.held(lane):
            self._pool.allotment.rest(lane)
            self._silent_since.pop(host, None)

    def wait(self, look: Callable[[], None]) -> None:
        """Call `look` once, as soon as there may be another connection."""
        self._pool.wait(self, look)

    def heard(self, host: str, *, answered: bool) -> None:
        """Note that a call to a host, whose connection is still held, has ended, and whether by an answer."""
        if answered:
            self._pool.allotment.answered(self._lane(host))
            self._silent_since[host] = _now()
        else:
            self._pool.allotment.unanswered(self._lane(host))

    def silent_for(self, host: str) -> float:
        """Return since how many seconds calls to a host are under way and none is answered."""
        since = self._silent_since.get(host)
        return 0.0 if since is None else _now() - since

    def _lane(self, host: str) -> Lane:
        return self._account, host


def _now() -> float:
    return asyncio.get_running_loop().time()
