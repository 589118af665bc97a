"""Each fault over loopback: what a client really gets when it strikes."""

from __future__ import annotations

import asyncio
import errno
import json
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest
from commands import TIMEOUT
from simulator_client import Client, Unanswered
from virtual import wall

from worker.simulator.faults import parse_faults
from worker.simulator.jobs import JobRules
from worker.simulator.model import Answer, Image
from worker.simulator.options import Group, Limits, Options, Rate
from worker.simulator.server import Simulator
from worker.simulator.world import World

pytestmark = pytest.mark.usefixtures("virtual_time")

PROJECT, OWNER = "a" * 32, "b" * 32


@pytest.fixture
def world() -> World:
    """Return a world in which PROJECT is offered the images `x` and `y`; jobs end at once."""
    world = World(wall, JobRules(seconds=(0.0, 0.0)))
    world.add_project(PROJECT, "payments")
    for name in ("x", "y"):
        world.add(Image(name, f"name-of-{name}", OWNER))
        world.share(name, PROJECT)
    return world


def cloud_with(world: World, what: str, *keys: str) -> Simulator:
    """Return a simulator with one fault, written as users write it."""
    return Simulator(world, faults=parse_faults("\n".join(["[[fault]]", f'what = "{what}"', *keys])))


async def test_a_reset_before_the_work_leaves_nothing(world: World) -> None:
    """The connection dies without an answer, once, and no job was started."""
    async with cloud_with(world, "reset", "times = 1") as cloud, Client.of(cloud, PROJECT) as client:
        with pytest.raises(Unanswered) as error:
            await client.put("x")
        assert isinstance(error.value.__cause__, OSError)
        assert error.value.__cause__.errno == errno.ECONNRESET
        assert world.jobs == {}
        assert (await client.put("x")).status == 200
    assert cloud.ledger.count(Group.MEMBERS_PUT, 0) == 1


async def test_a_reset_after_the_work_loses_the_answer(world: World) -> None:
    """The connection dies in the same way, and the image is accepted all the same."""
    async with cloud_with(world, "reset", "after_work = true") as cloud, Client.of(cloud, PROJECT) as client:
        with pytest.raises(Unanswered):
            await client.put("x")
    assert world.status("x", PROJECT) is Answer.ACCEPTED


@pytest.mark.parametrize(("after_work", "jobs"), [("false", 0), ("true", 1)])
async def test_a_hanging_call_never_answers(world: World, after_work: str, jobs: int) -> None:
    """A client waits until its own patience ends; the work was done or not, as asked."""
    async with cloud_with(world, "hang", f"after_work = {after_work}") as cloud, Client.of(cloud, PROJECT) as client:
        asking = asyncio.create_task(client.put("x"))
        async with asyncio.timeout(TIMEOUT):
            while not cloud.ledger.peak or len(world.jobs) < jobs:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.01)
        await asyncio.wait({asking}, timeout=0.1)
        assert not asking.done()
        asking.cancel()
        await asyncio.wait({asking})
    assert len(world.jobs) == jobs


async def test_a_slow_call_is_slow_and_right(world: World) -> None:
    """A delayed call takes at least its delay and is answered as usual."""
    async with cloud_with(world, "delay", "seconds = 0.1") as cloud, Client.of(cloud, PROJECT) as client:
        begun = asyncio.get_running_loop().time()
        assert (await client.put("x")).status == 200
        assert asyncio.get_running_loop().time() - begun > 0.099


@pytest.mark.parametrize(
    ("what", "keys", "status", "part"),
    [
        ("status", ["status = 503"], 503, "IMG.0061"),
        ("status", ['body = "gateway"'], 500, "APIGW.0605"),
        ("status", ['body = "html"', "status = 502"], 502, "<html>"),
        ("throttle", [], 429, "limit:200,time:5 minute"),
        ("throttle", ['style = "ims"'], 400, "IMG.0060"),
        ("expired-credential", [], 401, "APIGW.0301"),
        ("poison", ['image = "name-of-x"', 'code = "IMG.0066"'], 400, "IMG.0066"),
        ("html", [], 200, "<html>"),
        ("redirect", [], 307, ""),
    ],
)
async def test_an_answer_in_place_of_the_work(world: World, what: str, keys: list[str], status: int, part: str) -> None:
    """The caller gets the status and the body, and nothing was started."""
    async with cloud_with(world, what, *keys) as cloud, Client.of(cloud, PROJECT) as client:
        answer = await client.put("x", "y")
    assert answer.status == status
    assert part in answer.body.decode()
    assert world.jobs == {}


async def test_a_poison_spares_the_batches_without_it(world: World) -> None:
    """Only a PUT with the poisoned image is refused."""
    async with cloud_with(world, "poison", 'image = "x"') as cloud, Client.of(cloud, PROJECT) as client:
        assert [(await client.put(*batch)).status for batch in (("x", "y"), ("x",), ("y",))] == [400, 400, 200]


