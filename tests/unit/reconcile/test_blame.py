"""Who is not to blame is not held, and what may pass is tried once more: passes in virtual time, PUTs counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from math import ceil, log2

import pytest
from doubles import FakeBatches, FakeCloud, FakeJournal, Fate
from passes import ACCEPT, REJECT, TIMINGS, context, images, request, run

from worker.cloud.refusals import Reply, refusal, scope_of
from worker.core.batch import Batch, End
from worker.core.fleet.report import Result, RunReport
from worker.core.share import MemberStatus
from worker.core.status import Status
from worker.errors import BadRequest, Forbidden, Scope, TransientCloudError
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.run import run_once

pytestmark = pytest.mark.looptime
WHOLE = images(60)
WISHES = {"p": dict.fromkeys(WHOLE, ACCEPT)}
BLAMELESS = [
    *((400, f"IMG.{code}") for code in ("0007", "0017", "0030", "0067", "0087", "0088", "0104", "0108", "0177")),
    *((400, f"IMG.{code}") for code in ("0026", "0105", "0161", "0179")),
    *((400, f"IMG.{code}") for code in ("0182", "0183", "0184", "0185", "0188", "0189", "0193")),
    (403, "IMG.0026"),
    (403, "APIGW.0310"),
    (403, "APIGW.0302"),
    (403, ""),
    (401, "APIGW.0301"),
    (401, ""),
    (404, "APIGW.0101"),
    (405, ""),
    (414, "APIGW.0201"),
]


def failing(code: str, *done: str, **more: object) -> Fate:
    """Return a job that ends as FAIL with this code, as the wire reads it, having done some of its images."""
    fate = Fate(end=End.FAILED, done=frozenset(done), code=code, scope=scope_of(code))
    return replace(fate, **more)  # type: ignore[arg-type]


def cloud_of(fate: Callable[[Batch], Fate], count: int = len(WHOLE)) -> FakeCloud:
    """Return a cloud with that many images offered to one project."""
    cloud = FakeCloud(fate)
    cloud.offer("p", images(count))
    return cloud


def in_turn(*fates: Fate) -> Callable[[Batch], Fate]:
    """Give the PUTs these fates, and good ones after them."""
    left = iter(fates)
    return lambda _: next(left, Fate())


def counts(report: RunReport) -> dict[Status, int]:
    """Return how many shares ended each way, without the zeros."""
    return {kind: count for kind, count in report.counts().items() if count}


def sizes(cloud: FakeCloud) -> list[int]:
    """Return how many images each PUT had, in order."""
    return [len(batch.images) for batch in cloud.puts]


@pytest.mark.parametrize(("status", "code"), BLAMELESS)
async def test_a_refusal_that_blames_no_image_holds_none(status: int, code: str) -> None:
    """One PUT, all failed; the next pass sends them all at once, as one batch again."""
    body = json.dumps({"error": {"message": "no", "code": code}} if code else {"message": "no"}).encode()
    error = refusal(Reply(status, {}, body), 0.0)
    cloud, journal = cloud_of(in_turn(Fate(error, begun=False))), FakeJournal()
    assert counts(await run(WISHES, cloud, journal)) == {Status.FAILED: 60}
    assert journal.quarantine == {}
    assert (await run(WISHES, cloud, journal)).result is Result.CONVERGED
    assert sizes(cloud) == [60, 60]


@pytest.mark.parametrize(
    "code", [code for status, code in BLAMELESS if status == 400] + ["IMG.0060", "IMG.0064", "IMG.0065"]
)
@pytest.mark.parametrize("partly", [False, True])
async def test_a_job_that_fails_for_what_blames_no_image_holds_none(code: str, *, partly: bool) -> None:
    """The code may come in the job as well, and a vault may fill up half-way; what was done is done."""
    fate = failing(code, *(WHOLE[:20] if partly else ()))
    fate = replace(fate, results=dict.fromkeys(WHOLE[:20], True) | dict.fromkeys(WHOLE[20:], False)) if partly else fate
    healed = False

    def fates(batch: Batch) -> Fate:
        return Fate() if healed else fate

    cloud, journal = cloud_of(fates), FakeJournal()
    report = await run(WISHES, cloud, journal)
    assert report.count(Status.FAILED) == (40 if partly else 60)
    assert journal.quarantine == {}
    sent, healed = len(cloud.puts), True
    assert sent <= 2
    assert (await run(WISHES, cloud, journal)).result is Result.CONVERGED
    assert sizes(cloud)[sent:] == [40 if partly else 60]


async def test_a_right_that_is_missing_for_lists_and_puts_alike_holds_nobody() -> None:
    """The shares cannot be read again either; they failed for the refusal, and go when the right is given."""
    error = Forbidden("not yours", status=403, scope=Scope.PERMISSION)

    def withdrawn(_: Batch) -> Fate:
        cloud.unreadable["p"] = error
        return Fate(error, begun=False)

    cloud, journal = cloud_of(withdrawn), FakeJournal()
    assert counts(await run(WISHES, cloud, journal)) == {Status.FAILED: 60}
    assert journal.quarantine == {}


async def test_who_could_not_be_reached_or_was_throttled_is_not_held() -> None:
    """Nothing was sent, so nothing was learned."""
    for error in (
        TransientCloudError("cannot connect", nothing_done=True),
        TransientCloudError("slow down", nothing_done=True, status=429, scope=Scope.THROTTLE),
    ):
        cloud, journal = cloud_of(lambda _, error=error: Fate(error, begun=False)), FakeJournal()  # type: ignore[misc]
        hasty = context(cloud, journal, timings=replace(TIMINGS, deadline=5.0))
        assert counts(await run_once(request(WISHES), hasty)) == {Status.NOT_SENT: 60}
        assert journal.quarantine == {}


BUSY = ["IMG.0060", "IMG.0064", "IMG.0065", "IMG.0184", "IMG.0188"]
PASSING = ["", "IMG.0018", "IMG.0060", "IMG.0061", "IMG.0064", "IMG.0065", "IMG.0112", "IMG.0113", "IMG.0114"]
PASSING += ["IMG.0184", "IMG.0188", "APIGW.0601", "IMG.9999"]


@pytest.mark.parametrize("code", PASSING)
@pytest.mark.parametrize("done", [0, 14, 51])
@pytest.mark.parametrize("told", [False, True])
async def test_what_a_busy_service_left_undone_is_sent_once_more(code: str, done: int, *, told: bool) -> None:
    """However many images failed, and whether the job tells which: they are sent once more, and nobody is held."""
    results = dict.fromkeys(WHOLE[:done], True) | dict.fromkeys(WHOLE[done:], False) if told else {}
    cloud, journal = cloud_of(in_turn(failing(code, *WHOLE[:done], results=results))), FakeJournal()
    report = await run(WISHES, cloud, journal)
    assert (report.result, counts(report)) == (Result.CONVERGED, {Status.CHANGED: 60})
    # A batch that failed as a whole is divided, unless no image can be to blame.
    again = [WHOLE[done:]] if done or code in BUSY else [WHOLE[:30], WHOLE[30:]]
    assert [list(batch.images) for batch in cloud.puts] == [WHOLE, *again]
    assert (journal.quarantine, cloud.sent_while_alive) == ({}, [])


@pytest.mark.parametrize("code", ["IMG.0144", "IMG.0046", "IMG.0182", "IMG.0026"])
async def test_what_will_not_pass_is_not_sent_once_more(code: str) -> None:
    """A share that its job told apart and gave up for good is one PUT."""
    results = dict.fromkeys(WHOLE[1:], True) | {WHOLE[0]: False}
    cloud, journal = cloud_of(lambda _: failing(code, *WHOLE[1:], results=results)), FakeJournal()
    assert counts(await run(WISHES, cloud, journal)) == {Status.CHANGED: 59, Status.FAILED: 1}
    assert sizes(cloud) == [60]


async def test_images_that_fail_for_good_without_a_word_are_held_after_one_more_try() -> None:
    """Nine that the job tells from the others: two PUTs, whether they are one or nine; then they are held."""
    bad = WHOLE[::7]

    def fate(batch: Batch) -> Fate:
        results = {image: image not in bad for image in batch.images}
        return failing("", *(image for image in batch.images if image not in bad), results=results)

    cloud, journal = cloud_of(fate), FakeJournal()
    report = await run(WISHES, cloud, journal)
    assert counts(report) == {Status.CHANGED: 51, Status.FAILED: 9}
    assert [batch.images for batch in cloud.puts] == [tuple(WHOLE), tuple(bad)]
    assert sorted(share.image_id for share in journal.quarantine) == bad


@pytest.mark.parametrize("count", [1, 2, 3, 10, 37, 60, 100])
@pytest.mark.parametrize("where", [0.0, 0.37, 1.0])
async def test_one_bad_image_that_spoils_its_job_without_a_word_is_found(count: int, where: float) -> None:
    """The other images converge in the same pass, within the bound of a division; a lone one is tried once more."""
    bad = images(count)[round(where * (count - 1))]
    cloud, journal = cloud_of(lambda batch: failing("") if bad in batch.images else Fate(), count), FakeJournal()
    report = await run({"p": dict.fromkeys(images(count), ACCEPT)}, cloud, journal)
    assert report.count(Status.CHANGED) == count - 1
    assert [share.image_id for share in journal.quarantine] == [bad]
    assert len(cloud.puts) <= 2 * ceil(log2(count)) + 1 + (count == 1)
    assert cloud.sent_while_alive == []


async def test_a_service_that_fails_everything_is_not_asked_for_ever() -> None:
    """Where nothing passes the division stops, and all are held."""
    cloud, journal = cloud_of(lambda _: failing("")), FakeJournal()
    assert counts(await run(WISHES, cloud, journal)) == {Status.FAILED: 60}
    assert len(cloud.puts) <= 2 * ceil(log2(60)) + 3
    assert len(journal.quarantine) == 60


async def test_a_half_that_a_busy_service_fails_is_not_held() -> None:
    """A batch with a bad image is divided; a half that fails in passing is divided too, and so tried once more."""
    bad = WHOLE[0]
    passing = iter([failing("")])

    def fate(batch: Batch) -> Fate:
        if bad in batch.images:
            return failing("IMG.0144")
        return next(passing, Fate())

    cloud, journal = cloud_of(fate), FakeJournal()
    assert counts(await run(WISHES, cloud, journal)) == {Status.CHANGED: 59, Status.FAILED: 1}
    assert [share.image_id for share in journal.quarantine] == [bad]
    assert len(cloud.puts) <= 2 * ceil(log2(60)) + 1 + 2


async def test_told_to_stop_nothing_is_sent_once_more_and_nobody_is_held() -> None:
    """The try once more is left to the next pass, since a share is held only after it."""
    cloud, journal, deadlines = cloud_of(in_turn(failing("", *WHOLE[:20]))), FakeJournal(), Deadlines()
    asyncio.get_running_loop().call_later(0.5, deadlines.stop, 60.0)
    report = await run_once(request(WISHES), context(cloud, journal, deadlines=deadlines))
    assert counts(report) == {Status.CHANGED: 20, Status.FAILED: 40}
    assert (sizes(cloud), journal.quarantine) == ([60], {})
    assert (await run(WISHES, cloud, journal)).result is Result.CONVERGED
    assert sizes(cloud) == [60, 40]


async def test_a_job_of_an_earlier_pass_that_fails_in_passing_is_sent_once_more_as_well() -> None:
    """A pass that resumes it sends what it left undone; should that fail again, the shares are held."""
    for second, result in ((Fate(), Result.CONVERGED), (failing(""), Result.FAILED)):
        cloud, journal = cloud_of(in_turn(failing("", seconds=20.0), *[second] * 40)), FakeJournal()
        interrupted = Deadlines()
        asyncio.get_running_loop().call_later(2.0, interrupted.stop, 0.0)
        await run_once(request(WISHES), context(cloud, journal, deadlines=interrupted))
        report = await run(WISHES, cloud, journal)
        assert report.result is result
        assert sizes(cloud)[0] == 60
        assert len(cloud.puts) <= 2 + 2 * ceil(log2(60)) + 2
        assert bool(journal.quarantine) is (result is Result.FAILED)


async def test_a_share_that_its_owner_takes_back_meanwhile_is_not_sent_once_more() -> None:
    """It is absent; only what is still offered and differs goes again."""

    def fate(batch: Batch) -> Fate:
        if len(batch.images) == 60:
            del cloud.offers["p"][WHOLE[7]]
            return failing("")
        return Fate()

    cloud = cloud_of(fate)
    report = await run(WISHES, cloud, FakeJournal())
    assert counts(report) == {Status.CHANGED: 59, Status.ABSENT: 1}
    assert sizes(cloud) == [60, 59]
    assert all(status is MemberStatus.ACCEPTED for status in cloud.offers["p"].values())


class Counting(FakeBatches):
    """Batches of which the journal knows how many rejects were sent, as the guards of later passes count them."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: dict[int, int] = {}

    async def intend(self, batch: Batch, run_id: str, at: float, rejects: int) -> int:
        """Record an intent."""
        key = await super().intend(batch, run_id, at, rejects)
        self.counted[key] = rejects
        return key

    async def refuse(self, key: int, reason: str, at: float) -> None:
        """Record a refusal, which rejected nothing."""
        await super().refuse(key, reason, at)
        self.counted[key] = 0


