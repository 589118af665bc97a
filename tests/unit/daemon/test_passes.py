"""Passes on one journal, and what becomes of them when the journal, the files or the process do not go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from commands import PROJECTS, Folder, fleet, image_names, manifest, share
from doubles import EPOCH, FakeCloud, FakeJournal, FakeMemory, FakeRejections, wall

from worker.cloud.ims import Ims
from worker.core.batch import Batch
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.daemon_events import LastKnown, PassScheduled, Remembered
from worker.core.events import (
    BatchSubmitted,
    ClockSet,
    Event,
    Incident,
    PassBroken,
    PassFinished,
    PassStarted,
    Superseded,
)
from worker.core.fleet.history import PassRecord
from worker.core.fleet.selection import Selector, select
from worker.core.fleet.shards import WHOLE, Shard
from worker.core.manifest.listed import Lists
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.polling import durations
from worker.core.polling.durations import Kind
from worker.core.reading import LastReading
from worker.core.share import MemberStatus
from worker.daemon.instructions import Instructions
from worker.daemon.passes import PassLoop
from worker.daemon.revision import Reader, Revision
from worker.daemon.triggers import Triggers
from worker.errors import JournalError
from worker.journal.instructions import InstructionLog
from worker.journal.lease import HeldJournal
from worker.journal.memory import OpenWork
from worker.journal.rows import Found
from worker.session.stopping import Stopper
from worker.simulator.naming import image_id, project_id

pytestmark = pytest.mark.looptime


class Cloud(FakeCloud):
    """A cloud whose credentials may be tried again."""

    retried = 0

    @property
    def clients(self) -> Cloud:
        """Its credentials, which are nothing else here."""
        return self

    def retry_stopped(self) -> None:
        """Count how often they are."""
        self.retried += 1


class Durations:
    """How long jobs last: what was found, in memory."""

    def __init__(self) -> None:
        self.kept: dict[Kind, durations.Durations] = {}

    async def known(self) -> Found[tuple[Kind, durations.Durations]]:
        """Return what was found."""
        return Found(tuple(self.kept.items()))

    async def keep(self, found: Mapping[Kind, durations.Durations]) -> None:
        """Keep it."""
        self.kept |= found


class Sizes:
    """How large a batch may be: what was learned, in memory."""

    def __init__(self) -> None:
        self.learned: dict[SizeKey, BatchSize] = {}

    async def known(self) -> Found[tuple[SizeKey, BatchSize]]:
        """Return what was learned."""
        return Found(tuple(self.learned.items()))

    async def learn(self, key: SizeKey, size: BatchSize) -> None:
        """Keep it."""
        self.learned[key] = size


class Rejections(FakeRejections):
    """What was rejected, if it can be read."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    async def since(self, moment: float) -> dict[str, int]:
        """Return what was rejected, or fail."""
        if self._journal.trouble == "unreadable":
            raise JournalError("the journal cannot be read")
        return await super().since(moment)


class Memory(FakeMemory):
    """What the journal knows, with a pass of its shard."""

    journal: Journal

    async def open_work(self, _count: int) -> OpenWork:
        """Return what is not done, and the passes."""
        journal = self.journal
        passes = (PassRecord("of-it", 0.0, 1.0, "converged", {}, journal.shard),)
        held = tuple((await journal.quarantine.held()).values())
        return OpenWork(await journal.batches.in_flight(), held, Found(passes, journal.odd))


class Stamps:
    """Times that are put right: `put_right` has by how much and up to which; 0 where later ones were clamped."""

    def __init__(self, journal: Journal) -> None:
        self.put_right: list[tuple[float, float]] = []
        self._journal = journal

    async def ahead(self, now: float) -> float:
        """Tell that no time lies ahead."""
        return 0.0

    async def shift(self, by: float, until: float) -> None:
        """Note it, if the journal can be written."""
        if self._journal.trouble == "unwritable":
            raise JournalError("the journal cannot be written")
        self.put_right.append((by, until))

    async def clamp(self, now: float) -> None:
        """Note it."""
        self.put_right.append((0.0, now))


class Journal(FakeJournal):
    """A journal that a worker holds, as long as `trouble` is empty.

    `odd` is what cannot be read of its passes.
    """

    trouble = ""
    shard = WHOLE
    odd: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.batch_sizes, self.durations = Sizes(), Durations()
        self.rejections = Rejections(self)
        self.memory, self.stamps = Memory(self), Stamps(self)

    async def verify_lease(self) -> None:
        """Say so."""
        if self.trouble == "lost":
            raise JournalError("the lease is lost")

    async def prune(self, retention: object) -> None:
        """Forget nothing."""


