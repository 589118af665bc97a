"""`pause`, `resume` and `reconcile`: short rows in the journal, which a running `serve` looks for."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Any

from worker.commands.command import Command, who
from worker.commands.presence import presence_at, presence_json
from worker.commands.writing import journal_to_write
from worker.core.fleet.report import Exit
from worker.core.instruction import Instruction, Presence, Verb, end_of_pause
from worker.errors import JournalMissing, Problem, SettingsError
from worker.journal.store import Journal
from worker.render.status import instruction_json
from worker.streams import say
from worker.wiring.site import journal_url


async def pause(command: Command) -> Exit:
    """Have the passes of `serve` plan and report, and send nothing, until `resume` or the time that is given."""
    by, at = who(), time.time()
    until = _until(command.options.until, at)
    async with AsyncExitStack() as opened:
        journal, presence = await _open(command, opened, makes=True)
        before = presence.pause
        made = None
        if journal is not None:
            made = await journal.instructions.ask(Verb.PAUSE, by, at, until)
    if made is None:
        return _show(command, _document(Verb.PAUSE, by, at, presence), "", presence)
    instead = f" (instead of: {before.reason})" if before else ""
    how = f"; {presence.who} sends nothing more from now on" if presence.daemons else ""
    said = f"{made.reason[:1].upper()}{made.reason[1:]}{instead}{how}. `ims-share-worker resume` ends it."
    return _show(command, _document(Verb.PAUSE, by, at, presence, made), said, presence)


async def resume(command: Command) -> Exit:
    """Have the passes of `serve` send again, beginning with one now."""
    by, at = who(), time.time()
    async with AsyncExitStack() as opened:
        journal, presence = await _open(command, opened)
        ended = await journal.instructions.resume(by, at) if journal is not None else None
    how = f" {presence.begins()}." if presence.daemons else ""
    said = f"No longer {ended.reason}.{how}" if ended else "Nothing was paused."
    document = _document(Verb.RESUME, by, at, presence) | {"ended": instruction_json(ended) if ended else None}
    return _show(command, document, said, presence)


async def reconcile(command: Command) -> Exit:
    """Have a running `serve` begin a pass now; nothing is left behind for one that is not there."""
    by, at = who(), time.time()
    async with AsyncExitStack() as opened:
        journal, presence = await _open(command, opened)
        made = None
        if journal is not None and presence.daemons:
            made = await journal.instructions.ask(Verb.RECONCILE, by, at)
    paused = f"; it sends nothing: {presence.pause.reason}" if presence.pause else ""
    said = f"Asked: {presence.begins()}{paused}." if made else ""
    return _show(command, _document(Verb.RECONCILE, by, at, presence, made), said, presence)


async def _open(command: Command, opened: AsyncExitStack, *, makes: bool = False) -> tuple[Journal | None, Presence]:
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


def _until(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    try:
        return end_of_pause(text, now)
    except ValueError as error:
        raise SettingsError((Problem("--until", 0, 0, "", str(error), text),)) from error


def _document(asked: Verb, by: str, at: float, presence: Presence, made: Instruction | None = None) -> dict[str, Any]:
    """Return the document of one of these verbs; `written` tells whether its row is in the journal."""
    told = made or Instruction(0, asked, by, at)
    return {
        "schema": f"ims-share-worker/{asked}/1",
        **instruction_json(told),
        "written": made is not None,
        "at_work": presence_json(presence),
    }


def _show(command: Command, document: dict[str, Any], said: str, presence: Presence) -> Exit:
    """Print what was done, if anything was; say where nobody is there to do it, which is an exit status of its own."""
    shown = command.show(document, lambda: print(said) if said else None)
    if presence.daemons:
        return shown
    say(presence.nobody())
    return Exit.INCOMPLETE
