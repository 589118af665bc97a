"""What each verb does, from its options to its exit status."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import re
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from worker.cloud.ims import Ims
from worker.core.events import Event, Listener
from worker.core.fleet.report import Exit, exit_of_plan, exit_of_report
from worker.core.fleet.shards import Shard, parse_shard
from worker.core.manifest.model import Manifest
from worker.core.text import json_text, visible
from worker.core.timing import parse_duration
from worker.errors import (
    JournalError,
    JournalLocked,
    JournalUnreachable,
    ManifestError,
    OutputError,
    Problem,
    SettingsError,
)
from worker.journal.batch_sizes import by_key
from worker.journal.rows import WAY_OUT
from worker.journal.store import read_journal
from worker.render.check import CheckView, check_json, check_text
from worker.render.names import Names
from worker.render.plan import plan_json, print_plan, view_of
from worker.render.problems import problems_json, problems_text
from worker.render.report import print_report, report_json
from worker.render.status import StatusView, print_status, status_json
from worker.settings import Loaded, load_settings
from worker.streams import say, say_unwritten
from worker.telemetry.logs import log_call, log_event, set_up
from worker.telemetry.progress import LiveProgress
from worker.wiring import work
from worker.wiring.daemon import Daemon
from worker.wiring.front import Front
from worker.wiring.generation import Reader
from worker.wiring.policies import cloud_config, timings
from worker.wiring.site import Aim, journal_url, load_site, names_of, order_of, share_of, survey
from worker.wiring.stop import printing, stopped_by_signals

NO_SOURCES: Mapping[str, bytes] = {}
_WITH_PROGRESS = frozenset({"plan", "run"})
_PASSES_SHOWN = 10
_LONGEST_NAME = 200
_LONGEST_DEADLINE = 30 * 86400.0
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its options, the environment, and where results go."""

    options: argparse.Namespace
    environ: Mapping[str, str]
    out: Console

    def configure(self) -> Loaded:
        """Read the config, and set up the logs as it says."""
        loaded = load_settings(self.options.config, self.environ, {})
        self.take(loaded)
        return loaded

    def take(self, loaded: Loaded) -> None:
        """Say what is odd about the settings, and log as they say."""
        self.warn(loaded.warnings)
        level = "debug" if self.options.verbose else loaded.settings.log.level
        set_up(self.options.log_format, "warning" if self.is_live and level == "info" else level)

    @property
    def is_live(self) -> bool:
        """Whether a person watches the live progress of this command on a terminal."""
        return self.options.verb in _WITH_PROGRESS and sys.stderr.isatty() and self.options.log_format == "auto"

    @property
    def errors_in_color(self) -> bool:
        """Whether what goes to standard error may be coloured."""
        return sys.stderr.isatty() and not self.environ.get("NO_COLOR")

    def warn(self, warnings: tuple[str, ...]) -> None:
        """Say what is odd, and no error."""
        for warning in warnings:
            say(f"warning: {warning}")

    def note(self, notes: tuple[str, ...]) -> None:
        """Say what a person should know beside the result."""
        for note in notes:
            say(f"note: {visible(note)}")

    def own_up(self, bugs: tuple[str, ...]) -> None:
        """Say which bugs there were; the log has their tracebacks."""
        for bug in bugs:
            say(f"bug: {bug}")
        if bugs:
            say("This is a bug in ims-share-worker; please report it with its traceback above.")

    def show(self, document: dict[str, Any], as_text: Callable[[], None]) -> Exit:
        """Print a result: as JSON where it was asked for, else for people. Return what this adds to the exit status."""
        try:
            with printing():
                if self.options.json:
                    print(json_text(document, indent=2 if sys.stdout.isatty() else None))
                else:
                    as_text()
                sys.stdout.flush()
        except OutputError as error:
            say_unwritten(error)
            return Exit.INCOMPLETE
        return Exit.CONVERGED


async def perform(options: argparse.Namespace, environ: Mapping[str, str]) -> Exit:
    """Perform the verb that was asked for; say what is wrong with its input, and return its exit status."""
    terminal = sys.stdout.isatty()
    out = Console(width=None if terminal else 200, soft_wrap=not terminal, highlight=False)
    command = Command(options, environ, out)
    try:
        return await _VERBS[options.verb](command)
    except SettingsError as error:
        return _explain(command, Exit.USAGE, error.problems)
    except ManifestError as error:
        return _explain(command, Exit.USAGE, error.problems, error.sources)
    except OutputError as error:
        say_unwritten(error)
        return Exit.INCOMPLETE
    except JournalError as error:
        return _explain(command, _exit_of(error), (Problem("journal", 0, 0, "", str(error)),))


