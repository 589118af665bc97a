"""When a pass must stop: reading and submitting first, following what was submitted a little later."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

from worker.core.stopping import Awaited

T = TypeVar("T")
_TOLD_TO_STOP = "the pass was told to stop"


_FOR_A_LAST_LOOK = 5.0
"""Seconds before the end of following in which a job is asked about once more, and its images are read; at most."""


class DeadlinePassedError(TimeoutError):
    """What was awaited is of no use any more: the pass was told to stop. No other time-out is meant by it."""


class _Deadline:
    """A moment of the loop's clock that may come nearer, and those whose waiting ends at it."""

    def __init__(self) -> None:
        self.at = math.inf
        self.passed = asyncio.Event()
        self._waits: set[asyncio.Timeout] = set()
        self._timer: asyncio.TimerHandle | None = None

    def move(self, at: float) -> None:
        """Move it to `at`, if that is nearer."""
        if at >= self.at:
            return
        self.at = at
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        if at <= loop.time():
            self.passed.set()
        else:
            self._timer = loop.call_at(at, self.passed.set)
        for wait in self._waits:
            wait.reschedule(at)

    async def until(self, awaited: Awaitable[T]) -> T:
        """Await something, up to then; then cancel it and raise DeadlinePassedError."""
        wait = asyncio.timeout_at(None if self.at == math.inf else self.at)
        self._waits.add(wait)
        try:
            async with wait:
                return await awaited
        except TimeoutError as error:
            if wait.expired():
                raise DeadlinePassedError from error
            raise
        finally:
            self._waits.discard(wait)


class Deadlines:
    """When a pass must stop. Times are the event loop's; what was asked for can only come nearer.

    `next_is_due` is set when the next pass waits for this one: jobs that take long are then left to be followed
    beside the passes. `why` says why nothing more may be submitted, where that is so. `held` is why nothing is sent
    though reading goes on, for a pass that only plans and reports; else empty. `awaited` has what is awaited of each
    batch that was sent, by the journal's key.
    """

    def __init__(self, next_is_due: asyncio.Event | None = None) -> None:
        self.next_is_due = next_is_due or asyncio.Event()
        self.why = _TOLD_TO_STOP
        self.held = ""
        self.awaited: dict[object, Awaited] = {}
        self._read = _Deadline()
        self._submit = _Deadline()
        self._last_look = _Deadline()
        self._follow = _Deadline()

    def stop(self, grace: float) -> None:
        """Submit nothing more from now on, and follow what was submitted for `grace` seconds at most."""
        now = asyncio.get_running_loop().time()
        self._end_submitting(now)
        self._end_following(now + grace)

    def stop_submitting(self, why: str = _TOLD_TO_STOP) -> None:
        """Submit nothing more from now on; what was submitted is followed as long as before."""
        if self.submitting:
            self.why = why
        self._end_submitting(asyncio.get_running_loop().time())

    def hold(self, why: str) -> None:
        """Submit nothing more from now on, and go on reading all the same: the pass plans and reports."""
        if self.submitting:
            self.held = self.why = why
        self._submit.move(asyncio.get_running_loop().time())

    def lift(self, why: str) -> None:
        """Have a pass that is held end, to make way for the next: it sends nothing, and no plan waits for it."""
        if self.held:
            self.held = self.why = why
            self._end_submitting(asyncio.get_running_loop().time())

    def finish_within(self, seconds: float, reserve: float) -> None:
        """Have the pass end `seconds` from now, and its submissions `reserve` seconds before that."""
        now = asyncio.get_running_loop().time()
        self._end_submitting(max(now, now + seconds - reserve))
        self._end_following(now + seconds)

    @property
    def submitting(self) -> bool:
        """Whether a batch may still be submitted."""
        return asyncio.get_running_loop().time() < self._submit.at

    @property
    def reading(self) -> bool:
        """Whether what is read may still be of use, to send or, where sending is held, to report."""
        return asyncio.get_running_loop().time() < self._read.at

    @property
    def submissions_over(self) -> asyncio.Event:
        """Set as soon as nothing more may be submitted."""
        return self._submit.passed

    @property
    def follow_for(self) -> float:
        """For how many seconds more what was submitted may be followed; infinity without a deadline."""
        return max(0.0, self._follow.at - asyncio.get_running_loop().time())

    @property
    def half_the_time(self) -> float:
        """When half of the time from now until reading is of no use any more is over; infinity without a deadline."""
        now = asyncio.get_running_loop().time()
        return now + max(0.0, self._read.at - now) / 2

    async def while_reading(self, awaited: Awaitable[T]) -> T:
        """Await something that is only of use while projects are read; raise DeadlinePassedError after that."""
        return await self._read.until(awaited)

    async def while_submitting(self, awaited: Awaitable[T]) -> T:
        """Await something that is only of use while batches may be submitted; raise DeadlinePassedError after that."""
        return await self._submit.until(awaited)

    async def while_following(self, awaited: Awaitable[T]) -> T:
        """Await something that is of use until following must end; raise DeadlinePassedError then."""
        return await self._follow.until(awaited)

    async def sleep_unless_due(self, seconds: float) -> bool:
        """Sleep as `sleep` does, up to the moment when the next pass is due: then there is no time left to follow."""
        return await self._sleep(_first_of(self.next_is_due, seconds), seconds) and not self.next_is_due.is_set()

    async def sleep(self, seconds: float) -> bool:
        """Sleep, at most until following must end; tell whether there is still time to follow."""
        return await self._sleep(asyncio.sleep(seconds), seconds)

    async def sleep_to_last_look(self, seconds: float, *, unless_due: bool = False) -> bool:
        """Sleep, where following must end before that only up to a moment before its end: what has ended is seen then.

        Tell whether there is still time to look. `unless_due` has it end, with no time left, when the next pass is due.
        """
        if self.is_last_look:
            return False
        try:
            await self._last_look.until(_first_of(self.next_is_due, seconds) if unless_due else asyncio.sleep(seconds))
        except DeadlinePassedError:
            return self.follow_for > 0
        return not (unless_due and self.next_is_due.is_set())

    @property
    def is_last_look(self) -> bool:
        """Whether the moment of the last look has come."""
        return asyncio.get_running_loop().time() >= self._last_look.at

    def _end_following(self, at: float) -> None:
        left = at - asyncio.get_running_loop().time()
        self._last_look.move(at - min(_FOR_A_LAST_LOOK, left / 4))
        self._follow.move(at)

    def _end_submitting(self, at: float) -> None:
        self._read.move(at)
        self._submit.move(at)

    async def _sleep(self, sleeping: Awaitable[object], seconds: float) -> bool:
        end = asyncio.get_running_loop().time() + seconds
        try:
            await self._follow.until(sleeping)
        except DeadlinePassedError:
            return False
        return end < self._follow.at


async def _first_of(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
