"""The promises of the worker, one by one and by their numbers, kept against a cloud on loopback and its odd ways.

1 never plan on what could not be read · 2 nothing is sent twice while it may be alive · 3 the cloud is the truth ·
4 SUCCESS is not believed · 5 one bad image, project or credential does not stop the others · 6 the limits are kept ·
7 guards. One writer for each journal, the eighth, is about processes and has its tests elsewhere.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehearse import (
    KEYS,
    VAULT,
    accepted,
    arrivals,
    fleet,
    image,
    kinds,
    made,
    manifest_of,
    quick,
    rehearsal,
    sent_while_alive,
    working,
)

from worker.core.batch import End
from worker.core.calls import CallGroup
from worker.core.exit import Exit
from worker.core.fleet.report import Result, exit_of_report
from worker.core.manifest.model import Manifest, Wish
from worker.core.operation import Operation
from worker.core.status import Status
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.jobs import JobRules
from worker.simulator.model import Account, Answer, Image
from worker.simulator.naming import project_id
from worker.simulator.options import Group, Limits, Options
from worker.simulator.options import Rate as Limit
from worker.simulator.server import Simulator
from worker.simulator.world import World

pytestmark = pytest.mark.usefixtures("virtual_time")

LIST, PUT, QUERY = (Group.IMAGES_LIST,), (Group.MEMBERS_PUT,), (Group.JOB_GET,)
CHANGED, UNKNOWN, FAILED = {Status.CHANGED: 6}, {Status.UNKNOWN: 6}, {Status.FAILED: 6}
UNKNOWN_FOR = 0.5
HASTY = {"connect_timeout": "200ms", "read_timeout": "200ms"}
SILENT = "lists were asked for in vain for long, and the projects that have been read do not wait for them"
PAGE_INFO = pytest.mark.parametrize("page_info", ["object", "array", "absent"])


@PAGE_INFO
@pytest.mark.parametrize("page_cap", [0, 2], ids=["pages-as-asked", "pages-capped"])
async def test_1_every_kind_of_paging_is_read_to_the_end(page_info: Any, page_cap: int) -> None:
    """No image is missed on capped pages, nor where a full last page announces a next one that is empty."""
    options = Options(page_info=page_info, page_cap=page_cap)
    async with rehearsal(fleet({"p": 6}), options=options, batch={"page_size": 6}) as worker:
        assert kinds(await worker.run()) == CHANGED


@PAGE_INFO
async def test_1_an_ignored_marker_makes_the_project_unknown(page_info: Any) -> None:
    """The first page again and again is not the list, so nothing is sent on it."""
    options = Options(marker="ignored", page_info=page_info, page_cap=2)
    async with rehearsal(fleet({"p": 6}), options=options) as worker:
        report = await worker.run()
        assert kinds(report) == UNKNOWN
        assert made(report, CallGroup.MEMBERS_PUT) == 0


async def test_1_a_marker_that_nobody_needs_may_be_ignored() -> None:
    """Where `page_info` says that the first page is the last, the list is complete."""
    async with rehearsal(fleet({"p": 6}), options=Options(marker="ignored")) as worker:
        assert kinds(await worker.run()) == CHANGED


async def test_1_a_list_that_fails_in_its_middle_is_no_list() -> None:
    """Three of six images were read when the cloud broke: all are unknown, and the exit status says so."""
    trouble = Fault(effects.Refuse(503), LIST, project=("p",), skip=2)
    async with rehearsal(fleet({"p": 6, "q": 6}), faults=[trouble], options=Options(page_cap=3)) as worker:
        report = await worker.run()
        assert kinds(report, "p") == UNKNOWN
        assert kinds(report, "q") == CHANGED
        assert {put.project_id for put in arrivals(worker.cloud, Group.MEMBERS_PUT)} == {project_id("q")}
        assert exit_of_report(report) is Exit.INCOMPLETE


async def test_1_what_cannot_be_read_again_is_unknown_and_not_sent_again() -> None:
    """The lists break after the PUT: the shares are unknown whatever their job says, and one PUT is all there is."""
    async with rehearsal(fleet({"p": 6}), faults=[Fault(effects.Refuse(503), LIST, skip=4)]) as worker:
        report = await worker.run()
        assert kinds(report) == UNKNOWN
        assert [job.end for job in report.jobs] == [End.SUCCEEDED]
        assert made(report, CallGroup.MEMBERS_PUT) == 1


async def test_1_what_a_project_shares_out_is_not_offered_to_it() -> None:
    """An image of its own in the project's list is neither accepted nor counted as unmanaged."""
    world = fleet({"p": 6, "q": 1})
    world.add(Image(image(99), "own", project_id("p")))
    world.share(image(99), project_id("q"), Answer.ACCEPTED)
    manifest = manifest_of(world)
    wishes = {**manifest.wishes[project_id("p")], image(99): Wish(Operation.ACCEPT)}
    async with rehearsal(world, replace(manifest, wishes={project_id("p"): wishes})) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: 6, Status.ABSENT: 1}
        assert report.unmanaged == 0


