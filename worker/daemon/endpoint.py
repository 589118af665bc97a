"""What the daemon answers over HTTP: its health, its readiness, its metrics, its status, and the page that shows it."""

from __future__ import annotations

import asyncio
import errno
import time
from contextlib import AsyncExitStack, suppress

from worker.core import daemon_events, events
from worker.core.schedule import describe
from worker.core.text import visible_lines
from worker.daemon.in_use import InUse
from worker.daemon.telemetry import VERSION, DaemonTelemetry
from worker.errors import JournalError, Problem, SettingsError
from worker.render.daemon import SHARES_SHOWN, DaemonView, daemon_bytes
from worker.settings import Address
from worker.telemetry.board import Phase
from worker.telemetry.http import Health, Views, listening
from worker.telemetry.page.joined import joined_page
from worker.wiring import schedule_of, timings

_STALLED = 5.0
_JOURNAL_PATIENCE = 2.0
_TRY_AGAIN = 2.0
_FRESH = 0.5


class Endpoint:
    """The routes, served where the settings say."""

    def __init__(self, in_use: InUse, telemetry: DaemonTelemetry) -> None:
        self._in_use = in_use
        self._telemetry = telemetry
        self._board = telemetry.board
        self._address = in_use.revision.settings.server.listen
        self._moved = asyncio.Event()
        self._drawn, self._drawn_at, self._drawn_after = b"", 0.0, -1

    def move(self) -> None:
        """Listen where the settings say by now, if that is elsewhere."""
        if self._in_use.revision.settings.server.listen != self._address:
            self._moved.set()

    async def serve(self) -> None:
        """Answer, until cancelled.

        An address that others use is tried again: a stand-by on the same machine gets it when it takes over. Raises
        SettingsError if the first address cannot be used at all.
        """
        views = Views(self._livez, self._readyz, self._telemetry.metrics.exposition, self._status, joined_page())
        is_first, told = True, ""
        async with AsyncExitStack() as opened:
            while True:
                self._moved.clear()
                self._address = address = self._in_use.revision.settings.server.listen
                try:
                    real = await self._listen(opened, address, views)
                except OSError as error:
                    why = error.strerror or str(error)
                    if is_first and error.errno != errno.EADDRINUSE:
                        raise SettingsError((_cannot_listen(str(address), why),)) from error
                    if why != told:
                        self._telemetry(
                            events.Incident(f"nothing answers HTTP on {address}, and it is tried again", why)
                        )
                    told = why
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_TRY_AGAIN):
                            await self._moved.wait()
                else:
                    told = ""
                    self._telemetry(daemon_events.Listening(real))
                    await self._moved.wait()
                is_first = False

    async def _listen(self, opened: AsyncExitStack, address: Address, views: Views) -> str:
        """Listen at an address, then no longer where it was before; raise OSError, and go on there."""
        async with AsyncExitStack() as fresh:
            try:
                real = await fresh.enter_async_context(
                    listening(address.host, address.port, views, self._telemetry.tell_of_error)
                )
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    # It may be ourselves, on the same port of another address.
                    await opened.aclose()
                raise
            await opened.aclose()
            opened.push_async_exit(fresh.pop_all())
        return real

    def _livez(self) -> Health:
        lag = self._telemetry.lag
        is_alive = lag.beat_age() < _STALLED
        return Health(is_alive, {"alive": is_alive, "loop_lag_max_seconds": round(lag.worst(), 3)})

    async def _readyz(self) -> Health:
        why = self._in_use.journal_error or await self._ask_journal()
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
        if self._in_use.journal is None:
            return ""
        try:
            async with asyncio.timeout(_JOURNAL_PATIENCE):
                await self._in_use.journal.answers()
        except (JournalError, TimeoutError) as error:
            return str(error) or "the journal does not answer in time"
        return ""

    async def _status(self) -> bytes:
        """Return the JSON of now; readers of the same moment share it, since that of a large fleet takes a while.

        It is made in a thread, of what was so at one moment.
        """
        now, heard = time.time(), self._board.heard
        if heard != self._drawn_after or not 0 <= now - self._drawn_at < _FRESH:
            settings = self._in_use.revision.settings
            schedule = describe(schedule_of(settings))
            view = DaemonView(
                self._board.snapshot(SHARES_SHOWN),
                now,
                VERSION,
                schedule,
                timings(settings),
                self._telemetry.time_to_go(now),
                self._in_use.standing(),
                self._in_use.refused(),
            )
            drawn = await asyncio.to_thread(daemon_bytes, view)
            self._drawn, self._drawn_at, self._drawn_after = drawn, now, heard
        return self._drawn


def _cannot_listen(address: str, why: str) -> Problem:
    return Problem.about("server", f"nothing can listen there: {why.lower()}", path="server.listen", value=address)
