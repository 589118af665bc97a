"""The simulated cloud over loopback: its routes, its page, its limits, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest
from simulator_client import Client, Unanswered
from virtual import wall

from worker.simulator.effects.calls import Delay, Hang
from worker.simulator.faults import Fault
from worker.simulator.jobs import HOSTILE_JOB_IDS, JobRules
from worker.simulator.model import Account, Answer, Image
from worker.simulator.options import Group, Limits, Options, Rate
from worker.simulator.server import Simulator
from worker.simulator.world import World

pytestmark = pytest.mark.usefixtures("virtual_time")

PROJECT, OWNER = "a" * 32, "b" * 32
AT_ONCE = JobRules(seconds=(0.0, 0.0))


async def page(client: Client) -> dict[str, Any]:
    """Return the simulator's page of counters."""
    async with client.session.get(client.simulator.url + "/") as response:
        return await response.json()  # type: ignore[no-any-return]


def new_world(*images: str, rules: JobRules = AT_ONCE, now: Callable[[], float] = wall) -> World:
    """Return a world in which PROJECT is offered these images; jobs end at once."""
    world = World(now, rules)
    world.add_project(PROJECT, "payments")
    for number, name in enumerate(images):
        world.add(Image(name, name, OWNER, created_at=1e9 + number))
        world.share(name, PROJECT)
    return world


async def test_a_share_is_accepted_from_list_to_list() -> None:
    """An image is listed as pending, put, its job seen by both queries, and then listed as accepted."""
    async with Simulator(new_world("x", "y")) as cloud, Client.of(cloud, PROJECT) as client:
        assert [image["id"] for image in (await client.images()).json["images"]] == ["y", "x"]
        put = await client.put("x")
        assert put.status == 200
        legacy = await client.job(put.json["job_id"], legacy=True)
        progress = await client.job(put.json["job_id"])
        assert (legacy.json["status"], progress.json["status"]) == ("SUCCESS", "SUCCESS")
        assert legacy.json["entities"]["results"] == [{"image_id": "x", "status": "success"}]
        assert [image["id"] for image in (await client.images("accepted")).json["images"]] == ["x"]
        assert [image["id"] for image in (await client.images()).json["images"]] == ["y"]


async def test_answers_carry_the_gateways_headers() -> None:
    """Each answer names its server, a request id of its own, and the time."""
    async with Simulator(new_world()) as cloud, Client.of(cloud, PROJECT) as client:
        first, second = await client.images(), await client.images()
    assert first.headers["Server"] == "api-gateway"
    assert len(first.headers["X-Request-Id"]) == 32
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    assert abs(parsedate_to_datetime(first.headers["Date"]).timestamp() - wall()) < 5


async def test_an_unknown_path_is_the_gateways_404() -> None:
    """A path that is no route is a 404 with the gateway's code, not with one of IMS."""
    async with Simulator(new_world()) as cloud, Client.of(cloud, PROJECT) as client:
        answer = await client.call("GET", "/v1/cloudimages")
    assert (answer.status, answer.json["error_code"]) == (404, "APIGW.0101")
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]


async def test_accounts_are_checked_over_the_wire() -> None:
    """With an account in the world the right secret is let in and a wrong one is not, queries and bodies included."""
    world = new_world("x")
    world.add(Account("AK", "SK"))
    async with Simulator(world) as cloud:
        async with Client.of(cloud, PROJECT) as client:
            assert (await client.images(name="a b/ü~*")).status == 200
            assert (await client.put("x")).status == 200
        async with Client.of(cloud, PROJECT, secret_key="WRONG") as client:
            assert (await client.put("x")).status == 401
    assert len(world.jobs) == 1


async def test_a_body_beyond_the_gateways_size_is_a_413() -> None:
    """More than 12 MB in one request is refused by the gateway."""
    async with Simulator(new_world()) as cloud, Client.of(cloud, PROJECT) as client:
        answer = await client.call("PUT", "/v1/cloudimages/members", b" " * (12 * 1024 * 1024 + 1))
    assert (answer.status, answer.json["error_code"]) == (413, "APIGW.0201")


async def test_hostile_job_ids_survive_the_way_back() -> None:
    """Each hostile job id that UTF-8 can express finds its job again when it is percent-encoded."""
    world = new_world("x", rules=JobRules(seconds=(0.0, 0.0), ids="hostile"))
    async with Simulator(world) as cloud, Client.of(cloud, PROJECT) as client:
        for _ in HOSTILE_JOB_IDS:
            job_id = (await client.put("x")).json["job_id"]
            for legacy in (False, True) if "\ud800" not in job_id else ():
                assert (await client.job(job_id, legacy=legacy)).json["job_id"] == job_id


