"""Newer files hold at once: what they contradict is not sent, however long a batch has waited for its turn."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest
from doubles import FakeBatches, FakeCloud, FakeJournal, Fate
from passes import ACCEPT, REJECT, TIMINGS, assert_adds_up, context, images, request

from worker.core.batch import Batch, End
from worker.core.events import BatchNotAccepted, Event, PassStarted, ProjectObserved, Superseded
from worker.core.fleet.report import RunReport
from worker.core.manifest.model import Project, Wish
from worker.core.operation import Operation
from worker.core.reading import ObservedImage
from worker.core.share import MemberStatus
from worker.core.status import Status
from worker.errors import BadRequest, Scope, TransientCloudError
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.newest import Newest
from worker.reconcile.request import PassRequest
from worker.reconcile.run import run_once
from worker.reconcile.submit import WISHED_OTHERWISE
from worker.reconcile.supersede import WHY_SUPERSEDED, Supersession

pytestmark = pytest.mark.looptime
Wishes = Mapping[str, Mapping[str, Wish]]
WINDOW = 600.0
NEVER = 10**9


class Windowed(FakeCloud):
    """A cloud that lets so many PUTs leave in each window: the others queue. `slots` counts the turns that were taken.

    `on_turn` is called when the turn of a PUT has come. A list takes `seconds`.
    """

    def __init__(
        self, each: int = 1, fate: Callable[[Batch], Fate] = lambda batch: Fate(), seconds: float = 0.0
    ) -> None:
        super().__init__(fate)
        self.slots = 0
        self.on_turn: Callable[[], None] = lambda: None
        self._each = each
        self._queue = asyncio.Lock()
        self._seconds = seconds

    async def list_shared(
        self,
        project: Project,
        status: MemberStatus,
        *,
        full_ecs: bool | None = None,
        facts: frozenset[str] = frozenset(),
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Take a while, then list."""
        await asyncio.sleep(self._seconds)
        async for page in super().list_shared(project, status, full_ecs=full_ecs, facts=facts):
            yield page

    async def update_members(self, project: Project, batch: Batch, on_slot: Callable[[], Awaitable[None]]) -> str:
        """Wait for a place in a window, then send."""
        async with self._queue:
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, self.slots // self._each * WINDOW - now))
            self.slots += 1
        self.on_turn()
        return await super().update_members(project, batch, on_slot)

    def sent(self, operation: Operation) -> list[str]:
        """Return the images that were sent for an operation, in their order."""
        return sorted(image for batch in self.puts if batch.operation is operation for image in batch.images)


@dataclass
class Files:
    """The files of a daemon: a pass goes by what they asked for when it began; `load` has them ask for something else.

    `told` are the events of all passes.
    """

    asked: PassRequest
    told: list[Event] = field(default_factory=list)
    loaded: asyncio.Event = field(default_factory=asyncio.Event)
    newest: Newest = field(default_factory=Newest)

    def load(self, wishes: Wishes, **changes: object) -> None:
        """Ask for something else from now on."""
        self.asked = request(wishes, **changes)
        self.loaded.set()
        self.newest.announce()

    def load_in(self, seconds: float, wishes: Wishes) -> None:
        """Ask for something else a little later."""
        asyncio.get_running_loop().call_later(seconds, self.load, wishes)

    async def follow_wishes(self, cloud: FakeCloud, journal: FakeJournal, **more: object) -> RunReport:
        """Make a pass that takes out what is not wished any more, and goes on."""
        planned = self.asked
        self.newest = Newest(lambda batch: self.asked.still_wishes(batch, planned))
        the_context = context(cloud, journal, emit=self.told.append, **more)  # type: ignore[arg-type]
        report = await run_once(planned, replace(the_context, newest=self.newest))
        assert_adds_up(report)
        return report

    async def make_way(self, cloud: FakeCloud, journal: FakeJournal) -> RunReport:
        """Make a pass that ends early when the files ask for something else."""
        planned, deadlines = self.asked, Deadlines()
        self.loaded.clear()

        def newer() -> PassRequest | None:
            return None if self.asked.asks_the_same(planned) else self.asked

        superseded = Supersession(planned, newer, self.told.append)
        the_context = context(cloud, journal, deadlines=deadlines, emit=superseded)
        watching = asyncio.create_task(superseded.watch(self.loaded, deadlines, the_context.now))
        report = await run_once(planned, replace(the_context, newest=superseded.newest))
        watching.cancel()
        await asyncio.wait({watching})
        assert_adds_up(report)
        return report


