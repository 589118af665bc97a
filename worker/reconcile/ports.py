"""What a pass needs of the world outside: the cloud, the journal, the clock, chance, and who listens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from worker.core.batch import Batch, End
from worker.core.calls import CallCounts
from worker.core.clock import age_of
from worker.core.events import BugFound, Incident, Listener
from worker.core.fleet.guard import Judge
from worker.core.fleet.history import PassMemory
from worker.core.fleet.refusal import Refusal
from worker.core.fleet.report import RunReport
from worker.core.job import JobReply
from worker.core.manifest.model import Project
from worker.core.polling.price import PollLimit
from worker.core.quarantine import Quarantined, QuarantineUpdate
from worker.core.reading import NO_FACTS, Facts, LastReading, ObservedImage
from worker.core.share import MemberStatus, Share
from worker.core.timing import Timings
from worker.core.vault import Vault
from worker.errors import CloudError, Forbidden, JournalError
from worker.reconcile.batch_sizes import BatchSizes
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.newest import Newest
from worker.reconcile.polls import Polls

_BUGS_KEPT = 20


class Cloud(Protocol):
    """The calls that a pass makes, of IMS and about vaults. Each raises CloudError."""

    def list_shared(
        self, project: Project, status: MemberStatus, *, full_ecs: bool | None = None, facts: Facts = NO_FACTS
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield, page by page, the images offered to the project that it has answered with `status`.

        With `full_ecs`, only full-ECS images, or only others, where the region knows that filter. `facts` are
        read besides.
        """
        ...

    async def update_members(self, project: Project, batch: Batch, on_slot: Callable[[], Awaitable[None]]) -> str:
        """Send one PUT, once; await `on_slot` when its turn has come, just before; return the job id.

        Whole batches take their turns before parts of others.
        """
        ...

    async def get_job(self, project: Project, job_id: str) -> JobReply:
        """Ask how a job is; raise NotFound when the cloud does not know it."""
        ...

    def job_limit(self, project: Project) -> PollLimit:
        """Return the limit that queries of a project's jobs count against, and whose it is; raise CloudError."""
        ...

    async def look_up_vaults(self, project: Project, vault_ids: Collection[str]) -> Mapping[str, Vault | None]:
        """Return what the backup service says of vaults of a project, None of one that is not there."""
        ...

    def counts(self) -> CallCounts:
        """Return how many calls were made so far."""
        ...

    def silent_for(self, project: Project) -> float:
        """Return since how many seconds a project's lists are asked for in vain; waits for a limit are not in vain."""
        ...


class Batches(Protocol):
    """The life of batches, durable: each call has returned only when it would survive a crash. Raises JournalError."""

    async def intend(self, batch: Batch, run_id: str, at: float, rejects: int) -> int:
        """Record that a batch, with so many rejections as guards count, is about to be sent; return its key."""
        ...

    async def refuse(self, key: int, reason: str, at: float) -> None:
        """Record that the cloud did nothing about a batch."""
        ...

    async def accept(self, key: int, job_id: str, at: float) -> None:
        """Record the job that a batch became."""
        ...

    async def settle(self, key: int, end: End, reason: str, at: float) -> None:
        """Record how a batch ended: it is no longer in flight."""
        ...

    async def abandon(self, key: int, reason: str, at: float) -> None:
        """Record that a batch is given up: it is no longer in flight."""
        ...

    async def is_in_flight(self, key: int) -> bool:
        """Tell whether a batch was, or may have been, sent and is not settled."""
        ...


class Quarantine(Protocol):
    """The shares that kept failing."""

    async def revise(self, project_id: str, decide: Callable[[Mapping[Share, Quarantined]], QuarantineUpdate]) -> None:
        """Change what is held of a project as `decide` makes of what is held at that moment; raise JournalError."""
        ...


class Rejections(Protocol):
    """How many accepted images are rejected, by all passes of all shards together. Raises JournalError."""

    async def since(self, moment: float) -> Mapping[str, int]:
        """Return, by project id, how many were sent to be rejected since then.

        What passes beside this one have reserved, and not yet sent, counts too.
        """
        ...

    async def reserve(
        self, planned: Mapping[str, int], run_id: str, at: float, since: float, judge: Judge
    ) -> tuple[Refusal, ...]:
        """Reserve what a pass would reject, by project id, unless `judge` refuses it; return why it does.

        What is judged is what was rejected since `since`. One pass after the other is judged, whoever makes it.
        """
        ...