def _exit_of(error: JournalError) -> Exit:
    match error:
        case JournalLocked():
            return Exit.LOCKED
        case JournalUnreachable():
            return Exit.JOURNAL
        case _:
            return Exit.USAGE


async def check(command: Command) -> Exit:
    """Read config and manifest offline, and print every problem at once."""
    found = survey(command.options.config, command.environ)
    sources = {document.name: document.source for document in found.documents}
    view = CheckView(found.problems, found.warnings, sources, found.manifest)
    command.warn(found.warnings)
    shown = command.show(check_json(view), lambda: print(check_text(view, color=_in_color(command.out))))
    return Exit.USAGE if view.problems else shown


async def plan(command: Command) -> Exit:
    """Observe and diff, and print what a run would do."""
    site = load_site(command.configure())
    order = order_of(site, _aim(command.options))
    async with work.at_look(site, cloud_config(site, command.environ), log_call) as (journal, ims):
        with _watched(command, ims) as events:
            prepared, forecast = await work.plan(site, order, ims, journal, events)
        notes = (*prepared.plan.notes, *journal.notes, *await work.record_calls(journal))
    view = view_of(prepared, forecast, _names(site.manifest), notes)
    command.note(notes)
    shown = command.show(plan_json(view), lambda: print_plan(view, command.out))
    command.own_up(prepared.bugs)
    return (
        exit_of_plan(
            prepared.plan,
            refused=bool(prepared.verdict.refusals),
            fail_on_drift=command.options.fail_on_drift,
            broken=bool(prepared.bugs),
        )
        or shown
    )


async def run(command: Command) -> Exit:
    """Make one pass, and print its report."""
    site = load_site(command.configure())
    order = order_of(site, _aim(command.options))
    deadline = _deadline(command.options.deadline) if command.options.deadline else None
    config = cloud_config(site, command.environ)
    # The report too is printed under the signals' eyes: half of it would be worse than none.
    with stopped_by_signals(site.settings.schedule.grace) as stopper, stopper.halting() as deadlines:
        if deadline is not None:
            deadlines.finish_within(deadline, min(work.RESERVE, deadline / 2))
        async with work.at_work(site, config, "run", order.selection.shard, log_call, stopper.ends_at) as (
            journal,
            ims,
        ):
            with _watched(command, ims) as events:
                context = await work.make_pass(site, ims, journal, events, deadlines)
                report = await work.run(site, order, context, journal)
                report = replace(report, notes=(*report.notes, *journal.notes))
        command.note(report.notes)
        shown = command.show(report_json(report), lambda: print_report(report, _names(site.manifest), command.out))
    command.own_up(report.bugs)
    return exit_of_report(report) or shown


