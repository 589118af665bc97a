"""One moment of the event loop's clock that may come nearer, and those whose waiting ends at it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_FOR_A_LAST_LOOK = 5.0
"""Seconds before the end of following in which a job is asked about once more, and its images are read; at most."""


class DeadlinePassedError(TimeoutError):
    """What was awaited is of no use any more: the pass was told to stop. No other time-out is meant by it."""


class Deadline:
    """A moment that may come nearer, and at first is never: `at`, by the event loop's clock; `passed` is set then."""

    def __init__(self) -> None:
        self.at = math.inf
        self.passed = asyncio.Event()
        self._waits: set[asyncio.Timeout] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Whether the moment has come."""
        return asyncio.get_running_loop().time() >= self.at

    @property
    def left(self) -> float:
        """The seconds until then, at least none; infinity as long as it is never."""
        return max(0.0, self.at - asyncio.get_running_loop().time())

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


class FollowDeadline(Deadline):
    """When to follow no longer what was submitted; a moment before that, there is a last look.

    `next_is_due` is set when the next pass waits for this one: those who sleep `unless_due` give way to it.
    """

    def __init__(self, next_is_due: asyncio.Event) -> None:
        super().__init__()
        self.next_is_due = next_is_due
        self.last_look = Deadline()

    def move(self, at: float) -> None:
        """Move it to `at`, if that is nearer, and the last look with it."""
        left = at - asyncio.get_running_loop().time()
        self.last_look.move(at - min(_FOR_A_LAST_LOOK, left / 4))
        super().move(at)

    async def sleep(self, seconds: float, *, unless_due: bool = False) -> bool:
        """Sleep, at most until then; tell whether there is still time to follow.

        `unless_due` has it end, with no time left, when the next pass is due.
        """
        end = asyncio.get_running_loop().time() + seconds
        try:
            await self.until(self._rest(seconds, unless_due=unless_due))
        except DeadlinePassedError:
            return False
        return end < self.at and not (unless_due and self.next_is_due.is_set())

    async def wait_to_last_look(self, turn: asyncio.Future[None], seconds: float, *, unless_due: bool = False) -> bool:
        """Wait for a turn to look, for some seconds, and no longer than to the last look: what has ended is seen then.

        Tell whether there is still time to look. `unless_due` is as for `sleep`.
        """
        if self.last_look.is_over:
            return False
        due = asyncio.ensure_future(self.next_is_due.wait()) if unless_due else None
        try:
            awaited: set[asyncio.Future[Any]] = {turn} if due is None else {turn, due}
            timeout = None if seconds == math.inf else seconds
            await self.last_look.until(asyncio.wait(awaited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED))
        except DeadlinePassedError:
            return not self.is_over
        finally:
            if due is not None:
                due.cancel()
        return not (unless_due and self.next_is_due.is_set())

    async def _rest(self, seconds: float, *, unless_due: bool) -> None:
        if not unless_due:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self.next_is_due.wait(), seconds)
