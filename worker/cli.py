"""Verbs, options and exit codes. What a verb needs is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from worker.core.text import json_text
from worker.errors import OutputError, Problem
from worker.streams import say, say_unwritten, write_no_more
from worker.telemetry.standard_error import drain

DISTRIBUTION = "ims-share-worker"
_LAST_WORDS = 0.3
"""Seconds that a reader of standard error is waited for when a signal ends the process."""
_EXITS = """\
exit status:
  0   converged, or nothing to do
  1   some shares failed, are absent, unknown, quarantined or not settled; or the result could not be written
  2   usage, settings or manifest error
  3   a guard refused the plan
  4   the cloud could not be reached or refused the credentials
  5   another worker holds the journal
  6   plan --fail-on-drift found changes
  7   the journal cannot be reached for now: try again
  70  a bug
"""


def run_command(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; whatever goes wrong is said on standard error."""
    try:
        status = _run(arguments)
    except OutputError as error:
        say_unwritten(error)
        status = 1
    except KeyboardInterrupt:  # at a moment when there was nothing to end in order
        say("interrupted")
        status = 1
    except Exception:  # noqa: BLE001 - the last resort: whatever it is, it is a bug, and has its own exit status
        say(f"{traceback.format_exc()}This is a bug in {DISTRIBUTION}; please report it with the lines above.")
        status = 70
    try:
        sys.stdout.flush()
    except OutputError as error:
        say_unwritten(error)
        status = status or 1
    sys.stderr.flush()
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser: argparse.ArgumentParser = _Parser(
        prog=DISTRIBUTION,
        parents=[_common_options()],
        description="Accept and reject shared images across a fleet of projects, in batches, and prove the result.",
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    every, aimed = _common_options(argparse.SUPPRESS), _targeting_options()

    verbs.add_parser("check", parents=[every], help="read config and manifest offline, and print every problem at once")
    plan = verbs.add_parser("plan", parents=[every, aimed], help="observe, and print what a run would do")
    plan.add_argument("--fail-on-drift", action="store_true", help="exit with 6 when there are changes")
    plan.add_argument("--out", type=Path, metavar="FILE", help="save the plan, for `approve FILE`")
    run = verbs.add_parser("run", parents=[every, aimed], help="make one pass: observe, change, prove, report")
    run.add_argument("--deadline", metavar="TIME", help="stop submitting in time to end by then, such as 10m")
    serve = verbs.add_parser("serve", parents=[every], help="make passes on a schedule, until SIGTERM")
    serve.add_argument("--shard", metavar="I/N", help="only the I-th (from 0) of N parts of the fleet")
    verbs.add_parser("status", parents=[every], help="show jobs in flight, quarantined shares and the last passes")
    _add_hands_on_the_daemon(verbs, every)
    verbs.add_parser("demo", parents=[every], help="reconcile a small simulated fleet: plan, run, and run again")
    simulate = verbs.add_parser("simulate", parents=[every], help="serve a simulated cloud on loopback, for rehearsal")
    simulate.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="default: any free port")
    simulate.add_argument(
        "--seed", action="append", default=[], type=Path, metavar="FILE", help="a seed, or a manifest"
    )
    simulate.add_argument("--faults", type=Path, metavar="FILE", help="what goes wrong, and when")
    return parser


def _add_hands_on_the_daemon(verbs: argparse._SubParsersAction[_Parser], every: _Parser) -> None:
    """Add the verbs that write a short row into the journal, beside the worker that holds it."""
    release = verbs.add_parser(
        "release", parents=[every], help="free shares from quarantine, or one from a job that never ends"
    )
    release.add_argument("image_name", nargs="?", type=_name, metavar="IMAGE", help="name or id")
    release.add_argument("project_name", nargs="?", type=_name, metavar="PROJECT", help="name or id")
    for option in ("--project", "--image"):
        release.add_argument(
            option, action="append", default=[], type=_name, metavar="NAME_OR_ID", help="of the quarantine, this"
        )
    release.add_argument(
        "--reason", action="append", default=[], metavar="CODE", help="of the quarantine, what failed with this code"
    )
    release.add_argument("--all", action="store_true", dest="every", help="all of the quarantine")
    approve = verbs.add_parser(
        "approve", parents=[every], help="let exactly the refused plan with this digest pass once"
    )
    approve.add_argument(
        "digest", metavar="DIGEST", help="as the refusal printed it: sha256:..., or a file of plan --out"
    )
    approve.add_argument("--force", action="store_true", help="also one that no refused pass has")
    verbs.add_parser("reconcile", parents=[every], help="have the running serve begin a pass now")
    pause = verbs.add_parser("pause", parents=[every], help="have serve plan and report, and send nothing")
    pause.add_argument("--until", metavar="TIME", help="a duration such as 2h, or RFC 3339; default: until resume")
    verbs.add_parser("resume", parents=[every], help="have serve send again, and begin a pass now")