class Approvals(Protocol):
    """The plans that people let pass the guards, by digest. Raises JournalError."""

    async def is_given(self, digest: str) -> bool:
        """Tell whether the plan with this digest may pass the guards once."""
        ...

    async def use(self, digest: str, run_id: str, at: float) -> bool:
        """Use up one approval of the plan with this digest; tell whether there was one."""
        ...


class Memory(Protocol):
    """What the journal knows."""

    async def of_pass(self) -> PassMemory:
        """Return what a pass begins with, of one moment; raise JournalError."""
        ...


class Passes(Protocol):
    """The passes that have ended."""

    async def record(self, report: RunReport, update: QuarantineUpdate, found: Mapping[str, LastReading]) -> None:
        """Record one, what it changes about the quarantine, and what was read, in one go; raise JournalError."""
        ...


class Journal(Protocol):
    """What a pass remembers and is remembered by."""

    @property
    def batches(self) -> Batches:
        """The life of batches."""
        ...

    @property
    def quarantine(self) -> Quarantine:
        """The shares that kept failing."""
        ...

    @property
    def rejections(self) -> Rejections:
        """How much is rejected."""
        ...

    @property
    def approvals(self) -> Approvals:
        """What people let pass."""
        ...

    @property
    def memory(self) -> Memory:
        """What is known."""
        ...

    @property
    def passes(self) -> Passes:
        """The passes that have ended."""
        ...


@dataclass(frozen=True, slots=True)
class PassContext:
    """What the verbs of one pass work with.

    `now` is the wall clock in seconds since the epoch, which may be set at any moment: for what is written down.
    `chance` draws uniformly from [0, 1). `sizes` tells how large a batch may be, `polls` when its job is asked
    about, `newest` what of it is still wished.
    `bugs` are the last that were contained in the work of single projects, `unwritten` the last error of a journal that
    could not be written, `denials` by permission the ids of the projects in which it was missing. `let_through` has by
    credential when the cloud last answered a PUT otherwise than by a throttle, by `clock`.
    """

    run_id: str
    cloud: Cloud
    journal: Journal
    now: Callable[[], float]
    chance: Callable[[], float]
    emit: Listener
    deadlines: Deadlines
    timings: Timings
    sizes: BatchSizes
    polls: Polls
    newest: Newest = field(default_factory=Newest)
    unwritten: deque[JournalError] = field(default_factory=lambda: deque(maxlen=1))
    bugs: deque[BugFound] = field(default_factory=lambda: deque(maxlen=_BUGS_KEPT))
    denials: dict[str, set[str]] = field(default_factory=dict)
    let_through: dict[str, float] = field(default_factory=dict)

    def clock(self) -> float:
        """Return the time of the event loop: whatever waits within the process goes by it, for nobody sets it."""
        return asyncio.get_running_loop().time()

    def moment_of(self, stamp: float) -> float:
        """Return the time by `clock` of what was written down by the wall clock; what lies ahead of that is of now."""
        return self.clock() - age_of(stamp, self.now())

    def note_denial(self, project: Project, error: CloudError) -> None:
        """Take note of a call that was refused for want of a permission; of other errors there is nothing to note."""
        if isinstance(error, Forbidden) and error.permission:
            self.denials.setdefault(error.permission, set()).add(project.id)

    async def record_or_stop_sending(self, writing: Awaitable[None]) -> None:
        """Await the journal's record of something that has happened.

        If it fails, nothing more is submitted; what was is followed all the same, and the next pass, whose journal
        knows less, reads how it ended.
        """
        try:
            await writing
        except JournalError as error:
            self.stop_submitting(error)

    def stop_submitting(self, error: JournalError) -> None:
        """Submit nothing more, because the journal cannot be written."""
        self.unwritten.append(error)
        self.emit(Incident("the journal cannot be written, so nothing more is sent", str(error)))
        self.deadlines.stop_submitting()
