"""One pass against a cloud in memory, in virtual time: what is sent, what is not, and what the report says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import ClassVar, cast

import pytest
from doubles import (
    FakeApprovals,
    FakeCloud,
    FakeJournal,
    FakePasses,
    FakeQuarantine,
    FakeReadings,
    FakeRejections,
    Fate,
    wall,
)
from passes import ACCEPT, REJECT, TIMINGS, assert_adds_up, context, images, request, run

from worker.core.allowance import Allowance
from worker.core.batch import Batch, End
from worker.core.calls import CallGroup
from worker.core.events import Event, Noted, Planned, ShareJudged
from worker.core.exit import Exit
from worker.core.fleet.guard import GuardPolicy, Judge
from worker.core.fleet.report import Result, exit_of_report
from worker.core.fleet.selection import Selection
from worker.core.manifest.model import Wish
from worker.core.operation import Operation
from worker.core.share import MemberStatus, Share
from worker.core.source import Source
from worker.core.status import Status
from worker.errors import (
    AuthFailed,
    BadRequest,
    Forbidden,
    JournalError,
    Scope,
    TransientCloudError,
    UnexpectedReply,
)
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.run import prepare, run_once

pytestmark = pytest.mark.looptime
ACCEPTED, PENDING, REJECTED = MemberStatus.ACCEPTED, MemberStatus.PENDING, MemberStatus.REJECTED

RESET = TransientCloudError("reset")


def refuse(*bad: str, code: str = "IMG.0144", scope: Scope = Scope.IMAGE) -> FakeCloud:
    """Return a cloud that refuses any batch with a bad image in it as a whole."""
    error = BadRequest("no", status=400, code=code, scope=scope)
    return FakeCloud(lambda batch: Fate(error, begun=False) if set(bad) & set(batch.images) else Fate())


async def test_a_pass_changes_what_differs_and_nothing_else() -> None:
    """Pending and rejected become accepted, accepted stays, and a second pass sends nothing."""
    cloud, journal = FakeCloud(), FakeJournal()
    cloud.offer("p", images(250))
    cloud.offer("p", images(50), ACCEPTED)
    cloud.offer("p", ["unmanaged"])
    wishes = {"p": dict.fromkeys(images(250), ACCEPT)}
    report = await run(wishes, cloud, journal)
    assert (report.result, report.converged, report.count(Status.CHANGED)) == (Result.CONVERGED, 50, 200)
    assert report.unmanaged == 1
    assert cloud.offers["p"]["unmanaged"] is PENDING
    assert [len(batch.images) for batch in cloud.puts] == [100, 100]
    again = await run(wishes, cloud, journal)
    assert (again.converged, again.outcomes, len(cloud.puts)) == (250, (), 2)


async def test_the_life_of_a_batch_is_journalled_in_order() -> None:
    """A batch that goes well is an intent, then a job, then settled."""
    cloud, journal = FakeCloud(), FakeJournal()
    cloud.offer("p", images(1))
    await run({"p": dict.fromkeys(images(1), ACCEPT)}, cloud, journal)
    assert journal.batches.lives == {1: ["intent", "job", "settled"]}


async def test_a_project_that_cannot_be_read_is_unknown_and_the_others_go_on() -> None:
    """Nothing is sent for the unreadable project; the readable one converges; the exit status is 1."""
    cloud = FakeCloud()
    cloud.offer("good", images(3))
    cloud.offer("bad", images(3))
    cloud.unreadable["bad"] = Forbidden("not yours", status=403)
    report = await run({name: dict.fromkeys(images(3), ACCEPT) for name in ("good", "bad")}, cloud, FakeJournal())
    assert {batch.project_id for batch in cloud.puts} == {"good"}
    assert report.count(Status.UNKNOWN) == 3
    assert exit_of_report(report) is Exit.INCOMPLETE


async def test_no_readable_project_is_a_cloud_out_of_reach() -> None:
    """When every project fails, whatever the reason, the exit status is 4."""
    cloud = FakeCloud()
    cloud.unreadable = {"a": AuthFailed("no", status=401), "b": TransientCloudError("reset")}
    report = await run({name: {"image": ACCEPT} for name in ("a", "b")}, cloud, FakeJournal())
    assert exit_of_report(report) is Exit.CLOUD


async def test_one_bad_image_is_found_by_halving_and_the_others_get_through() -> None:
    """Of a hundred images with one poisoned, 99 change in the same pass, for at most 15 PUT."""
    cloud = refuse("image-0037")
    cloud.offer("p", images(100))
    report = await run({"p": dict.fromkeys(images(100), ACCEPT)}, cloud, FakeJournal())
    assert report.count(Status.CHANGED) == 99
    assert [each.share.image_id for each in report.outcomes if each.status is Status.FAILED] == ["image-0037"]
    assert len(cloud.puts) <= 15


async def test_one_bad_image_that_fails_its_job_is_found_by_halving_too() -> None:
    """A job that fails as a whole for the sake of one image is split like a refused request."""
    fail = Fate(end=End.FAILED, done=frozenset(), code="IMG.0046", scope=Scope.IMAGE)
    cloud = FakeCloud(lambda batch: fail if "image-0003" in batch.images else Fate())
    cloud.offer("p", images(16))
    report = await run({"p": dict.fromkeys(images(16), ACCEPT)}, cloud, FakeJournal())
    assert report.count(Status.CHANGED) == 15
    assert report.count(Status.FAILED) == 1
    assert cloud.sent_while_alive == []


@pytest.mark.parametrize("scope", [Scope.REQUEST, Scope.PROJECT, Scope.VAULT, Scope.PERMISSION, Scope.CREDENTIAL])
async def test_a_refusal_that_is_not_about_an_image_is_not_split(scope: Scope) -> None:
    """Smaller batches cannot help there, so one PUT is all that is sent."""
    cloud = refuse("image-0000", code="IMG.x", scope=scope)
    cloud.offer("p", images(10))
    report = await run({"p": dict.fromkeys(images(10), ACCEPT)}, cloud, FakeJournal())
    assert len(cloud.puts) == 1
    assert report.count(Status.FAILED) == 10


async def test_when_nothing_passes_division_stops() -> None:
    """A refusal of everything costs seventeen PUTs at most, not two hundred."""
    cloud = refuse(*images(100), code="", scope=Scope.UNSAID)
    cloud.offer("p", images(100))
    report = await run({"p": dict.fromkeys(images(100), ACCEPT)}, cloud, FakeJournal())
    assert len(cloud.puts) <= 17
    assert report.result is Result.FAILED


async def test_a_lost_answer_whose_work_was_done_is_settled_by_reading() -> None:
    """A reset after the cloud began leads to no second PUT, and to a change."""
    cloud, journal = FakeCloud(lambda batch: Fate(TransientCloudError("reset"), begun=True, seconds=5)), FakeJournal()
    cloud.offer("p", images(3))
    report = await run({"p": dict.fromkeys(images(3), ACCEPT)}, cloud, journal)
    assert report.count(Status.CHANGED) == 3
    assert len(cloud.puts) == 1
    assert journal.batches.lives == {1: ["intent", "settled"]}


@pytest.mark.parametrize("error", [TransientCloudError("reset"), UnexpectedReply("a 200 without a job id")])
async def test_a_lost_answer_is_sent_again_only_when_it_can_no_longer_be_alive(error: Exception) -> None:
    """Where nothing was done, the second PUT comes after polling.unknown, in the same pass."""
    fates = iter([Fate(error, begun=False)])
    cloud, journal = FakeCloud(lambda batch: next(fates, Fate())), FakeJournal()
    cloud.offer("p", images(3))
    report = await run({"p": dict.fromkeys(images(3), ACCEPT)}, cloud, journal)
    assert report.result is Result.CONVERGED
    assert cloud.put_times[1] - cloud.put_times[0] >= TIMINGS.unknown
    assert journal.batches.lives == {1: ["intent", "abandoned"], 2: ["intent", "job", "settled"]}


async def test_a_plain_try_later_is_tried_later() -> None:
    """A 4xx that says that nothing was done is repeated after a backoff, each time with an intent of its own."""
    fates = iter([Fate(TransientCloudError("busy", nothing_done=True), begun=False)] * 2)
    cloud, journal = FakeCloud(lambda batch: next(fates, Fate())), FakeJournal()
    cloud.offer("p", images(3))
    report = await run({"p": dict.fromkeys(images(3), ACCEPT)}, cloud, journal)
    assert report.result is Result.CONVERGED
    assert journal.batches.lives == {
        1: ["intent", "refused"],
        2: ["intent", "refused"],
        3: ["intent", "job", "settled"],
    }


async def test_a_success_that_did_nothing_is_not_believed() -> None:
    """The state is read again for polling.verify, then the share has failed; nothing is sent twice."""
    cloud = FakeCloud(lambda batch: Fate(done=frozenset()))
    cloud.offer("p", images(3))
    started = asyncio.get_running_loop().time()
    report = await run({"p": dict.fromkeys(images(3), ACCEPT)}, cloud, FakeJournal())
    assert report.count(Status.FAILED) == 3
    assert "SUCCESS" in report.outcomes[0].reason
    assert len(cloud.puts) == 1
    assert TIMINGS.verify <= asyncio.get_running_loop().time() - started < TIMINGS.verify + 10


async def test_a_list_that_lags_behind_the_job_is_waited_for() -> None:
    """A SUCCESS that the lists show only five seconds later is a change."""
    cloud = FakeCloud(lambda batch: Fate(lag=5.0))
    cloud.offer("p", images(3))
    report = await run({"p": dict.fromkeys(images(3), ACCEPT)}, cloud, FakeJournal())
    assert report.count(Status.CHANGED) == 3


async def test_a_partial_job_is_told_image_by_image() -> None:
    """The images that the job did are changed, the others are sent once more by themselves, and failed then."""
    done = frozenset(images(2))
    results = {image: image in done for image in images(3)}
    cloud = FakeCloud(lambda batch: Fate(end=End.FAILED, done=done, results=results, code="IMG.0061"))
    cloud.offer("p", images(3))
    report = await run({"p": dict.fromkeys(images(3), ACCEPT)}, cloud, FakeJournal())
    assert [each.status for each in report.outcomes] == [Status.CHANGED, Status.CHANGED, Status.FAILED]
    assert [job.end for job in report.jobs] == [End.PARTIAL, End.PARTIAL]
    assert [batch.images for batch in cloud.puts] == [tuple(images(3)), ("image-0002",)]


async def test_what_a_partial_job_did_is_waited_for_where_the_lists_lag_behind() -> None:
    """Its results say that it was done: it is neither sent again nor called failed before it could be seen."""
    done = frozenset(images(2))
    results = {image: image in done for image in images(3)}
    fates = iter([Fate(end=End.FAILED, done=done, results=results, code="IMG.0061", lag=5.0)])
    cloud = FakeCloud(lambda batch: next(fates, Fate()))
    cloud.offer("p", images(3))
    report = await run({"p": dict.fromkeys(images(3), ACCEPT)}, cloud, FakeJournal())
    assert [each.status for each in report.outcomes] == [Status.CHANGED] * 3
    assert [batch.images for batch in cloud.puts] == [tuple(images(3)), ("image-0002",)]


async def test_what_has_ended_by_the_end_of_the_grace_is_seen_and_proven() -> None:
    """Told to stop, the polls are far apart by then: the last look comes in time to read what the jobs have done."""
    cloud, journal, deadlines = FakeCloud(lambda batch: Fate(seconds=20.0)), FakeJournal(), Deadlines()
    cloud.offer("p", images(3))
    asyncio.get_running_loop().call_later(8.0, deadlines.stop, 20.0)
    asked = request({"p": dict.fromkeys(images(3), ACCEPT)})
    report = await run_once(asked, context(cloud, journal, deadlines=deadlines))
    assert report.count(Status.CHANGED) == 3
    assert await journal.batches.in_flight() == ()


async def test_what_an_owner_takes_back_during_the_pass_may_be_absent_where_its_wish_allows_it() -> None:
    """As before the pass and after it: it counts for no failure. Whatever was sent is told with who wishes it."""

    def take_back(batch: Batch) -> Fate:
        cloud.offers["p"].pop("image-0000", None)
        return Fate(done=frozenset({"image-0001"}))

    cloud, told = FakeCloud(take_back), list[Event]()
    cloud.offer("p", images(3))
    sources = {image: Source("manifest.toml", line, f"share[{line}]") for line, image in enumerate(images(3))}
    wishes = {image: Wish(Operation.ACCEPT, may_be_absent=True, source=sources[image]) for image in images(3)}
    report = await run_once(request({"p": wishes}), context(cloud, FakeJournal(), emit=told.append))
    kinds = [each.status for each in report.outcomes]
    assert kinds == [Status.ABSENT, Status.CHANGED, Status.FAILED]
    assert [(each.may_be_absent, each.source) for each in report.outcomes] == [
        (True, each) for each in sources.values()
    ]
    judged = [event.status for event in told if isinstance(event, ShareJudged)]
    assert sorted(judged, key=lambda each: each.share) == list(report.outcomes)
    cloud.offers["p"].pop("image-0002")
    assert (await run_once(request({"p": wishes}), context(cloud, FakeJournal()))).result is Result.CONVERGED


async def test_a_stuck_job_is_left_at_its_deadline_and_never_sent_again_while_it_may_live() -> None:
    """The pass ends unsettled; later passes ask about the job and send nothing, until abandon has passed."""
    fates = iter([Fate(stuck=True)])
    cloud, journal = FakeCloud(lambda batch: next(fates, Fate())), FakeJournal()
    cloud.offer("p", images(3))
    wishes = {"p": dict.fromkeys(images(3), ACCEPT)}
    report = await run(wishes, cloud, journal)
    assert report.count(Status.UNSETTLED) == 3
    asked = cloud.made[CallGroup.JOB_GET]
    again = await run(wishes, cloud, journal)
    assert again.count(Status.UNSETTLED) == 3
    assert (cloud.made[CallGroup.JOB_GET], len(cloud.puts)) == (asked + 1, 1)
    await asyncio.sleep(TIMINGS.abandon)
    last = await run(wishes, cloud, journal)
    assert last.result is Result.CONVERGED
    assert len(cloud.puts) == 2


async def test_a_stuck_job_does_not_hold_up_the_others_of_its_project() -> None:
    """The other batch of the project is judged within seconds, not at the stuck one's deadline."""
    judged: list[float] = []
    loop = asyncio.get_running_loop()
    cloud = FakeCloud(lambda batch: Fate(stuck="image-0000" in batch.images))
    cloud.offer("p", images(200))
    started = loop.time()
    pass_context = context(cloud, FakeJournal(), emit=lambda event: judged.append(loop.time() - started))
    await run_once(request({"p": dict.fromkeys(images(200), ACCEPT)}), pass_context)
    assert sum(moment < 10 for moment in judged) >= 100