@pytest.mark.parametrize(
    ("attribute", "whole_filter", "hints"),
    [("absent", "obeyed", {"__data_origin": "", "__backup_id": ""}), ("absent", "ignored", {})]
    + [(kind, "ignored", {"__data_origin": "", "__backup_id": ""}) for kind in ("boolean", "string")],
    ids=["filter", "origin", "boolean", "string"],
)
async def test_1_full_ecs_images_are_told_from_others(attribute: Any, whole_filter: Any, hints: Any) -> None:
    """By the filter, by where they come from, or by their attribute: they alone are sent with the vault."""
    world = fleet({"p": 6}, whole=2)
    for each in list(world.images.values()):
        world.add(replace(each, attributes=hints))
    options = Options(whole_attribute=attribute, whole_filter=whole_filter)
    async with rehearsal(world, options=options) as worker:
        assert kinds(await worker.run()) == CHANGED
        orders = [(job.order.vault_id, *job.order.images) for job in world.jobs.values()]
        assert sorted(orders) == [("", *map(image, range(2, 6))), (VAULT, image(0), image(1))]


@pytest.mark.parametrize("legacy", ["absent", "forbidden"])
async def test_1_the_recommended_job_query_takes_over(legacy: Any) -> None:
    """Where the older query is gone or forbidden, one call finds that out and the other one settles the job."""
    slow = JobRules(seconds=(0.15, 0.15))
    async with rehearsal(fleet({"p": 6}, jobs=slow), options=Options(legacy=legacy)) as worker:
        report = await worker.run()
        assert kinds(report) == CHANGED
        assert [job.end for job in report.jobs] == [End.SUCCEEDED]
        assert made(report, CallGroup.JOB_GET) == 1 < made(report, CallGroup.JOB_PROGRESS)


async def test_1_without_any_job_query_the_state_is_read_until_it_tells() -> None:
    """The job cannot be asked about, so its images are read again until they are as desired; nothing is sent twice."""
    options = Options(legacy="absent", progress="absent")
    async with rehearsal(fleet({"p": 6}, jobs=JobRules(seconds=(0.2, 0.2))), options=options) as worker:
        assert kinds(await worker.run()) == CHANGED
        assert accepted(worker.cloud, "p") == 6
        assert len(arrivals(worker.cloud, Group.MEMBERS_PUT)) == 1


async def test_1_a_hostile_job_id_is_never_used() -> None:
    """Nine job ids that would break a URL lead to nine PUT, no query, and nine images seen to be accepted."""
    rules = JobRules(seconds=(0.005, 0.015), ids="hostile")
    async with rehearsal(fleet({"p": 9}, jobs=rules), batch={"max_images": 1}) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: 9}
        assert made(report, CallGroup.MEMBERS_PUT) == 9
        assert made(report, CallGroup.JOB_GET, CallGroup.JOB_PROGRESS) == 0


