"""Virtual time for tests over loopback: it stands still while anything is under way, and jumps when all are waiting.

Client and server are in the test's own loop, so when no socket has anything to say and no thread is at work, nothing
can happen before the next timer. Time-outs and pauses then cost nothing, and none ends early on a slow machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import asyncio_throttle.throttler
import pytest

from worker.journal.thread import Thread

_LOOKS, _LOOK = 3, 0.001
"""How often, and for how many seconds, the system is asked once more before time jumps."""


class _Clock:
    """The time of one event loop, and what the loop runs in threads."""

    def __init__(self, loop: Any) -> None:
        self._select: Callable[[float | None], list[Any]] = loop._selector.select
        self._run: Callable[..., asyncio.Future[Any]] = loop.run_in_executor
        self._in_threads: set[object] = set()
        self._now = loop.time()
        self._ahead = time.time() - self._now

    def time(self) -> float:
        """Return the time of the loop, in seconds."""
        return self._now

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return self._now + self._ahead

    def run_in_executor(self, executor: Any, work: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Run something in a thread; time stands still until it is done."""
        future = self._run(executor, work, *arguments)
        self._in_threads.add(future)
        future.add_done_callback(self._in_threads.discard)
        return future

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Let no time pass, whatever the loop waits for."""
        reason = object()
        self._in_threads.add(reason)
        try:
            yield
        finally:
            self._in_threads.discard(reason)

    def select(self, timeout: float | None = None) -> list[Any]:
        """Return what the sockets have to say; if that is nothing, let the time pass that the loop would wait."""
        if timeout is None or timeout <= 0 or self._in_threads:
            return self._select(0 if timeout is not None and timeout <= 0 else None)
        for _ in range(_LOOKS):
            if events := self._select(_LOOK):
                return events
        self._now += timeout
        return []


@contextmanager
def virtual_time(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Put a loop, which runs, on virtual time, and with it the wall clock and the clock of asyncio-throttle."""
    clock, do = _Clock(loop), Thread.do

    async def do_without_time(thread: Thread, work: Callable[[], Any]) -> Any:
        with clock.standing_still():
            return await do(thread, work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", clock.time)
        patch.setattr(loop, "run_in_executor", clock.run_in_executor)
        patch.setattr(loop._selector, "select", clock.select)  # type: ignore[attr-defined] - asyncio has no other way in
        patch.setattr(Thread, "do", do_without_time)
        patch.setattr(time, "time", clock.wall)
        patch.setattr(asyncio_throttle.throttler, "time", SimpleNamespace(monotonic=clock.time))
        yield


def wall() -> float:
    """Return the wall clock's seconds, virtual ones too: for what would keep the function that it is given."""
    return time.time()
