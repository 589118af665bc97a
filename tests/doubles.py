"""Stand-ins at the edges of `worker.reconcile`: a cloud and a journal in memory, driven by the loop's virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

from worker.core.calls import CallCounts, CallGroup
from worker.core.guard import Judge
from worker.core.job import JobReply, JobState
from worker.core.state import Batch, InFlight, MemberStatus, ObservedImage, Project, Quarantined, Share
from worker.errors import NotFound, Scope

EPOCH = 1_800_000_000.0
PAGE = 50


def wall() -> float:
    """Return a wall clock that goes with the loop's."""
    return EPOCH + asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Fate:
    """What becomes of one PUT: `error` is raised, before or after the work is begun; else a job of some kind.

    `done` are the images that the job brings about (None: all); `state` is what it says in the end. `lag` is the time
    until the lists show it. A job that is `stuck` never ends; one that is `forgotten` is never found.
    """

    error: Exception | None = None
    begun: bool = True
    seconds: float = 1.0
    state: JobState = JobState.SUCCEEDED
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
    """Projects with offers, and a PUT whose fate a test decides.

    `sent_while_alive` has what was sent while a job that was yet to change it was alive. A share that a list has shown
    as the job is to make it, since somebody else was quicker, is by the promise no longer in flight.
    """

    def __init__(self, fate: Callable[[Batch], Fate] = lambda batch: Fate()) -> None:
        self.fate = fate
        self.offers: dict[str, dict[str, MemberStatus]] = {}
        self.whole: set[str] = set()
        self.unreadable: dict[str, Exception] = {}
        self.silent: set[str] = set()
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
        self, project: Project, status: MemberStatus, *, whole: bool | None = None
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield pages of what the project has given this status."""
        if project.id in self.silent:
            await asyncio.Event().wait()
        if project.id in self.unreadable:
            self.made[CallGroup.IMAGES_LIST] += 1
            raise self.unreadable[project.id]
        self._catch_up()
        images = [
            ObservedImage(image, image, "owner")
            for image, is_now in sorted(self.offers.get(project.id, {}).items())
            if is_now is status and (whole is None or whole is (image in self.whole))
        ]
        for start in range(0, len(images) + 1, PAGE):
            self.made[CallGroup.IMAGES_LIST] += 1
            await asyncio.sleep(0.01)
            if page := images[start : start + PAGE]:
                for job in self._running(project.id):
                    if job.batch.status is status:
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
            return JobReply(JobState.RUNNING)
        fate = job.fate
        return JobReply(fate.state, fate.results, fate.code and "it failed", fate.code, fate.scope)

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
            image in job.batch.images and image not in job.shown and job.batch.status is not status
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
            offers.update(dict.fromkeys(done & offers.keys() & frozenset(batch.images), batch.status))
            job.fate = Fate(
                fate.error,
                fate.begun,
                fate.seconds,
                fate.state,
                frozenset(),
                results=fate.results,
                forgotten=fate.forgotten,
                code=fate.code,
                scope=fate.scope,
            )


class FakeJournal:
    """A journal that forgets nothing while the test lasts; `lives` has each batch's states in order."""

    def __init__(self) -> None:
        self.lives: dict[int, list[str]] = {}
        self.wards: dict[Share, Quarantined] = {}
        self.approved: set[str] = set()
        self.rejects: dict[str, int] = {}
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
        flight = self._open[key]
        self._open[key] = replace(flight, job_id=job_id, submitted_at=at)
        self.lives[key].append("job")

    async def settle(self, key: int, state: JobState, reason: str, at: float) -> None:
        """Record an end."""
        self._end(key, "settled")

    async def abandon(self, key: int, reason: str, at: float) -> None:
        """Record that a batch is given up."""
        self._end(key, "abandoned")

    async def in_flight(self) -> tuple[InFlight, ...]:
        """Return what is open."""
        return tuple(self._open.values())

    async def quarantined(self) -> dict[Share, Quarantined]:
        """Return the wards."""
        return dict(self.wards)

    async def rejected_since(self, moment: float) -> dict[str, int]:
        """Return what a test has put in."""
        return self.rejects

    async def reserve(self, planned: object, run_id: str, at: float, since: float, judge: Judge) -> tuple[str, ...]:
        """Judge by what a test has put in, and reserve nothing."""
        return judge(self.rejects)

    async def is_approved(self, digest: str) -> bool:
        """Tell of an approval."""
        return digest in self.approved

    async def use_approval(self, digest: str, run_id: str, at: float) -> bool:
        """Use up an approval."""
        found = digest in self.approved
        self.approved.discard(digest)
        return found

    async def record(self, report: object, update: object) -> None:
        """Take over what changes about the quarantine."""
        await self.change_quarantine(update)

    async def change_quarantine(self, update: object) -> None:
        """Take over what changes about the quarantine."""
        for share in update.freed:
            self.wards.pop(share, None)
        for ward in update.held:
            self.wards[ward.share] = ward

    def _end(self, key: int, state: str) -> None:
        self.lives[key].append(state)
        self._open.pop(key, None)
