"""What the daemon shows of itself: log, board, metrics, and word to systemd."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from importlib.metadata import version

from worker.core import daemon_events, events
from worker.core.calls import CallRecord
from worker.core.facts import many
from worker.core.fleet.forecast import Forecast
from worker.core.fleet.unread import told_unread
from worker.core.schedule import between_starts
from worker.core.status import Status
from worker.daemon.in_use import InUse
from worker.session.forecasts import to_go
from worker.telemetry import systemd
from worker.telemetry.board import Board, Phase
from worker.telemetry.gauges import Readings
from worker.telemetry.lag import LoopLag
from worker.telemetry.limit_waits import LimitWaits
from worker.telemetry.logs import log_call, log_event
from worker.telemetry.metrics import Metrics
from worker.telemetry.to_go import ToGo
from worker.wiring import schedule_of

VERSION = version("ims-share-worker")
_BEAT_EVERY = 10.0
_TELL_AGAIN = 1.0


class DaemonTelemetry:
    """A listener to all that happens, which shows it to operators."""

    def __init__(self, in_use: InUse, environ: Mapping[str, str]) -> None:
        self.board = Board(time.time)
        self._to_go = ToGo(resumes=False)
        self._in_use = in_use
        self._systemd = systemd.Notifier(environ)
        self._telling: asyncio.TimerHandle | None = None
        watchdog = systemd.watchdog_interval(environ)
        self.lag = LoopLag(self._observe_lag, self._beat, watchdog / 3 if watchdog else _BEAT_EVERY)
        readings = Readings(in_use.standing, in_use.refused, self._interval, self.lag.worst)
        self.metrics = Metrics(self.board, readings, VERSION, time.time(), time.time)

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        log_event(event)
        self.board(event)
        self._to_go(event)
        self.metrics.observe(event)
        match event:
            case (
                daemon_events.AtWork()
                | daemon_events.StandingBy()
                | daemon_events.Reloaded()
                | daemon_events.ReloadFailed()
            ):
                self._notify(f"{systemd.READY}\n{systemd.status(self._in_a_line())}")
            case (
                events.PassStarted()
                | events.PassFinished()
                | events.PassBroken()
                | daemon_events.PassScheduled()
                | events.Superseded()
                | daemon_events.PauseBegan()
                | daemon_events.PauseEnded()
            ):
                self._notify(systemd.status(self._in_a_line()))
            case daemon_events.Stopping():
                self._notify(systemd.STOPPING)
            case _:
                pass

    def observe_call(self, record: CallRecord) -> None:
        """Show one call to the cloud."""
        log_call(record)
        self.metrics.observe_call(record)

    def begin_reload(self) -> None:
        """Say that the files are being read again; an event says what came of it."""
        self._notify(systemd.reloading())

    async def watch_the_loop(self) -> None:
        """Measure how late the event loop is, and tell systemd that it turns, until cancelled."""
        await self.lag.watch()

    async def watch_the_limits(self) -> None:
        """Tell of a limit that holds up the pass under way for long, until cancelled."""
        await LimitWaits(lambda: self.time_to_go(time.time()), time.time, self).watch()

    def time_to_go(self, now: float) -> Forecast | None:
        """Return how long the pass under way takes from `now` on (seconds since the epoch), where there is one."""
        rest, ims = self._to_go.rest(), self._in_use.ims
        return to_go(rest, self._in_use.revision.inputs, ims, now) if rest and ims else None

    def _interval(self) -> float:
        return between_starts(schedule_of(self._in_use.revision.settings), time.time())

    def _observe_lag(self, seconds: float) -> None:
        self.metrics.observe_lag(seconds)

    def _beat(self) -> None:
        self._notify(systemd.ALIVE)

    def _notify(self, state: str = "") -> None:
        """Tell systemd; what it has no room for is told a little later, with what has come up by then."""
        if self._telling is not None:
            self._telling.cancel()
        told = self._systemd.tell(state)
        self._telling = None if told else asyncio.get_running_loop().call_later(_TELL_AGAIN, self._notify)

    def _in_a_line(self) -> str:
        pause = self.board.pause
        line = (
            f"{pause.reason[:1].upper()}{pause.reason[1:]}; {self._how_it_stands()}" if pause else self._how_it_stands()
        )
        return f"{line}; a newer manifest begins after this pass" if self.board.newer_loaded_at else line

    def _how_it_stands(self) -> str:
        board = self.board
        if board.phase is Phase.STANDING_BY:
            return f"Standing by: {board.waits_for}"
        if board.reload_error:
            return "The files cannot be used as they are; the last good ones stay"
        if board.broken:
            return f"The last pass broke: {board.broken}"
        if not board.is_read:
            return f"The first pass reads {many(board.projects_to_read, 'project')}" if board.run_id else "Starting"
        return _how_shares_stand(board)

    def tell_of_error(self, what: str, error: Exception) -> None:
        """Show that something failed which nobody else tells of."""
        self(events.Incident(what, f"{type(error).__name__}: {error}"))


def _how_shares_stand(board: Board) -> str:
    if board.refusals:
        return f"The guards refuse the plan: it {'; it '.join(board.refused)}"
    counts, unread = board.fleet.counts(), board.fleet.unread()
    could_not = told_unread(unread, len(board.fleet.projects))
    if unread and len(unread) == len(board.fleet.projects):
        return "; ".join(could_not)
    unknown = f", {counts[Status.UNKNOWN]:,} unknown" if counts[Status.UNKNOWN] else ""
    line = f"{counts[Status.CONVERGED]:,} of {counts.total():,} shares are as desired{unknown}"
    return "; ".join((line, *could_not))
