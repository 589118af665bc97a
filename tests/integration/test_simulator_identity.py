"""Identity over loopback: what goes wrong with it, who is counted for what, and what IMS does meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from identity_client import by_agency, by_password
from simulator_client import Client, Unanswered
from virtual import wall

from worker.simulator.faults import parse_faults
from worker.simulator.ledger import Arrival
from worker.simulator.naming import domain_id, project_id
from worker.simulator.options import Group
from worker.simulator.seed import parse_seed
from worker.simulator.server import Simulator

pytestmark = pytest.mark.usefixtures("virtual_time")

PAYMENTS, EDGE = project_id("payments"), project_id("edge")
SEED = """
[projects.payments]
[projects.edge]
[[user]]
name = "robot"
password = "right"
access_key = "AK"
secret_key = "SK"
[[user]]
name = "second"
password = "right"
[[agency]]
name = "ims-share"
[server]
agency = "ims-share"
"""
CALLS: dict[Group, tuple[str, str, Any]] = {
    Group.TOKEN: (
        "POST",
        "/v3/auth/tokens",
        by_password("robot", "right", {"name": "default"}, project={"id": PAYMENTS}),
    ),
    Group.PROJECTS: ("GET", "/v3/auth/projects", None),
    Group.STS: (
        "POST",
        "/v5/agencies/assume",
        {"agency_urn": f"iam::{domain_id('default')}:agency:ims-share", "agency_session_name": "test"},
    ),
    Group.METADATA: ("PUT", "/meta-data/latest/api/token", None),
    Group.VAULTS: ("GET", f"/v3/{PAYMENTS}/vaults", None),
}
SIGNED = {Group.PROJECTS, Group.STS, Group.VAULTS}


@asynccontextmanager
async def cloud_with(
    faults: str = "", more: str = "", now: Callable[[], float] = wall
) -> AsyncIterator[tuple[Simulator, Client]]:
    """Yield a cloud with somebody in it, and a client for one of its projects."""
    seed = parse_seed({"seed.toml": f"{SEED}{more}"}, now)
    simulator = Simulator(seed.world, faults=parse_faults(faults), options=seed.options, limits=seed.limits)
    async with simulator, Client.of(simulator, PAYMENTS) as client:
        yield simulator, client


async def ask(client: Client, group: Group) -> int:
    """Make a call of this group and return its status."""
    method, path, body = CALLS[group]
    if group in SIGNED:
        return (await client.call(method, path, b"" if body is None else json.dumps(body).encode())).status
    headers = {"X-Metadata-Token-Ttl-Seconds": "60"}
    try:
        async with client.session.request(
            method, client.simulator.url + path, json=body, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status
    except aiohttp.ClientConnectionError as error:
        raise Unanswered from error


def counted(simulator: Simulator, group: Group) -> list[Arrival]:
    """Return the calls of a group."""
    return [call for call in simulator.ledger.arrivals if call.group is group]


@pytest.mark.parametrize("group", list(CALLS))
@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ('what = "reset"', None),
        ('what = "status"\nstatus = 503\nbody = "iam"', 503),
        ('what = "status"\nstatus = 401\nbody = "gateway"\ncode = "APIGW.0301"', 401),
        ('what = "throttle"', 429),
        ('what = "html"', 200),
        ('what = "redirect"', 307),
    ],
    ids=["away", "503", "401", "429", "html", "redirect"],
)
async def test_each_group_has_its_faults_and_the_others_go_on(group: Group, fault: str, seen: int | None) -> None:
    """What goes wrong with one service twice is seen twice, and neither by another service nor by IMS."""
    async with cloud_with(f'[[fault]]\non = "{group}"\ntimes = 2\n{fault}') as (cloud, client):
        for _ in range(2):
            if seen is None:
                with pytest.raises(Unanswered):
                    await ask(client, group)
            else:
                assert await ask(client, group) == seen
        assert {each: await ask(client, each) for each in CALLS} == {
            each: 201 if each is Group.TOKEN else 200 for each in CALLS
        }
        assert (await client.images()).status == 200
    assert cloud.ledger.count(group, seen or 0) >= 2


async def test_identity_may_be_away_for_a_while() -> None:
    """From one moment to another its calls get a 401, as if the password were wrong; before and after all is well."""
    clock = {"at": wall()}
    faults = '[[fault]]\nwhat = "status"\nstatus = 401\nbody = "iam"\non = ["token", "sts"]\nafter = 10\nuntil = 20'
    async with cloud_with(faults, now=lambda: clock["at"]) as (_, client):
        seen = []
        for _ in range(3):
            seen.append(await ask(client, Group.TOKEN))
            clock["at"] += 10
    assert seen == [201, 401, 201]


async def test_identity_may_be_slow_or_hang() -> None:
    """A delay costs its time and nothing else; a call that hangs is one that its caller gives up."""
    faults = '[[fault]]\nwhat = "delay"\nseconds = 5\non = "token"\n[[fault]]\nwhat = "hang"\non = "metadata"'
    async with cloud_with(faults) as (_, client):
        begun = asyncio.get_running_loop().time()
        assert await ask(client, Group.TOKEN) == 201
        assert asyncio.get_running_loop().time() - begun >= 5
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await ask(client, Group.METADATA)


async def test_a_fault_may_be_of_one_user_and_of_one_project() -> None:
    """Only who is named gets it: a user that asks for a token, or a project that it is to be for."""
    faults = """
        [[fault]]
        what = "status"
        status = 500
        access_key = "robot"
        [[fault]]
        what = "status"
        status = 502
        project = "edge"
        on = "token"
        """
    async with cloud_with(faults) as (cloud, client):
        statuses = []
        for user, scope in (("robot", {"id": PAYMENTS}), ("second", {"id": PAYMENTS}), ("second", {"name": "edge"})):
            body = by_password(user, "right", {"name": "default"}, project=scope)
            async with client.session.post(cloud.url + "/v3/auth/tokens", json=body) as answer:
                statuses.append(answer.status)
    assert statuses == [500, 201, 502]


async def test_a_wrong_clock_of_the_server_refuses_signed_calls_of_iam() -> None:
    """Where the clock is off, signatures are judged by it, for projects as for images."""
    async with cloud_with('[[fault]]\nwhat = "clock-skew"\nseconds = 1200\non = "projects"') as (_, client):
        assert (await ask(client, Group.PROJECTS), await ask(client, Group.VAULTS)) == (401, 200)


async def test_the_ledger_tells_who_asked_for_what() -> None:
    """Each call of identity is counted in its group, with its path, its asker, its account and its project."""
    async with cloud_with() as (cloud, client):
        body = by_password("robot", "right", {"name": "default"}, project={"name": "edge"})
        async with client.session.post(cloud.url + "/v3/auth/tokens?nocatalog", json=body) as answer:
            token = answer.headers["X-Subject-Token"]
        assumed = by_agency("ims-share", {"project": {"id": PAYMENTS}}, domain_name="default")
        for path in ("/v3/auth/tokens", "/v3.0/OS-CREDENTIAL/securitytokens"):
            headers = {"X-Auth-Token": token}
            async with client.session.post(cloud.url + path, json=assumed, headers=headers) as answer:
                assert answer.status == 201
        query = {"visibility": "shared", "member_status": "pending"}
        headers = {"X-Auth-Token": token}
        async with client.session.get(cloud.url + "/v2/cloudimages", params=query, headers=headers) as answer:
            assert answer.status == 200
        async with client.session.get(cloud.url + "/") as answer:
            counters = (await answer.json())["calls"]
    told = [(call.path, call.access_key, call.account, call.project_id) for call in counted(cloud, Group.TOKEN)]
    assert told == [
        ("/v3/auth/tokens", "robot", "default", EDGE),
        ("/v3/auth/tokens", "ims-share", "default", PAYMENTS),
        ("/v3.0/OS-CREDENTIAL/securitytokens", "ims-share", "default", PAYMENTS),
    ]
    (listed,) = counted(cloud, Group.IMAGES_LIST)
    assert (listed.project_id, listed.account, listed.path) == (EDGE, "default", "")
    assert counters == {"images_list 200": 1, "token 201": 3}


@pytest.mark.parametrize("length", [100, 9120, 100_000])
async def test_a_token_may_be_long(length: int) -> None:
    """A token of any length that the API reference allows is given in its header and taken in the other."""
    async with cloud_with(more=f"[identity]\ntoken_length = {length}") as (cloud, client):
        _, path, body = CALLS[Group.TOKEN]
        async with client.session.post(cloud.url + path, json=body) as answer:
            token = answer.headers["X-Subject-Token"]
        headers = {"X-Auth-Token": token}
        async with client.session.get(cloud.url + "/v2/cloudimages", headers=headers) as answer:
            assert (answer.status, len(token)) == (200, length)


async def test_a_token_counts_in_the_limits_of_its_account() -> None:
    """Calls by token and by key of one account share its window; a limit of tokens is obeyed where one is given."""
    limits = '[limits]\nimages_list = "2/10s"\ntoken = "1/10s"'
    async with cloud_with(more=limits) as (cloud, client):
        _, path, body = CALLS[Group.TOKEN]
        async with client.session.post(cloud.url + path, json=body) as answer:
            token = answer.headers["X-Subject-Token"]
        async with client.session.post(cloud.url + path, json=body) as answer:
            assert (answer.status, (await answer.json())["error_code"]) == (429, "APIGW.0308")
        statuses = [(await client.images()).status]
        for _ in range(2):
            headers = {"X-Auth-Token": token}
            async with client.session.get(cloud.url + "/v2/cloudimages", headers=headers) as answer:
                statuses.append(answer.status)
    assert statuses == [200, 200, 429]
