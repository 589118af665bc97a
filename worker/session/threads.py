"""An event loop whose work in threads goes on, though slower, where the system has no more threads to give."""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Work = Callable[[], None]
MOST = 16
"""Threads for what may wait: names that are looked up, files that are read, texts that are packed."""
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_MINUTE = 60.0
_LOG = logging.getLogger(__name__)


class Loop(asyncio.SelectorEventLoop):
    """The event loop of a command. Nobody waits at its end for a thread that a dead disk or name server holds."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = Threads(MOST)
        self._quiet_until = 0.0

    def run_in_executor(  # type: ignore[override]  # the base's is typed for any arguments
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run a function in a thread, by default in one of ours."""
        return super().run_in_executor(executor or self._threads, func, *args)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log what nobody else could take; of what the system refuses again and again, a line a minute."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _SCARCE):
            super().default_exception_handler(context)
        elif self.time() >= self._quiet_until:
            self._quiet_until = self.time() + _MINUTE
            _LOG.warning("%s: %s", context.get("message"), error)


class Threads(Executor):
    """At most so many threads, each begun when it is needed, which end with the process.

    A thread that the system refuses is done without: the others do its work, and where there is none the caller does
    it. That is logged, once until a thread can be had again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._idle = threading.Semaphore(0)
        self._work: SimpleQueue[_Work] = SimpleQueue()
        self._is_refused = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have a function called by the next thread that is free."""
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - whoever waits for it is to have it
                future.set_exception(error)
            else:
                future.set_result(result)

        if self._idle.acquire(blocking=False) or self._begin() or self._count:
            self._work.put(work)
        else:
            work()
        return future

    def _begin(self) -> bool:
        if self._count >= self._most:
            return False
        try:
            threading.Thread(target=self._serve, name=f"worker-{self._count}", daemon=True).start()
        except RuntimeError as error:
            if not self._is_refused:
                _LOG.warning("the system refuses a thread, so that work goes slower: %s", error)
            self._is_refused = True
            return False
        self._count += 1
        self._is_refused = False
        return True

    def _serve(self) -> None:
        work = self._work.get()
        while True:
            work()
            try:
                work = self._work.get_nowait()
            except Empty:
                self._idle.release()
                work = self._work.get()
