"""Shards of one fleet divide the limits of an account and keep one allowance to reject; each call is counted once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehearse import KEYS, fleet, manifest_of, quick

from worker.cloud.ims import Ims
from worker.core.batch import Batch
from worker.core.calls import CallCounts, CallGroup
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.selection import Selector
from worker.core.fleet.shards import WHOLE, Shard, shard_of
from worker.core.limits import LimitStanding, Rate
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.operation import Operation
from worker.core.quarantine import QuarantineUpdate
from worker.core.status import Status
from worker.errors import JournalError, SettingsError
from worker.journal.database import MEMORY, open_database
from worker.journal.lease import HeldJournal, hold_journal
from worker.reconcile.deadlines import Deadlines
from worker.session.opening import open_as_writer, open_cloud_as_writer, open_for_reading
from worker.session.passes import pass_context, run_pass
from worker.settings import Settings
from worker.settings.inputs import Inputs
from worker.simulator.naming import project_id
from worker.simulator.options import Limits
from worker.simulator.options import Rate as Limit
from worker.simulator.server import Simulator
from worker.wiring import cloud_config, pass_request

pytestmark = pytest.mark.usefixtures("virtual_time")

LIST, PUT, QUERY = CallGroup.IMAGES_LIST, CallGroup.MEMBERS_PUT, CallGroup.JOB_GET
NOW = 1_800_000_000.0
LIMITS = {"members_put": "20/5m", "images_list": "50/1m", "burst": "40/s"}


def names_in(shard: Shard) -> Iterator[str]:
    """Yield names of projects that are in a shard."""
    names = (f"project-{number}" for number in range(1000))
    return (name for name in names if shard_of(project_id(name), shard.count) == shard.index)


def inputs(url: str = MEMORY, *, others: int = 0, limits: dict[str, Any] | None = None) -> Inputs:
    """Return inputs with a project in each of three shards, and one of another account in the shard `others`."""
    names = [next(names_in(Shard(index, 3))) for index in range(3)]
    projects = {project_id(name): Project(project_id(name), name) for name in names}
    alone = project_id([name for name, _ in zip(names_in(Shard(others, 3)), range(2), strict=False)][1])
    projects[alone] = Project(alone, "alone", "other")
    settings = Settings.model_validate(
        {
            "cloud": {"ims_endpoint": "http://127.0.0.1:1"},
            "journal": {"url": url},
            "limits": limits or LIMITS,
            "credentials": {"default": KEYS, "other": {**KEYS, "account": "another"}},
        }
    )
    wishes = {project: {"image": Wish(Operation.ACCEPT)} for project in projects}
    return Inputs(settings, Manifest(projects, wishes, {}, {}, {}, {}))


@asynccontextmanager
async def working(place: Inputs, shard: Shard, verb: str = "run") -> AsyncIterator[tuple[HeldJournal, Ims]]:
    """Open journal and cloud as a worker of a shard does."""
    async with open_as_writer(place, cloud_config(place, {}), verb, shard, lambda _: None) as (journal, ims):
        yield journal, ims


async def standing(
    place: Inputs, shard: Shard, group: CallGroup, account: str = "default", verb: str = "run"
) -> LimitStanding:
    """Return how a call group of an account stands when a worker of a shard begins."""
    async with working(place, shard, verb) as (_, ims):
        return ims.clients.standing()[account][group]


async def test_the_shards_that_use_an_account_divide_its_limits() -> None:
    """Of 20 calls the three shards with projects of the account have 6, 7 and 7."""
    found = [await standing(inputs(), Shard(index, 3), PUT) for index in range(3)]
    assert [each.rate for each in found] == [Rate(6, 300.0), Rate(7, 300.0), Rate(7, 300.0)]


async def test_an_account_that_one_shard_uses_is_all_its_own() -> None:
    """What no other shard can use is not set aside for it, in the group's limit and in the burst."""
    place = inputs(others=1)
    assert (await standing(place, Shard(1, 3), PUT, "another")).rate == Rate(20, 300.0)
    assert (await standing(place, Shard(1, 3), CallGroup.TOKEN, "another")).rate == Rate(40, 1.0)


async def test_a_daemon_sets_aside_what_its_siblings_may_come_to_use() -> None:
    """Its manifest may change, and not for all daemons at once: it never has more than its part among all shards."""
    place = inputs(others=1)
    found = [await standing(place, Shard(index, 3), PUT, "another", "serve") for index in range(3)]
    assert [each.rate.count for each in found] == [6, 7, 7]


