"""How the process begins and ends: a command line is read, its verb performed, and told how it ended."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import cast

from worker.commands.parser import DISTRIBUTION, UsageError, parse
from worker.commands.verb import Verb
from worker.core.text import json_text
from worker.errors import OutputError, Problem
from worker.render.output import say, say_unwritten, write_no_more
from worker.telemetry.standard_error import drain

_STOP = (signal.SIGTERM, signal.SIGINT)
_LAST_WORDS = 0.3
"""Seconds that a reader of standard error is waited for when a signal ends the process."""


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


@contextmanager
def _stopped_at_once(arguments: Sequence[str], verb: Verb) -> Iterator[None]:
    """Have a signal end the process, while it has not begun anything and only imports or reads its files.

    Nothing is raised for it: an exception may come where it is lost, in a destructor for one, and the signal with it.
    Nor is there a search for garbage meanwhile: what is imported and read stays, and to look it through is a tenth of
    the start.
    """

    def end(*_: object) -> None:
        status = _interrupted(arguments, verb)
        drain(_LAST_WORDS)
        os._exit(status)

    gc.disable()
    for number in _STOP:
        signal.signal(number, end)
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _interrupted(arguments: Sequence[str], verb: Verb) -> int:
    """Say that a verb was stopped before it had begun, or could only be broken off; return its exit status."""
    if not verb.if_stopped:
        return 0
    say(verb.if_stopped)
    _print_error(arguments, 1, Problem.about("", verb.if_stopped))
    # What was being printed may be a result that nobody reads.
    write_no_more()
    return 1


async def _performed(performing: Awaitable[int], until_it_waits: ExitStack) -> int:
    """Await a verb, which has begun once it waits for something; its result is told at the end.

    A signal that the verb has no way of its own to obey breaks it off then: CancelledError is raised, and
    KeyboardInterrupt the second time. After it nothing is left that a signal could stop.
    """
    loop, task = asyncio.get_running_loop(), cast("asyncio.Task[int]", asyncio.current_task())
    before = {number: signal.getsignal(number) for number in _STOP}

    def break_off(*_: object) -> None:
        if task.cancelling():
            raise KeyboardInterrupt
        task.cancel()
        loop.call_soon_threadsafe(lambda: None)  # so that it wakes

    def begun() -> None:
        for number, end in before.items():
            # Who handles signals better by now goes on doing so.
            if signal.getsignal(number) is end:
                signal.signal(number, break_off)
        until_it_waits.close()

    loop.call_soon(begun)
    try:
        return await performing
    finally:
        for number in _STOP:
            signal.signal(number, signal.SIG_IGN)


def _print_error(arguments: Sequence[str], status: int, problem: Problem) -> None:
    """Print the one document that a command without a result has, where JSON was asked for."""
    if "--json" in arguments:
        from worker.render.problems import problems_json

        document = {"schema": "ims-share-worker/error/1", "exit": status, "problems": problems_json([problem])}
        with suppress(OutputError):
            print(json_text(document), flush=True)


def _run(arguments: Sequence[str]) -> int:
    try:
        options = parse(arguments)
    except UsageError as error:
        _print_error(arguments, 2, Problem.about("command line", error.message))
        return 2
    except SystemExit:  # after --help and --version
        return 0
    verb: Verb = options.declared
    if verb.rereads:
        # It reads its files when it has begun, so that who asks for that now is served as well.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ExitStack() as until_it_waits:
        until_it_waits.enter_context(_stopped_at_once(arguments, verb))
        from worker.commands.performing import perform
        from worker.session.threads import Loop

        try:
            with asyncio.Runner(loop_factory=Loop) as runner:
                return runner.run(_performed(perform(options, os.environ), until_it_waits))
        except (asyncio.CancelledError, KeyboardInterrupt):
            return _interrupted(arguments, verb)
