"""A verb, performed: from its options to its exit status, whatever is wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace

from worker.commands.command import Command, console, error_json
from worker.commands.options import Asked, judge
from worker.commands.verb import Verb
from worker.core.exit import Exit
from worker.errors import (
    JournalError,
    JournalLocked,
    JournalUnreachable,
    ManifestError,
    OutputError,
    Problem,
    SettingsError,
)
from worker.render.output import say_unwritten
from worker.render.problems import problems_text


async def perform(options: argparse.Namespace, environ: Mapping[str, str]) -> Exit:
    """Perform the verb that was asked for; say what is wrong with its input, and return its exit status."""
    out = console(options.color)
    verb: Verb = options.declared
    command = Command(options, Asked(), environ, out, verb.is_shown_live, verb.logs)
    try:
        # Before any file is read: what is wrong with an option is so whatever the files say.
        return await verb.perform(replace(command, asked=judge(options)))
    except (SettingsError, ManifestError) as error:
        return _explain(command, Exit.USAGE, error.problems)
    except OutputError as error:
        say_unwritten(error)
        return Exit.INCOMPLETE
    except JournalError as error:
        return _explain(command, _exit_of(error), (Problem.about("journal", str(error)),))


def _exit_of(error: JournalError) -> Exit:
    match error:
        case JournalLocked():
            return Exit.LOCKED
        case JournalUnreachable():
            return Exit.JOURNAL
        case _:
            return Exit.USAGE


def _explain(command: Command, status: Exit, problems: tuple[Problem, ...]) -> Exit:
    print(problems_text(problems, color=command.errors_in_color), file=sys.stderr)
    command.show(error_json(status, problems), lambda: None)
    return status