async def test_limits_that_cannot_be_divided_are_refused() -> None:
    """Two calls among three shards: whichever shard it is does not start, and says for how many they are enough."""
    place = inputs(limits=LIMITS | {"burst": "2/s"})
    for index in range(3):
        with pytest.raises(SettingsError) as caught:
            await standing(place, Shard(index, 3), PUT)
        (problem,) = caught.value.problems
        assert str(problem) == (
            '--shard: the 3 shards that use the account "default" cannot divide limits.burst '
            "(2/s has a call for 2 of them)"
        )
    assert (await standing(place, Shard(0, 2), PUT)).rate.count == 10


async def test_a_forecast_goes_by_the_part_of_a_shard_and_by_its_own_calls(journal_url: str) -> None:
    """What a plan of a shard is told to expect rests on what a run of that shard may use, and on what it made."""
    place = inputs(journal_url)
    async with hold_journal(journal_url, "run", Shard(1, 3)) as journal:
        for _ in range(17):
            journal.calls.note("default", LIST, time.time())
    waits = []
    for shard in (Shard(0, 3), Shard(1, 3), WHOLE):
        async with open_for_reading(place, cloud_config(place, {}), shard, lambda _: None) as (_, ims):
            groups = ims.clients.rooms()["default"].groups
            waits.append([groups[PUT].wait(calls) > 0 for calls in (6, 7, 20, 21)])
            waits.append([groups[LIST].wait(calls) > 0 for calls in (1, 16, 33, 34)])
    assert waits == [
        *([False, True, True, True], [False, False, True, True]),
        *([False, False, True, True], [True, True, True, True]),
        *([False, False, False, True], [False, False, False, True]),
    ]


async def test_a_shard_that_starts_again_counts_its_own_calls(journal_url: str) -> None:
    """It leaves to its siblings what they called, as long as that is within their parts."""
    place = inputs(journal_url)
    for index, calls in enumerate((5, 10, 17)):
        async with hold_journal(journal_url, "run", Shard(index, 3)) as journal:
            for _ in range(calls):
                journal.calls.note("default", LIST, time.time())
    left = [(await standing(place, Shard(index, 3), LIST)).left for index in range(3)]
    assert left == [16 - 5, 17 - 10, 17 - 17]


@pytest.mark.parametrize("before", [WHOLE, Shard(1, 2)])
async def test_calls_of_another_division_count_for_every_shard(journal_url: str, before: Shard) -> None:
    """Nobody can tell whose part they are of."""
    async with hold_journal(journal_url, "run", before) as journal:
        for _ in range(4):
            journal.calls.note("default", LIST, time.time())
    left = [(await standing(inputs(journal_url), Shard(index, 3), LIST)).left for index in range(3)]
    assert left == [16 - 4, 17 - 4, 17 - 4]


async def test_a_worker_of_the_whole_fleet_counts_the_calls_of_shards(journal_url: str) -> None:
    """One process that follows several has to leave room for all of them."""
    for index in range(2):
        async with hold_journal(journal_url, "run", Shard(index, 2)) as journal:
            journal.calls.note("default", LIST, time.time())
    assert (await standing(inputs(journal_url), WHOLE, LIST)).left == 50 - 2


async def test_puts_count_for_the_shard_whose_projects_they_were_for(journal_url: str) -> None:
    """Nine of an unsharded worker fill the six of their shard; the three beyond are room that the others leave."""
    place = inputs(journal_url)
    await put(journal_url, next(names_in(Shard(0, 3))), 9)
    left = [(await standing(place, Shard(index, 3), PUT)).left for index in range(3)]
    assert left == [0, 7 - 3, 7 - 3]


async def test_puts_for_a_project_that_left_the_manifest_count_for_each_account(journal_url: str) -> None:
    """Nobody knows any more whose limits they were made under."""
    place = inputs(journal_url)
    await put(journal_url, "gone", 2)
    for account in ("default", "another"):
        assert (await standing(place, WHOLE, PUT, account)).left == 18


async def test_a_put_without_an_answer_counts_from_now_on(journal_url: str) -> None:
    """It may have been on its way for long: its window has not begun to pass when the next worker starts."""
    place = inputs(journal_url, limits=LIMITS | {"members_put": "20/1s"})
    await put(journal_url, next(names_in(WHOLE)), 2, at=time.time() - 0.8)
    async with working(place, WHOLE) as (_, ims):
        await asyncio.sleep(0.5)
        assert ims.clients.standing()["default"][PUT].left == 18