@contextmanager
def _stopped_at_once(arguments: Sequence[str], verb: str) -> Iterator[None]:
    """Have a signal end the process, while it has not begun anything and only imports."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def end(*_: object) -> None:
        status = _interrupted(arguments, verb)
        drain(_LAST_WORDS)
        os._exit(status)

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupted(arguments: Sequence[str], verb: str) -> int:
    """Say that a verb was stopped before it had begun, or could only be broken off; return its exit status."""
    if verb == "serve":
        return 0
    message = "interrupted: nothing was sent" if verb == "run" else "interrupted"
    say(message)
    _print_error(arguments, 1, Problem("", 0, 0, "", message))
    # What was being printed may be a result that nobody reads.
    write_no_more()
    return 1


async def _performed(performing: Awaitable[int]) -> int:
    """Await a verb; its result is told then, and nothing is left that a signal could stop."""
    status = await performing
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    return status


class _UsageError(SystemExit):
    """The command line is wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(2)
        self.message = message


class _Parser(argparse.ArgumentParser):
    """A parser whose usage errors end with exit status 2, as the contract's other input errors do."""

    def error(self, message: str) -> NoReturn:
        say(f"{self.prog}: {message}\nTry: {self.prog} --help")
        raise _UsageError(message)


def _common_options(absent: object = None) -> _Parser:
    """Return the options that stand before the verb or after it; `absent` is what they are where they are not given."""
    options = _Parser(add_help=False)
    config = "default: $IMS_WORKER_CONFIG, or ./config.toml"
    formats = ("auto", "console", "json")
    options.add_argument("--config", type=Path, metavar="PATH", default=absent, help=config)
    options.add_argument(
        "--json", action="store_true", default=absent or False, help="print one JSON document on standard output"
    )
    options.add_argument("--log-format", choices=formats, default=absent or "auto", help="default: auto")
    options.add_argument("-v", "--verbose", action="store_true", default=absent or False, help="log every step")
    options.add_argument("--version", action="version", version=f"{DISTRIBUTION} {_version()}")
    return options


def _print_error(arguments: Sequence[str], status: int, problem: Problem) -> None:
    """Print the one document that a command without a result has, where JSON was asked for."""
    # As argparse does, which takes the beginning of an option's name for all of it.
    if any(len(each) > 2 and "--json".startswith(each) for each in arguments):
        document = {"schema": "ims-share-worker/error/1", "exit": status, "problems": [asdict(problem)]}
        with suppress(OutputError):
            print(json_text(document), flush=True)


def _name(text: str) -> str:
    """Read an argument as the manifest is read, in UTF-8, also where the locale says otherwise."""
    try:
        return os.fsencode(text).decode()
    except UnicodeDecodeError:
        return text


def _targeting_options() -> _Parser:
    options = _Parser(add_help=False)
    for option in ("--project", "--image"):
        options.add_argument(
            option, action="append", default=[], type=_name, metavar="NAME_OR_ID", help="only this; repeatable"
        )
    options.add_argument("--shard", metavar="I/N", help="only the I-th (from 0) of N parts of the fleet")
    return options


def _version() -> str:
    return version(DISTRIBUTION)


def _run(arguments: Sequence[str]) -> int:
    try:
        options = build_parser().parse_args(arguments)
    except _UsageError as error:
        _print_error(arguments, 2, Problem("command line", 0, 0, "", error.message))
        return 2
    except SystemExit:  # after --help and --version
        return 0
    if options.verb == "serve":
        # It reads its files when it has begun, so that who asks for that now is served as well.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with _stopped_at_once(arguments, options.verb):
        # What is imported stays: looking for garbage in it meanwhile is a tenth of the start.
        gc.disable()
        from worker import verbs  # noqa: PLC0415 - `--help` and `--version` must not pay for it
        from worker.threads import Loop  # noqa: PLC0415 - as above

        verbs.performer(options.verb)
        gc.freeze()
        gc.enable()
    # The first process of a container ignores what it has no handler for, and a shell has what it starts in the
    # background ignore SIGINT. Verbs that have work to end have their own.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(_performed(verbs.perform(options, os.environ)))
    except KeyboardInterrupt:
        return _interrupted(arguments, options.verb)
