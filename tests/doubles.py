"""Stand-ins at the edges of `worker.reconcile`: a cloud and a journal in memory, driven by the loop's virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from worker.core.batch import Batch, End, InFlight
from worker.core.calls import CallCounts, CallGroup
from worker.core.fleet.guard import Judge
from worker.core.fleet.history import PassMemory
from worker.core.fleet.refusal import Refusal
from worker.core.instruction import Instruction, InstructionKind, pause_of
from worker.core.job import JobReply
from worker.core.limits import Rate
from worker.core.manifest.model import Project
from worker.core.polling.price import PollLimit
from worker.core.quarantine import Quarantined, QuarantineUpdate
from worker.core.reading import LastReading, ObservedImage
from worker.core.share import MemberStatus, Share
from worker.core.vault import Vault
from worker.errors import NotFound, Scope
from worker.journal.instructions import Standing
from worker.journal.rows import Found

EPOCH = 1_800_000_000.0
PAGE = 50


def wall() -> float:
    """Return a wall clock that goes with the loop's."""
    return EPOCH + asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Fate:
    """What becomes of one PUT: `error` is raised, before or after the work is begun; else a job of some kind.

    `done` are the images that the job brings about (None: all); `end` is what it says in the end. `lag` is the time
    until the lists show it. A job that is `stuck` never ends; one that is `forgotten` is never found.
    """

    error: Exception | None = None
    begun: bool = True
    seconds: float = 1.0
    end: End = End.SUCCEEDED
    done: frozenset[str] | None = None
    lag: float = 0.0
    stuck: bool = False
    forgotten: bool = False
    results: dict[str, bool] = field(default_factory=dict)
    code: str = ""
    scope: Scope = Scope.UNSAID


@dataclass
class _Job:
    """A job, and which of its images a list has shown as it is to make them: for these it is in flight no more."""

    batch: Batch
    fate: Fate
    started: float
    shown: set[str] = field(default_factory=set)