def offered(cloud: FakeCloud, names: list[str], *projects: str, status: MemberStatus = MemberStatus.PENDING) -> None:
    """Offer images to projects."""
    for project in projects:
        cloud.offer(project, names, status)


def wish(names: list[str], *projects: str, of: Wish = ACCEPT) -> dict[str, dict[str, Wish]]:
    """Wish the same of all images in all projects."""
    return {project: dict.fromkeys(names, of) for project in projects}


async def test_what_is_wished_otherwise_while_a_batch_waits_is_taken_out_of_it() -> None:
    """The rest of the batch is sent, the others have their own status and reason, and no turn is taken in vain."""
    names = images(4)
    cloud, journal, files = Windowed(), FakeJournal(), Files(request(wish(names, "p", "q")))
    offered(cloud, names, "p", "q")
    files.load_in(60.0, {"p": dict.fromkeys(names, ACCEPT), "q": dict.fromkeys(names[:2], ACCEPT) | {names[2]: REJECT}})
    report = await files.follow_wishes(cloud, journal)
    assert [batch.images for batch in cloud.puts] == [tuple(names), tuple(names[:2])]
    assert cloud.slots == len(journal.batches.lives) == 2
    kept_back = [each for each in report.outcomes if each.status is not Status.CHANGED]
    assert [(each.share.project_id, each.share.image_id) for each in kept_back] == [("q", names[2]), ("q", names[3])]
    assert {(each.status, each.reason) for each in kept_back} == {(Status.NOT_SENT, WISHED_OTHERWISE)}
    (told,) = (event for event in files.told if isinstance(event, BatchNotAccepted))
    assert (told.batch.images, told.how, told.reason) == (tuple(names[2:]), End.NOT_SENT, WISHED_OTHERWISE)


@pytest.mark.parametrize("wishes", [wish(images(3), "p", "q", of=REJECT), wish(images(3), "p"), {}])
async def test_a_batch_of_which_nothing_is_wished_any_more_takes_no_turn(wishes: Wishes) -> None:
    """Rejected by now, or not wished by anybody: it leaves the queue, unsent and unjournalled."""
    names = images(3)
    cloud, journal, files = Windowed(), FakeJournal(), Files(request(wish(names, "p", "q")))
    offered(cloud, names, "p", "q")
    files.load_in(60.0, wishes)
    report = await files.follow_wishes(cloud, journal)
    assert (len(cloud.puts), cloud.slots, len(journal.batches.lives)) == (1, 1, 1)
    assert report.counts()[Status.NOT_SENT] == len(names)
    assert asyncio.get_running_loop().time() < WINDOW


async def test_the_moment_of_its_turn_asks_once_more() -> None:
    """Files that are loaded in that very moment still keep the batch from its intent and its PUT."""
    names = images(3)
    cloud, journal, files = Windowed(), FakeJournal(), Files(request(wish(names, "p")))
    offered(cloud, names, "p")
    cloud.on_turn = lambda: setattr(files, "asked", request({"p": {names[0]: ACCEPT}}))
    report = await files.follow_wishes(cloud, journal)
    assert [batch.images for batch in cloud.puts] == [(names[0],)]
    assert journal.batches.lives == {1: ["intent", "job", "settled"]}
    assert report.counts()[Status.NOT_SENT] == 2