async def test_a_job_that_vanished_with_its_work_done_is_settled_by_reading() -> None:
    """Nobody knows the job, the images read as desired: changed, and the job is lost."""
    cloud = FakeCloud(lambda batch: Fate(forgotten=True))
    cloud.offer("p", images(3))
    report = await run({"p": dict.fromkeys(images(3), ACCEPT)}, cloud, FakeJournal())
    assert report.count(Status.CHANGED) == 3
    assert [job.end for job in report.jobs] == [End.LOST]


async def test_a_job_that_the_cloud_denies_while_it_works_is_not_sent_again() -> None:
    """Nobody knows the job, yet half a minute later its work is done: the reading waits, and one PUT is all."""
    cloud = FakeCloud(lambda batch: Fate(forgotten=True, seconds=30.0))
    cloud.offer("p", images(3))
    report = await run({"p": dict.fromkeys(images(3), ACCEPT)}, cloud, FakeJournal())
    assert report.count(Status.CHANGED) == 3
    assert (len(cloud.puts), cloud.sent_while_alive) == (1, [])


async def test_a_job_that_vanished_without_a_trace_is_sent_again_in_the_same_pass() -> None:
    """What still differs after a lost job is due again; a few times, not for ever."""
    fates = iter([Fate(forgotten=True, done=frozenset())])
    cloud = FakeCloud(lambda batch: next(fates, Fate()))
    cloud.offer("p", images(3))
    wishes = {"p": dict.fromkeys(images(3), ACCEPT)}
    assert (await run(wishes, cloud, FakeJournal())).result is Result.CONVERGED
    hopeless = FakeCloud(lambda batch: Fate(forgotten=True, done=frozenset()))
    hopeless.offer("p", images(3))
    report = await run(wishes, hopeless, FakeJournal())
    assert report.count(Status.FAILED) == 3
    assert len(hopeless.puts) == 3