@pytest.mark.parametrize("results", ["absent", "empty"])
async def test_1_a_job_without_results_is_settled_by_the_lists(results: Any) -> None:
    """A job that fails without naming images is no verdict on those that read as accepted."""
    faults = [Fault(effects.Partial(code="IMG.0182"), PUT)]
    async with rehearsal(fleet({"p": 6}), faults=faults, options=Options(results=results)) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: 3, Status.FAILED: 3}
        assert accepted(worker.cloud, "p") == 3


async def test_2_a_dropped_connection_is_not_sent_again_by_the_http_library() -> None:
    """The PUT was read and the connection died: the cloud sees the next one only after `polling.unknown`."""
    async with rehearsal(fleet({"p": 6}), faults=[Fault(effects.Reset(), PUT, times=1)]) as worker:
        assert kinds(await worker.run()) == CHANGED
        first, second = arrivals(worker.cloud, Group.MEMBERS_PUT)
        assert second.at - first.at > UNKNOWN_FOR - 0.1


async def test_2_a_read_is_repeated_by_nobody_else() -> None:
    """Each attempt of the retry policy arrives once, so that no call passes the limits unseen."""
    async with rehearsal(fleet({"p": 6}), faults=[Fault(effects.Reset(), LIST)]) as worker:
        report = await worker.run()
        assert len(arrivals(worker.cloud, Group.IMAGES_LIST)) == made(report, CallGroup.IMAGES_LIST) == 3


@pytest.mark.parametrize("moment", [0.002, 0.006, 0.011, 0.013, 0.02, 0.04, 0.1, 0.2])
async def test_2_a_pass_cut_off_at_any_moment_is_taken_up(moment: float, tmp_path: Path) -> None:
    """Whatever was under way when the worker went away, the next one sends nothing that may be alive, and converges."""
    world = fleet({"p": 6, "q": 6}, jobs=JobRules(seconds=(0.2, 0.4)))
    manifest = manifest_of(world)
    async with Simulator(world) as cloud:
        settings = quick(cloud, journal={"url": f"sqlite:///{tmp_path}/journal.db"}, batch={"max_images": 2})
        async with working(cloud, manifest, settings) as worker:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(worker.run(), moment)
        async with working(cloud, manifest, settings) as worker:
            assert (await worker.run()).result is Result.CONVERGED
            assert await worker.journal.batches.in_flight() == ()
        assert (accepted(cloud, "p"), accepted(cloud, "q")) == (6, 6)
        assert sent_while_alive(cloud) == []


async def test_2_a_job_that_outlives_its_pass_is_followed_by_the_next_worker(tmp_path: Path) -> None:
    """The deadline passes, the worker goes, another one comes with the same journal: one PUT, and a change."""
    world = fleet({"p": 6}, jobs=JobRules(seconds=(2.0, 2.0)))
    journal = {"url": f"sqlite:///{tmp_path}/journal.db"}
    async with Simulator(world) as cloud:
        hasty = quick(cloud, journal=journal, polling={"deadline": "100ms", "max": "50ms"})
        async with working(cloud, manifest_of(world), hasty) as worker:
            assert kinds(await worker.run()) == {Status.UNSETTLED: 6}
        patient = quick(cloud, journal=journal, polling={"deadline": "5s"})
        async with working(cloud, manifest_of(world), patient) as worker:
            assert kinds(await worker.run()) == CHANGED
        assert len(arrivals(cloud, Group.MEMBERS_PUT)) == 1


