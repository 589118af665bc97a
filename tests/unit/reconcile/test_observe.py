"""Reading the lists of a project: all of them or nothing, and what to do when they move meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping

import pytest
from doubles import FakeCloud, FakeJournal
from passes import TIMINGS, context

from worker.core.events import Event, ProjectObserved
from worker.core.manifest.model import Project
from worker.core.reading import ObservedImage, Offer, Reading
from worker.core.share import MemberStatus
from worker.errors import BadRequest, Cause, CloudError, Forbidden, ListBrokenOff, TransientCloudError, UnexpectedReply
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.observe import Matters, observe, read_offers

pytestmark = pytest.mark.looptime
ACCEPTED, PENDING, REJECTED = MemberStatus.ACCEPTED, MemberStatus.PENDING, MemberStatus.REJECTED
PROJECT = Project("p", "payments")
Lists = dict[MemberStatus, list[str]]


def image(ident: str, *, full_ecs: bool | None = None) -> ObservedImage:
    """Return an image as a list shows it."""
    return ObservedImage(ident, ident, "owner", full_ecs)


class Moving(FakeCloud):
    """A cloud whose lists are different in each reading; the last reading stays. `read` has the lists asked for."""

    def __init__(self, *readings: Lists) -> None:
        super().__init__()
        self.readings = list(readings)
        self.read: list[MemberStatus] = []

    async def list_shared(
        self,
        project: Project,
        status: MemberStatus,
        *,
        full_ecs: bool | None = None,
        facts: frozenset[str] = frozenset(),
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield the list as one page; a list that was asked for before begins the next reading."""
        if status in self.read and len(self.readings) > 1:
            self.readings.pop(0)
            self.read.clear()
        self.read.append(status)
        yield tuple(map(image, self.readings[0].get(status, [])))