async def test_an_absent_share_is_not_sent_and_may_be_allowed() -> None:
    """What is not offered spoils no batch; with `when_absent = "wait"` it is no failure either."""
    cloud = FakeCloud()
    cloud.offer("p", images(2))
    waiting = await run(
        {"p": {**dict.fromkeys(images(2), ACCEPT), "later": Wish(Operation.ACCEPT, None, True)}}, cloud, FakeJournal()
    )
    assert (waiting.result, waiting.count(Status.ABSENT)) == (Result.CONVERGED, 1)
    failing = await run({"p": {"later": ACCEPT}}, cloud, FakeJournal())
    assert (failing.result, exit_of_report(failing)) == (Result.INCOMPLETE, Exit.INCOMPLETE)


async def test_a_full_ecs_image_goes_into_its_vault_in_a_batch_of_its_own_kind() -> None:
    """With a vault it is sent with it, without one it is blocked, and a plain image never carries a vault."""
    cloud = FakeCloud()
    cloud.offer("p", ["plain", "whole", "whole-without"])
    cloud.full_ecs = {"whole", "whole-without"}
    wishes = {
        "p": {
            "plain": Wish(Operation.ACCEPT, "vault"),
            "whole": Wish(Operation.ACCEPT, "vault"),
            "whole-without": ACCEPT,
        }
    }
    report = await run(wishes, cloud, FakeJournal())
    assert {(batch.vault_id, batch.images) for batch in cloud.puts} == {(None, ("plain",)), ("vault", ("whole",))}
    assert report.count(Status.BLOCKED) == 1


