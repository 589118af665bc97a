"""The metadata service of a cloud server, its rotation, and a pod's endpoint."""

from __future__ import annotations

from typing import Any

import pytest
from identity_client import Answer, Cloud, Key, key_of

from worker.simulator.calls import POD_IDENTITY
from worker.simulator.identity.model import Workload
from worker.simulator.naming import project_id

TOKEN, KEY = "/meta-data/latest/api/token", "/openstack/latest/securitykey"
PAYMENTS = project_id("payments")
SEED = """
[projects.payments]
[[agency]]
name = "ecs"
[[agency]]
name = "pods"
[server]
agency = "ecs"
[[workload]]
agency = "pods"
tokens = ["pod-1", "pod-2"]
"""


def token_of(cloud: Cloud, seconds: str = "21600") -> Answer:
    """Ask for a token of the metadata service."""
    return cloud.call("PUT", TOKEN, headers={"X-Metadata-Token-Ttl-Seconds": seconds})


def key_with(cloud: Cloud, token: str | None) -> Answer:
    """Ask for the server's keys."""
    return cloud.call("GET", KEY, headers={} if token is None else {"X-Metadata-Token": token})


def current(cloud: Cloud) -> Key:
    """Return the keys the server has now."""
    return key_of(key_with(cloud, token_of(cloud).body.decode()))


def test_a_token_gives_the_keys_of_the_servers_agency() -> None:
    """The token comes as text, the keys are good at IMS, and their end is an hour away."""
    cloud = Cloud(SEED)
    answer = key_with(cloud, token_of(cloud).body.decode())
    assert answer.json["credential"]["expires_at"] == "2026-01-15T09:30:00.000000Z"
    assert cloud.images(key_of(answer), PAYMENTS).status == 200


def test_the_token_ends_and_is_asked_for() -> None:
    """Without it, with another, and from its end on, the keys are a 401."""
    cloud = Cloud(SEED)
    token = token_of(cloud, "60").body.decode()
    assert [key_with(cloud, each).status for each in (None, "other", token)] == [401, 401, 200]
    cloud.at += 60.0
    assert key_with(cloud, token).status == 401
    assert key_with(cloud, token_of(cloud).body.decode()).status == 200


@pytest.mark.parametrize("seconds", ["", "0", "21601", "many", "-1"])
def test_the_life_of_the_token_has_bounds(seconds: str) -> None:
    """A life that is none is a 400."""
    assert token_of(Cloud(SEED), seconds).status == 400


@pytest.mark.parametrize("status", [404, 405, 503])
def test_an_old_service_has_no_tokens(status: int) -> None:
    """By the rules the request for a token fails with that status, and the keys come without one, or with any."""
    cloud = Cloud(f'{SEED}[identity]\nmetadata = "{status}"')
    assert token_of(cloud).status == status
    assert [key_with(cloud, token).status for token in (None, "any")] == [200, 200]


def test_a_token_may_be_optional() -> None:
    """By the rules the keys come without a token too, but not with a wrong one."""
    cloud = Cloud(f'{SEED}[identity]\nmetadata = "optional"')
    assert [key_with(cloud, each).status for each in (None, "wrong", token_of(cloud).body.decode())] == [200, 401, 200]


def test_no_agency_is_told_apart_from_a_stale_token() -> None:
    """Without an agency on the server it is a 401 whose text says so; the token is judged first."""
    cloud = Cloud(SEED.replace('[server]\nagency = "ecs"', ""))
    assert b"Agency first" not in key_with(cloud, "stale").body
    answer = key_with(cloud, token_of(cloud).body.decode())
    assert (answer.status, b"Please configure Cloud Service Agency first" in answer.body) == (401, True)


def test_keys_are_replaced_ten_minutes_before_their_end_and_both_are_good() -> None:
    """Until then they stay the same; after it there are others, and the first are good to their end."""
    cloud = Cloud(SEED)
    first = current(cloud)
    cloud.at += 2999.0
    assert current(cloud) == first
    cloud.at += 1.0
    second = current(cloud)
    assert (second != first, cloud.images(first, PAYMENTS).status) == (True, 200)
    cloud.at += 599.0
    assert [cloud.images(key, PAYMENTS).status for key in (first, second)] == [200, 200]
    cloud.at += 1.0
    assert [cloud.images(key, PAYMENTS).status for key in (first, second)] == [401, 200]
    assert current(cloud) == second


def test_short_lives_are_replaced_in_proportion() -> None:
    """Keys that live for six seconds are replaced one second before their end."""
    cloud = Cloud(f"{SEED}[identity]\nkey_life = 6")
    first = current(cloud)
    cloud.at += 4.5
    assert current(cloud) == first
    cloud.at += 0.5
    assert current(cloud) != first


@pytest.mark.parametrize("token", ["pod-1", "pod-2"])
@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ("credential", {"access", "secret", "securitytoken", "expires_at"}),
        ("credentials", {"access_key_id", "secret_access_key", "security_token", "expiration"}),
        ("flat", {"accessKeyId", "secretAccessKey", "securityToken", "expiration"}),
    ],
)
def test_a_pod_gets_the_keys_of_its_agency(token: str, shape: str, names: set[str]) -> None:
    """In each of the shapes that are read, for each of its tokens."""
    cloud = Cloud(f'{SEED}[identity]\npod_answer = "{shape}"')
    answer = cloud.call("POST", POD_IDENTITY, {}, headers={"Authorization": token})
    body: Any = answer.json if shape == "flat" else answer.json[shape]
    assert (answer.status, set(body)) == (200, names)
    assert cloud.images(key_of(answer), PAYMENTS).status == 200


def test_a_pod_that_nobody_knows_gets_nothing() -> None:
    """Without a token, or with another, it is a 401."""
    for headers in ({}, {"Authorization": "pod-3"}):
        assert Cloud(SEED).call("POST", POD_IDENTITY, {}, headers=headers).status == 401


def test_without_anybody_in_the_seed_each_server_and_pod_has_an_agency() -> None:
    """Keys come for the asking, and act in every project."""
    cloud = Cloud("[projects.payments]")
    pod = key_of(cloud.call("POST", POD_IDENTITY, {}, headers={"Authorization": "any"}))
    assert [cloud.images(key, PAYMENTS).status for key in (current(cloud), pod)] == [200, 200]


def test_an_agency_that_was_deleted_gives_a_pod_nothing() -> None:
    """A pod whose agency is not there any more gets a 404 rather than keys."""
    cloud = Cloud(SEED)
    cloud.world.add(Workload(agency="deleted", tokens=("pod-3",)))
    assert cloud.call("POST", POD_IDENTITY, {}, headers={"Authorization": "pod-3"}).status == 404