@dataclass
class Bench:
    """The passes and what they stand on; `on_event` is called with each event."""

    revision: Revision
    cloud: Cloud = field(default_factory=Cloud)
    journal: Journal = field(default_factory=Journal)
    stopper: Stopper = field(default_factory=lambda: Stopper(5.0))
    early: asyncio.Event = field(default_factory=asyncio.Event)
    loaded: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    events: list[Event] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda _: None
    wall: Callable[[], float] = wall

    def take(self, lists: Lists) -> None:
        """Go by what is found."""
        self.revision = self.revision.with_found(lists)

    async def work(self) -> None:
        """Make the passes."""

        def listen(event: Event) -> None:
            self.events.append(event)
            self.on_event(event)

        instructions = Instructions(cast("InstructionLog", self.journal.instructions), listen, self.early, self.wall)
        loop = PassLoop(
            cast("HeldJournal", self.journal),
            cast("Ims", self.cloud),
            listen,
            self.stopper,
            lambda: self.revision,
            self.take,
            Triggers(self.early, self.loaded, self.moved),
            self.wall,
            instructions,
        )
        await instructions.begin()
        await loop.work()

    def heard(self, kind: type[Any]) -> list[Any]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def read(path: Path, environ: dict[str, str], shard: Shard = WHOLE) -> Revision:
    """Write the files of a fleet, and read them."""
    folder = Folder(path)
    folder.configure("http://127.0.0.1:1")
    folder.write("manifest.toml", manifest(fleet(2)))
    return Reader(path / "config.toml", environ, Selector(shard=shard)).read()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return the passes with a pass a minute over a fleet that is as desired."""
    environ = {"IMS_WORKER_SCHEDULE__EVERY": "1m", "IMS_WORKER_SCHEDULE__JITTER": "0%"}
    found = Bench(read(tmp_path, environ))
    for name in PROJECTS:
        found.cloud.offer(project_id(name), [image_id(each) for each in image_names(2)], MemberStatus.ACCEPTED)
    return found


def after(count: int, kind: type[Any], act: Callable[[], object]) -> Callable[[Event], None]:
    """Act when so many events of a kind have come."""
    left = [count]

    def listen(event: Event) -> None:
        if isinstance(event, kind):
            left[0] -= 1
            if not left[0]:
                act()

    return listen


async def test_passes_follow_one_another_until_the_process_is_asked_to_stop(bench: Bench) -> None:
    """Each in its time, each announced; the work ends in order."""
    bench.on_event = after(3, PassFinished, bench.stopper.stop)
    began = asyncio.get_running_loop().time()
    await bench.work()
    assert len(bench.heard(PassStarted)) == len(bench.heard(PassFinished)) == len(bench.heard(PassScheduled)) == 3
    assert 120.0 <= asyncio.get_running_loop().time() - began < 130.0


async def test_an_early_pass_is_made_at_once(bench: Bench) -> None:
    """Nobody waits a minute for what a changed file says."""

    def ask() -> None:
        asyncio.get_running_loop().call_later(1.0, bench.early.set)

    after_one, after_two = after(1, PassFinished, ask), after(2, PassFinished, bench.stopper.stop)
    bench.on_event = lambda event: (after_one(event), after_two(event))[0]
    began = asyncio.get_running_loop().time()
    await bench.work()
    assert asyncio.get_running_loop().time() - began < 10.0


async def test_it_ends_when_journal_or_cloud_have_changed(bench: Bench) -> None:
    """Without another pass: who called it begins a new one with new connections."""
    bench.on_event = after(1, PassFinished, bench.moved.set)
    await bench.work()
    assert len(bench.heard(PassStarted)) == 1
    assert not bench.stopper.asked.is_set()


async def test_a_lease_that_is_lost_ends_it_before_a_pass(bench: Bench) -> None:
    """No call is made and no pass is begun by who may not be the writer any more."""
    bench.journal.trouble = "lost"
    with pytest.raises(JournalError, match="lost"):
        await bench.work()
    assert (bench.heard(PassStarted), bench.heard(PassBroken), bench.cloud.made.total()) == ([], [], 0)


async def test_a_pass_that_the_journal_breaks_is_told(bench: Bench) -> None:
    """It began, it has no report, and that is said: else it would seem to go on for ever."""
    bench.on_event = after(2, PassStarted, lambda: setattr(bench.journal, "trouble", "unreadable"))
    with pytest.raises(JournalError, match="cannot be read"):
        await bench.work()
    assert bench.events[-1] == PassBroken("the journal cannot be read")
    assert (len(bench.heard(PassStarted)), len(bench.heard(PassFinished))) == (2, 1)


async def test_refused_credentials_are_tried_again_every_five_minutes(bench: Bench) -> None:
    """A pass a minute would have the cloud block the key again and again."""
    bench.on_event = after(12, PassFinished, bench.stopper.stop)
    await bench.work()
    assert bench.cloud.retried == 3


async def test_what_the_journal_holds_of_others_is_left_to_them(bench: Bench, tmp_path: Path) -> None:
    """A shard is told of its own batches only."""
    shard = Shard(0, 2)
    bench.revision = read(tmp_path, {}, shard)
    for name in (*PROJECTS, "another"):
        await bench.journal.batches.intend(Batch(project_id(name), Operation.ACCEPT, None, ("i",)), "run-0", 0.0, 0)
    bench.on_event = after(1, PassFinished, bench.stopper.stop)
    await bench.work()
    first = bench.heard(Remembered)[0]
    mine = set(select(bench.revision.request.manifest, bench.revision.request.selection))
    assert len(mine) < len(PROJECTS)
    assert {flight.batch.project_id for flight in first.in_flight} == mine


async def test_what_projects_were_when_last_read_is_told_before_the_first_pass(bench: Bench, tmp_path: Path) -> None:
    """So the page of a worker that has just begun says it; a shard is told of its own projects only."""
    bench.revision = read(tmp_path, {}, Shard(0, 2))
    before = {project_id(f"team-{number}"): LastReading(EPOCH - 900, 40) for number in range(9)}
    bench.journal.readings |= before
    bench.on_event = after(1, PassFinished, bench.stopper.stop)
    await bench.work()
    means = bench.revision.request.selection.means
    mine = {each: reading for each, reading in before.items() if means(each)}
    told = [type(event) for event in bench.events]
    assert 0 < len(mine) < len(before)
    assert bench.heard(LastKnown) == [LastKnown(mine)]
    assert told.index(LastKnown) < told.index(PassStarted)


async def test_a_clock_that_was_put_back_calls_for_the_starts_that_come_again(bench: Bench, tmp_path: Path) -> None:
    """A pass that was due in a quarter of an hour is not made two hours later, and people are told when it is."""
    bench.revision = read(tmp_path, {"IMS_WORKER_SCHEDULE__CRON": "*/15 * * * *", "IMS_WORKER_SCHEDULE__JITTER": "0%"})
    moved_by = 0.0
    bench.wall = lambda: wall() + moved_by

    def put_back() -> None:
        nonlocal moved_by
        moved_by = -7200.0

    asyncio.get_running_loop().call_later(60.0, put_back)
    bench.on_event = after(2, PassFinished, bench.stopper.stop)
    began = asyncio.get_running_loop().time()
    await bench.work()
    assert asyncio.get_running_loop().time() - began < 16 * 60
    first, told_anew = bench.heard(PassScheduled)[:2]
    assert first.at - told_anew.at == pytest.approx(7200.0)


async def test_a_clock_that_was_set_moves_no_pass_of_an_interval(bench: Bench) -> None:
    """Forward or back, the next pass comes in its time, and the page says when that is by the new clock."""
    moved_by = 0.0
    bench.wall = lambda: wall() + moved_by

    def put_forward() -> None:
        nonlocal moved_by
        moved_by = 86400.0

    asyncio.get_running_loop().call_later(10.0, put_forward)
    bench.on_event = after(2, PassFinished, bench.stopper.stop)
    began = asyncio.get_running_loop().time()
    await bench.work()
    assert 60.0 <= asyncio.get_running_loop().time() - began < 65.0
    first, told_anew = bench.heard(PassScheduled)[:2]
    assert told_anew.at - first.at == pytest.approx(86400.0)


async def test_passes_that_cannot_be_read_are_told_once_and_stop_nothing(bench: Bench) -> None:
    """The history is for people: passes go on without it, and nobody is told of it every few seconds."""
    bench.journal.odd = ("table passes, row with run_id 1: result is missing",)
    bench.on_event = after(3, PassFinished, bench.stopper.stop)
    await bench.work()
    assert [trouble.reason for trouble in bench.heard(Incident)] == list(bench.journal.odd)


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
async def test_a_clock_that_is_set_makes_nothing_older_or_younger_and_is_told(bench: Bench, step: float) -> None:
    """Put forward, the journal moves with it up to then; put back, what is ahead is of now: once, and told."""
    moved_by = 0.0
    bench.wall = lambda: wall() + moved_by

    def move() -> None:
        nonlocal moved_by
        moved_by = step

    asyncio.get_running_loop().call_later(31.0, move)
    bench.on_event = after(3, PassFinished, bench.stopper.stop)
    await bench.work()
    assert [told.by for told in bench.heard(ClockSet)] == [pytest.approx(step)]
    ((by, at),) = bench.journal.stamps.put_right
    assert by == pytest.approx(max(0.0, step))
    assert EPOCH + 31 <= at - min(0.0, step) <= EPOCH + 36 + 1e-3


async def test_a_clock_that_cannot_be_seen_to_is_seen_to_later(bench: Bench) -> None:
    """A journal that is away for a moment makes nobody forget by how much the clock was set."""
    moved_by = 0.0
    bench.wall = lambda: wall() + moved_by

    def move() -> None:
        nonlocal moved_by
        moved_by = 7200.0
        bench.journal.trouble = "unwritable"

    asyncio.get_running_loop().call_later(31.0, move)
    asyncio.get_running_loop().call_later(44.0, lambda: setattr(bench.journal, "trouble", ""))
    bench.on_event = after(2, PassFinished, bench.stopper.stop)
    await bench.work()
    assert [by for by, _ in bench.journal.stamps.put_right] == [pytest.approx(7200.0)]
    assert [told.by for told in bench.heard(ClockSet)] == [pytest.approx(7200.0)]


@dataclass
class Reloading:
    """Passes whose files may change, over a fleet where everything is pending and one PUT is let through."""

    bench: Bench
    folder: Folder
    reader: Reader

    def load(self, *shares: str) -> None:
        """Write a manifest that wishes for these shares, and take it as the daemon does."""
        self.folder.write("manifest.toml", manifest(fleet(2), *shares))
        reread = self.reader.reread(self.bench.revision)
        self.bench.revision = reread.revision
        self.bench.loaded.set()
        if reread.is_new:
            self.bench.early.set()


class Narrow(Cloud):
    """A cloud that lets one PUT through for each that `open` allows; the others wait."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Semaphore(1)

    async def update_members(self, project: Project, batch: Batch, on_slot: Callable[[], Awaitable[None]]) -> str:
        """Wait, then send."""
        await self.open.acquire()
        return await super().update_members(project, batch, on_slot)


