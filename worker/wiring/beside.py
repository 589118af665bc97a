"""Work that runs beside other work, and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from worker.errors import WorkerError
from worker.reconcile.follow import Start


@asynccontextmanager
async def beside() -> AsyncIterator[Start]:
    """Give what starts work beside the body; it is cancelled when the body ends.

    If any of it fails, the body and the rest are cancelled, and its error is raised: of several a bug before what is
    foreseen.
    """
    started: set[asyncio.Task[None]] = set()
    try:
        async with asyncio.TaskGroup() as tasks:

            def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
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
        raise _gravest(failed) from None


def _gravest(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    errors = list(_leaves(failed))
    return next((error for error in errors if not isinstance(error, WorkerError)), errors[0])


def _leaves(failed: BaseException) -> list[BaseException]:
    if isinstance(failed, BaseExceptionGroup):
        return [leaf for error in failed.exceptions for leaf in _leaves(error)]
    return [failed]
