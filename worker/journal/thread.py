"""One thread for what blocks, which nobody needs to wait for for ever: not who asks it, nor the end of the process."""

from __future__ import annotations

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from worker.errors import JournalUnreachable

T = TypeVar("T")
_ANSWER_WITHIN = 30.0
_LAST_WORD = 0.5
"""Seconds for what is asked for when there is no time left: enough for a disk that is well."""


def never() -> float:
    """Return the moment at which who has all the time gives up."""
    return math.inf


class Thread:
    """Does one thing after the other, in the order in which they were asked for.

    `give_up_at` tells until when (`time.monotonic`) there is time to wait for what does not get on; it may come nearer.
    """

    def __init__(self, give_up_at: Callable[[], float] = never) -> None:
        self.give_up_at = give_up_at
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        # The executors of the standard library are waited for when the process ends, however long that takes.
        try:
            threading.Thread(target=self._run, name="journal", daemon=True).start()
        except RuntimeError as error:  # the system has no thread to give, for now
            raise JournalUnreachable(f"the journal cannot be opened: {error}") from error

    async def do(self, work: Callable[[], T]) -> T:
        """Have something done, and return or raise what comes of it; raise TimeoutError when that takes too long.

        It goes on then, and also when this is cancelled, and what comes later waits for its end.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._work.put((work, done))
        begun = time.monotonic()
        try:
            while not done.done():
                last_word = max(self.give_up_at(), begun) + _LAST_WORD
                left = min(begun + _ANSWER_WITHIN, last_word) - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait({done}, timeout=min(left, _LAST_WORD))
        finally:
            done.cancel()
        return done.result()

    def end(self) -> None:
        """Let the thread end when it has done what it was asked for."""
        self._work.put(None)

    def _run(self) -> None:
        while (asked := self._work.get()) is not None:
            work, done = asked
            try:
                tell, what = done.set_result, work()
            except BaseException as error:  # noqa: BLE001 - it is for who asked
                tell, what = done.set_exception, error
            # Where the loop has ended nobody waits.
            with suppress(RuntimeError):
                done.get_loop().call_soon_threadsafe(_settle, done, tell, what)
            del work, done, asked, tell, what


def _settle(done: asyncio.Future[Any], tell: Callable[[Any], None], what: Any) -> None:
    if not done.done():
        tell(what)
