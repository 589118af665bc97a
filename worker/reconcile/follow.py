"""Follow what earlier passes left in flight, beside the schedule: no pass waits for the jobs of another.

Nothing is sent here. A batch whose late job failed as a whole is not divided: its shares are held, and a later pass
sends them in smaller batches.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from worker.core.batch import InFlight
from worker.core.events import Incident, TakenUp
from worker.core.manifest.model import Manifest, Project, Wish, empty_manifest
from worker.core.quarantine import Quarantined, QuarantineUpdate, WishedOf, update_quarantine
from worker.core.share import Share
from worker.core.status import ShareStatus, Status
from worker.errors import JournalError
from worker.reconcile.background import StartTask
from worker.reconcile.contain import contained
from worker.reconcile.deadline import DeadlinePassedError
from worker.reconcile.ports import PassContext
from worker.reconcile.project_run import ProjectWork, follow_project
from worker.reconcile.reread import Rereader


@dataclass(frozen=True, slots=True)
class _Followed:
    """A batch in flight, and the task that follows it."""

    earlier: InFlight
    task: asyncio.Task[None]


class Follower:
    """Follows batches until their shares read as desired or they are given up; sends nothing.

    `context` is what it works with, `start` begins a task for it. `on_due` is called when shares are due to be sent
    again, which only a pass does.
    """

    def __init__(self, context: PassContext, start: StartTask, on_due: Callable[[], None]) -> None:
        timings = context.timings
        # Beside the schedule nobody waits, so only the age at which a job is given up ends the following.
        self._context = replace(context, timings=replace(timings, deadline=timings.abandon))
        self._start = start
        self._on_due = on_due
        self._followed: dict[int, _Followed] = {}
        self._readers: dict[Project, Rereader] = {}
        self._manifest = empty_manifest()

    def take(self, in_flight: Iterable[InFlight], manifest: Manifest) -> None:
        """Follow these batches and no others: begin with what is new, drop what has ended or changed otherwise.

        `manifest` is the whole one. A batch of a project that it does not know is left alone.
        """
        self._manifest = manifest
        wanted = {earlier.key: earlier for earlier in in_flight if earlier.batch.project_id in manifest.projects}
        for key, each in list(self._followed.items()):
            if wanted.get(key) != each.earlier:
                each.task.cancel()
                del self._followed[key]
        projects = {manifest.projects[earlier.batch.project_id] for earlier in wanted.values()}
        self._readers = {
            project: self._readers.get(project) or Rereader(self._context, project) for project in projects
        }
        for key, earlier in wanted.items():
            if key not in self._followed:
                self._followed[key] = _Followed(earlier, self._start(self._follow(earlier)))

    async def drain(self) -> None:
        """Wait until nothing is followed any more; the deadlines of its pass bound that."""
        while self._followed:
            await asyncio.wait({each.task for each in self._followed.values()})

    async def _follow(self, earlier: InFlight) -> None:
        """Follow a batch until it is no longer in flight: what came to nothing is looked at again, later and later."""
        try:
            self._context.emit(TakenUp(earlier))
            for times in itertools.count():
                await contained(self._context, earlier.batch.project_id, self._follow_once(earlier), lambda _: None)
                if not await self._is_in_flight(earlier):
                    break
                pause = min(
                    self._context.timings.quarantine.first, self._context.timings.polling.max * 2 ** min(times, 32)
                )
                await self._context.deadlines.to_submit.until(asyncio.sleep(pause))
        except DeadlinePassedError:
            pass  # the journal has it
        finally:
            each = self._followed.get(earlier.key)
            if each is not None and each.earlier == earlier:
                del self._followed[earlier.key]

    async def _is_in_flight(self, earlier: InFlight) -> bool:
        try:
            return await self._context.journal.batches.is_in_flight(earlier.key)
        except JournalError:
            return True

    async def _follow_once(self, earlier: InFlight) -> None:
        project = self._manifest.projects[earlier.batch.project_id]
        work = ProjectWork(
            project=project,
            batches=(),
            resumed=(earlier,),
            before={},
            wishes=self._wishes_of(earlier),
            waiting={},
        )
        try:
            await self._learn(work, await follow_project(self._context, work, self._readers[project]))
        except JournalError as error:
            self._context.emit(Incident("what was learned beside the passes could not be journalled", str(error)))

    def _wishes_of(self, earlier: InFlight) -> Mapping[str, Wish]:
        """Return what is wished of a batch's images; what a rule wished is taken to be wished still."""
        batch = earlier.batch
        declared = self._manifest.wishes.get(batch.project_id, {})
        found = {image: declared[image] for image in batch.images if image in declared}
        if self._manifest.rules_of(self._manifest.projects[batch.project_id]):
            by_rule = Wish(batch.operation, batch.vault_id)
            found |= {image: by_rule for image in batch.images if image not in declared}
        return found

    async def _learn(self, work: ProjectWork, statuses: tuple[ShareStatus, ...]) -> None:
        """Hold the shares that failed, free those that came about, and ask for a pass where something is due again."""
        followed = {status.share for status in statuses}

        def wished(share: Share) -> WishedOf:
            declared = self._manifest.wishes.get(share.project_id, {}).get(share.image_id)
            wish = work.wishes.get(share.image_id) if share in followed else declared
            return WishedOf(wish.operation if wish else None, wish is not None, share in followed)

        def decide(held: Mapping[Share, Quarantined]) -> QuarantineUpdate:
            return update_quarantine(held, statuses, wished, self._context.timings.quarantine, self._context.now())

        await self._context.journal.quarantine.revise(work.project.id, decide)
        if any(status.status is Status.NOT_SENT for status in statuses):
            self._on_due()
