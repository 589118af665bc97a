"""A bug in the work of one project stays there: it is told once, with its traceback, and the other projects go on."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from typing import TypeVar

from worker.core.events import BugFound
from worker.errors import JournalError
from worker.reconcile.ports import PassContext

T = TypeVar("T")
_FRAMES = 40
_PIECES = 60
_MAX_PIECE = 500
_OURS = "worker."


async def contained(context: PassContext, project_id: str, work: Awaitable[T], otherwise: Callable[[str], T]) -> T:
    """Await work of a single project; after a bug in it, tell of that and return what `otherwise` makes of its name.

    A bug is any exception but a JournalError, which is raised: without a journal nobody may send. Cancellation goes
    through. What was in flight stays so in the journal.
    """
    try:
        return await work
    except JournalError:
        raise
    except Exception as error:  # noqa: BLE001 - the very point: whatever it is, it is the trouble of one project alone
        bug = _bug_of(error, project_id)
        context.bugs.append(bug)
        context.emit(bug)
        return otherwise(f"a bug: {bug.what}")


def _bug_of(error: Exception, project_id: str) -> BugFound:
    first = _first(error)
    pieces = traceback.format_exception(error, limit=-_FRAMES)[-_PIECES:]
    trace = "".join(map(_shortened, pieces))
    return BugFound(project_id, f"{type(first).__name__}{_place(first) or _place(error)}", trace)


def _shortened(piece: str) -> str:
    """Cut a long piece of a traceback between two words, so that no half of a key is left at its end."""
    return piece if len(piece) <= _MAX_PIECE else f"{piece[:_MAX_PIECE].rpartition(' ')[0]} ...\n"


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _place(error: BaseException) -> str:
    """Return where in this package an exception arose, or passed last."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_OURS):
            place = f" in {module}.{frame.f_code.co_name}, line {line}"
    return place
