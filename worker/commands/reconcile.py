"""`reconcile`: have a running `serve` begin a pass now."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from worker.commands.verb import JOURNAL_AWAY, Verb
from worker.core.exit import Exit

if TYPE_CHECKING:
    from worker.commands.command import Command


async def reconcile(command: Command) -> Exit:
    """Have a running `serve` begin a pass now; nothing is left behind for one that is not there."""
    from worker.commands.journal_row import instruction_document, open_for_row, show_obeyed
    from worker.core.instruction import InstructionKind

    by, at = command.by, time.time()
    async with AsyncExitStack() as opened:
        journal, presence = await open_for_row(command, opened)
        made = None
        if journal is not None and presence.daemons:
            made = await journal.instructions.ask(InstructionKind.RECONCILE, by, at)
    paused = f"; it sends nothing: {presence.pause.reason}" if presence.pause else ""
    said = f"Asked: {presence.begins()}{paused}." if made else ""
    return show_obeyed(command, instruction_document(InstructionKind.RECONCILE, by, at, presence, made), said, presence)


VERB = Verb(
    "reconcile",
    "have the running serve begin a pass now",
    reconcile,
    "Takes effect at once, whatever the schedule says.",
    ("reconcile",),
    {0: "it was asked", 1: "nobody is at work", **JOURNAL_AWAY},
    logs=False,
)