async def test_the_page_counts() -> None:
    """`GET /` tells shares, jobs and calls, and needs no credential."""
    async with Simulator(new_world("x", "y")) as cloud, Client.of(cloud, PROJECT) as client:
        await client.put("x")
        await client.images()
        await client.put("unknown")
        counters = await page(client)
    assert counters["projects"] == {"payments": {"accepted": 1, "pending": 1}}
    assert counters["jobs"] == {"SUCCESS": 1}
    assert counters["calls"] == {"images_list 200": 1, "members_put 200": 1, "members_put 400": 1}


async def test_limits_refuse_by_group_and_account_and_let_in_again() -> None:
    """Beyond the limit a call is a 429 that names it; other groups and keys go on, and the window slides."""
    limits = Limits(members_put=Rate(2, 10))
    clock = {"at": wall()}
    world = new_world("x", now=lambda: clock["at"])
    async with Simulator(world, limits=limits) as cloud, Client.of(cloud, PROJECT) as client:
        statuses = [(await client.put("x")).status for _ in range(3)]
        refused = await client.put("x")
        other = [(await client.images()).status]
        client.access_key = "OTHER"
        other.append((await client.put("x")).status)
        client.access_key = "AK"
        clock["at"] += 10
        again = (await client.put("x")).status
    assert (statuses, other, again) == ([200, 200, 429], [200, 200], 200)
    assert refused.json["error_code"] == "APIGW.0308"
    assert "limit:2,time:10 second" in refused.json["error_msg"]
    assert cloud.ledger.count(Group.MEMBERS_PUT, 429) == 2
    assert cloud.ledger.busiest(Group.MEMBERS_PUT, 10, "AK") == 4


async def test_the_ledger_knows_what_was_put_and_how_many_at_once() -> None:
    """Calls are remembered with their project, images and answer; overlapping ones make the peak."""
    faults = (Fault(Delay(0.1), on=(Group.MEMBERS_PUT,)),)
    async with Simulator(new_world("x", "y"), faults=faults) as cloud, Client.of(cloud, PROJECT) as client:
        await asyncio.gather(client.put("x"), client.put("y"), client.put("x", "y"))
    assert sorted(call.images for call in cloud.ledger.arrivals) == [("x",), ("x", "y"), ("y",)]
    assert {(call.project_id, call.status, call.account) for call in cloud.ledger.arrivals} == {(PROJECT, 200, "AK")}
    assert cloud.ledger.peak == 3


async def test_the_owner_may_change_his_mind_meanwhile() -> None:
    """A share withdrawn, or offered, while the cloud runs shows in the next answer."""
    world = new_world("x")
    async with Simulator(world) as cloud, Client.of(cloud, PROJECT) as client:
        world.revoke("x", PROJECT)
        assert (await client.put("x")).json["error"]["code"] == "IMG.0144"
        world.share("x", PROJECT, Answer.REJECTED)
        assert [image["id"] for image in (await client.images("rejected")).json["images"]] == ["x"]


async def test_an_absent_job_route_reads_as_one() -> None:
    """By option the legacy job query is unknown to the gateway while the other one works."""
    options = Options(legacy="absent")
    async with Simulator(new_world("x"), options=options) as cloud, Client.of(cloud, PROJECT) as client:
        job_id = (await client.put("x")).json["job_id"]
        assert (await client.job(job_id, legacy=True)).json["error_code"] == "APIGW.0101"
        assert (await client.job(job_id)).status == 200


async def test_it_ends_at_once_whatever_hangs() -> None:
    """Closing takes no longer than a moment, and a request that hung gets its connection closed."""
    simulator = Simulator(new_world("x"), faults=(Fault(Hang(), on=(Group.MEMBERS_PUT,)), Fault(Delay(60.0))))
    async with Client.of(simulator, PROJECT) as client:
        async with simulator:
            calls = [asyncio.create_task(client.put("x")), asyncio.create_task(client.images())]
            while simulator.ledger.peak < 3:
                await page(client)
            begun = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begun < 2.0
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[0], Unanswered)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])  # noqa: S104 - what must be refused
async def test_only_loopback_is_served(host: str) -> None:
    """An address that others could reach is refused before anything listens."""
    with pytest.raises(ValueError, match="not a loopback address"):
        Simulator(new_world(), listen=(host, 0))


async def test_a_given_port_is_taken() -> None:
    """The simulator listens where it is told to, and says so."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    async with Simulator(new_world(), listen=("127.0.0.1", port)) as cloud, aiohttp.ClientSession() as session:
        assert cloud.url == f"http://127.0.0.1:{port}"
        async with session.get(cloud.url + "/") as response:
            assert response.status == 200