async def test_a_guard_refuses_before_the_first_put_and_an_approval_lets_the_plan_pass_once() -> None:
    """Refused: nothing sent, every due share not_sent, exit status 3. Approved: sent; and only once."""
    cloud, journal = FakeCloud(), FakeJournal()
    cloud.offer("p", images(20), ACCEPTED)
    guard = GuardPolicy(Allowance.parse("10%"), Allowance.parse("100%"))
    wishes = {"p": {**dict.fromkeys(images(20), ACCEPT), **dict.fromkeys(images(3), REJECT)}}
    refused = await run_once(request(wishes, guard=guard), context(cloud, journal))
    assert_adds_up(refused)
    assert (refused.result, exit_of_report(refused), cloud.puts) == (Result.REFUSED, Exit.REFUSED, [])
    assert refused.count(Status.NOT_SENT) == 3
    journal.approvals.approved.add(refused.digest)
    approved = await run_once(request(wishes, guard=guard), context(cloud, journal))
    assert approved.result is Result.CONVERGED
    assert journal.approvals.approved == set()


async def test_a_plan_is_judged_again_as_it_reserves_what_it_rejects() -> None:
    """What another shard reserved since the first look refuses it, once announced; an approval lets it pass."""

    class Contended(FakeRejections):
        asked: ClassVar[list[object]] = []

        async def reserve(self, *asked: object) -> tuple[str, ...]:
            *facts, judge = asked
            self.asked.append(facts)
            return cast("Judge", judge)({"other": 2})

    cloud, rejections, announced = FakeCloud(), Contended(), []
    journal = FakeJournal(rejections=rejections)
    cloud.offer("p", images(20), ACCEPTED)
    guard = GuardPolicy(Allowance.parse("10%"), Allowance.parse("100%"))
    refuser = request({"p": {**dict.fromkeys(images(20), ACCEPT), "image-0000": REJECT}}, guard=guard)
    assert (await prepare(refuser, context(cloud, journal))).verdict.refusals == ()
    assert rejections.asked == []
    refused = await run_once(refuser, context(cloud, journal, emit=announced.append))
    # At first as the most that could be planned, then as what is.
    assert [(planned, run_id, at - since) for planned, run_id, at, since in rejections.asked] == [
        ({"p": 1}, "run-1", 86400.0)
    ] * 2
    assert_adds_up(refused)
    assert (refused.result, exit_of_report(refused), cloud.puts) == (Result.REFUSED, Exit.REFUSED, [])
    assert "on top of 2 in the last 24 hours" in str(refused.refusals[0])
    assert [event.refusals for event in announced if isinstance(event, Planned)] == [refused.refusals]
    journal.approvals.approved.add(refused.digest)
    assert (await run_once(refuser, context(cloud, journal))).result is Result.CONVERGED
    assert journal.approvals.approved == set()


