"""The daemon: it holds the journal or stands by, reads its files again, and works in shifts."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import suppress

from worker.core.events import AtWork, Incident, Reloaded, ReloadFailed, StandingBy, Stopping
from worker.errors import JournalError, JournalLocked, JournalUnreachable, Problem
from worker.journal.lease import HeldJournal, hold_journal
from worker.reconcile.background import background_tasks
from worker.reconcile.schedule import first_of, sleep_until
from worker.reload import changes
from worker.wiring.calls import assume_unrecorded_calls
from worker.wiring.front import Front
from worker.wiring.generation import Generation, Reader
from worker.wiring.instructions import Instructions
from worker.wiring.shift import Shift, Triggers
from worker.wiring.site import journal_url
from worker.wiring.stop import Stopper
from worker.wiring.work import cloud_at_work

_STAND_BY = 2.0
_TRY_AGAIN = 10.0
_PROBLEMS_TOLD = 20


class Daemon:
    """Makes passes until it is asked to stop; stands by while another worker holds the journal."""

    def __init__(self, reader: Reader, first: Generation, stopper: Stopper, front: Front) -> None:
        self._reader = reader
        self._generation = first
        self._stopper = stopper
        self._front = front
        self._triggers = Triggers()
        self._changed = asyncio.Event()
        self._read_as = first.seen

    async def run(self) -> None:
        """Work until the process is asked to stop, then end in order.

        Raises JournalError for a journal that cannot be had at first, unless its server may come back, and
        SettingsError for an address or a certificate authority that cannot be used at first.
        """
        # What has been imported stays: to look it through for garbage, again and again, would hold up the loop.
        gc.collect()
        gc.freeze()
        async with background_tasks() as start:
            start(self._front.show())
            start(self._reload_on_change())
            start(self._reload_when_asked())
            self._stopper.tell = lambda seconds, message: self._front(Stopping(seconds, message))
            await self._hold_and_work()

    async def _hold_and_work(self) -> None:
        """Work whenever the journal can be had; one that is lost, or held by another, is tried again."""
        loop = asyncio.get_running_loop()
        is_first, last_reason = True, ""
        while not self._stopper.asked.is_set():
            generation = self._generation
            try:
                url, shard = journal_url(generation.settings), generation.order.selection.shard
                async with hold_journal(url, "serve", shard, self._stopper.ends_at) as journal:
                    self._front.journal, self._front.journal_error, last_reason = journal, "", ""
                    is_first = False
                    self._front(AtWork(journal.unclean))
                    for note in journal.notes:
                        self._front(Incident("the journal is odd", note))
                    await self._work_on(journal, url)
                    continue
            except JournalError as error:
                if is_first and not isinstance(error, JournalLocked | JournalUnreachable):
                    raise
                self._front.journal_error = "" if isinstance(error, JournalLocked) else str(error)
                if str(error) != last_reason:
                    self._front(StandingBy(str(error)))
                last_reason = str(error)
            finally:
                self._front.journal, is_first = None, False
            await sleep_until(loop.time() + _STAND_BY, self._stopper.asked)

    async def _work_on(self, journal: HeldJournal, url: str) -> None:
        """Work with this journal until the process is asked to stop, or the files name another one."""
        is_unclean = journal.unclean
        instructions = Instructions(journal.instructions, self._front, self._triggers.early, time.time)
        await instructions.begin()
        while not self._stopper.asked.is_set() and journal_url(self._generation.settings) == url:
            self._triggers.moved.clear()
            config = self._generation.cloud
            async with cloud_at_work(self._generation.site, config, journal, self._front.observe_call) as ims:
                if is_unclean:
                    assume_unrecorded_calls(config, ims)
                is_unclean = False
                self._front.ims = ims
                try:
                    await Shift(
                        journal,
                        ims,
                        self._front,
                        self._stopper,
                        lambda: self._generation,
                        self._triggers,
                        time.time,
                        instructions,
                    ).work()
                finally:
                    self._front.ims = None

    async def _reload_on_change(self) -> None:
        def tell(why: str) -> None:
            self._front(Incident("files cannot be watched, so changes are seen some seconds later", why))

        async for found in changes(lambda: self._generation.sources, self._generation.seen, tell):
            # A signal may have had them read before the watcher saw them.
            if found != self._read_as:
                self._changed.set()

    async def _reload_when_asked(self) -> None:
        """Read the files again when that is asked for, and now and then while they cannot be used.

        What is wrong may be put right where nobody watches, in a file that is named only now.
        """
        asked, changed, refused = self._stopper.reload_asked, self._changed, ""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TRY_AGAIN if refused else None):
                    await first_of(asked, changed)
            by_signal, is_wanted = asked.is_set(), asked.is_set() or changed.is_set()
            asked.clear()
            changed.clear()
            if is_wanted:
                self._front.begin_reload()
                refused = ""
            refused = await self._reload(by_signal=by_signal, told=refused)

    async def _reload(self, *, by_signal: bool, told: str) -> str:
        """Read the files again, and return why they cannot be used, if so; then what was good of them before stays.

        What is new holds at once: the pass under way sends nothing that it does not ask for and ends early, and the
        next follows. With `by_signal` refused keys are tried once more in the next pass. What is wrong is said, unless
        it was `told` before.
        """
        # Taken before the reading: what changes meanwhile is read once more.
        self._read_as = await asyncio.to_thread(self._generation.sources.fingerprint)
        reread = await asyncio.to_thread(self._reader.read_again, self._generation)
        refused = _told(reread.problems)
        is_taken = not refused or reread.is_new or reread.reconnects
        if is_taken:
            self._take(reread.generation)
        if refused and (is_taken or refused != told):
            self._front(ReloadFailed(refused))
        if by_signal and self._front.ims is not None:
            self._front.ims.retry_stopped()
        if reread.reconnects:
            self._triggers.moved.set()
        if reread.is_new:
            self._triggers.early.set()
        return refused

    def _take(self, generation: Generation) -> None:
        self._generation = generation
        self._stopper.grace = generation.settings.schedule.grace
        self._front.take(generation)
        wishes = generation.site.manifest.wishes
        self._front(Reloaded(len(wishes), sum(len(of_project) for of_project in wishes.values())))
        self._triggers.loaded.set()


def _told(problems: tuple[Problem, ...]) -> str:
    told = [str(problem) for problem in problems[:_PROBLEMS_TOLD]]
    more = len(problems) - len(told)
    return "\n".join([*told, f"and {more} more: `ims-share-worker check` shows them"] if more else told)
