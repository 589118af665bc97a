"""`resume`: have `serve` send again."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from worker.commands.verb import JOURNAL_AWAY, Verb
from worker.core.exit import Exit

if TYPE_CHECKING:
    from worker.commands.command import Command


async def resume(command: Command) -> Exit:
    """Have the passes of `serve` send again, beginning with one now."""
    from worker.commands.journal_row import instruction_document, open_for_row, show_obeyed
    from worker.core.instruction import InstructionKind
    from worker.render.journal_json import instruction_json

    by, at = command.by, time.time()
    async with AsyncExitStack() as opened:
        journal, presence = await open_for_row(command, opened)
        ended = await journal.instructions.resume(by, at) if journal is not None else None
    how = f" {presence.begins()}." if presence.daemons else ""
    said = f"No longer {ended.reason}.{how}" if ended else "Nothing was paused."
    document = instruction_document(InstructionKind.RESUME, by, at, presence) | {
        "ended": instruction_json(ended) if ended else None
    }
    return show_obeyed(command, document, said, presence)


VERB = Verb(
    "resume",
    "have serve send again, and begin a pass now",
    resume,
    "Ends a pause.",
    ("resume",),
    {0: "it was asked", 1: "nobody is at work", **JOURNAL_AWAY},
    logs=False,
)
