"""The command line, put together from what each verb declares, and its help."""

from __future__ import annotations

import argparse
import difflib
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from worker.commands import (
    approve,
    check,
    demo,
    doctor,
    help,  # noqa: A004 - the name of the verb
    pause,
    plan,
    reconcile,
    release,
    resume,
    run,
    serve,
    simulate,
    status,
)
from worker.commands.verb import Verb
from worker.render.output import say

DISTRIBUTION = "ims-share-worker"
VERBS = (
    check.VERB,
    plan.VERB,
    run.VERB,
    serve.VERB,
    status.VERB,
    release.VERB,
    approve.VERB,
    reconcile.VERB,
    pause.VERB,
    resume.VERB,
    doctor.VERB,
    demo.VERB,
    simulate.VERB,
    help.VERB,
)
"""Every verb, in the order of the help."""
_ABOUT = "Accept and reject shared images across a fleet of projects, in batches, and prove the result."
_EXITS = {
    0: "converged, or nothing to do",
    1: "some shares failed, are absent, unknown, quarantined or not settled; or the result could not be written",
    2: "usage, settings or manifest error",
    3: "a guard refused the plan",
    4: "the cloud could not be reached or refused the credentials",
    5: "another worker holds the journal",
    6: "plan --fail-on-drift found changes",
    7: "the journal cannot be reached for now: try again",
    70: "a bug",
}
_OF_EACH = {each: _EXITS[each] for each in (2, 70)}
_WIDEST = 100


class UsageError(SystemExit):
    """The command line is wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(2)
        self.message = message


class Parser(argparse.ArgumentParser):
    """A parser whose usage errors end with exit status 2, as the contract's other input errors do.

    The beginning of an option's name is not taken for it: what it stood for today may be something else tomorrow.
    """

    def __init__(self, **keywords: Any) -> None:
        super().__init__(allow_abbrev=False, **keywords)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and raise UsageError."""
        say(f"{self.prog}: {message}\nTry: {self.prog} --help")
        raise UsageError(message)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Refuse what is none of the choices, with the one that may be meant."""
        if action.choices is not None and value not in action.choices:
            known = [str(each) for each in action.choices]
            raise argparse.ArgumentError(action, f"{str(value)!r} is none of {', '.join(known)}{_meant(value, known)}")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what a command line asks for; raise UsageError where it is wrong, SystemExit after help or version."""
    parser, of_verbs = parsers()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        of_verb = of_verbs[options.verb]
        # What follows an option that is unknown may be its value, or an argument too many.
        first = next((each for each in unknown if each.startswith("-")), unknown[0])
        name = first.partition("=")[0]
        hint = _meant(name, option_names(of_verb)) if first.startswith("-") else ""
        of_verb.error(f"{'unknown option' if first.startswith('-') else 'unexpected argument'} {name!r}{hint}")
    return options


def help_of(verb: str | None, width: int | None = None) -> str:
    """Return the help of a verb, or of the whole, in lines of `width` characters, by default the terminal's."""
    parser, of_verbs = parsers(width)
    return (of_verbs[verb] if verb else parser).format_help()


def option_names(parser: argparse.ArgumentParser) -> list[str]:
    """Return the names of a parser's options."""
    return [name for action in parser._actions for name in action.option_strings]  # noqa: SLF001 - argparse has no other


def parsers(width: int | None = None) -> tuple[Parser, dict[str, Parser]]:
    """Return the parser of the command line, and that of each verb by its name."""
    width = width or _width()
    formatter = partial(argparse.RawDescriptionHelpFormatter, width=width)
    parser = Parser(
        prog=DISTRIBUTION,
        parents=[_common_options()],
        description=textwrap.fill(_ABOUT, width),
        epilog=_exits(_EXITS, width),
        formatter_class=formatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    every = _common_options(argparse.SUPPRESS)
    of_verbs = {}
    for verb in VERBS:
        of_verbs[verb.name] = of_verb = verbs.add_parser(
            verb.name,
            parents=[every],
            help=verb.help,
            description=_description(verb, width),
            epilog=_epilog(verb, width),
            formatter_class=formatter,
        )
        of_verb.set_defaults(declared=verb)
        verb.add_options(of_verb)
    return parser, of_verbs


def _common_options(absent: object = None) -> Parser:
    """Return the options that stand before the verb or after it; `absent` is what they are where they are not given."""
    options = Parser(add_help=False)
    config = "default: $IMS_WORKER_CONFIG, or ./config.toml"
    formats = ("auto", "console", "json")
    options.add_argument("--config", type=Path, metavar="PATH", default=absent, help=config)
    options.add_argument(
        "--json", action="store_true", default=absent or False, help="print one JSON document on standard output"
    )
    options.add_argument("--log-format", choices=formats, default=absent or "auto", help="default: auto")
    colors = ("auto", "always", "never")
    options.add_argument("--color", choices=colors, default=absent or "auto", help="default: auto, on a terminal")
    how_much = options.add_mutually_exclusive_group()
    how_much.add_argument("-v", "--verbose", action="store_true", default=absent or False, help="log every step")
    how_much.add_argument(
        "-q", "--quiet", action="store_true", default=absent or False, help="print nothing while all is well"
    )
    options.add_argument("--version", action="version", version=f"{DISTRIBUTION} {version(DISTRIBUTION)}")
    return options


def _description(verb: Verb, width: int) -> str:
    return textwrap.fill(f"{verb.help[:1].upper()}{verb.help[1:]}. {verb.about}", width)


def _epilog(verb: Verb, width: int) -> str:
    examples = "".join(f"  {DISTRIBUTION} {each}\n" for each in verb.example)
    return f"example:\n{examples}\n{_exits({**verb.exits, **_OF_EACH}, width)}"


def _exits(exits: Mapping[int, str], width: int) -> str:
    lines = (
        textwrap.fill(exits[each], width, initial_indent=f"  {each:<4}", subsequent_indent=" " * 6)
        for each in sorted(exits)
    )
    return "exit status:\n" + "\n".join(lines)


def _meant(word: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(word), known, 1)
    return f": did you mean {close[0]!r}?" if close else ""


def _width() -> int:
    return max(40, min(_WIDEST, shutil.get_terminal_size().columns - 2))
