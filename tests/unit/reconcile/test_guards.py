"""PUTs leave as soon as the guards are certain of their verdict, and never before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from doubles import FakeCloud, FakeJournal, FakeRejections
from passes import ACCEPT, REJECT, TIMINGS, assert_adds_up, context, images, manifest, request
from rules import rule

from worker.core.allowance import Allowance
from worker.core.events import Event, Planned, ShareJudged
from worker.core.fleet.guard import GuardPolicy, Judge
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.selection import Selection
from worker.core.fleet.shards import Shard
from worker.core.manifest.model import Wish
from worker.core.share import MemberStatus
from worker.core.status import Status
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.run import prepare, run_once

pytestmark = pytest.mark.looptime
TEN_PERCENT = GuardPolicy(Allowance.parse("10%"), Allowance.parse("100%"))


class Reserving(FakeRejections):
    """Notes what is reserved; `beside` says what other shards have rejected, call after call."""

    def __init__(self, *beside: Mapping[str, int]) -> None:
        super().__init__()
        self.reserved: list[dict[str, int]] = []
        self.stamps: set[tuple[float, float]] = set()
        self._beside = list(beside)

    async def reserve(self, planned: Any, run_id: str, at: float, since: float, judge: Judge) -> tuple[str, ...]:
        """Judge by what others have rejected by now."""
        refused = judge(self._beside.pop(0) if self._beside else {})
        if not refused:
            self.reserved.append(dict(planned))
            self.stamps.add((at, since))
        return refused


def fleet(**rejected: int) -> dict[str, dict[str, Wish]]:
    """Return wishes for 20 images in each of three projects: to accept them, but to reject the first so many."""
    return {
        name: dict.fromkeys(images(20), ACCEPT) | dict.fromkeys(images(rejected.get(name, 0)), REJECT)
        for name in ("p", "q", "silent")
    }


def cloud_of(said: MemberStatus = MemberStatus.PENDING) -> FakeCloud:
    """Return a cloud where a project does not answer, and two do."""
    cloud = FakeCloud()
    for project in ("p", "q"):
        cloud.offer(project, images(20), said)
    cloud.silent = {"silent"}
    return cloud


async def one_pass(
    cloud: FakeCloud, journal: FakeJournal, told: Callable[[Event], None] = lambda _: None, **asked: Any
) -> RunReport:
    """Make a pass, under a guard of ten percent unless told otherwise."""
    asked_for = request(asked.pop("wishes"), **{"guard": TEN_PERCENT, **asked})
    report = await run_once(asked_for, context(cloud, journal, emit=told))
    assert_adds_up(report)
    return report


async def test_a_project_that_hangs_holds_no_put_back_that_is_allowed_whatever_it_holds() -> None:
    """The others are done before it is given up, and the plan is told when all is known."""
    cloud, told = cloud_of(), list[Event]()
    report = await one_pass(cloud, FakeJournal(), told.append, wishes=fleet())
    assert len(cloud.puts) == 2
    assert max(cloud.put_times) < TIMINGS.silence / 10
    (planned,) = (number for number, event in enumerate(told) if isinstance(event, Planned))
    judged = [number for number, event in enumerate(told) if isinstance(event, ShareJudged)]
    assert len(judged) == 40
    assert max(judged) < planned
    assert (report.result, report.count(Status.CHANGED), report.count(Status.UNKNOWN)) == (Result.PARTIAL, 40, 20)


@pytest.mark.parametrize(
    ("rejected", "allowed"), [({"silent": 3}, "10%"), ({"p": 2, "q": 2, "silent": 2}, "5")], ids=["project", "fleet"]
)
async def test_nothing_leaves_while_an_unread_project_could_bring_the_refusal(
    rejected: dict[str, int], allowed: str
) -> None:
    """It might reject more than a project, or with the others more than the fleet, may; once given up it cannot."""
    cloud = cloud_of()
    for project in ("p", "q"):
        cloud.offer(project, images(2), MemberStatus.ACCEPTED)
    guard = GuardPolicy(Allowance.parse(allowed), Allowance.parse("100%"))
    report = await one_pass(cloud, FakeJournal(), wishes=fleet(**rejected), guard=guard)
    assert cloud.puts
    assert min(cloud.put_times) >= TIMINGS.silence
    assert report.count(Status.UNKNOWN) == 20


async def test_rules_of_a_project_that_hangs_may_wish_for_anything() -> None:
    """So nothing leaves before it is read or given up."""
    cloud = cloud_of()
    await one_pass(cloud, FakeJournal(), wishes={}, manifest=manifest(fleet(), rule(projects=frozenset({"silent"}))))
    assert min(cloud.put_times) >= TIMINGS.silence


async def test_what_is_read_is_reserved_before_it_is_sent_and_all_of_it_in_the_end() -> None:
    """What an unread project might reject is nobody's: at one and the same stamp, what is read, and then what is so."""
    cloud, rejections = cloud_of(MemberStatus.ACCEPTED), Reserving()
    journal = FakeJournal(rejections=rejections)
    cloud.silent = set()
    cloud.slow = {"q": 5.0}
    cloud.offer("silent", images(20), MemberStatus.ACCEPTED)
    report = await one_pass(cloud, journal, wishes=fleet(p=2, q=2))
    assert rejections.reserved == [{"p": 2}, {"p": 2, "q": 2}]
    ((at, since),) = rejections.stamps
    assert at - since == 86400.0
    assert min(cloud.put_times) < 5.0
    assert report.count(Status.CHANGED) == 4