async def test_files_that_are_loaded_while_the_journal_writes_hold_too() -> None:
    """The intent is taken back: nothing was done about it; and what is still wished goes with one of its own."""
    names = images(3)
    files = Files(request(wish(names, "p")))

    class Slow(FakeBatches):
        async def intend(self, batch: Batch, run_id: str, at: float, rejects: int) -> int:
            key = await super().intend(batch, run_id, at, rejects)
            files.asked = request({"p": {names[0]: ACCEPT}})
            return key

    cloud, journal = Windowed(NEVER), FakeJournal(batches=Slow())
    offered(cloud, names, "p")
    await files.follow_wishes(cloud, journal)
    assert [batch.images for batch in cloud.puts] == [(names[0],)]
    assert journal.batches.lives == {1: ["intent", "refused"], 2: ["intent", "job", "settled"]}
    assert await journal.batches.in_flight() == ()


async def test_only_what_is_sent_counts_as_rejected() -> None:
    """The guards of the next day do not count what was taken out."""
    names, counted = images(3), []

    class Counting(FakeBatches):
        async def intend(self, batch: Batch, run_id: str, at: float, rejects: int) -> int:
            counted.append(rejects)
            return await super().intend(batch, run_id, at, rejects)

    cloud, files = Windowed(), Files(request(wish(names, "p", "q", of=REJECT)))
    offered(cloud, names, "p", "q", status=MemberStatus.ACCEPTED)
    files.load_in(60.0, {"p": dict.fromkeys(names, REJECT), "q": {names[0]: REJECT, names[1]: ACCEPT}})
    await files.follow_wishes(cloud, FakeJournal(batches=Counting()))
    assert counted == [3, 1]


@pytest.mark.parametrize("at_put", [1, 2, 3, 5])
async def test_a_division_sends_no_part_of_which_something_is_wished_otherwise(at_put: int) -> None:
    """Whichever part is next when the files change, each share ends once, and nothing contradicted is sent later."""
    names = images(16)
    files = Files(request(wish(names, "p")))
    refusal = BadRequest("it cannot be shared", status=400, code="IMG.0144", scope=Scope.IMAGE)
    bad = {names[3], names[10]}
    numbers = itertools.count(1)

    def fate(batch: Batch) -> Fate:
        if next(numbers) == at_put:
            files.load({"p": dict.fromkeys(names[:8], ACCEPT) | dict.fromkeys(names[8:], REJECT)})
        return Fate(refusal, begun=False) if bad & set(batch.images) else Fate()

    cloud = FakeCloud(fate)
    offered(cloud, names, "p")
    report = await files.follow_wishes(cloud, FakeJournal())
    later = [image for batch in cloud.puts[at_put:] for image in batch.images]
    assert not set(later) & set(names[8:])
    assert report.counts()[Status.CHANGED] + report.counts()[Status.NOT_SENT] + report.counts()[Status.FAILED] == 16


async def test_a_pass_makes_way_while_its_batches_wait_for_the_window() -> None:
    """What was sent is followed to its end, the rest is not sent and says why, and the next pass goes by the new."""
    names = images(3)
    cloud = Windowed(fate=lambda batch: Fate(seconds=20.0))
    files = Files(request(wish(names, "p", "q", "r")))
    offered(cloud, names, "p", "q", "r")
    journal = FakeJournal()
    files.load_in(10.0, wish(names, "p", "q", "r", of=REJECT) | wish(names, "r"))
    report = await files.make_way(cloud, journal)
    assert asyncio.get_running_loop().time() < 60.0
    assert (report.counts()[Status.CHANGED], report.counts()[Status.NOT_SENT]) == (3, 6)
    reasons = {each.reason for each in report.outcomes if each.status is Status.NOT_SENT}
    assert f"{WHY_SUPERSEDED} before this batch was sent" in reasons
    assert [type(event) for event in files.told].count(Superseded) == 1
    assert journal.batches.lives == {1: ["intent", "job", "settled"]}
    await files.make_way(cloud, journal)
    assert cloud.sent(Operation.ACCEPT) == sorted([*names, *names])
    assert cloud.sent(Operation.REJECT) == sorted([*names, *names])


