"""A share that its owner takes back during a pass is absent at the first whole reading: list calls are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from doubles import FakeCloud, FakeJournal, Fate
from passes import ACCEPT, REJECT, TIMINGS, images, run

from worker.core.batch import Batch, End
from worker.core.calls import CallGroup
from worker.core.exit import Exit
from worker.core.fleet.report import RunReport, exit_of_report
from worker.core.share import MemberStatus
from worker.core.status import Status
from worker.errors import BadRequest, Scope, TransientCloudError

pytestmark = pytest.mark.looptime
COUNT = 120
PAGES = 3
"""How many pages a list of all images has in the double; an empty list has one."""
WISHES = {"p": dict.fromkeys(images(COUNT), ACCEPT)}
A_READING = PAGES + 1 + 1
NO_SUCH_IMAGE = BadRequest("no such image", status=400, code="IMG.0144", scope=Scope.IMAGE)


def taking_back(fate: Callable[[Batch], Fate], *gone: str) -> FakeCloud:
    """Return a cloud whose owner takes images back when the first PUT is on its way."""

    def fates(batch: Batch) -> Fate:
        for image in gone:
            cloud.offers["p"].pop(image, None)
        return fate(batch)

    cloud = FakeCloud(fates)
    cloud.offer("p", images(COUNT))
    return cloud


async def taken(cloud: FakeCloud, journal: FakeJournal | None = None) -> tuple[RunReport, int, float]:
    """Make a pass; return its report, the list calls after those before its first PUT, and how long it took."""
    before, began = A_READING + 1, asyncio.get_running_loop().time()
    report = await run(WISHES, cloud, journal or FakeJournal())
    return report, cloud.made[CallGroup.IMAGES_LIST] - before, asyncio.get_running_loop().time() - began


@pytest.mark.parametrize("gone", [1, 7, COUNT])
async def test_after_a_success_one_whole_reading_tells(gone: int) -> None:
    """All three lists once, and that of the accepted once more; not until verify is over."""
    cloud = taking_back(lambda _: Fate(), *images(gone))
    report, lists, seconds = await taken(cloud)
    assert report.count(Status.ABSENT) == gone
    assert report.count(Status.CHANGED) == COUNT - gone
    assert lists <= 2 * PAGES + 2
    assert seconds < TIMINGS.verify
    assert exit_of_report(report) is Exit.INCOMPLETE


async def test_what_lags_is_waited_for_and_what_is_gone_is_not_looked_for_meanwhile() -> None:
    """The reading goes on for the others, later and later, and asks for one list each time, not for three."""
    cloud = taking_back(lambda _: Fate(lag=6.0), "image-0000")
    report, lists, _ = await taken(cloud)
    assert (report.count(Status.ABSENT), report.count(Status.CHANGED)) == (1, COUNT - 1)
    readings = 6
    assert lists <= 2 * PAGES + 2 + readings * (PAGES + 1)


async def test_a_lost_answer_and_a_share_that_was_taken_back() -> None:
    """The others read as desired and so does the pass end, long before the PUT cannot be alive any more."""
    cloud = taking_back(lambda _: Fate(TransientCloudError("reset"), begun=True), "image-0000")
    report, lists, seconds = await taken(cloud)
    assert (report.count(Status.ABSENT), report.count(Status.CHANGED)) == (1, COUNT - 1)
    assert len(cloud.puts) == 2
    assert seconds < TIMINGS.unknown
    assert lists <= 2 * (2 * PAGES + 2) + 6 * (PAGES + 1)


@pytest.mark.parametrize("begun", [True, False])
async def test_a_lost_answer_about_shares_that_were_all_taken_back(*, begun: bool) -> None:
    """Nothing is left to wait for; in the journal it stays in flight until it cannot be alive any more."""
    journal = FakeJournal()
    cloud = taking_back(lambda _: Fate(TransientCloudError("reset"), begun=begun), *images(COUNT))
    report, lists, seconds = await taken(cloud, journal)
    assert report.count(Status.ABSENT) == COUNT
    assert seconds < 30.0
    assert lists <= 2 * (2 * PAGES + 2)
    assert all(life == ["intent"] for life in journal.batches.lives.values())
    await asyncio.sleep(TIMINGS.unknown)
    await run(WISHES, cloud, journal)
    assert await journal.batches.in_flight() == ()


async def test_an_image_that_is_deleted_while_its_batch_is_refused_is_absent() -> None:
    """It is found by division and read as gone; it has not failed, and is not held."""
    journal = FakeJournal()
    cloud = taking_back(
        lambda batch: Fate(NO_SUCH_IMAGE, begun=False) if "image-0005" in batch.images else Fate(), "image-0005"
    )
    report, _, _ = await taken(cloud, journal)
    assert (report.count(Status.ABSENT), report.count(Status.CHANGED)) == (1, COUNT - 1)
    assert journal.quarantine == {}


@pytest.mark.parametrize("state", [End.FAILED, End.SUCCEEDED])
async def test_a_whole_batch_that_was_taken_back(state: End) -> None:
    """Whatever its job says, all of it is absent, and none of it is sent again."""
    cloud = taking_back(lambda _: Fate(end=state, done=frozenset()), *images(COUNT))
    report, lists, seconds = await taken(cloud)
    assert (report.count(Status.ABSENT), len(cloud.puts)) == (COUNT, 2)
    assert lists <= 2 * (2 + 1 + 1 + 1)
    assert seconds < TIMINGS.verify


@pytest.mark.parametrize("wish", [ACCEPT, REJECT])
@pytest.mark.parametrize("lag", [delay / 100 for delay in range(8)])
async def test_an_image_that_moves_behind_the_reader_is_not_taken_for_one_that_is_gone(
    wish: object, lag: float
) -> None:
    """Whenever the lists show what the job has done, before, between or after two lists: it is a change."""
    cloud = FakeCloud(lambda _: Fate(lag=lag))
    start = MemberStatus.PENDING if wish is ACCEPT else MemberStatus.ACCEPTED
    cloud.offer("p", images(3), start)
    report = await run({"p": dict.fromkeys(images(3), wish)}, cloud, FakeJournal())  # type: ignore[arg-type]
    assert report.count(Status.CHANGED) == 3