async def test_a_plan_that_rejects_nothing_reserves_nothing_and_an_approved_one_does() -> None:
    """The one takes nothing from the allowance; what the other takes counts for all shards, whatever it is."""

    class Counting(FakeRejections):
        asked: ClassVar[list[object]] = []

        async def reserve(self, *asked: object) -> tuple[str, ...]:
            *facts, judge = asked
            self.asked.append(facts[0])
            return cast("Judge", judge)({"p": 99})

    cloud, rejections = FakeCloud(), Counting()
    journal = FakeJournal(rejections=rejections)
    cloud.offer("p", images(2))
    assert (await run({"p": {"image-0000": ACCEPT, "image-0001": REJECT}}, cloud, journal)).result is Result.CONVERGED
    assert rejections.asked == []
    forbidding = GuardPolicy(Allowance.parse("0%"), Allowance.parse("100%"))
    rejecting = request({"p": {"image-0000": REJECT}}, guard=forbidding)
    journal.approvals.approved.add((await run_once(rejecting, context(cloud, journal))).digest)
    assert (await run_once(rejecting, context(cloud, journal))).result is Result.CONVERGED
    assert rejections.asked == [{"p": 1}]


async def test_an_approval_that_another_pass_used_up_lets_nothing_pass() -> None:
    """Between the look and the use another shard may have taken it: the plan is refused then."""

    class Raced(FakeApprovals):
        async def use(self, digest: str, run_id: str, at: float) -> bool:
            return False

    cloud, journal = FakeCloud(), FakeJournal(approvals=Raced())
    cloud.offer("p", images(1), ACCEPTED)
    rejecting = request(
        {"p": {"image-0000": REJECT}}, guard=GuardPolicy(Allowance.parse("0%"), Allowance.parse("100%"))
    )
    journal.approvals.approved.add((await prepare(rejecting, context(cloud, journal))).plan.digest)
    report = await run_once(rejecting, context(cloud, journal))
    assert (report.result, cloud.puts) == (Result.REFUSED, [])
    assert "max_reject" in str(report.refusals[0])


async def test_a_guard_counts_against_the_whole_manifest_when_a_part_is_meant() -> None:
    """Two rejections of twenty shares pass a limit of 10 %, also when the pass is aimed at these two alone."""
    cloud = FakeCloud()
    cloud.offer("p", images(20), ACCEPTED)
    wishes = {"p": {**dict.fromkeys(images(20), ACCEPT), **dict.fromkeys(images(2), REJECT)}}
    guard = GuardPolicy(Allowance.parse("10%"), Allowance.parse("100%"))
    part = request(wishes, guard=guard, selection=Selection(images=frozenset(images(2))))
    report = await run_once(part, context(cloud, FakeJournal()))
    assert (report.desired, report.result) == (2, Result.CONVERGED)


async def test_a_share_that_failed_is_left_alone_until_its_time_and_freed_by_success() -> None:
    """The next pass sends nothing for it; after the wait it is tried alone, and success frees it."""
    bad = {"image-0001"}
    error = BadRequest("no", status=400, code="IMG.0144", scope=Scope.IMAGE)
    cloud = FakeCloud(lambda batch: Fate(error, begun=False) if bad & set(batch.images) else Fate())
    journal = FakeJournal()
    cloud.offer("p", images(3))
    wishes = {"p": dict.fromkeys(images(3), ACCEPT)}
    await run(wishes, cloud, journal)
    sent = len(cloud.puts)
    second = await run(wishes, cloud, journal)
    assert (second.count(Status.QUARANTINED), len(cloud.puts)) == (1, sent)
    await asyncio.sleep(TIMINGS.quarantine.first)
    cloud.offer("p", images(2, "fresh"))
    bad.clear()
    third = await run({"p": wishes["p"] | dict.fromkeys(images(2, "fresh"), ACCEPT)}, cloud, journal)
    assert third.result is Result.CONVERGED
    assert [batch.images for batch in cloud.puts[sent:]] == [("fresh-0000", "fresh-0001"), ("image-0001",)]
    assert journal.quarantine == {}


async def later(journal: FakeJournal) -> None:
    """Wait until every share in quarantine may be tried again."""
    await asyncio.sleep(max((held.next_try for held in journal.quarantine.values()), default=wall()) - wall())


async def test_what_failed_as_a_whole_is_tried_again_in_four_batches() -> None:
    """An outage that is over does not cost a PUT for each image."""
    fate = Fate(RESET, begun=False)
    cloud, journal = FakeCloud(lambda _: fate), FakeJournal()
    cloud.offer("p", images(100))
    wishes = {"p": dict.fromkeys(images(100), ACCEPT)}
    assert (await run(wishes, cloud, journal)).count(Status.FAILED) == 100
    sent, fate = len(cloud.puts), Fate()
    await later(journal)
    assert (await run(wishes, cloud, journal)).result is Result.CONVERGED
    assert [len(batch.images) for batch in cloud.puts[sent:]] == [25] * 4
    assert journal.quarantine == {}