async def test_after_an_unclean_end_a_shard_assumes_no_more_calls_than_it_could_make(journal_url: str) -> None:
    """Two seconds of its part of the burst may be unrecorded, and never more than its part of the group's limit."""
    place = inputs(journal_url, limits=LIMITS | {"job_get": "900/1m", "burst": "30/s"})
    async with hold_journal(journal_url, "run", Shard(0, 3)):
        pass
    engine = open_database(journal_url).engine
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE leases SET is_open = NOT is_open")
    engine.dispose()
    async with working(place, Shard(0, 3)) as (journal, ims):
        assert journal.unclean
        found = ims.clients.standing()["default"]
        assert (found[QUERY].left, found[LIST].left, found[PUT].left) == (300 - 20, 0, 6)


async def test_calls_count_at_once_when_the_cloud_is_opened_again(journal_url: str) -> None:
    """A daemon whose config changed goes on with the journal it holds, and forgets no call on the way."""
    place = inputs(journal_url)
    config = cloud_config(place, {})
    async with hold_journal(journal_url, "serve", WHOLE) as journal:
        async with open_cloud_as_writer(place, config, journal, lambda _: None):
            journal.calls.note("default", LIST, time.time())
        async with open_cloud_as_writer(place, config, journal, lambda _: None) as ims:
            assert ims.clients.standing()["default"][LIST].left == 49


async def test_shards_that_follow_an_unsharded_worker_keep_the_limits_with_it(tmp_path: Path) -> None:
    """All calls of the first are for one shard's projects; however the shards share, the cloud never refuses."""
    crowded, other = list(names_in(Shard(0, 2)))[:6], list(names_in(Shard(1, 2)))[:6]
    world = fleet(dict.fromkeys([*crowded, *other], 2))
    manifest = manifest_of(world)
    first = {project_id(name): manifest.wishes[project_id(name)] for name in crowded[:4]}
    limits = Limits(members_put=Limit(8, 2.0), images_list=Limit(60, 2.0))
    async with Simulator(world, limits=limits) as cloud:
        settings = quick(
            cloud,
            journal={"url": f"sqlite:///{tmp_path}/journal.db"},
            limits={"members_put": "8/2s", "images_list": "60/2s"},
            batch={"max_images": 1},
        )
        assert (await a_pass(Inputs(settings, replace(manifest, wishes=first)), WHOLE)).result is Result.CONVERGED
        place = Inputs(settings, manifest)
        reports = await asyncio.gather(*(a_pass(place, Shard(index, 2)) for index in range(2)))
        assert [report.result for report in reports] == [Result.CONVERGED] * 2
        assert [call for call in cloud.ledger.arrivals if call.status == 429] == []


async def test_shards_that_reserve_at_once_keep_one_allowance(journal_url: str) -> None:
    """Of four that would reject two each where five are allowed, two may: each sees what the others have reserved."""
    async with AsyncExitStack() as held:
        holders = [hold_journal(journal_url, "run", Shard(index, 4)) for index in range(4)]
        journals = [await held.enter_async_context(holder) for holder in holders]
        told = await asyncio.gather(*(reserve(journal, {f"p{n}": 2}) for n, journal in enumerate(journals)))
    assert sorted(told) == [(), (), ("4 before",), ("4 before",)]


async def test_a_reservation_counts_as_far_as_it_is_not_sent_until_its_pass_is_recorded(journal_url: str) -> None:
    """Sent, it counts once; refused by the cloud, again as reserved; recorded, only what was sent is left."""
    own, others = hold_journal(journal_url, "run", Shard(0, 2)), hold_journal(journal_url, "run", Shard(1, 2))
    reject = Batch("p", Operation.REJECT, None, ("a", "b"))
    async with own as journal, others as sibling:
        assert await reserve(journal, {"p": 4, "q": 1}) == ()
        assert await journal.rejections.since(NOW) == {}
        key = await journal.batches.intend(reject, "run-0", NOW + 1, 2)
        assert await sibling.rejections.since(NOW) == {"p": 4, "q": 1}
        await journal.batches.refuse(key, "no", NOW + 2)
        assert await sibling.rejections.since(NOW) == {"p": 4, "q": 1}
        await journal.batches.intend(reject, "run-0", NOW + 3, 2)
        await journal.batches.intend(reject, "another", NOW + 3, 2)
        assert await sibling.rejections.since(NOW) == {"p": 6, "q": 1}
        assert await sibling.rejections.since(NOW + 4) == {}
        await journal.passes.record(a_report("run-0"), QuarantineUpdate((), ()), {})
        assert await sibling.rejections.since(NOW) == {"p": 4}