class FakeCloud:
    """Projects with offers, and a PUT whose fate a test decides. `described` has images that are more than their id.

    `sent_while_alive` has what was sent while a job that was yet to change it was alive. A share that a list has shown
    as the job is to make it, since somebody else was quicker, is by the promise no longer in flight.
    """

    def __init__(self, fate: Callable[[Batch], Fate] = lambda batch: Fate()) -> None:
        self.fate = fate
        self.offers: dict[str, dict[str, MemberStatus]] = {}
        self.described: dict[str, ObservedImage] = {}
        self.full_ecs: set[str] = set()
        self.unreadable: dict[str, Exception] = {}
        self.silent: set[str] = set()
        self.poll_limit = PollLimit("account", Rate(1_000_000, 60.0))
        self.slow: dict[str, float] = {}
        self.vaults: dict[str, Vault | Exception | None] = {}
        self.looked_up: list[tuple[str, tuple[str, ...]]] = []
        self.look_takes = 0.01
        self.puts: list[Batch] = []
        self.put_times: list[float] = []
        self.sent_while_alive: list[str] = []
        self.made: Counter[CallGroup] = Counter()
        self.jobs: dict[str, _Job] = {}
        self._ids = itertools.count(1)

    def offer(self, project_id: str, images: list[str], status: MemberStatus = MemberStatus.PENDING) -> None:
        """Offer images to a project."""
        self.offers.setdefault(project_id, {}).update(dict.fromkeys(images, status))

    async def list_shared(
        self,
        project: Project,
        status: MemberStatus,
        *,
        full_ecs: bool | None = None,
        facts: frozenset[str] = frozenset(),
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield pages of what the project has given this status."""
        if project.id in self.silent:
            await asyncio.Event().wait()
        if seconds := self.slow.get(project.id):
            await asyncio.sleep(seconds)
        if project.id in self.unreadable:
            self.made[CallGroup.IMAGES_LIST] += 1
            raise self.unreadable[project.id]
        self._catch_up()
        images = [
            self.described.get(image) or ObservedImage(image, image, "owner")
            for image, is_now in sorted(self.offers.get(project.id, {}).items())
            if is_now is status and (full_ecs is None or full_ecs is (image in self.full_ecs))
        ]
        for start in range(0, len(images) + 1, PAGE):
            self.made[CallGroup.IMAGES_LIST] += 1
            await asyncio.sleep(0.01)
            if page := images[start : start + PAGE]:
                for job in self._running(project.id):
                    if job.batch.operation.is_met_by(status):
                        job.shown.update({image.id for image in page}.intersection(job.batch.images))
                yield tuple(page)

    async def update_members(self, project: Project, batch: Batch, on_slot: Callable[[], Awaitable[None]]) -> str:
        """Take one PUT to its fate."""
        await on_slot()
        self.made[CallGroup.MEMBERS_PUT] += 1
        self.puts.append(batch)
        self.put_times.append(asyncio.get_running_loop().time())
        self._catch_up()
        self.sent_while_alive += [image for image in batch.images if self._is_alive(project.id, image)]
        fate = self.fate(batch)
        job_id = f"job-{next(self._ids)}"
        if fate.error is None or fate.begun:
            self.jobs[job_id] = _Job(batch, fate, asyncio.get_running_loop().time())
        await asyncio.sleep(0.05)
        if fate.error is not None:
            raise fate.error
        return job_id

    async def get_job(self, project: Project, job_id: str) -> JobReply:
        """Tell how a job is."""
        self.made[CallGroup.JOB_GET] += 1
        await asyncio.sleep(0.01)
        self._catch_up()
        job = self.jobs.get(job_id)
        if job is None or job.fate.forgotten:
            raise NotFound("no such job", status=404)
        if self._runs(job):
            return JobReply(None)
        fate = job.fate
        return JobReply(fate.end, fate.results, fate.code and "it failed", fate.code, fate.scope)

    def job_limit(self, project: Project) -> PollLimit:
        """Return a limit that no test comes near, unless it is about that."""
        return self.poll_limit

    async def look_up_vaults(self, project: Project, vault_ids: Collection[str]) -> dict[str, Vault | None]:
        """Tell of vaults; one of which nothing is said can be used."""
        self.made[CallGroup.VAULTS_LIST] += 1
        self.looked_up.append((project.id, tuple(sorted(vault_ids))))
        await asyncio.sleep(self.look_takes)
        found: dict[str, Vault | None] = {}
        for vault_id in vault_ids:
            vault = self.vaults.get(vault_id, Vault())
            if isinstance(vault, TimeoutError):
                await asyncio.Event().wait()
            if isinstance(vault, Exception):
                raise vault
            found[vault_id] = vault
        return found

    def counts(self) -> CallCounts:
        """Return how many calls were made."""
        return CallCounts(dict(self.made))

    def silent_for(self, project: Project) -> float:
        """Return since when a project that is silent was asked: from the beginning."""
        return asyncio.get_running_loop().time() if project.id in self.silent else 0.0

    def status(self, project_id: str, image: str) -> MemberStatus | None:
        """Return what the project has said to the image by now."""
        self._catch_up()
        return self.offers.get(project_id, {}).get(image)

    def _runs(self, job: _Job) -> bool:
        return job.fate.stuck or asyncio.get_running_loop().time() < job.started + job.fate.seconds

    def _is_alive(self, project_id: str, image: str) -> bool:
        status = self.offers.get(project_id, {}).get(image)
        return any(
            image in job.batch.images and image not in job.shown and not job.batch.operation.is_met_by(status)
            for job in self._running(project_id)
        )

    def _running(self, project_id: str) -> list[_Job]:
        return [job for job in self.jobs.values() if job.batch.project_id == project_id and self._runs(job)]

    def _catch_up(self) -> None:
        now = asyncio.get_running_loop().time()
        for job in self.jobs.values():
            fate, batch = job.fate, job.batch
            if fate.stuck or now < job.started + fate.seconds + fate.lag:
                continue
            done = fate.done if fate.done is not None else frozenset(batch.images)
            offers = self.offers.get(batch.project_id, {})
            offers.update(dict.fromkeys(done & offers.keys() & frozenset(batch.images), batch.operation.goal))
            job.fate = Fate(
                fate.error,
                fate.begun,
                fate.seconds,
                fate.end,
                frozenset(),
                results=fate.results,
                forgotten=fate.forgotten,
                code=fate.code,
                scope=fate.scope,
            )


class FakeInstructions:
    """What people ask for, in memory. `trouble` is what every look at it raises, `looks` counts them."""

    def __init__(self) -> None:
        self.given: list[Instruction] = []
        self.odd: tuple[str, ...] = ()
        self.trouble: Exception | None = None
        self.looks = 0

    def give(self, asked: InstructionKind, at: float, until: float | None = None, by: str = "ann@host") -> Instruction:
        """Ask for something."""
        self.given.append(Instruction(len(self.given) + 1, asked, by, at, until))
        return self.given[-1]

    async def standing(self, now: float) -> Standing:
        """Return what stands."""
        return Standing(pause_of(self.given, now), len(self.given), self.odd)

    async def move(self, pause: Instruction, to: Instruction) -> None:
        """Have a pause tell other times."""
        if self.trouble:
            raise self.trouble
        self.given = [to if each == pause else each for each in self.given]

    async def after(self, key: int) -> tuple[Found[Instruction], int]:
        """Return what came after a key."""
        self.looks += 1
        if self.trouble:
            raise self.trouble
        return Found(tuple(each for each in self.given if each.key > key), self.odd), len(self.given)


class FakeBatches:
    """The life of batches, in memory: `lives` has each batch's states in order."""

    def __init__(self) -> None:
        self.lives: dict[int, list[str]] = {}
        self._open: dict[int, InFlight] = {}

    async def intend(self, batch: Batch, run_id: str, at: float, rejects: int) -> int:
        """Record an intent."""
        key = len(self.lives) + 1
        self.lives[key] = ["intent"]
        self._open[key] = InFlight(key, batch, at, run_id=run_id)
        return key

    async def refuse(self, key: int, reason: str, at: float) -> None:
        """Record a refusal."""
        self._end(key, "refused")

    async def accept(self, key: int, job_id: str, at: float) -> None:
        """Record a job."""
        sent = self._open[key]
        self._open[key] = replace(sent, job_id=job_id, submitted_at=at)
        self.lives[key].append("job")

    async def settle(self, key: int, end: End, reason: str, at: float) -> None:
        """Record an end."""
        self._end(key, "settled")

    async def abandon(self, key: int, reason: str, at: float) -> None:
        """Record that a batch is given up."""
        self._end(key, "abandoned")

    async def in_flight(self) -> tuple[InFlight, ...]:
        """Return what is open."""
        return tuple(self._open.values())

    async def is_in_flight(self, key: int) -> bool:
        """Tell whether a batch is open."""
        return key in self._open

    def _end(self, key: int, state: str) -> None:
        self.lives[key].append(state)
        self._open.pop(key, None)


class FakeQuarantine(dict[Share, Quarantined]):
    """The quarantined shares."""

    async def held(self) -> dict[Share, Quarantined]:
        """Return them as they are now."""
        return dict(self)

    async def revise(self, project_id: str, decide: Callable[[dict[Share, Quarantined]], QuarantineUpdate]) -> None:
        """Change what is held of a project."""
        await self.change(decide({share: held for share, held in self.items() if share.project_id == project_id}))

    async def change(self, update: QuarantineUpdate) -> None:
        """Hold and free shares."""
        for share in update.freed:
            self.pop(share, None)
        for held in update.held:
            self[held.share] = held


class FakeReadings(dict[str, LastReading]):
    """What each project was when it was last read."""

    async def last(self) -> dict[str, LastReading]:
        """Return it as it is now."""
        return dict(self)


@dataclass
class FakeMemory:
    """What a journal knows, read whole."""

    journal: FakeJournal

    async def of_pass(self) -> PassMemory:
        """Return what a pass begins with."""
        batches, quarantine, readings = self.journal.batches, self.journal.quarantine, self.journal.readings
        return PassMemory(await batches.in_flight(), await quarantine.held(), await readings.last())


class FakeRejections:
    """What was rejected: the `counts` that a test has put in."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    async def since(self, moment: float) -> dict[str, int]:
        """Return what a test has put in."""
        return self.counts

    async def reserve(self, planned: object, run_id: str, at: float, since: float, judge: Judge) -> tuple[Refusal, ...]:
        """Judge by what a test has put in, and reserve nothing."""
        return judge(self.counts)


class FakeApprovals:
    """Digests that are `approved`."""

    def __init__(self) -> None:
        self.approved: set[str] = set()

    async def is_given(self, digest: str) -> bool:
        """Tell of an approval."""
        return digest in self.approved

    async def use(self, digest: str, run_id: str, at: float) -> bool:
        """Use up an approval."""
        found = digest in self.approved
        self.approved.discard(digest)
        return found


@dataclass
class FakePasses:
    """Takes over what a pass changes."""

    quarantine: FakeQuarantine
    readings: FakeReadings

    async def record(self, report: object, update: QuarantineUpdate, found: dict[str, LastReading]) -> None:
        """Take over what changes about the quarantine, and what was read."""
        await self.quarantine.change(update)
        self.readings |= found


class FakeJournal:
    """A journal that forgets nothing while the test lasts; a test may give it `parts` of its own, by their names."""

    def __init__(self, **parts: Any) -> None:
        self.batches: FakeBatches = parts.get("batches") or FakeBatches()
        self.quarantine = FakeQuarantine()
        self.readings = FakeReadings()
        self.rejections: FakeRejections = parts.get("rejections") or FakeRejections()
        self.approvals: FakeApprovals = parts.get("approvals") or FakeApprovals()
        self.passes: FakePasses = parts.get("passes") or FakePasses(self.quarantine, self.readings)
        self.instructions = FakeInstructions()
        self.memory = FakeMemory(self)