async def test_one_bad_image_is_isolated_though_the_cloud_says_nothing() -> None:
    """No answer at all: at each try most of the others get through."""
    cloud = FakeCloud(lambda batch: Fate(RESET, begun=False) if "image-0037" in batch.images else Fate())
    journal, wishes = FakeJournal(), {}
    for name in ("p", "q"):
        cloud.offer(name, images(100))
        wishes[name] = dict.fromkeys(images(100), ACCEPT)
    failed = []
    for _ in range(4):
        failed.append((await run(wishes, cloud, journal)).count(Status.FAILED))
        await later(journal)
    assert failed == [200, 50, 12, 2]
    assert {share.image_id for share in journal.quarantine} == {"image-0037"}
    assert cloud.sent_while_alive == []


async def test_a_changed_wish_waits_for_what_is_in_flight() -> None:
    """While an accept may be alive no reject is sent; the share is not_sent now and rejected by the next pass."""
    cloud, journal = FakeCloud(lambda batch: Fate(seconds=400.0)), FakeJournal()
    cloud.offer("p", images(1))
    hasty = context(cloud, journal, timings=replace(TIMINGS, deadline=5.0))
    await run_once(request({"p": {"image-0000": ACCEPT}}), hasty)
    report = await run({"p": {"image-0000": REJECT}}, cloud, journal)
    assert [batch.operation for batch in cloud.puts] == [Operation.ACCEPT]
    assert [each.status for each in report.outcomes] == [Status.NOT_SENT]
    assert cloud.status("p", "image-0000") is ACCEPTED
    last = await run({"p": {"image-0000": REJECT}}, cloud, journal)
    assert (last.result, last.count(Status.CHANGED)) == (Result.CONVERGED, 1)
    assert cloud.status("p", "image-0000") is REJECTED
    assert [batch.operation for batch in cloud.puts] == [Operation.ACCEPT, Operation.REJECT]
    assert cloud.sent_while_alive == []


async def test_a_changed_wish_that_comes_true_by_other_hands_is_a_change() -> None:
    """Somebody rejects what an accept in flight fails to accept: that is what is wished by now."""
    cloud, journal = FakeCloud(lambda batch: Fate(seconds=60.0, done=frozenset())), FakeJournal()
    cloud.offer("p", images(1))
    hasty = context(cloud, journal, timings=replace(TIMINGS, deadline=5.0))
    await run_once(request({"p": {"image-0000": ACCEPT}}), hasty)
    asyncio.get_running_loop().call_later(10.0, cloud.offer, "p", images(1), REJECTED)
    report = await run({"p": {"image-0000": REJECT}}, cloud, journal)
    assert [(each.status, each.desired, each.reason) for each in report.outcomes] == [
        (Status.CHANGED, Operation.REJECT, "")
    ]
    assert (report.result, len(cloud.puts)) == (Result.CONVERGED, 1)


async def test_a_pass_that_cannot_be_journalled_is_reported_all_the_same() -> None:
    """What was done is said, with what is wrong with the journal, and the exit status is not that of a success."""

    class Forgetful(FakePasses):
        async def record(self, report: object, update: object, found: object) -> None:
            raise JournalError("disk full")

    cloud = FakeCloud()
    cloud.offer("p", images(2))
    report = await run(
        {"p": dict.fromkeys(images(2), ACCEPT)}, cloud, FakeJournal(passes=Forgetful(FakeQuarantine(), FakeReadings()))
    )
    assert (report.result, report.count(Status.CHANGED)) == (Result.CONVERGED, 2)
    assert (report.journal_error, exit_of_report(report)) == ("disk full", Exit.JOURNAL)


async def test_a_share_of_two_batches_in_flight_is_told_once() -> None:
    """An accept that is still alive for others, and the reject of what it brought about already: the reject counts."""
    cloud, journal = FakeCloud(lambda batch: Fate(seconds=400.0)), FakeJournal()
    cloud.offer("p", images(2))
    hasty = context(cloud, journal, timings=replace(TIMINGS, deadline=5.0))
    await run_once(request({"p": dict.fromkeys(images(2), ACCEPT)}), hasty)
    cloud.offer("p", ["image-0000"], ACCEPTED)
    wishes = {"p": {"image-0000": REJECT, "image-0001": ACCEPT}}
    await run_once(request(wishes), hasty)
    assert [flight.batch.operation for flight in await journal.batches.in_flight()] == [
        Operation.ACCEPT,
        Operation.REJECT,
    ]
    report = await run_once(request(wishes), hasty)
    assert_adds_up(report)
    assert [(each.share.image_id, each.status) for each in report.outcomes] == [
        ("image-0000", Status.UNSETTLED),
        ("image-0001", Status.UNSETTLED),
    ]


async def test_told_to_stop_a_pass_sends_nothing_more_and_follows_what_it_sent() -> None:
    """What was submitted is settled within the grace; the report says what was not sent."""
    cloud, deadlines = FakeCloud(lambda batch: Fate(seconds=3.0)), Deadlines()
    cloud.offer("p", images(10))
    cloud.offer("q", images(10))

    async def slow_slot(batch: Batch) -> None:
        if batch.project_id == "q":
            await asyncio.sleep(3600)

    send = cloud.update_members

    async def update(project, batch, on_slot):  # noqa: ANN001, ANN202 - the double's own signature
        await slow_slot(batch)
        return await send(project, batch, on_slot)

    cloud.update_members = update  # type: ignore[method-assign]
    asyncio.get_running_loop().call_later(1.0, deadlines.stop, 25.0)
    report = await run_once(
        request({name: dict.fromkeys(images(10), ACCEPT) for name in "pq"}),
        context(cloud, FakeJournal(), deadlines=deadlines),
    )
    assert_adds_up(report)
    assert report.count(Status.CHANGED) == 10
    assert report.count(Status.NOT_SENT) == 10
    assert asyncio.get_running_loop().time() < 40