async def serve(command: Command) -> Exit:
    """Make passes on the schedule until SIGTERM or SIGINT, and show what goes on."""
    reader = Reader(command.options.config, command.environ, _aim(command.options))
    with stopped_by_signals(grace=0.0) as stopper:
        # In a thread: a disk that hangs must not keep a signal from ending it.
        reading = asyncio.ensure_future(asyncio.to_thread(reader.read))
        asked = asyncio.ensure_future(stopper.asked.wait())
        await asyncio.wait((reading, asked), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not reading.done():
            return Exit.CONVERGED
        first = reading.result()
        stopper.grace = first.settings.schedule.grace
        command.take(first.loaded)
        front = Front(first, command.environ, command.take)
        await Daemon(reader, first, stopper, front).run()
    return Exit.CONVERGED


async def status(command: Command) -> Exit:
    """Print what the journal knows; make no call, take no lock."""
    loaded = command.configure()
    async with read_journal(journal_url(loaded.settings)) as journal:
        memory, now = await journal.memory(_PASSES_SHOWN), time.time()
        sizes = await journal.sizes.known()
        ahead = await journal.ahead(now)
    view = StatusView(
        loaded.settings.journal.place,
        memory.in_flight.values,
        memory.quarantined.values,
        memory.passes.values,
        memory.fleet.values,
        now,
        _names(names_of(loaded)),
        timings(loaded.settings).polling,
        loaded.settings.polling.deadline,
        memory.odd,
        ahead,
        journal.exists,
        (*journal.notes, *(f"what was learned of a batch's size cannot be read: {row}" for row in sizes.odd)),
        by_key(sizes),
    )
    command.note(view.notes)
    shown = command.show(status_json(view), lambda: print_status(view, command.out))
    if not view.unreadable:
        return shown
    odd = tuple(Problem("journal", 0, 0, "", f"has what cannot be read: {row}", "", WAY_OUT) for row in view.unreadable)
    print(problems_text(odd, NO_SOURCES, color=command.errors_in_color), file=sys.stderr)
    return Exit.USAGE


async def release(command: Command) -> Exit:
    """Free a share from quarantine, and from what is in flight."""
    loaded = command.configure()
    share = share_of(names_of(loaded), command.options.image, command.options.project)
    async with work.journal_to_write(journal_url(loaded.settings)) as journal:
        command.note(journal.notes)
        freed = await journal.release(share, _who(), time.time())
    document = {"schema": "ims-share-worker/release/1", **share._asdict(), "freed_from": list(freed)}
    said = f"Freed from {visible(', '.join(freed))}." if freed else "The share was neither quarantined nor in flight."
    return command.show(document, lambda: print(said))


async def approve(command: Command) -> Exit:
    """Let exactly one plan pass the guards, once."""
    digest = command.options.digest
    if not _DIGEST.fullmatch(digest):
        hint = "copy it from the refusal"
        raise SettingsError((Problem("DIGEST", 0, 0, "", "a digest is sha256: and 64 hex digits", digest, hint),))
    loaded, who = command.configure(), _who()
    async with work.journal_to_write(journal_url(loaded.settings)) as journal:
        command.note(journal.notes)
        await journal.approve(digest, who, time.time())
    document = {"schema": "ims-share-worker/approve/1", "digest": digest, "approved_by": who}
    return command.show(document, lambda: print(f"Approved by {who}: the next pass with this very plan may go, once."))


async def demo(command: Command) -> Exit:
    """Reconcile a small simulated fleet: plan, run, and run again."""
    from worker import rehearsal  # noqa: PLC0415 - a simulated cloud is not for the other verbs to load

    set_up(command.options.log_format, "debug" if command.options.verbose else "error")
    demo = await rehearsal.demo(command.out, quiet=command.options.json)
    shown = command.show(demo.document, lambda: print(demo.verdict))
    return shown if demo.as_expected else Exit.INCOMPLETE


async def simulate(command: Command) -> Exit:
    """Serve a simulated cloud on loopback until a signal comes."""
    from worker import rehearsal  # noqa: PLC0415 - as above

    options = command.options
    await rehearsal.simulate(options.listen, tuple(options.seed), options.faults)
    return Exit.CONVERGED


_VERBS: dict[str, Callable[[Command], Awaitable[Exit]]] = {
    "check": check,
    "plan": plan,
    "run": run,
    "serve": serve,
    "status": status,
    "release": release,
    "approve": approve,
    "demo": demo,
    "simulate": simulate,
}


@contextmanager
def _watched(command: Command, ims: Ims) -> Iterator[Listener]:
    """Give the listener of a pass: the log, and live progress where a person watches."""
    if not command.is_live:
        yield log_event
        return
    with LiveProgress(Console(stderr=True), lambda: work.calls_left(ims)) as progress:

        def both(event: Event) -> None:
            log_event(event)
            progress(event)

        yield both


def _explain(
    command: Command, status: Exit, problems: tuple[Problem, ...], sources: Mapping[str, bytes] = NO_SOURCES
) -> Exit:
    print(problems_text(problems, sources, color=command.errors_in_color), file=sys.stderr)
    document = {"schema": "ims-share-worker/error/1", "exit": status, "problems": problems_json(problems)}
    command.show(document, lambda: None)
    return status


def _aim(options: argparse.Namespace) -> Aim:
    try:
        shard = parse_shard(options.shard) if options.shard else Shard()
    except ValueError as error:
        raise SettingsError((Problem("--shard", 0, 0, "", str(error), options.shard),)) from error
    return Aim(tuple(getattr(options, "project", ())), tuple(getattr(options, "image", ())), shard)


def _deadline(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise SettingsError((Problem("--deadline", 0, 0, "", str(error), text),)) from error
    if not 0 < seconds <= _LONGEST_DEADLINE:
        raise SettingsError((Problem("--deadline", 0, 0, "", "must be longer than nothing and at most 30d", text),))
    return seconds


def _names(manifest: Manifest) -> Names:
    return Names(manifest.projects, manifest.image_names)


def _in_color(console: Console) -> bool:
    return console.is_terminal and not console.no_color


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return visible(f"{user}@{socket.gethostname()}")[:_LONGEST_NAME]
