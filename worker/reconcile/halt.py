"""When a pass must stop: submitting first, following what was submitted a little later."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class HaltedError(TimeoutError):
    """What was awaited is of no use any more: the pass was told to stop. No other time-out is meant by it."""


class _Line:
    """A moment of the loop's clock that may come nearer, and those whose waiting ends at it."""

    def __init__(self) -> None:
        self.at = math.inf
        self.passed = asyncio.Event()
        self._waits: set[asyncio.Timeout] = set()
        self._timer: asyncio.TimerHandle | None = None

    def draw(self, at: float) -> None:
        """Move the line to `at`, if that is nearer."""
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
        """Await something, up to the line; then cancel it and raise HaltedError."""
        wait = asyncio.timeout_at(None if self.at == math.inf else self.at)
        self._waits.add(wait)
        try:
            async with wait:
                return await awaited
        except TimeoutError as error:
            if wait.expired():
                raise HaltedError from error
            raise
        finally:
            self._waits.discard(wait)


class Halt:
    """When a pass must stop. Times are the event loop's; what was asked for can only come nearer.

    `next_is_due` is set when the next pass waits for this one: jobs that take long are then left to be followed
    beside the passes.
    """

    def __init__(self, next_is_due: asyncio.Event | None = None) -> None:
        self.next_is_due = next_is_due or asyncio.Event()
        self._submit = _Line()
        self._follow = _Line()

    def stop(self, grace: float) -> None:
        """Submit nothing more from now on, and follow what was submitted for `grace` seconds at most."""
        now = asyncio.get_running_loop().time()
        self._submit.draw(now)
        self._follow.draw(now + grace)

    def stop_submitting(self) -> None:
        """Submit nothing more from now on; what was submitted is followed as long as before."""
        self._submit.draw(asyncio.get_running_loop().time())

    def finish_within(self, seconds: float, reserve: float) -> None:
        """Have the pass end `seconds` from now, and its submissions `reserve` seconds before that."""
        now = asyncio.get_running_loop().time()
        self._submit.draw(max(now, now + seconds - reserve))
        self._follow.draw(now + seconds)

    @property
    def submitting(self) -> bool:
        """Whether a batch may still be submitted."""
        return asyncio.get_running_loop().time() < self._submit.at

    @property
    def submissions_over(self) -> asyncio.Event:
        """Set as soon as nothing more may be submitted."""
        return self._submit.passed

    async def while_submitting(self, awaited: Awaitable[T]) -> T:
        """Await something that is only of use while batches may be submitted; raise HaltedError after that."""
        return await self._submit.until(awaited)

    async def while_following(self, awaited: Awaitable[T]) -> T:
        """Await something that is of use until following must end; raise HaltedError then."""
        return await self._follow.until(awaited)

    async def sleep_unless_due(self, seconds: float) -> bool:
        """Sleep as `sleep` does, up to the moment when the next pass is due: then there is no time left to follow."""
        return await self._sleep(_first_of(self.next_is_due, seconds), seconds) and not self.next_is_due.is_set()

    async def sleep(self, seconds: float) -> bool:
        """Sleep, at most until following must end; tell whether there is still time to follow."""
        return await self._sleep(asyncio.sleep(seconds), seconds)

    async def _sleep(self, sleeping: Awaitable[object], seconds: float) -> bool:
        end = asyncio.get_running_loop().time() + seconds
        try:
            await self._follow.until(sleeping)
        except HaltedError:
            return False
        return end < self._follow.at


async def _first_of(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
