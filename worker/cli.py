"""Verbs, options and exit codes. What a verb needs is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from worker.core.text import visible_lines
from worker.errors import OutputError
from worker.streams import say, say_unwritten, write_no_more

DISTRIBUTION = "ims-share-worker"
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
    except KeyboardInterrupt:
        say("interrupted")
        # It may have been a result that nobody reads which was interrupted.
        write_no_more()
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
    run = verbs.add_parser("run", parents=[every, aimed], help="make one pass: observe, change, prove, report")
    run.add_argument("--deadline", metavar="TIME", help="stop submitting in time to end by then, such as 10m")
    serve = verbs.add_parser("serve", parents=[every], help="make passes on a schedule, until SIGTERM")
    serve.add_argument("--shard", metavar="I/N", help="only the I-th (from 0) of N parts of the fleet")
    verbs.add_parser("status", parents=[every], help="show jobs in flight, quarantined shares and the last passes")
    release = verbs.add_parser(
        "release", parents=[every], help="free a share from quarantine, or from a job that never ends"
    )
    release.add_argument("image", type=_name, metavar="IMAGE", help="name or id")
    release.add_argument("project", type=_name, metavar="PROJECT", help="name or id")
    approve = verbs.add_parser(
        "approve", parents=[every], help="let exactly the refused plan with this digest pass once"
    )
    approve.add_argument("digest", metavar="DIGEST", help="as the refusal printed it: sha256:...")
    verbs.add_parser("demo", parents=[every], help="reconcile a small simulated fleet: plan, run, and run again")
    simulate = verbs.add_parser("simulate", parents=[every], help="serve a simulated cloud on loopback, for rehearsal")
    simulate.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="default: any free port")
    simulate.add_argument(
        "--seed", action="append", default=[], type=Path, metavar="FILE", help="a seed, or a manifest"
    )
    simulate.add_argument("--faults", type=Path, metavar="FILE", help="what goes wrong, and when")
    return parser


@contextmanager
def _stopped_at_once(status: int) -> Iterator[None]:
    """Have a signal end the process with this status, while it has not begun anything and only imports."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: os._exit(status))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Parser(argparse.ArgumentParser):
    """A parser whose usage errors end with exit status 2, as the contract's other input errors do."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {visible_lines(message)}\nTry: {self.prog} --help\n")


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
    except SystemExit as stop:  # argparse has said why; 0 after --help and --version
        if stop.code and "--json" in arguments:
            with suppress(OutputError):
                print(json.dumps({"schema": "ims-share-worker/error/1", "exit": stop.code, "problems": []}))
        return int(stop.code or 0)
    if_stopped = 0 if options.verb == "serve" else 1
    with _stopped_at_once(if_stopped):
        from worker import verbs  # noqa: PLC0415 - `--help` and `--version` must not pay for it
        from worker.threads import Loop  # noqa: PLC0415 - as above
    # The first process of a container ignores what it has no handler for. Verbs that have work to end have their own.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(verbs.perform(options, os.environ))
    except KeyboardInterrupt:
        if if_stopped:
            raise
        return 0