@pytest.fixture
def reloading(bench: Bench, tmp_path: Path) -> Reloading:
    """Return the passes over a fleet of two batches, of which one is sent."""
    bench.cloud = Narrow()
    for name in PROJECTS:
        bench.cloud.offer(project_id(name), [image_id(each) for each in image_names(2)])
    environ = {"IMS_WORKER_SCHEDULE__EVERY": "1h", "IMS_WORKER_GUARDS__MAX_REJECT": "100%"}
    found = Reloading(bench, Folder(tmp_path), Reader(tmp_path / "config.toml", environ, Selector()))
    bench.revision = found.reader.read()
    return found


async def test_a_newer_manifest_holds_at_once_and_the_next_pass_begins_by_it(reloading: Reloading) -> None:
    """The batch that waits for its turn is never sent: the pass ends, and the next asks for what is wished now."""
    bench = reloading.bench
    submitted = after(1, BatchSubmitted, lambda: reloading.load(share(fleet(2), "rejected")))
    opened = after(2, PassStarted, lambda: [bench.cloud.open.release() for _ in range(9)])
    stopped = after(2, PassFinished, bench.stopper.stop)
    bench.on_event = lambda event: (submitted(event), opened(event), stopped(event))[0]
    began = asyncio.get_running_loop().time()
    await bench.work()
    assert asyncio.get_running_loop().time() - began < 120.0
    assert [batch.operation for batch in bench.cloud.puts] == [Operation.ACCEPT, *[Operation.REJECT] * 2]
    assert {status for offers in bench.cloud.offers.values() for status in offers.values()} == {MemberStatus.REJECTED}
    kinds = [type(event) for event in bench.events if isinstance(event, Superseded | PassStarted | PassFinished)]
    assert kinds == [PassStarted, Superseded, PassFinished, PassStarted, PassFinished]


async def test_files_that_ask_for_nothing_else_leave_the_pass_alone(reloading: Reloading) -> None:
    """A comment and another name for an image: the batch that waits is sent when its turn comes."""
    bench = reloading.bench

    def touch() -> None:
        reloading.load("# a comment", share(fleet(2), "accepted"))
        asyncio.get_running_loop().call_later(30.0, bench.cloud.open.release)

    submitted, stopped = after(1, BatchSubmitted, touch), after(1, PassFinished, bench.stopper.stop)
    bench.on_event = lambda event: (submitted(event), stopped(event))[0]
    await bench.work()
    assert [batch.operation for batch in bench.cloud.puts] == [Operation.ACCEPT] * 2
    assert bench.heard(Superseded) == []
