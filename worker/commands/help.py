"""`help`: print the help of a verb, the manual page, or a shell's completion of the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from worker.commands.verb import UNWRITTEN, Verb
from worker.core.exit import Exit

if TYPE_CHECKING:
    from worker.commands.command import Command

SCHEMA = "ims-share-worker/help/1"
SHELLS = ("bash", "zsh", "fish")


def _add_options(parser: argparse.ArgumentParser) -> None:
    from worker.commands.parser import VERBS

    names = [verb.name for verb in VERBS]
    parser.add_argument("of", nargs="?", choices=names, metavar="VERB", help="default: the whole")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--man", action="store_true", help="print the manual page instead, for man")
    instead.add_argument("--completion", choices=SHELLS, help="print what completes the command line in that shell")


async def help(command: Command) -> Exit:  # noqa: A001 - the name of the verb
    """Print the help of a verb or of the whole, the manual page, or a shell's completion."""
    from worker.commands.manual import completion, manual_page
    from worker.commands.parser import help_of

    options = command.options
    if options.man:
        text = manual_page()
    elif options.completion:
        text = completion(options.completion)
    else:
        text = help_of(options.of)
    return command.show({"schema": SCHEMA, "text": text}, lambda: print(text, end=""), is_well=False)


VERB = Verb(
    "help",
    "print the help of a verb",
    help,
    "Also the manual page, and the completion of the command line for your shell.",
    ("help plan", "help --man | man -l -", 'help --completion bash > "$HOME/.ims-share-worker.bash"'),
    {0: "it is printed", 1: UNWRITTEN},
    add_options=_add_options,
    logs=False,
)
