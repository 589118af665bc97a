"""What the daemon shows of itself: log, board, metrics, HTTP, and word to systemd."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from importlib.metadata import version
from importlib.resources import files

from worker.cloud.ims import Ims
from worker.core import events
from worker.core.calls import CallRecord
from worker.core.facts import many
from worker.core.fleet.forecast import Forecast
from worker.core.fleet.unread import told_unread
from worker.core.schedule import between_starts, describe
from worker.core.status import Status
from worker.core.text import visible_lines
from worker.errors import JournalError, Problem, SettingsError
from worker.journal.store import Journal
from worker.reconcile.background import background_tasks
from worker.render.daemon import SHARES_SHOWN, DaemonView, daemon_bytes
from worker.settings import Address, Loaded
from worker.telemetry import systemd
from worker.telemetry.board import Board, Phase
from worker.telemetry.gauges import LimitStanding, Readings
from worker.telemetry.http import Health, Views, listening
from worker.telemetry.lag import LoopLag
from worker.telemetry.logs import log_call, log_event
from worker.telemetry.metrics import Metrics
from worker.telemetry.to_go import ToGo
from worker.wiring.forecasts import to_go
from worker.wiring.generation import Generation
from worker.wiring.times import schedule_of, timings

_STALLED = 5.0
_JOURNAL_PATIENCE = 2.0
_TRY_AGAIN = 2.0
_BEAT_EVERY = 10.0
_FRESH = 0.5
_TELL_AGAIN = 1.0


class Front:
    """A listener to all that happens, which shows it to operators.

    `journal` and `ims` are those that the daemon has in use, if any; `journal_error` says why it has no journal.
    `apply` is told of the settings of each generation of the files that takes effect.
    """

    def __init__(self, first: Generation, environ: Mapping[str, str], apply: Callable[[Loaded], None]) -> None:
        self.journal: Journal | None = None
        self.journal_error = ""
        self.ims: Ims | None = None
        self._generation = first
        self._systemd = systemd.Notifier(environ)
        self._apply = apply
        self._moved = asyncio.Event()
        self._drawn, self._drawn_at, self._drawn_revision = b"", 0.0, -1
        self._version = version("ims-share-worker")
        self._board = Board(time.time)
        self._to_go = ToGo(resumes=False)
        self._telling: asyncio.TimerHandle | None = None
        watchdog = systemd.watchdog_interval(environ)
        self._lag = LoopLag(self._observe_lag, self._beat, watchdog / 3 if watchdog else _BEAT_EVERY)
        readings = Readings(self._limits, self._refused, self._interval, self._lag.worst)
        self._metrics = Metrics(self._board, readings, self._version, time.time(), time.time)

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        log_event(event)
        self._board(event)
        self._to_go(event)
        self._metrics.observe(event)
        match event:
            case events.AtWork() | events.StandingBy() | events.Reloaded() | events.ReloadFailed():
                self._notify(f"{systemd.READY}\n{systemd.status(self._in_a_line())}")
            case (
                events.PassStarted()
                | events.PassFinished()
                | events.PassBroken()
                | events.PassScheduled()
                | events.Superseded()
                | events.PauseBegan()
                | events.PauseEnded()
            ):
                self._notify(systemd.status(self._in_a_line()))
            case events.Stopping():
                self._notify(systemd.STOPPING)
            case _:
                pass

    def observe_call(self, record: CallRecord) -> None:
        """Show one call to the cloud."""
        log_call(record)
        self._metrics.observe_call(record)

    def begin_reload(self) -> None:
        """Say that the files are being read again; an event says what came of it."""
        self._notify(systemd.reloading())

    def take(self, generation: Generation) -> None:
        """Go by a new generation of the files from now on."""
        if generation.settings.server != self._generation.settings.server:
            self._moved.set()
        self._generation = generation
        self._apply(generation.loaded)

    async def show(self) -> None:
        """Serve HTTP and watch the event loop, until cancelled.

        An address that others use is tried again: a stand-by on the same machine gets it when it takes over. Raises
        SettingsError if the first address cannot be used at all.
        """
        async with background_tasks() as start:
            start(self._lag.watch())
            await self._serve()

    async def _serve(self) -> None:
        views = Views(self._livez, self._readyz, self._metrics.exposition, self._status, _page())
        is_first, told = True, ""
        async with AsyncExitStack() as in_use:
            while True:
                self._moved.clear()
                address = self._generation.settings.server.listen
                try:
                    real = await self._listen(in_use, address, views)
                except OSError as error:
                    why = error.strerror or str(error)
                    if is_first and error.errno != errno.EADDRINUSE:
                        raise SettingsError((_cannot_listen(str(address), why),)) from error
                    if why != told:
                        self(events.Incident(f"nothing answers HTTP on {address}, and it is tried again", why))
                    told = why
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_TRY_AGAIN):
                            await self._moved.wait()
                else:
                    told = ""
                    self(events.Listening(real))
                    await self._moved.wait()
                is_first = False

    async def _listen(self, in_use: AsyncExitStack, address: Address, views: Views) -> str:
        """Listen at an address, then no longer where it was before; raise OSError, and go on there."""
        async with AsyncExitStack() as fresh:
            try:
                real = await fresh.enter_async_context(listening(address.host, address.port, views, self._on_error))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    # It may be ourselves, on the same port of another address.
                    await in_use.aclose()
                raise
            await in_use.aclose()
            in_use.push_async_exit(fresh.pop_all())
        return real

    def _livez(self) -> Health:
        age = self._lag.beat_age()
        return Health(age < _STALLED, {"alive": age < _STALLED, "loop_lag_max_seconds": round(self._lag.worst(), 3)})

    async def _readyz(self) -> Health:
        why = self.journal_error or await self._ask_journal()
        ready = not why and self._board.phase is not Phase.STARTING
        incident = self._board.reload_error
        document = {
            "ready": ready,
            "phase": self._board.phase.value,
            "stand_by": self._board.phase is Phase.STANDING_BY,
            "waits_for": visible_lines(self._board.waits_for),
            "journal_error": visible_lines(why),
            "reload_error": visible_lines(incident.reason) if incident else "",
            "paused": visible_lines(self._board.pause.reason) if self._board.pause else "",
            "bugs": self._board.bugs,
            "last_bug": visible_lines(self._board.last_bug),
        }
        return Health(ready, document)

    async def _ask_journal(self) -> str:
        """Return why the journal in use does not answer; nothing if it does, or none is in use."""
        if self.journal is None:
            return ""
        try:
            async with asyncio.timeout(_JOURNAL_PATIENCE):
                await self.journal.answers()
        except (JournalError, TimeoutError) as error:
            return str(error) or "the journal does not answer in time"
        return ""

    async def _status(self) -> bytes:
        """Return the JSON of now; readers of the same moment share it, since that of a large fleet takes a while.

        It is made in a thread, of what was so at one moment.
        """
        now, revision = time.time(), self._board.revision
        if revision != self._drawn_revision or not 0 <= now - self._drawn_at < _FRESH:
            standing = self.ims.standing() if self.ims else {}
            settings = self._generation.settings
            schedule = describe(schedule_of(settings))
            view = DaemonView(
                self._board.snapshot(SHARES_SHOWN),
                now,
                self._version,
                schedule,
                timings(settings),
                self._left(now),
                standing,
                self._refused(),
            )
            drawn = await asyncio.to_thread(daemon_bytes, view)
            self._drawn, self._drawn_at, self._drawn_revision = drawn, now, revision
        return self._drawn

    def _left(self, now: float) -> Forecast | None:
        """Return how long the pass under way takes from now on, where there is one."""
        rest = self._to_go.rest()
        return to_go(rest, self._generation.site, self.ims, now) if rest and self.ims else None

    def _limits(self) -> Iterator[LimitStanding]:
        for account, groups in (self.ims.standing() if self.ims else {}).items():
            for group, standing in groups.items():
                yield LimitStanding(
                    account,
                    group,
                    standing.rate.count,
                    standing.rate.window,
                    standing.left,
                    standing.waiting,
                    standing.paused_for,
                )

    def _refused(self) -> Mapping[str, bool]:
        return self.ims.refused() if self.ims else dict.fromkeys(self._generation.cloud.credentials, False)

    def _interval(self) -> float:
        return between_starts(schedule_of(self._generation.settings), time.time())

    def _observe_lag(self, seconds: float) -> None:
        self._metrics.observe_lag(seconds)

    def _beat(self) -> None:
        self._notify(systemd.ALIVE)

    def _notify(self, state: str = "") -> None:
        """Tell systemd; what it has no room for is told a little later, with what has come up by then."""
        if self._telling is not None:
            self._telling.cancel()
        told = self._systemd.tell(state)
        self._telling = None if told else asyncio.get_running_loop().call_later(_TELL_AGAIN, self._notify)

    def _in_a_line(self) -> str:
        pause = self._board.pause
        line = (
            f"{pause.reason[:1].upper()}{pause.reason[1:]}; {self._how_it_stands()}" if pause else self._how_it_stands()
        )
        return f"{line}; a newer manifest begins after this pass" if self._board.newer_loaded_at else line

    def _how_it_stands(self) -> str:
        board = self._board
        if board.phase is Phase.STANDING_BY:
            return f"Standing by: {board.waits_for}"
        if board.reload_error:
            return "The files cannot be used as they are; the last good ones stay"
        if board.broken:
            return f"The last pass broke: {board.broken}"
        if not board.is_read:
            return f"The first pass reads {many(board.projects_to_read, 'project')}" if board.run_id else "Starting"
        return _how_shares_stand(board)

    def _on_error(self, what: str, error: Exception) -> None:
        self(events.Incident(what, f"{type(error).__name__}: {error}"))


def _how_shares_stand(board: Board) -> str:
    if board.refusals:
        return f"The guards refuse the plan: it {'; it '.join(board.refused)}"
    counts, unread = board.counts(), board.unread()
    could_not = told_unread(unread, len(board.projects))
    if unread and len(unread) == len(board.projects):
        return "; ".join(could_not)
    unknown = f", {counts[Status.UNKNOWN]:,} unknown" if counts[Status.UNKNOWN] else ""
    line = f"{counts[Status.CONVERGED]:,} of {counts.total():,} shares are as desired{unknown}"
    return "; ".join((line, *could_not))


def _page() -> bytes:
    return (files("worker.telemetry") / "page.html").read_bytes()


def _cannot_listen(address: str, why: str) -> Problem:
    return Problem("server", 0, 0, "server.listen", f"nothing can listen there: {why.lower()}", address)