async def test_told_to_stop_a_pass_ends_with_the_grace_whatever_still_runs() -> None:
    """A job that outlives the grace is unsettled, and in flight for the next pass."""
    cloud, journal, deadlines = FakeCloud(lambda batch: Fate(stuck=True)), FakeJournal(), Deadlines()
    cloud.offer("p", images(2))
    loop = asyncio.get_running_loop()
    started = loop.time()
    loop.call_later(1.0, deadlines.stop, 25.0)
    report = await run_once(
        request({"p": dict.fromkeys(images(2), ACCEPT)}), context(cloud, journal, deadlines=deadlines)
    )
    assert report.count(Status.UNSETTLED) == 2
    assert loop.time() - started < 27
    assert len(await journal.batches.in_flight()) == 1


async def test_a_pass_with_a_deadline_stops_submitting_in_time() -> None:
    """Past its deadline less the reserve nothing is sent any more, and the pass ends by the deadline."""
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    cloud = FakeCloud(lambda batch: Fate(stuck=True))
    cloud.offer("p", images(2))
    send, started, waits = cloud.update_members, loop.time(), iter([1.0, 45.0])

    async def after_its_wait(project, batch, on_slot):  # noqa: ANN001, ANN202 - the double's own signature
        await asyncio.sleep(next(waits))
        return await send(project, batch, on_slot)

    cloud.update_members = after_its_wait  # type: ignore[method-assign]
    deadlines.finish_within(90.0, 60.0)
    wishes = {"p": dict.fromkeys(images(2), ACCEPT)}
    report = await run_once(request(wishes, max_images=1), context(cloud, FakeJournal(), deadlines=deadlines))
    assert_adds_up(report)
    assert (report.count(Status.UNSETTLED), report.count(Status.NOT_SENT), len(cloud.puts)) == (1, 1, 1)
    assert loop.time() - started <= 90.0


async def test_told_to_stop_while_it_reads_a_pass_ends_at_once() -> None:
    """What was not read is unknown, nothing is sent, and it is no matter of a cloud out of reach."""
    cloud, deadlines = FakeCloud(), Deadlines()
    cloud.offer("p", images(2))
    loop = asyncio.get_running_loop()

    async def hang(project, status, *, full_ecs=None, facts=frozenset()):  # noqa: ANN001, ANN202 - the double's own signature
        await asyncio.sleep(3600.0)
        yield ()

    cloud.list_shared = hang  # type: ignore[method-assign]
    loop.call_later(1.0, deadlines.stop, 25.0)
    started = loop.time()
    report = await run_once(
        request({"p": dict.fromkeys(images(2), ACCEPT)}), context(cloud, FakeJournal(), deadlines=deadlines)
    )
    assert (report.count(Status.UNKNOWN), exit_of_report(report)) == (2, Exit.INCOMPLETE)
    assert loop.time() - started < 2


async def test_when_the_grace_ends_no_call_is_waited_for() -> None:
    """A job query, or a reading, that hangs is given up with the grace; what was sent stays in flight."""
    cloud, journal, deadlines = FakeCloud(), FakeJournal(), Deadlines()
    cloud.offer("p", images(2))
    loop = asyncio.get_running_loop()

    async def hang(project, job_id):  # noqa: ANN001, ANN202 - the double's own signature
        await asyncio.sleep(3600.0)

    cloud.get_job = hang  # type: ignore[method-assign]
    loop.call_later(1.0, deadlines.stop, 25.0)
    started = loop.time()
    report = await run_once(
        request({"p": dict.fromkeys(images(2), ACCEPT)}), context(cloud, journal, deadlines=deadlines)
    )
    assert report.count(Status.UNSETTLED) == 2
    assert loop.time() - started <= 26
    assert len(await journal.batches.in_flight()) == 1


async def test_preparing_a_plan_writes_nothing() -> None:
    """`plan` observes and diffs: no PUT, and no line in the journal."""
    cloud, journal = FakeCloud(), FakeJournal()
    cloud.offer("p", images(2))
    prepared = await prepare(request({"p": dict.fromkeys(images(2), ACCEPT)}), context(cloud, journal))
    assert len(prepared.plan.changes) == 2
    assert (cloud.puts, journal.batches.lives) == ([], {})


async def test_an_intent_left_by_a_crash_is_in_flight_until_it_cannot_be_alive() -> None:
    """The next pass reads until the shares are as desired, or sends again once polling.unknown has passed."""
    cloud, journal = FakeCloud(), FakeJournal()
    cloud.offer("p", images(2))
    await journal.batches.intend(
        Batch("p", Operation.ACCEPT, None, tuple(images(2))), "crashed", context(cloud, journal).now(), 0
    )
    started = asyncio.get_running_loop().time()
    report = await run({"p": dict.fromkeys(images(2), ACCEPT)}, cloud, journal)
    assert report.result is Result.CONVERGED
    assert len(cloud.puts) == 1
    assert cloud.put_times[0] - started >= TIMINGS.unknown
    assert journal.batches.lives[1] == ["intent", "abandoned"]