async def test_3_a_lost_journal_costs_a_put_and_never_the_state() -> None:
    """A worker that forgot everything repeats what is still alive, and the end is right all the same."""
    world = fleet({"p": 6}, jobs=JobRules(seconds=(2.0, 2.0)))
    async with Simulator(world) as cloud:
        async with working(cloud, manifest_of(world), quick(cloud, polling={"deadline": "100ms"})) as worker:
            await worker.run()
        async with working(cloud, manifest_of(world), quick(cloud, polling={"deadline": "5s"})) as worker:
            assert kinds(await worker.run()) == CHANGED
            assert (await worker.run()).converged == 6
        assert (accepted(cloud, "p"), len(arrivals(cloud, Group.MEMBERS_PUT))) == (6, 2)


async def test_4_a_success_that_did_nothing_is_a_failure() -> None:
    """Every image of the job is said to be done, and the lists say that none is."""
    async with rehearsal(fleet({"p": 6}), faults=[Fault(effects.Hollow(), PUT)]) as worker:
        report = await worker.run()
        assert kinds(report) == FAILED
        assert (report.result, accepted(worker.cloud, "p")) == (Result.FAILED, 0)
        assert made(report, CallGroup.MEMBERS_PUT) == 1


async def test_4_a_list_that_lags_behind_its_job_is_waited_for() -> None:
    """A SUCCESS that shows in the lists a little later is true."""
    async with rehearsal(fleet({"p": 6}, jobs=JobRules(seconds=(0.005, 0.015), lag=0.15))) as worker:
        assert kinds(await worker.run()) == CHANGED


async def test_5_what_is_bad_stops_nothing_else() -> None:
    """A poisoned image, a project that is forbidden and a wrong secret, in one pass: all the rest converges."""
    world = fleet({"poisoned": 6, "good": 6, "forbidden": 6, "wrong": 6})
    known = tuple(project_id(name) for name in ("poisoned", "good", "wrong"))
    world.add(Account(KEYS["access_key"], KEYS["secret_key"], projects=known))
    world.add(Account("AKWRONG", "the-secret-that-the-cloud-knows"))
    manifest = manifest_of(world, credentials={"wrong": "wrong"})
    wrong = {"kind": "static", "access_key": "AKWRONG", "secret_key": "another-secret"}
    poison = Fault(effects.Poison(), project=("poisoned",), image=(image(3),))
    async with rehearsal(world, manifest, faults=[poison], credentials={"wrong": wrong}) as worker:
        report = await worker.run()
        assert kinds(report, "good") == CHANGED
        assert kinds(report, "poisoned") == {Status.CHANGED: 5, Status.FAILED: 1}
        assert kinds(report, "forbidden") == kinds(report, "wrong") == UNKNOWN
        assert [call.status for call in arrivals(worker.cloud, Group.IMAGES_LIST, "wrong")] == [401]


async def test_5_a_project_that_keeps_silent_stops_nothing_else() -> None:
    """Its lists hang, however often they are asked for: the other one is not left unsent for that."""
    hang = Fault(effects.Hang(), LIST, project=("silent",))
    retry = {"attempts": 100, "base": "10ms", "max": "10ms"}
    async with rehearsal(fleet({"silent": 6, "good": 6}), faults=[hang], cloud=HASTY, retry=retry) as worker:
        report = await worker.run()
        assert kinds(report, "good") == CHANGED
        assert kinds(report, "silent") == UNKNOWN
        assert exit_of_report(report) is Exit.INCOMPLETE
        assert {outcome.reason for outcome in report.outcomes if outcome.status is Status.UNKNOWN} == {SILENT}


async def test_6_the_first_call_of_a_credential_goes_alone() -> None:
    """Ten projects wait until the first answer shows that the key is good."""
    names = [f"p-{number}" for number in range(10)]
    slow = Fault(effects.Delay(0.15), times=1)
    async with rehearsal(fleet(dict.fromkeys(names, 1)), faults=[slow]) as worker:
        assert kinds(await worker.run()) == {Status.CHANGED: 10}
        first, second = arrivals(worker.cloud, Group.IMAGES_LIST)[:2]
        assert second.at - first.at > 0.149