@pytest.mark.parametrize(
    ("what", "keys", "word", "results", "after"),
    [
        ("stuck-job", [], "RUNNING", None, ["pending", "pending"]),
        ("hollow-success", [], "SUCCESS", ["success", "success"], ["pending", "pending"]),
        ("failed-job", ['code = "IMG.0061"'], "FAIL", ["fail", "fail"], ["pending", "pending"]),
        ("partial-job", [], "FAIL", ["fail", "success"], ["pending", "accepted"]),
        (
            "partial-job",
            ['overall = "SUCCESS"', 'image = "y"'],
            "SUCCESS",
            ["success", "fail"],
            ["accepted", "pending"],
        ),
    ],
)
async def test_what_becomes_of_a_job(
    world: World, what: str, keys: list[str], word: str, results: list[str] | None, after: list[str]
) -> None:
    """The job's word, its per-image results and the true state are what the fault says."""
    async with cloud_with(world, what, *keys) as cloud, Client.of(cloud, PROJECT) as client:
        job_id = (await client.put("x", "y")).json["job_id"]
        if what == "stuck-job":
            world.jobs[job_id].begun_at -= 3600.0
        job = (await client.job(job_id, legacy=True)).json
    assert job["status"] == word
    found = job["entities"].get("results")
    assert results == (found if found is None else [result["status"] for result in found])
    assert [world.status(name, PROJECT) for name in ("x", "y")] == after


async def test_a_job_is_lost_after_some_polls(world: World) -> None:
    """The job is found as often as said, by either query, and not any more after that."""
    async with cloud_with(world, "lost-job", "polls = 2") as cloud, Client.of(cloud, PROJECT) as client:
        job_id = (await client.put("x")).json["job_id"]
        answers = [(await client.job(job_id, legacy=legacy)).status for legacy in (True, False, True, False)]
    assert answers == [200, 200, 400, 400]


async def test_a_wrong_clock_judges_and_tells(world: World) -> None:
    """With the server's clock an hour ahead a right date is a 401 that tells the time, and who follows it gets in."""
    async with cloud_with(world, "clock-skew") as cloud, Client.of(cloud, PROJECT) as client:
        answer = await client.images()
        assert answer.status == 401
        ahead = parsedate_to_datetime(answer.headers["Date"]).timestamp() - wall()
        assert 3590 < ahead < 3610
        client.skew = ahead
        assert (await client.images()).status == 200


async def test_half_a_page_is_cut_or_broken_off(world: World) -> None:
    """A truncated page is no JSON; an announced one ends before its length does."""
    async with cloud_with(world, "truncated", 'on = "images_list"') as cloud, Client.of(cloud, PROJECT) as client:
        with pytest.raises(json.JSONDecodeError):
            _ = (await client.images()).json
    async with cloud_with(world, "truncated", "announced = true") as cloud, Client.of(cloud, PROJECT) as client:
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.images()


async def test_a_gigantic_page_is_really_sent(world: World) -> None:
    """All megabytes come over the wire, and the page is right behind them."""
    async with cloud_with(world, "gigantic", "megabytes = 3") as cloud, Client.of(cloud, PROJECT) as client:
        answer = await client.images()
    assert len(answer.body) > 3 * 1024 * 1024
    assert len(answer.json["images"]) == 2


async def test_a_page_of_the_wrong_type(world: World) -> None:
    """`images` is an object where an array should be, and the status is still 200."""
    async with cloud_with(world, "mistyped") as cloud, Client.of(cloud, PROJECT) as client:
        answer = await client.images()
    assert (answer.status, answer.json["images"]) == (200, {})


async def test_faults_can_be_replaced_while_it_runs(world: World) -> None:
    """New faults hold from the next call on, and none heal the cloud."""
    async with cloud_with(world, "status") as cloud, Client.of(cloud, PROJECT) as client:
        assert (await client.images()).status == 500
        cloud.set_faults(())
        assert (await client.images()).status == 200


async def test_a_throttled_call_uses_no_fault_up(world: World) -> None:
    """A call that the limits refuse is not one that a fault counts."""
    faults = parse_faults('[[fault]]\nwhat = "status"\nskip = 1\ntimes = 1')
    async with Simulator(world, faults=faults) as cloud, Client.of(cloud, PROJECT) as client:
        assert [(await client.images()).status for _ in range(3)] == [200, 500, 200]


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("stated", 429, "limit:1,time:5 minute"),
        ("unstated", 429, "threshold has been reached"),
        ("IMG.0060", 400, "IMG.0060"),
    ],
)
async def test_a_limit_may_be_hidden(world: World, how: Any, status: int, words: str) -> None:
    """A call beyond it is refused as the options say, and others of the account are not."""
    limits = Limits(images_list=Rate(1, 300))
    async with (
        Simulator(world, options=Options(throttle=how), limits=limits) as cloud,
        Client.of(cloud, PROJECT) as client,
    ):
        assert (await client.images()).status == 200
        refused = await client.images()
        assert refused.status == status
        assert words in refused.body.decode()
        assert ("limit:" in refused.body.decode()) is (how == "stated")


async def test_an_answer_in_drops_comes_in_the_end_or_is_left(world: World) -> None:
    """Its bytes take their time, and all of them make the answer; who leaves in between harms nobody."""
    async with cloud_with(world, "drip", "seconds = 0.01", "times = 2") as cloud, Client.of(cloud, PROJECT) as client:
        begun = asyncio.get_running_loop().time()
        slow = await client.images()
        assert asyncio.get_running_loop().time() - begun >= 0.005 * len(slow.body)
        assert len(slow.json["images"]) == 2
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await client.images()
        assert (await client.images()).body == slow.body