async def test_what_is_refused_is_not_reserved(journal_url: str) -> None:
    """A pass that may not send keeps nothing from the others."""
    own, others = hold_journal(journal_url, "run", Shard(0, 2)), hold_journal(journal_url, "run", Shard(1, 2))
    async with own as journal, others as sibling:
        assert await reserve(journal, {"p": 6}) == ("0 before",)
        assert await sibling.rejections.since(NOW) == {}


@pytest.mark.parametrize("after", [Shard(0, 2), WHOLE, Shard(1, 3)])
async def test_a_pass_that_broke_off_does_not_stand_in_the_way_of_the_next(journal_url: str, after: Shard) -> None:
    """What it has reserved does not count for who has its lease now, and is gone once that reserves something."""
    async with hold_journal(journal_url, "run", Shard(0, 2)) as journal:
        assert await reserve(journal, {"p": 5}) == ()
    async with hold_journal(journal_url, "run", after) as journal:
        assert await journal.rejections.since(NOW) == {}
        assert await reserve(journal, {"q": 5}, "run-1") == ()
        await journal.passes.record(a_report("run-1"), QuarantineUpdate((), ()), {})
    async with hold_journal(journal_url, "run", Shard(1, 2)) as sibling:
        assert await sibling.rejections.since(NOW) == {}


async def test_who_has_lost_the_lease_reserves_nothing(journal_url: str) -> None:
    """Nor does it free what the worker that has the lease now has reserved."""
    async with hold_journal(journal_url, "run", Shard(0, 2)) as journal:
        assert await reserve(journal, {"p": 1}) == ()
        engine = open_database(journal_url).engine
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE leases SET fence = fence + 1")
        engine.dispose()
        with pytest.raises(JournalError, match="taken the journal over"):
            await reserve(journal, {"q": 1}, "run-1")
    async with hold_journal(journal_url, "run", Shard(1, 2)) as sibling:
        assert await sibling.rejections.since(NOW) == {"p": 1}


async def test_shards_that_run_at_once_keep_max_reject_together(journal_url: str) -> None:
    """Each of four has two shares to reject, and three are allowed: one pass may, the others are refused."""
    names = [name for index in range(4) for name, _ in zip(names_in(Shard(index, 4)), range(2), strict=False)]
    world = fleet(dict.fromkeys(names, 2))
    limits = {"members_put": "80/2s", "images_list": "400/2s", "burst": "400/s"}
    async with Simulator(world) as cloud:
        settings = quick(
            cloud, journal={"url": journal_url}, limits=limits, guards={"max_reject": "3", "max_change": "100%"}
        )
        manifest = manifest_of(world)
        async with hold_journal(journal_url, "run", WHOLE):
            pass
        assert (await a_pass(Inputs(settings, manifest), WHOLE)).result is Result.CONVERGED
        for wishes in manifest.wishes.values():
            wishes[min(wishes)] = Wish(Operation.REJECT)
        reports = await asyncio.gather(*(a_pass(Inputs(settings, manifest), Shard(index, 4)) for index in range(4)))
    results = sorted(report.result.value for report in reports)
    assert results == [Result.CONVERGED.value, *[Result.REFUSED.value] * 3]
    assert sum(report.count(Status.CHANGED) for report in reports) == 2


async def reserve(journal: HeldJournal, planned: dict[str, int], run_id: str = "") -> tuple[str, ...]:
    """Reserve rejections where five are allowed in all; return what was rejected before if they are too many."""

    def judge(before: Mapping[str, int]) -> tuple[str, ...]:
        earlier = sum(before.values())
        return (f"{earlier} before",) if earlier + sum(planned.values()) > 5 else ()

    return await journal.rejections.reserve(planned, run_id or f"run-{journal.shard.index}", NOW, NOW, judge)


def a_report(run_id: str) -> RunReport:
    """Return the report of a pass over nothing."""
    return RunReport(run_id, NOW, NOW + 9, Result.CONVERGED, 0, 0, 0, (), (), CallCounts({}, 0, 0), "")


async def a_pass(place: Inputs, shard: Shard) -> RunReport:
    """Make one pass over a shard."""
    async with working(place, shard) as (journal, ims):
        context = await pass_context(place, ims, journal, lambda _: None, Deadlines())
        return await run_pass(place, pass_request(place, Selector(shard=shard)), context, journal)


async def put(url: str, name: str, count: int, at: float | None = None) -> None:
    """Journal that many PUT for a project: answered just now, or begun at `at` and never answered."""
    batch = Batch(project_id(name), Operation.ACCEPT, None, ("image",))
    async with hold_journal(url, "run", WHOLE) as journal:
        for _ in range(count):
            key = await journal.batches.intend(batch, "run", at or time.time(), 0)
            if at is None:
                await journal.batches.refuse(key, "no", time.time())