async def test_6_the_calls_of_an_earlier_process_count(tmp_path: Path) -> None:
    """A worker that follows another within the window leaves room for what that one sent: the cloud never refuses."""
    world = fleet({"p": 10})
    manifest = manifest_of(world)
    half = {project: dict(list(wishes.items())[:5]) for project, wishes in manifest.wishes.items()}
    async with Simulator(world, limits=Limits(members_put=Limit(5, 1.0), images_list=Limit(8, 1.0))) as cloud:
        settings = quick(
            cloud,
            journal={"url": f"sqlite:///{tmp_path}/journal.db"},
            limits={"members_put": "5/s", "images_list": "8/s"},
            batch={"max_images": 1},
        )
        for each in (replace(manifest, wishes=half), manifest):
            async with working(cloud, each, settings) as worker:
                assert kinds(await worker.run()) == {Status.CHANGED: 5}
        assert [call for call in cloud.ledger.arrivals if call.status == 429] == []


async def test_7_a_refused_plan_sends_nothing_until_it_is_approved_and_then_once() -> None:
    """Three rejections of twenty are more than a tenth; the approval of their digest lets them pass, and is used up."""
    world = fleet({"p": 20}, status=Answer.ACCEPTED)
    async with rehearsal(world, rejecting(world, 3), guards={"max_reject": "10%"}) as worker:
        refused = await worker.run()
        assert (refused.result, exit_of_report(refused)) == (Result.REFUSED, Exit.REFUSED)
        assert kinds(refused) == {Status.NOT_SENT: 3}
        assert "3 of 20" in str(refused.refusals[0])
        assert accepted(worker.cloud, "p") == 20
        await worker.journal.approvals.give(refused.digest, "somebody", 0.0)
        assert kinds(await worker.run()) == {Status.CHANGED: 3}
        for number in range(3):
            world.share(image(number), project_id("p"), Answer.ACCEPTED)
        assert (await worker.run()).result is Result.REFUSED
        assert len(arrivals(worker.cloud, Group.MEMBERS_PUT)) == 1


async def test_7_rejections_of_a_day_add_up() -> None:
    """Two rejections of twenty are allowed; two more within the day, also by a later pass, are not."""
    world = fleet({"p": 20}, status=Answer.ACCEPTED)
    async with rehearsal(world, rejecting(world, 2), guards={"max_reject": "10%"}) as worker:
        assert (await worker.run()).result is Result.CONVERGED
        refused = await replace(worker, inputs=replace(worker.inputs, manifest=rejecting(world, 4))).run()
        assert (refused.result, accepted(worker.cloud, "p")) == (Result.REFUSED, 18)
        assert "on top of 2 in the last 24 hours" in str(refused.refusals[0])


async def test_7_what_left_the_manifest_is_left_alone() -> None:
    """An empty manifest asks for nothing, and a project that vanished from it keeps what it accepted."""
    world = fleet({"kept": 6, "vanished": 6}, status=Answer.ACCEPTED)
    manifest = manifest_of(world)
    for wishes in ({}, {project_id("kept"): manifest.wishes[project_id("kept")]}):
        async with rehearsal(world, replace(manifest, wishes=wishes)) as worker:
            report = await worker.run()
            assert report.result is Result.CONVERGED
            assert arrivals(worker.cloud, Group.MEMBERS_PUT) == []
            assert (accepted(worker.cloud, "kept"), accepted(worker.cloud, "vanished")) == (6, 6)


def rejecting(world: World, count: int) -> Manifest:
    """Return a manifest that wants the first images of each project to be rejected, and the others as accepted."""
    manifest, reject = manifest_of(world), Wish(Operation.REJECT)
    first = {image(number): reject for number in range(count)}
    return replace(manifest, wishes={project: wishes | first for project, wishes in manifest.wishes.items()})