async def test_a_job_left_by_a_crash_is_followed_to_its_end() -> None:
    """A job in the journal is polled and not sent again."""
    cloud, journal = FakeCloud(lambda batch: Fate(seconds=20.0)), FakeJournal()
    cloud.offer("p", images(2))
    interrupted = Deadlines()
    asyncio.get_running_loop().call_later(2.0, interrupted.stop, 0.0)
    wishes = {"p": dict.fromkeys(images(2), ACCEPT)}
    await run_once(request(wishes), context(cloud, journal, deadlines=interrupted))
    report = await run(wishes, cloud, journal)
    assert report.count(Status.CHANGED) == 2
    assert len(cloud.puts) == 1


async def test_a_job_whose_shares_already_read_as_desired_needs_no_poll() -> None:
    """Its batch is closed in the journal from the reading alone."""
    cloud, journal = FakeCloud(), FakeJournal()
    cloud.offer("p", images(2), ACCEPTED)
    key = await journal.batches.intend(
        Batch("p", Operation.ACCEPT, None, tuple(images(2))), "crashed", context(cloud, journal).now(), 0
    )
    await journal.batches.accept(key, "job-of-old", 0.0)
    report = await run({"p": dict.fromkeys(images(2), ACCEPT)}, cloud, journal)
    assert (report.converged, cloud.made[CallGroup.JOB_GET]) == (2, 0)
    assert journal.batches.lives[key] == ["intent", "job", "settled"]


async def test_shares_that_cannot_be_read_again_are_unknown() -> None:
    """A project that fails after the PUT leaves its shares unknown, not failed and not changed."""

    def break_down(batch: Batch) -> Fate:
        cloud.unreadable["p"] = TransientCloudError("gone", status=503)
        return Fate()

    cloud = FakeCloud(break_down)
    cloud.offer("p", images(2))
    report = await run({"p": dict.fromkeys(images(2), ACCEPT)}, cloud, FakeJournal())
    assert report.count(Status.UNKNOWN) == 2


async def test_reads_are_shared_by_batches_that_end_together() -> None:
    """Ten batches of one project that end together are verified by one reading of one list."""
    cloud = FakeCloud()
    cloud.offer("p", images(1000))
    await run({"p": dict.fromkeys(images(1000), ACCEPT)}, cloud, FakeJournal())
    before, plain_check, after = 1000 // 50 + 3, 1, 1000 // 50
    assert cloud.made[CallGroup.IMAGES_LIST] == before + plain_check + after


async def test_an_unmanaged_leftover_of_the_journal_stays_out_of_the_report() -> None:
    """A batch in flight whose shares nobody wishes for any more is followed, given up in time, and not reported."""
    cloud, journal = FakeCloud(), FakeJournal()
    cloud.offer("p", ["old", "new"])
    key = await journal.batches.intend(
        Batch("p", Operation.REJECT, None, ("old",)), "earlier", context(cloud, journal).now(), 0
    )
    await journal.batches.accept(key, "job-0", 0.0)
    report = await run({"p": {"new": ACCEPT}}, cloud, journal)
    assert [each.share for each in report.outcomes] == [Share("p", "new")]
    assert journal.batches.lives[key] == ["intent", "job", "abandoned"]


def denied(permission: str) -> Forbidden:
    """Return a refusal for want of a permission."""
    error = Forbidden("no", status=403, scope=Scope.PERMISSION)
    error.permission = permission
    return error


async def test_a_missing_permission_is_noted_once_for_all_its_projects() -> None:
    """Lists and PUTs that are refused are told apart, and each note names the projects to look at."""
    cloud, journal = FakeCloud(lambda _batch: Fate(denied("ims:images:share"), begun=False)), FakeJournal()
    events: list[Event] = []
    projects = [f"p{number}" for number in range(4)]
    for project in projects:
        cloud.offer(project, ["a", "b"])
    cloud.unreadable = dict.fromkeys(projects[:2], denied("ims:images:list"))
    wishes = {project: {"a": ACCEPT, "b": ACCEPT} for project in projects}
    report = await run_once(request(wishes, max_images=1), context(cloud, journal, emit=events.append))
    assert_adds_up(report)
    assert list(report.notes) == [event.note for event in events if isinstance(event, Noted)]
    listing, sharing = report.notes
    assert "403 in 2 projects (name of p0, name of p1)" in listing
    assert "ims:images:list" in listing
    assert "403 in 2 projects (name of p2, name of p3)" in sharing
    assert "ims:images:share" in sharing


async def test_a_plan_notes_a_missing_permission() -> None:
    """Who only looks learns what to check as well."""
    cloud = FakeCloud()
    cloud.unreadable = {"p": denied("ims:images:list")}
    events: list[Event] = []
    prepared = await prepare(request({"p": {"a": ACCEPT}}), context(cloud, FakeJournal(), emit=events.append))
    (note,) = prepared.plan.notes
    assert "in 1 project (name of p): check there that the credential has ims:images:list" in note
    assert [event.note for event in events if isinstance(event, Noted)] == [note]
