"""Who may use keys that are not proven: few at a time, for the cloud blocks a key after a handful of refusals.

The first call goes alone. Without an answer for a while, or after a failure that says nothing about the keys, one of
another project follows, of another host where there is one: a project or a host that hangs keeps nobody else waiting.
Projects in trouble often stand together, so those that follow are spread over all that wait. No more than three are
unanswered at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from worker.errors import CloudError, Scope, TransientCloudError

_AT_ONCE: Final = 3
_SHARED_AFTER: Final = 10
"""First calls to a host in a row that proved nothing, after which those who wait are not tried one by one any more."""
_GOLDEN: Final = 0.618034
"""Multiples of the golden ratio, modulo one, are spread evenly however many there are."""


@dataclass(eq=False, slots=True)
class _Caller:
    """A call that waits to be a first one, or is: its place, its turn, and since when it has that."""

    host: str
    project_id: str
    turn: asyncio.Future[CloudError | None]
    since: float = 0.0


class Proving:
    """The calls that may prove the keys of a credential: those under way, and those that wait.

    Another call follows a first one that is not answered for `follow_after` seconds.
    """

    def __init__(self, follow_after: float) -> None:
        self._follow_after = follow_after
        self._trying: list[_Caller] = []
        self._waiting: dict[_Caller, None] = {}
        self._in_vain: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._turns = 0
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, host: str, project_id: str) -> AsyncIterator[bool]:
        """Wait for a turn, and hold it until the call is over; yield False to who waits when `over` is called.

        A call that ends with a CloudError other than a throttle has proved nothing, unless `over` was called. Raises a
        TransientCloudError with `nothing_done`, in the words of the last of them, where a few in a row have proved
        nothing at the same host. Cancelled, the turn is given on.
        """
        caller = _Caller(host, project_id, asyncio.get_running_loop().create_future())
        self._waiting[caller] = None
        self._admit()
        try:
            if failure := await caller.turn:
                # In the words of the first, so that one outage is one fact.
                shared = TransientCloudError(str(failure), nothing_done=True).caused(failure.cause)
                shared.identity_host, shared.said = failure.identity_host, failure.said
                raise shared
            yield caller in self._trying
        except CloudError as error:
            if caller in self._trying and error.scope is not Scope.THROTTLE:
                self._note(caller, error)
            raise
        finally:
            self._waiting.pop(caller, None)
            if caller in self._trying:
                self._trying.remove(caller)
            self._admit()

    def over(self) -> None:
        """Let everybody out: the keys are proven or refused. What comes later begins anew."""
        self._turns = 0
        self._in_vain.clear()
        self._failed.clear()
        self._trying.clear()
        self._let_out(list(self._waiting), None)

    def _note(self, caller: _Caller, error: CloudError) -> None:
        self._in_vain[caller.host] += 1
        self._failed[caller.project_id] += 1
        if self._in_vain[caller.host] >= _SHARED_AFTER:
            self._let_out([each for each in self._waiting if each.host == caller.host], error)

    def _let_out(self, callers: list[_Caller], error: CloudError | None) -> None:
        for caller in callers:
            del self._waiting[caller]
            if not caller.turn.done():
                caller.turn.set_result(error)

    def _admit(self) -> None:
        """Let those try who may now, and look again when the next one may."""
        now = asyncio.get_running_loop().time()
        while self._waiting and len(self._trying) < _AT_ONCE:
            free_at = max((each.since + self._follow_after for each in self._trying), default=now)
            if free_at > now:
                self._look_again(free_at)
                return
            caller = self._next()
            if caller is None:
                return
            del self._waiting[caller]
            caller.since = now
            self._trying.append(caller)
            caller.turn.set_result(None)

    def _look_again(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._admit)

    def _next(self) -> _Caller | None:
        """Return who tries next: of a project that is not trying, at the host, then of the project, least in vain."""
        projects = {each.project_id for each in self._trying}
        hosts = self._in_vain + Counter(each.host for each in self._trying)
        rank = {
            each: (hosts[each.host], self._failed[each.project_id])
            for each in self._waiting
            if each.project_id not in projects and not each.turn.done()
        }
        if not rank:
            return None
        least = min(rank.values())
        first = [each for each in rank if rank[each] == least]
        at, self._turns = int(self._turns * _GOLDEN % 1 * len(first)), self._turns + 1
        return first[at]