class Telling(FakeCloud):
    """A cloud that knows the filter for full-ECS images, does not know it, or refuses it, as `filtered` says."""

    def __init__(self, offers: dict[str, MemberStatus], filtered: Collection[str] | CloudError | None) -> None:
        super().__init__()
        self.offers["p"] = offers
        self.filtered = filtered
        self.asked: list[MemberStatus] = []
        self.said: dict[str, bool] = {}

    async def list_shared(
        self,
        project: Project,
        status: MemberStatus,
        *,
        full_ecs: bool | None = None,
        facts: frozenset[str] = frozenset(),
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield one list, filtered or not."""
        everything = [ident for ident, each in self.offers["p"].items() if each is status]
        if full_ecs is not None:
            self.asked += [status] * full_ecs
            if isinstance(self.filtered, CloudError):
                raise self.filtered
            if self.filtered is not None:
                everything = [ident for ident in everything if (ident in self.filtered) is full_ecs]
        yield tuple(image(ident, full_ecs=self.said.get(ident)) for ident in everything)


def nothing(_project: Project, _offers: Mapping[str, Offer]) -> Collection[str]:
    """Say that nothing matters but the offers."""
    return ()


async def observed(
    cloud: FakeCloud,
    *,
    may_accept: Collection[str] = (),
    projects: Collection[Project] = (PROJECT,),
    deadlines: Deadlines | None = None,
) -> tuple[dict[str, Reading], list[Event]]:
    """Observe; return the readings by project, and the events."""
    events: list[Event] = []
    found = await observe(
        context(cloud, FakeJournal(), emit=events.append, deadlines=deadlines),
        projects,
        Matters(lambda project: frozenset(), lambda project, offers: may_accept if project.id == "p" else (), nothing),
        lambda project, reading: (project.id, reading),
    )
    return dict(found), events


def failures(readings: dict[str, Reading]) -> dict[str, str]:
    """Return why projects could not be read, by project."""
    return {project_id: reading.failure for project_id, reading in readings.items() if reading.failure}


def read(readings: dict[str, Reading]) -> set[str]:
    """Return the projects that could be read."""
    return readings.keys() - failures(readings).keys()


def full_ecs_images(readings: dict[str, Reading]) -> set[str]:
    """Return the images that are known to be full-ECS images."""
    return {ident for ident, offer in readings["p"].offers.items() if offer.image.full_ecs}


async def test_a_project_is_its_three_lists() -> None:
    """An image has the status of the list that it is in, over all pages."""
    cloud = FakeCloud()
    cloud.offer("p", [f"image-{number:03}" for number in range(120)], PENDING)
    cloud.offer("p", ["yes"], ACCEPTED)
    cloud.offer("p", ["no"], REJECTED)
    readings, events = await observed(cloud)
    statuses = {ident: offer.status for ident, offer in readings["p"].offers.items()}
    assert statuses == cloud.offers["p"]
    assert events == [ProjectObserved("p", 122)]


async def test_a_project_that_fails_does_not_disturb_the_others() -> None:
    """It is unreadable with its reason, and has no offers, not even those of the lists that could be read."""
    cloud = FakeCloud()
    cloud.offer("p", ["a"])
    cloud.unreadable["q"] = Forbidden("not yours", status=403)
    readings, events = await observed(cloud, projects=(PROJECT, Project("q", "ledger")))
    assert read(readings) == {"p"}
    assert readings["q"] == Reading({}, "HTTP 403: not yours")
    assert ProjectObserved("q", 0, "HTTP 403: not yours") in events


async def test_a_bug_in_the_use_of_one_reading_is_that_project_s_alone() -> None:
    """It is unreadable for the pass, and the others are used as ever."""
    cloud = FakeCloud()
    cloud.offer("p", ["a"])
    cloud.offer("q", ["a"])
    made = context(cloud, FakeJournal())

    def use(project: Project, reading: Reading) -> tuple[str, str]:
        if project.id == "p" and not reading.failure:
            raise ZeroDivisionError
        return project.id, reading.failure

    used = await observe(
        made, (PROJECT, Project("q", "ledger")), Matters(lambda project: frozenset(), nothing, nothing), use
    )
    assert [project for project, failure in used if not failure] == ["q"]
    assert [project for project, failure in used if "ZeroDivisionError" in failure] == ["p"]
    assert [bug.project_id for bug in made.bugs] == ["p"]


async def test_a_list_that_breaks_off_spoils_the_whole_project() -> None:
    """Half a reading is no reading: nothing may be planned on it."""

    class Half(Moving):
        async def list_shared(
            self,
            project: Project,
            status: MemberStatus,
            *,
            full_ecs: bool | None = None,
            facts: frozenset[str] = frozenset(),
        ) -> AsyncIterator[tuple[ObservedImage, ...]]:
            yield (image(f"first of {status}"),)
            if status is REJECTED:
                raise UnexpectedReply("the marker was ignored")

    readings, _ = await observed(Half())
    assert readings == {"p": Reading({}, "the marker was ignored")}


async def test_an_image_that_moves_between_the_lists_is_read_again() -> None:
    """Seen twice, it is in neither list for sure; the next reading tells."""
    cloud = Moving({ACCEPTED: ["a"], PENDING: ["a", "b"]}, {ACCEPTED: ["a"], PENDING: ["b"]})
    offers = await read_offers(cloud, PROJECT)
    assert {ident: offer.status for ident, offer in offers.items()} == {"a": ACCEPTED, "b": PENDING}


@pytest.mark.parametrize("answer", [ACCEPTED, REJECTED])
async def test_an_image_that_is_answered_while_the_lists_are_read_is_not_missed(answer: MemberStatus) -> None:
    """A job of an earlier pass may end at any moment: the image is never taken for one that is not offered."""
    for moment in (0.0, 0.005, 0.015, 0.025, 0.035):
        cloud = FakeCloud()
        cloud.offer("p", ["a"], PENDING)
        asyncio.get_running_loop().call_later(moment, cloud.offer, "p", ["a"], answer)
        offers = await read_offers(cloud, PROJECT)
        assert offers["a"].status in {PENDING, answer}


async def test_images_that_keep_moving_make_a_project_unreadable() -> None:
    """Three readings, each with another image in two lists, and then the project is left alone."""
    cloud = Moving(*({ACCEPTED: [ident], PENDING: [ident]} for ident in "abcd"))
    with pytest.raises(UnexpectedReply, match="kept moving"):
        await read_offers(cloud, PROJECT)
    assert len(cloud.readings) == 2


async def test_an_image_that_is_in_two_lists_each_time_has_not_moved() -> None:
    """The key sees every image in every list: that is told, and not that anything moved."""
    cloud = Moving(*[{ACCEPTED: ["a"], PENDING: ["a"]}] * 4)
    with pytest.raises(UnexpectedReply, match="sees every image in every list") as caught:
        await read_offers(cloud, PROJECT)
    assert caught.value.cause is Cause.SEES_EVERYTHING


def statuses_of(*idents: str) -> dict[str, MemberStatus]:
    """Return these images, each expected to be accepted."""
    return dict.fromkeys(idents, ACCEPTED)


async def test_reading_for_certain_images_ends_when_all_were_seen() -> None:
    """One list is enough where all of them are in it."""
    cloud = Moving({ACCEPTED: ["a", "b", "c"], PENDING: ["d"]})
    offers = await read_offers(cloud, PROJECT, statuses_of("a", "b"))
    assert cloud.read == [ACCEPTED]
    assert {ident: offer.status for ident, offer in offers.items()} == statuses_of("a", "b", "c")


async def test_reading_for_certain_images_begins_where_they_should_be() -> None:
    """What should be rejected is looked for among the rejected first."""
    cloud = Moving({REJECTED: ["a"], ACCEPTED: ["b"]})
    await read_offers(cloud, PROJECT, {"a": REJECTED})
    assert cloud.read == [REJECTED]


async def test_an_image_that_is_not_where_it_should_be_is_looked_for_everywhere() -> None:
    """Elsewhere or in no list: both are known only after all three, and the list where it should be once more."""
    cloud = Moving({PENDING: ["a"]})
    offers = await read_offers(cloud, PROJECT, statuses_of("a", "gone"))
    assert sorted(cloud.read) == sorted([*MemberStatus, ACCEPTED])
    assert {ident: offer.status for ident, offer in offers.items()} == {"a": PENDING}


async def test_the_filter_tells_which_images_are_full_ecs() -> None:
    """Only those of the list; and their status stays what it was."""
    cloud = Telling({"a": PENDING, "b": PENDING, "c": REJECTED}, {"a"})
    readings, _ = await observed(cloud, may_accept=["a", "b", "c"])
    assert full_ecs_images(readings) == {"a"}
    assert readings["p"].offers["a"].status is PENDING
    assert sorted(cloud.asked) == [PENDING, REJECTED]


@pytest.mark.parametrize("filtered", [None, BadRequest("unknown parameter", status=400)], ids=["ignores", "refuses"])
async def test_a_region_that_does_not_know_the_filter_has_not_answered(filtered: CloudError | None) -> None:
    """Then no image is known to be a full-ECS image, and the project is readable all the same."""
    readings, _ = await observed(Telling({"a": PENDING, "b": PENDING}, filtered), may_accept=["a"])
    assert readings["p"].offers.keys() == {"a", "b"}
    assert full_ecs_images(readings) == set()


async def test_a_list_of_full_ecs_images_alone_is_told_from_an_ignored_filter() -> None:
    """Where the filter shows everything, the opposite question decides: nothing else is there."""
    readings, _ = await observed(Telling({"a": PENDING, "b": PENDING}, {"a", "b"}), may_accept=["a"])
    assert full_ecs_images(readings) == {"a", "b"}


@pytest.mark.parametrize("failure", [Forbidden("no", status=403), UnexpectedReply("the marker is ignored")])
async def test_a_filter_whose_answer_is_lost_makes_the_project_unreadable(failure: CloudError) -> None:
    """Only a 400 says that the region does not know the filter."""
    readings, _ = await observed(Telling({"a": PENDING}, failure), may_accept=["a"])
    assert failures(readings).keys() == {"p"}


async def test_a_filter_that_fails_for_a_while_makes_the_project_unreadable() -> None:
    """It might have answered, and a full-ECS image must not be sent without its vault."""
    readings, _ = await observed(Telling({"a": PENDING}, TransientCloudError("down", status=503)), may_accept=["a"])
    assert failures(readings) == {"p": "HTTP 503: down"}


@pytest.mark.parametrize(
    ("offers", "said", "may_accept"),
    [
        ({"a": PENDING}, {}, []),
        ({"a": PENDING}, {}, ["not offered"]),
        ({"a": PENDING}, {"a": True}, ["a"]),
        ({"a": PENDING}, {"a": False}, ["a"]),
    ],
)
async def test_the_filter_is_asked_only_where_it_matters(
    offers: dict[str, MemberStatus], said: dict[str, bool], may_accept: list[str]
) -> None:
    """Not for what does not matter, is not offered, or was told by the list itself."""
    cloud = Telling(offers, set())
    cloud.said = said
    await observed(cloud, may_accept=may_accept)
    assert cloud.asked == []


async def test_a_silent_project_does_not_hold_up_the_others_for_ever() -> None:
    """Once some have been read, those that are asked in vain are unreadable after two time-outs."""
    cloud = FakeCloud()
    cloud.offer("p", ["a"])
    cloud.silent = {"mute", "dumb"}
    projects = [PROJECT, Project("mute", "mute"), Project("dumb", "dumb")]
    readings, events = await observed(cloud, projects=projects)
    assert read(readings) == {"p"}
    assert failures(readings).keys() == {"mute", "dumb"}
    assert [(event.project_id, event.reason != "") for event in events if isinstance(event, ProjectObserved)] == [
        ("p", False),
        ("mute", True),
        ("dumb", True),
    ]
    assert TIMINGS.silence <= asyncio.get_running_loop().time() <= 1.2 * TIMINGS.silence


class Slow(FakeCloud):
    """A cloud that one call after the other waits for, and for long; who waits is not asked in vain."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = asyncio.Lock()

    async def list_shared(
        self,
        project: Project,
        status: MemberStatus,
        *,
        full_ecs: bool | None = None,
        facts: frozenset[str] = frozenset(),
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield a list after a while, one call after the other."""
        if project.id != "p":
            async with self.turn:
                await asyncio.sleep(150.0)
        async for page in super().list_shared(project, status, full_ecs=full_ecs, facts=facts):
            yield page


async def test_lists_that_wait_for_their_limits_are_waited_for() -> None:
    """Where limits are low a reading takes long, and so it may."""
    cloud = Slow()
    names = [f"slow-{number}" for number in range(5)]
    readings, _ = await observed(cloud, projects=[PROJECT, *(Project(name, name) for name in names)])
    assert failures(readings) == {}
    assert read(readings) == {"p", *names}


def ending_in(seconds: float) -> Deadlines:
    """Return deadlines of a pass that may submit for so many seconds."""
    deadlines = Deadlines()
    deadlines.finish_within(seconds + 10.0, 10.0)
    return deadlines


async def test_reading_takes_no_more_than_half_of_the_time_that_there_is_to_send() -> None:
    """What has been read by then is sent in the other half, whatever the lists of the others do."""
    cloud = Slow()
    names = [f"slow-{number}" for number in range(5)]
    projects = [PROJECT, *(Project(name, name) for name in names)]
    readings, _ = await observed(cloud, projects=projects, deadlines=ending_in(1200.0))
    assert asyncio.get_running_loop().time() == pytest.approx(600.0, abs=0.2)
    assert read(readings) == {"p"}
    assert set(failures(readings).values()) == {
        "lists were not read in half of the time that there was to send, and what was read does not wait for them"
    }


async def test_where_nothing_has_been_read_in_half_of_the_time_reading_goes_on() -> None:
    """There is nothing yet that could be sent: half of what is left is for that, and so on until something was read."""
    projects = [Project(name, name) for name in ("slow", "slower")]
    readings, _ = await observed(Slow(), projects=projects, deadlines=ending_in(800.0))
    assert 750.0 <= asyncio.get_running_loop().time() < 800.0
    assert read(readings) == {"slow"}


async def test_what_nobody_could_read_before_submitting_ends_is_given_up() -> None:
    """Then there is no use in a reading any more."""
    cloud = FakeCloud()
    cloud.silent = {"p"}
    readings, _ = await observed(cloud, deadlines=ending_in(60.0))
    assert failures(readings) == {"p": "the pass was told to stop before it was read"}
    assert asyncio.get_running_loop().time() == pytest.approx(60.0)


async def test_where_nothing_has_been_read_silence_is_waited_for() -> None:
    """Nobody else is held up, so the calls themselves decide when to give up; cancelling ends the wait."""
    cloud, events = FakeCloud(), list[Event]()
    cloud.silent = {"p"}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5 * TIMINGS.silence):
            await observe(
                context(cloud, FakeJournal(), emit=events.append),
                [PROJECT],
                Matters(lambda project: frozenset(), nothing, nothing),
                lambda project, reading: reading,
            )
    assert events == []


class Breaking(FakeCloud):
    """A cloud whose list of pending images breaks off after its first page as often as `breaks` says."""

    def __init__(self, breaks: int) -> None:
        super().__init__()
        self.breaks = breaks
        self.lists = 0

    async def list_shared(
        self,
        project: Project,
        status: MemberStatus,
        *,
        full_ecs: bool | None = None,
        facts: frozenset[str] = frozenset(),
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield one page, and take its images back while the list breaks off."""
        if status is MemberStatus.PENDING:
            self.lists += 1
            if self.breaks:
                self.breaks -= 1
                yield tuple(map(image, ["gone", "moved"]))
                raise ListBrokenOff("the image list cannot go on at its marker: no", status=400)
            yield tuple(map(image, ["stays"]))
        if status is MemberStatus.ACCEPTED:
            yield tuple(map(image, ["moved"]))


@pytest.mark.parametrize("may_accept", [(), ("stays",)])
async def test_a_list_that_breaks_off_is_read_again_from_its_beginning(may_accept: Collection[str]) -> None:
    """What stood there before is forgotten: one image is gone, another has been accepted meanwhile."""
    cloud = Breaking(1)
    readings, _ = await observed(cloud, may_accept=may_accept)
    assert {ident: offer.status for ident, offer in readings["p"].offers.items()} == {
        "stays": MemberStatus.PENDING,
        "moved": MemberStatus.ACCEPTED,
    }
    assert cloud.lists >= 2


async def test_a_list_that_breaks_off_again_and_again_is_not_read() -> None:
    """Once more is enough: the project is unreadable, and its reason says why."""
    cloud = Breaking(9)
    readings, _ = await observed(cloud)
    assert readings["p"] == Reading({}, "HTTP 400: the image list cannot go on at its marker: no")
    assert cloud.lists == 2