@pytest.mark.parametrize(
    "fates",
    [
        (failing("", *WHOLE[:20]),),
        (failing(""), failing(""), Fate(), failing("", *WHOLE[30:40])),
        (failing("IMG.0144"),),
        (Fate(BadRequest("no", status=400, code="IMG.0144", scope=Scope.IMAGE), begun=False),),
        (Fate(TransientCloudError("reset"), begun=False),),
        (Fate(TransientCloudError("busy", nothing_done=True, status=400, code="IMG.0018"), begun=False),),
        (Fate(forgotten=True, done=frozenset(WHOLE[:5])),),
    ],
    ids=["in passing", "twice", "divided job", "divided refusal", "lost answer", "busy", "lost job"],
)
async def test_a_share_that_is_sent_again_counts_once_as_rejected(fates: tuple[Fate, ...]) -> None:
    """The guards of the next 24 hours count what was rejected, not how often it had to be sent."""
    cloud, journal = cloud_of(in_turn(*fates)), FakeJournal(batches=Counting())
    cloud.offer("p", WHOLE, MemberStatus.ACCEPTED)
    report = await run({"p": dict.fromkeys(WHOLE, REJECT)}, cloud, journal)
    assert report.count(Status.CHANGED) >= 50
    assert len(cloud.puts) > 1
    assert sum(journal.batches.counted.values()) == 60
