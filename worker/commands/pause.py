"""`pause`: have `serve` send nothing."""

from __future__ import annotations

import argparse
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from worker.commands.verb import JOURNAL_AWAY, Verb
from worker.core.exit import Exit
from worker.errors import Problem, SettingsError

if TYPE_CHECKING:
    from worker.commands.command import Command


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--until", metavar="TIME", help="a duration such as 2h, or RFC 3339; default: until resume")


async def pause(command: Command) -> Exit:
    """Have the passes of `serve` plan and report, and send nothing, until `resume` or the time that is given."""
    from worker.commands.journal_row import instruction_document, open_for_row, show_obeyed
    from worker.core.instruction import InstructionKind

    by, at = command.by, time.time()
    until = _until(command.options.until, at)
    async with AsyncExitStack() as opened:
        journal, presence = await open_for_row(command, opened, makes=True)
        before = presence.pause
        made = None
        if journal is not None:
            made = await journal.instructions.ask(InstructionKind.PAUSE, by, at, until)
    if made is None:
        return show_obeyed(command, instruction_document(InstructionKind.PAUSE, by, at, presence), "", presence)
    instead = f" (instead of: {before.reason})" if before else ""
    how = f"; {presence.who} sends nothing more from now on" if presence.daemons else ""
    said = f"{made.reason[:1].upper()}{made.reason[1:]}{instead}{how}. `ims-share-worker resume` ends it."
    return show_obeyed(command, instruction_document(InstructionKind.PAUSE, by, at, presence, made), said, presence)


def _until(text: str | None, now: float) -> float | None:
    from worker.core.instruction import end_of_pause

    if text is None:
        return None
    try:
        return end_of_pause(text, now)
    except ValueError as error:
        raise SettingsError((Problem.about("--until", str(error), value=text),)) from error


VERB = Verb(
    "pause",
    "have serve plan and report, and send nothing",
    pause,
    "Who paused, when and until when is shown everywhere. A run by hand is not bound by it.",
    ("pause", "pause --until 2h", "pause --until 2027-01-31T18:00:00Z"),
    {0: "it was asked", 1: "nobody is at work; the pause stays for who will be", **JOURNAL_AWAY},
    add_options=_add_options,
    logs=False,
)
