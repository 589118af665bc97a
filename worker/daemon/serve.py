"""The daemon: it holds the journal or stands by, and makes its passes, with all that runs beside them."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

from worker.core.daemon_events import AtWork, StandingBy, Stopping
from worker.core.events import Incident
from worker.daemon.endpoint import Endpoint
from worker.daemon.in_use import InUse
from worker.daemon.instructions import Instructions
from worker.daemon.passes import PassLoop
from worker.daemon.recurrence import sleep_until
from worker.daemon.reloading import Reloading
from worker.daemon.revision import Reader, Revision
from worker.daemon.telemetry import DaemonTelemetry
from worker.daemon.triggers import Triggers
from worker.daemon.watching import changes
from worker.errors import JournalError, JournalLocked, JournalUnreachable
from worker.journal.lease import HeldJournal, hold_journal
from worker.reconcile.background import background_tasks
from worker.session.finding import last_lists
from worker.session.limits import assume_unrecorded_calls
from worker.session.opening import open_cloud_as_writer
from worker.session.stopping import Stopper
from worker.settings import Loaded
from worker.wiring import journal_url

_STAND_BY = 2.0


class Daemon:
    """Makes passes until it is asked to stop; stands by while another worker holds the journal.

    `apply` is told of the settings of each revision of the files that takes effect after the first.
    """

    def __init__(self, reader: Reader, first: Revision, stopper: Stopper, apply: Callable[[Loaded], None]) -> None:
        self._stopper = stopper
        self._apply = apply
        self._in_use = InUse(first)
        self._triggers = Triggers()
        self._telemetry = DaemonTelemetry(self._in_use, reader.environ)
        self._endpoint = Endpoint(self._in_use, self._telemetry)
        self._reloading = Reloading(
            self._in_use, reader, stopper.reload_asked, self._triggers, self._telemetry, self._take
        )

    async def run(self) -> None:
        """Work until the process is asked to stop, then end in order.

        Raises JournalError for a journal that cannot be had at first, unless its server may come back, and
        SettingsError for an address or a certificate authority that cannot be used at first.
        """
        # What has been imported stays: to look it through for garbage, again and again, would hold up the loop.
        gc.collect()
        gc.freeze()
        async with background_tasks() as start:
            start(self._telemetry.watch_the_loop())
            start(self._telemetry.watch_the_limits())
            start(self._endpoint.serve())
            start(self._watch_files())
            start(self._reloading.run())
            self._stopper.tell = lambda seconds, message: self._telemetry(Stopping(seconds, message))
            await self._hold_and_work()

    async def _hold_and_work(self) -> None:
        """Work whenever the journal can be had; one that is lost, or held by another, is tried again."""
        loop = asyncio.get_running_loop()
        is_first, last_reason = True, ""
        while not self._stopper.asked.is_set():
            revision = self._in_use.revision
            url, shard = journal_url(revision.settings), revision.request.selection.shard
            try:
                async with hold_journal(url, "serve", shard, self._stopper.ends_at) as journal:
                    is_first, last_reason = False, ""
                    self._begin_with(journal)
                    await self._work_on(journal, url)
                    continue
            except JournalError as error:
                if is_first and not isinstance(error, JournalLocked | JournalUnreachable):
                    raise
                self._in_use.journal_error = "" if isinstance(error, JournalLocked) else str(error)
                if str(error) != last_reason:
                    self._telemetry(StandingBy(str(error)))
                last_reason = str(error)
            finally:
                self._in_use.journal, is_first = None, False
            await sleep_until(loop.time() + _STAND_BY, self._stopper.asked)

    def _begin_with(self, journal: HeldJournal) -> None:
        self._in_use.journal, self._in_use.journal_error = journal, ""
        self._telemetry(AtWork(journal.unclean))
        for note in journal.notes:
            self._telemetry(Incident("the journal is odd", note))

    async def _work_on(self, journal: HeldJournal, url: str) -> None:
        """Work with this journal until the process is asked to stop, or the files name another one."""
        is_unclean = journal.unclean
        instructions = Instructions(journal.instructions, self._telemetry, self._triggers.pass_now, time.time)
        await instructions.begin()
        if lists := await last_lists(journal):
            self._in_use.take_lists(lists)
        while not self._stopper.asked.is_set() and journal_url(self._in_use.revision.settings) == url:
            self._triggers.reopen.clear()
            revision = self._in_use.revision
            on_call = self._telemetry.observe_call
            async with open_cloud_as_writer(revision.inputs, revision.cloud, journal, on_call) as ims:
                if is_unclean:
                    assume_unrecorded_calls(revision.cloud, ims)
                is_unclean = False
                self._in_use.ims = ims
                try:
                    await PassLoop(
                        journal,
                        ims,
                        self._telemetry,
                        self._stopper,
                        lambda: self._in_use.revision,
                        self._in_use.take_lists,
                        self._triggers,
                        time.time,
                        instructions,
                    ).work()
                finally:
                    self._in_use.ims = None

    async def _watch_files(self) -> None:
        def tell(why: str) -> None:
            self._telemetry(Incident("files cannot be watched, so changes are seen some seconds later", why))

        async for _ in changes(lambda: self._in_use.revision.sources, lambda: self._reloading.read_as, tell):
            self._reloading.notice()

    def _take(self, revision: Revision) -> None:
        """Go by a new revision of the files from now on."""
        self._stopper.grace = revision.settings.schedule.grace
        self._endpoint.move()
        self._apply(revision.loaded)