async def test_of_a_shard_the_verdict_waits_for_what_may_still_be_rejected() -> None:
    """Else other shards would be refused for what nobody may need, or it would send what they have used up."""
    cloud, rejections = cloud_of(MemberStatus.ACCEPTED), Reserving()
    journal = FakeJournal(rejections=rejections)
    wishes = fleet(p=2, silent=2)
    shard = next(each for each in (Shard(0, 2), Shard(1, 2)) if Selection(shard=each).means("silent"))
    mine = {name: of_images for name, of_images in wishes.items() if Selection(shard=shard).means(name)}
    other = next(name for name in ("p", "q", "r", "s", "t") if Selection(shard=shard).means(name))
    cloud.offer(other, images(20), MemberStatus.ACCEPTED)
    mine[other] = dict.fromkeys(images(20), ACCEPT) | dict.fromkeys(images(2), REJECT)
    report = await one_pass(cloud, journal, wishes=mine, selection=Selection(shard=shard))
    assert rejections.reserved == [{other: 2}]
    assert min(cloud.put_times) >= TIMINGS.silence
    assert report.count(Status.CHANGED) == 2


async def test_what_other_shards_have_taken_up_meanwhile_is_judged_again_when_all_is_read() -> None:
    """At first it is too much with theirs; once theirs are past, what is planned is allowed."""
    cloud, rejections = cloud_of(MemberStatus.ACCEPTED), Reserving({"elsewhere": 6}, {})
    journal = FakeJournal(rejections=rejections)
    report = await one_pass(cloud, journal, wishes=fleet(p=2))
    assert rejections.reserved == [{"p": 2}]
    assert min(cloud.put_times) >= TIMINGS.silence
    assert report.count(Status.CHANGED) == 2


async def test_a_pass_that_may_send_nothing_any_more_uses_up_no_approval() -> None:
    """It is there for the next pass, which is the same: a project that hangs kept this one until it was to stop."""
    cloud, journal, deadlines = cloud_of(MemberStatus.ACCEPTED), FakeJournal(rejections=Reserving()), Deadlines()
    wishes = fleet(p=10)
    refused = await one_pass(cloud, journal, wishes=wishes)
    journal.approvals.approved.add(refused.digest)
    asyncio.get_running_loop().call_later(1.0, deadlines.stop_submitting)
    asked = request(wishes, guard=TEN_PERCENT)
    cut = await run_once(asked, context(cloud, journal, deadlines=deadlines))
    assert (cloud.puts, journal.approvals.approved, cut.digest) == ([], {refused.digest}, refused.digest)
    assert (await one_pass(cloud, journal, wishes=wishes)).count(Status.CHANGED) == 10
    assert journal.approvals.approved == set()


async def test_a_pass_with_nothing_to_do_reserves_nothing() -> None:
    """Whatever the unread project may hold: a converged pass writes nothing but its record."""
    cloud, rejections = cloud_of(MemberStatus.ACCEPTED), Reserving()
    journal = FakeJournal(rejections=rejections)
    report = await one_pass(cloud, journal, wishes=fleet(silent=2))
    assert (rejections.reserved, cloud.puts, report.converged) == ([], [], 40)


async def test_what_is_refused_for_certain_is_refused_when_all_is_read_and_nothing_was_sent() -> None:
    """A refusal names the whole plan, so it has no hurry."""
    cloud, told = cloud_of(MemberStatus.ACCEPTED), list[Event]()
    report = await one_pass(cloud, FakeJournal(), told.append, wishes=fleet(p=10))
    assert (report.result, cloud.puts) == (Result.REFUSED, [])
    assert report.count(Status.NOT_SENT) == 10
    assert [event.refusals for event in told if isinstance(event, Planned)] == [report.refusals]


async def test_a_plan_for_people_is_judged_whole_and_writes_nothing() -> None:
    """`plan` waits for all there is to read."""
    cloud, rejections = cloud_of(MemberStatus.ACCEPTED), Reserving()
    journal = FakeJournal(rejections=rejections)
    prepared = await prepare(request(fleet(p=2), guard=TEN_PERCENT), context(cloud, journal))
    assert (prepared.verdict.refusals, len(prepared.batches), rejections.reserved) == ((), 1, [])
