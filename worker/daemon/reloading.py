"""Config and manifest, read again: when they change, when a signal asks for it, and while they cannot be used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from worker.core.daemon_events import Reloaded, ReloadFailed
from worker.core.events import Event
from worker.daemon.in_use import InUse
from worker.daemon.revision import Reread, Revision
from worker.daemon.triggers import Triggers
from worker.daemon.watching import Fingerprint
from worker.errors import Problem
from worker.reconcile.background import first_of

_TRY_AGAIN = 10.0
"""Seconds until files that cannot be used are read once more: what is wrong may be put right where nobody watches."""
_PROBLEMS_TOLD = 20


class Files(Protocol):
    """The files, as far as they are read again."""

    async def fingerprint(self, revision: Revision) -> Fingerprint:
        """Return a digest of what is in the files of a revision now."""
        ...

    async def read_again(self, before: Revision) -> Reread:
        """Read the files as they are now; what of them cannot be used stays as it was before."""
        ...


class Told(Protocol):
    """Who is told that files are read again, and what came of it."""

    def __call__(self, event: Event, /) -> None:
        """Hear what came of it."""
        ...

    def begin_reload(self) -> None:
        """Hear that the files are being read again."""
        ...


@dataclass(slots=True)
class Reloading:
    """Reads the files again, and has what is good of them taken at once.

    `asked` is set by who wants them to be read, whatever is in them. `read_as` is the fingerprint of the files as they
    were last read, for whatever reason that was: only what differs from it has changed, whoever noticed that first.
    """

    in_use: InUse
    files: Files
    asked: asyncio.Event
    triggers: Triggers
    told: Told
    take: Callable[[Revision], None]
    read_as: Fingerprint = field(init=False)
    _noticed: asyncio.Event = field(default_factory=asyncio.Event)
    _refused: str = ""
    _try_again_at: float | None = None

    def __post_init__(self) -> None:
        self.read_as = self.in_use.revision.seen

    def notice(self) -> None:
        """Hear that the files may have changed."""
        self._noticed.set()

    async def run(self) -> None:
        """Read the files whenever there is reason to, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._try_again_at):
                    await first_of(self.asked, self._noticed)
            by_signal = self.asked.is_set()
            self.asked.clear()
            self._noticed.clear()
            await self._look(by_signal=by_signal)

    async def _look(self, *, by_signal: bool) -> None:
        """Read the files if they are asked for or others than were last read, or could not be used for a while."""
        # Taken before the reading: what changes meanwhile is read once more.
        found = await self.files.fingerprint(self.in_use.revision)
        is_wanted = by_signal or found != self.read_as
        loop = asyncio.get_running_loop()
        if not is_wanted and (self._try_again_at is None or loop.time() < self._try_again_at):
            return
        self.read_as = found
        if is_wanted:
            self.told.begin_reload()
            self._refused = ""
        self._refused = await self._read(by_signal=by_signal)
        self._try_again_at = loop.time() + _TRY_AGAIN if self._refused else None

    async def _read(self, *, by_signal: bool) -> str:
        """Read the files, and return why they cannot be used, if so; then what was good of them before stays.

        What is new holds at once: the pass under way sends nothing that it does not ask for and ends early, and the
        next follows. With `by_signal` refused keys are tried once more in the next pass. What is wrong is said, unless
        it was said before.
        """
        reread = await self.files.read_again(self.in_use.revision)
        refused = _told(reread.problems)
        is_taken = not refused or reread.is_new or reread.reconnects
        if is_taken:
            self._go_by(reread.revision)
        if refused and (is_taken or refused != self._refused):
            self.told(ReloadFailed(refused))
        if by_signal and self.in_use.ims is not None:
            self.in_use.ims.clients.retry_stopped()
        if reread.reconnects:
            self.triggers.reopen.set()
        if reread.is_new:
            self.triggers.pass_now.set()
        return refused

    def _go_by(self, revision: Revision) -> None:
        # Projects may have been looked for while the files were read.
        lists = self.in_use.revision.lists
        self.in_use.revision = revision if revision.lists is lists else revision.with_found(lists)
        # Of files that are named only now what the manifest says was read after `seen`, what the config names before.
        known = {**{file: revision.seen[file] for file in revision.seen.keys() - revision.named.keys()}, **self.read_as}
        self.read_as = {file: known[file] for file in revision.seen if file in known}
        self.take(revision)
        manifest = revision.inputs.manifest
        self.told(Reloaded(len(manifest.spoken_of), len(manifest)))
        self.triggers.reloaded.set()


def _told(problems: tuple[Problem, ...]) -> str:
    told = [str(problem) for problem in problems[:_PROBLEMS_TOLD]]
    more = len(problems) - len(told)
    return "\n".join([*told, f"and {more} more: `ims-share-worker check` shows them"] if more else told)
