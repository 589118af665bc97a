"""What a credential holds for one scope: obtained when it is first needed, and renewed before it ends.

There is one renewal at a time, for all who wait for it. It belongs to none of them: whoever gives up waiting, it goes
on. Who comes while the old authorization is still good does not wait at all.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

from worker.cloud.auth.flow import Flow, Obtained, Step, renewal_margin
from worker.cloud.request import Authorization
from worker.core.timing import RetryPolicy, retry_delay
from worker.errors import CloudError, Scope, TransientCloudError


class Drive(Protocol):
    """Carries out a flow from its first step on."""

    def __call__(self, flow: Flow, step: Step, *, is_early: bool) -> Awaitable[Obtained]:
        """Return what was obtained; raise CloudError. `is_early`: what is held is good for a while yet."""


class Held:
    """The authorization for one scope, or none yet; `begin` begins the flow that obtains it, `drive` carries it out.

    A renewal that fails while the old one is good is made again after the delays of `retry`. `is_fixed` tells that
    nothing had to be asked for it, so that no other can be had; `is_second` that the one before it was refused.
    `principal` is who it was granted to, where that was said.
    """

    def __init__(self, begin: Callable[[], Flow], drive: Drive, retry: RetryPolicy) -> None:
        self._begin = begin
        self._drive = drive
        self._retry = retry
        self.authorization: Authorization | None = None
        self.principal = ""
        self.is_fixed = False
        self.is_second = False
        self._renew_at = self._ends = -math.inf
        self._renewal: asyncio.Task[Authorization] | None = None
        self._failures = 0
        self._asked_since: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether what is held is good no more."""
        return self.authorization is not None and _now() >= self._ends

    def current(self) -> Authorization | None:
        """Return what is held, if it is good; begin to renew it where it is time for that."""
        now = _now()
        if now >= self._ends:
            return None
        if now >= self._renew_at:
            self._renewal_under_way(is_early=True)
        return self.authorization

    async def obtain(self) -> Authorization:
        """Wait until an authorization is obtained, together with all who do; raise CloudError.

        Cancelled, the others wait on.
        """
        if self._asked_since is None:
            self._asked_since = _now()
        renewal = self._renewal_under_way(is_early=False)
        return renewal if not isinstance(renewal, asyncio.Task) else await asyncio.shield(renewal)

    def silent_for(self) -> float:
        """Return since how many seconds one is waited for in vain; waits for a limit are not in vain."""
        return 0.0 if self._asked_since is None else _now() - self._asked_since

    def drop(self, *, is_refused: bool = False) -> None:
        """Let go of what is held, so that the next call obtains another."""
        self.authorization = None
        self.is_second = is_refused
        self._renew_at = self._ends = -math.inf

    async def close(self) -> None:
        """End a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    def _renewal_under_way(self, *, is_early: bool) -> asyncio.Task[Authorization] | Authorization:
        """Return the renewal, begun if there is none, or at once what needs no asking.

        Raises what went wrong in the last one, if that was no failed call.
        """
        if self._renewal is not None:
            if not self._renewal.done():
                return self._renewal
            error = self._renewal.exception()
            self._renewal = None
            if error is not None and not isinstance(error, CloudError):
                raise error
        flow = self._begin()
        try:
            step = next(flow)
        except StopIteration as done:
            self.is_fixed = True
            return self._take(Obtained(done.value.authorization))
        self.is_fixed = False
        self._renewal = asyncio.create_task(self._carry_out(flow, step, is_early=is_early))
        self._renewal.add_done_callback(_see)
        return self._renewal

    async def _carry_out(self, flow: Flow, step: Step, *, is_early: bool) -> Authorization:
        try:
            return self._take(await self._drive(flow, step, is_early=is_early))
        except CloudError as error:
            self._failures += 1
            if error.scope is Scope.THROTTLE:
                self._asked_since = None
            spread = random.random()  # noqa: S311 - it spreads waits and guards nothing
            least = error.retry_after if isinstance(error, TransientCloudError) else None
            self._renew_at = _now() + retry_delay(self._retry, self._failures, spread, least)
            raise

    def _take(self, obtained: Obtained) -> Authorization:
        self.authorization = obtained.authorization
        self.principal = obtained.principal
        self._failures = 0
        self._asked_since = None
        self._ends = _now() + obtained.life
        self._renew_at = self._ends - renewal_margin(obtained.life)
        return obtained.authorization


def _see(renewal: asyncio.Task[Authorization]) -> None:
    """Look at how a renewal failed, for nobody may have waited for it; who renews next is told what was no failure."""
    if not renewal.cancelled():
        renewal.exception()


def _now() -> float:
    return asyncio.get_running_loop().time()
