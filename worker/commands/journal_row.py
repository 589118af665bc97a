"""A short row that a command writes into the journal beside the worker that holds it; who would obey it, and when."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from worker.commands.command import Command
from worker.core.exit import Exit
from worker.core.instruction import Instruction, InstructionKind, Presence
from worker.errors import JournalError, JournalMissing
from worker.journal.database import MEMORY
from worker.journal.presence import at_work
from worker.journal.store import Journal, open_journal
from worker.render.journal_json import instruction_json, pause_json
from worker.render.output import say
from worker.wiring import journal_url


def journal_to_write(url: str, *, makes: bool = False) -> AbstractAsyncContextManager[Journal]:
    """Open the journal for one short write beside the worker that holds it; none is made, unless that `makes` it.

    Raises JournalError, also for a journal in memory: nobody else would see what is written there.
    """
    if url == MEMORY:
        raise JournalError("a journal in memory is gone when the command ends, so there is nothing to write to")
    return open_journal(url, makes=makes)


async def presence_at(url: str, journal: Journal) -> Presence:
    """Return who is at work on a journal and what stands there; raise JournalError."""
    holders = await at_work(url, journal)
    return Presence(
        tuple(str(each) for each in holders if each.is_daemon),
        tuple(str(each) for each in holders if not each.is_daemon),
        (await journal.instructions.standing(time.time())).pause,
        journal.instructions.are_known,
    )


async def presence_after(url: str, journal: Journal) -> Presence:
    """Return the same after something was written; what cannot be told of them is nobody, for the row is there."""
    try:
        return await presence_at(url, journal)
    except JournalError:
        return Presence()


def presence_json(presence: Presence) -> dict[str, Any]:
    """Return who is at work, and whether a pause holds, as JSON."""
    return {
        "daemons": list(presence.daemons),
        "others": list(presence.others),
        "paused": pause_json(presence.pause),
    }


async def open_for_row(
    command: Command, opened: AsyncExitStack, *, makes: bool = False
) -> tuple[Journal | None, Presence]:
    """Open the journal for a row, and tell who is at work; where there is no journal, nobody is."""
    loaded = command.configure()
    url = journal_url(loaded.settings)
    try:
        journal = await opened.enter_async_context(journal_to_write(url, makes=makes))
    except JournalMissing as missing:
        command.note((str(missing),))
        return None, Presence()
    command.note(journal.notes)
    return journal, await presence_at(url, journal)


def instruction_document(
    asked: InstructionKind, by: str, at: float, presence: Presence, made: Instruction | None = None
) -> dict[str, Any]:
    """Return the document of a verb that writes an instruction; `written` tells whether its row is in the journal."""
    told = made or Instruction(0, asked, by, at)
    return {
        "schema": f"ims-share-worker/{asked}/1",
        **instruction_json(told),
        "written": made is not None,
        "at_work": presence_json(presence),
    }


def show_obeyed(command: Command, document: dict[str, Any], said: str, presence: Presence) -> Exit:
    """Print what was done, if anything was; say where nobody is there to do it, which is an exit status of its own."""
    shown = command.show(document, lambda: print(said) if said else None)
    if presence.daemons:
        return shown
    say(presence.nobody())
    return Exit.INCOMPLETE
