"""What a verb declares of itself, so that the command line is put together from it; and options that several have.

A verb is one file in this folder: it imports at its top what is light, and what it works with in its function. So
`--help` is quick, whatever a verb needs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.core.exit import Exit

if TYPE_CHECKING:
    from worker.commands.command import Command


UNWRITTEN = "the result could not be written"
JOURNAL_AWAY = {7: "the journal cannot be reached for now: try again"}


def _none(_parser: argparse.ArgumentParser) -> None:
    """Add no option to those that every verb has."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: its name, a line of help, what performs it, and what adds its options to those that every verb has.

    `about` is a sentence or two for who asks for its help, `example` a command line or several without the program's
    name, and `exits` says what its exit statuses mean beside those that every verb has.

    `is_shown_live` tells whether a person on a terminal sees how far it is. Without `logs` it has nothing to log, and
    the logs, which take long to import, are set up only if a library has. `rereads` tells whether SIGHUP, which ends
    other verbs, has it read its files again. `if_stopped` is said when a signal ends it before it has begun; the verb
    without such words has then ended as it should.
    """

    name: str
    help: str
    perform: Callable[[Command], Awaitable[Exit]]
    about: str
    example: tuple[str, ...]
    exits: Mapping[int, str]
    add_options: Callable[[argparse.ArgumentParser], None] = _none
    is_shown_live: bool = False
    logs: bool = True
    rereads: bool = False
    if_stopped: str = "interrupted"


def name(text: str) -> str:
    """Read an argument as the manifest is read, in UTF-8, also where the locale says otherwise."""
    try:
        return os.fsencode(text).decode()
    except UnicodeDecodeError:
        return text


def add_names(parser: argparse.ArgumentParser, help_of_each: str) -> None:
    """Add `--project` and `--image`, each of which may be given again and again."""
    for option in ("--project", "--image"):
        parser.add_argument(option, action="append", default=[], type=name, metavar="NAME_OR_ID", help=help_of_each)


def add_shard(parser: argparse.ArgumentParser) -> None:
    """Add `--shard`."""
    parser.add_argument("--shard", metavar="I/N", help="only the I-th (from 0) of N parts of the fleet")


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the options that select a part of the fleet."""
    add_names(parser, "only this; repeatable")
    add_shard(parser)


def add_grouping(parser: argparse.ArgumentParser) -> None:
    """Add what says how a text is grouped, and that it is not cut."""
    parser.add_argument("--by", choices=("image", "project"), default="image", help="how it is grouped; default: image")
    parser.add_argument("--all", action="store_true", dest="every", help="show every line, however many there are")
