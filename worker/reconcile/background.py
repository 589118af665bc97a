"""Tasks that run beside a body of work, and end with it; and the wait for the first of several things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from worker.errors import WorkerError

T = TypeVar("T")


class StartTask(Protocol):
    """What begins a task beside the work of its caller."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> asyncio.Task[T]:
        """Begin the task and return it."""
        ...


@asynccontextmanager
async def background_tasks() -> AsyncIterator[StartTask]:
    """Give what starts tasks beside the body; those that still run when it ends are cancelled.

    If any of them fails, the body and the rest are cancelled, and its error is raised: of several a bug before what is
    foreseen.
    """
    started: set[asyncio.Task[Any]] = set()
    try:
        async with asyncio.TaskGroup() as tasks:

            def start(work: Coroutine[Any, Any, T], /) -> asyncio.Task[T]:
                task = tasks.create_task(work)
                started.add(task)
                task.add_done_callback(started.discard)
                return task

            try:
                yield start
            finally:
                for task in tuple(started):
                    task.cancel()
    except BaseExceptionGroup as failed:
        error = _gravest(failed)
        raise error from error.__cause__


async def first_of(*awaited: asyncio.Event | asyncio.Future[Any]) -> None:
    """Wait until any of these events is set, or of these futures is done. Cancelled, only the futures go on."""
    waits = [asyncio.ensure_future(each.wait()) for each in awaited if isinstance(each, asyncio.Event)]
    futures = [each for each in awaited if isinstance(each, asyncio.Future)]
    try:
        await asyncio.wait([*futures, *waits], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _gravest(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    errors = list(_leaves(failed))
    return next((error for error in errors if not isinstance(error, WorkerError)), errors[0])


def _leaves(failed: BaseException) -> list[BaseException]:
    if isinstance(failed, BaseExceptionGroup):
        return [leaf for error in failed.exceptions for leaf in _leaves(error)]
    return [failed]