async def test_a_pass_that_makes_way_does_not_wait_for_an_answer_that_was_lost() -> None:
    """It can send nothing again, so it leaves the batch in flight, for others to follow beside the next pass."""
    due = asyncio.Event()
    deadlines, journal = Deadlines(due), FakeJournal()
    cloud = FakeCloud(lambda batch: Fate(TransientCloudError("reset"), begun=False))
    offered(cloud, images(3), "p")
    loop = asyncio.get_running_loop()
    loop.call_later(5.0, deadlines.stop_submitting)
    loop.call_later(5.0, due.set)
    report = await run_once(request(wish(images(3), "p")), context(cloud, journal, deadlines=deadlines))
    assert report.counts()[Status.UNSETTLED] == 3
    assert len(await journal.batches.in_flight()) == len(cloud.puts) == 1
    assert loop.time() < TIMINGS.unknown / 2


async def test_files_that_ask_for_the_same_cut_nothing() -> None:
    """Other names, other comments, another order of the blocks: the pass sends all of its batches."""
    names = images(3)
    cloud, files = Windowed(), Files(request(wish(names, "p", "q")))
    offered(cloud, names, "p", "q")
    files.load_in(10.0, wish(names, "q", "p"))
    report = await files.make_way(cloud, FakeJournal())
    assert report.counts()[Status.CHANGED] == 6
    assert not [event for event in files.told if isinstance(event, Superseded)]


async def test_a_pass_that_has_just_begun_reads_to_the_end() -> None:
    """Files that change while it reads leave no project unread, and what they do not contradict is sent."""
    names = images(3)
    cloud, files = Windowed(NEVER, seconds=5.0), Files(request(wish(names, "p", "q")))
    offered(cloud, names, "p", "q")
    files.load_in(1.0, wish(names, "p") | wish(names, "q", of=REJECT))
    report = await files.make_way(cloud, FakeJournal())
    assert [event.reason for event in files.told if isinstance(event, ProjectObserved)] == ["", ""]
    assert cloud.sent(Operation.ACCEPT) == names
    assert (report.counts()[Status.CHANGED], report.counts()[Status.NOT_SENT]) == (3, 3)


async def test_a_stream_of_changes_starves_nobody() -> None:
    """Files that ask for something else each second, while a pass takes fifteen to read: all that lasts is done."""
    names = images(4)
    cloud, journal = Windowed(2, seconds=5.0), FakeJournal()
    projects = ("p", "q", "r")
    files = Files(request(wish(names, *projects)))
    offered(cloud, [*names, "flag"], *projects)

    async def change() -> None:
        for flag in itertools.cycle((REJECT, ACCEPT)):
            await asyncio.sleep(1.0)
            files.load(wish(names, *projects) | {"p": dict.fromkeys(names, ACCEPT) | {"flag": flag}})

    changing = asyncio.create_task(change())
    for _ in range(2 * int(WINDOW / 30.0)):
        await files.make_way(cloud, journal)
    changing.cancel()
    done = [cloud.status(project, name) for project in projects for name in names]
    assert set(done) == {MemberStatus.ACCEPTED}
    assert [type(event) for event in files.told].count(PassStarted) > 10


async def test_a_project_that_hangs_does_not_keep_the_newest_files_waiting_while_others_are_sent() -> None:
    """Once the pass sends, it makes way as if the project that does not answer were not there."""
    names = images(3)
    cloud, journal = FakeCloud(lambda batch: Fate()), FakeJournal()
    offered(cloud, names, "p")
    cloud.silent = {"q"}
    files = Files(request(wish(names, "p", "q")))
    files.load_in(0.5, wish(names[:2], "p", "q"))
    began = asyncio.get_running_loop().time()
    report = await files.make_way(cloud, journal)
    assert asyncio.get_running_loop().time() - began < TIMINGS.silence / 10
    assert report.count(Status.CHANGED) == 3
    assert report.count(Status.UNKNOWN) == 3


async def test_a_stricter_guard_is_something_else() -> None:
    """Whoever lowers what may be rejected in the midst of a pass has the rest judged anew."""
    asked = request(wish(images(3), "p"))
    assert asked.asks_the_same(replace(asked, max_images=7))
    strict = replace(asked, guard=replace(asked.guard, max_reject=asked.guard.max_reject.parse("1")))
    assert not asked.asks_the_same(strict)
    assert not asked.asks_the_same(replace(asked, selection=replace(asked.selection, projects=frozenset("p"))))
