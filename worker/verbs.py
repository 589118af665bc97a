"""A verb, from its options to its exit status; what performs it is imported when it is asked for, and nothing else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from importlib import import_module

from rich.console import Console

from worker.commands.command import NO_SOURCES, Command, error_json
from worker.commands.options import Asked, judge
from worker.core.fleet.report import Exit
from worker.errors import (
    JournalError,
    JournalLocked,
    JournalUnreachable,
    ManifestError,
    OutputError,
    Problem,
    SettingsError,
)
from worker.render.problems import problems_text
from worker.streams import say_unwritten

_BESIDE = {"resume": "pause", "reconcile": "pause"}
"""The verbs that stand in the file of another one; each other has a file of its own in `commands/`."""


async def perform(options: argparse.Namespace, environ: Mapping[str, str]) -> Exit:
    """Perform the verb that was asked for; say what is wrong with its input, and return its exit status."""
    terminal = sys.stdout.isatty()
    out = Console(width=None if terminal else 200, soft_wrap=not terminal, highlight=False)
    command = Command(options, Asked(), environ, out)
    try:
        # Before any file is read: what is wrong with an option is so whatever the files say.
        return await performer(options.verb)(replace(command, asked=judge(options)))
    except SettingsError as error:
        return _explain(command, Exit.USAGE, error.problems)
    except ManifestError as error:
        return _explain(command, Exit.USAGE, error.problems, error.sources)
    except OutputError as error:
        say_unwritten(error)
        return Exit.INCOMPLETE
    except JournalError as error:
        return _explain(command, _exit_of(error), (Problem("journal", 0, 0, "", str(error)),))


def performer(verb: str) -> Callable[[Command], Awaitable[Exit]]:
    """Import what performs a verb, with all that this needs."""
    found: Callable[[Command], Awaitable[Exit]] = getattr(
        import_module(f"worker.commands.{_BESIDE.get(verb, verb)}"), verb
    )
    return found


def _exit_of(error: JournalError) -> Exit:
    match error:
        case JournalLocked():
            return Exit.LOCKED
        case JournalUnreachable():
            return Exit.JOURNAL
        case _:
            return Exit.USAGE


def _explain(
    command: Command, status: Exit, problems: tuple[Problem, ...], sources: Mapping[str, bytes] = NO_SOURCES
) -> Exit:
    print(problems_text(problems, sources, color=command.errors_in_color), file=sys.stderr)
    command.show(error_json(status, problems), lambda: None)
    return status
