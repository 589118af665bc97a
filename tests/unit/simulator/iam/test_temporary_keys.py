"""Temporary keys of IAM: for a token, for an agency, and until when."""

from __future__ import annotations

from typing import Any

import pytest
from identity_client import KEYS, Cloud, Key, by_agency, key_of

from worker.simulator.naming import domain_id, project_id

PAYMENTS, OTHERS = project_id("payments"), project_id("others")
SEED = """
[projects.payments]
[projects.others]
domain = "acme"
[[user]]
name = "robot"
password = "right"
access_key = "AK"
secret_key = "SK"
[[agency]]
name = "ims-share"
domain = "acme"
trusts = "default"
"""
GOOD = Key("AK", "SK")


def by_token(text: str = "", **asked: Any) -> dict[str, Any]:
    """Return the body that asks for temporary keys with a token."""
    given = {"id": text} if text else {}
    return {"auth": {"identity": {"methods": ["token"], "token": {**given, **asked}}}}


@pytest.fixture
def cloud() -> Cloud:
    """Return a cloud with a user that has a password and a key, and an agency of another account."""
    return Cloud(SEED)


@pytest.mark.parametrize("place", ["body", "header"])
def test_a_token_gives_a_key_that_acts_as_its_user(cloud: Cloud, place: str) -> None:
    """The token may be in the body or the header; the key is good at IMS together with its security token, and ends."""
    token = cloud.token(project={"id": PAYMENTS}).headers["X-Subject-Token"]
    if place == "body":
        answer = cloud.call("POST", KEYS, by_token(token, duration_seconds=900))
    else:
        answer = cloud.call("POST", KEYS, by_token(duration_seconds=900), by=token)
    assert (answer.status, answer.json["credential"]["expires_at"]) == (201, "2026-01-15T08:45:00.000000Z")
    key = key_of(answer)
    assert cloud.images(key, PAYMENTS).status == 200
    assert cloud.images(Key(key.access_key, key.secret_key), PAYMENTS).code == "APIGW.0301"
    assert cloud.images(key, OTHERS).status == 403
    cloud.at += 900.0
    refused = cloud.images(key, PAYMENTS)
    assert (refused.status, "expired" in refused.json["error_msg"]) == (401, True)


@pytest.mark.parametrize("signed", [False, True], ids=["token", "key"])
@pytest.mark.parametrize("delegating", [{"domain_name": "acme"}, {"domain_id": domain_id("acme")}], ids=["name", "id"])
def test_an_agency_gives_a_key_for_the_delegating_account(
    cloud: Cloud, delegating: dict[str, str], *, signed: bool
) -> None:
    """The caller shows a token or signs; the key acts in the other account and not in the caller's."""
    by: Key | str = GOOD if signed else cloud.token().headers["X-Subject-Token"]
    answer = cloud.call("POST", KEYS, by_agency("ims-share", duration_seconds=3600, **delegating), by=by)
    key = key_of(answer)
    assert (answer.status, cloud.images(key, OTHERS).status, cloud.images(key, PAYMENTS).status) == (201, 200, 403)
    cloud.world.issued.end("ims-share")
    assert cloud.images(key, OTHERS).status == 401


def test_a_signed_call_needs_no_token(cloud: Cloud) -> None:
    """The user's own key does for a temporary one, and a wrong secret is the gateway's 401."""
    assert cloud.call("POST", KEYS, by_token(), by=GOOD).status == 201
    refused = cloud.call("POST", KEYS, by_token(), by=Key("AK", "WRONG"))
    assert (refused.status, refused.code) == (401, "APIGW.0301")


@pytest.mark.parametrize(
    ("seconds", "status"), [(899, 400), (900, 201), (86_400, 201), (86_401, 400), ("900", 400), (True, 400)]
)
def test_the_duration_has_bounds(cloud: Cloud, seconds: Any, status: int) -> None:
    """From a quarter of an hour to a day, as a number."""
    assert cloud.call("POST", KEYS, by_token(duration_seconds=seconds), by=GOOD).status == status


def test_the_usual_duration_is_the_shortest(cloud: Cloud) -> None:
    """Without a duration the key lives for a quarter of an hour."""
    answer = cloud.call("POST", KEYS, by_token(), by=GOOD)
    assert answer.json["credential"]["expires_at"] == "2026-01-15T08:45:00.000000Z"


def test_a_seed_may_make_keys_short_lived() -> None:
    """Whatever is asked for, no key lives longer than the rules say."""
    cloud = Cloud(f"{SEED}[identity]\nkey_life = 2")
    key = key_of(cloud.call("POST", KEYS, by_token(duration_seconds=86_400), by=GOOD))
    cloud.at += 2.0
    assert cloud.images(key, PAYMENTS).status == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (by_token("made-up"), 401),
        (by_token(), 401),
        (by_agency("ims-share", domain_name="acme"), 401),
        ({"auth": {"identity": {"methods": ["password"]}}}, 400),
        (None, 400),
    ],
)
def test_without_proof_there_is_no_key(cloud: Cloud, body: Any, status: int) -> None:
    """A token nobody gave, none at all, or another method is refused in IAM's shape."""
    refused = cloud.call("POST", KEYS, body)
    assert (refused.status, refused.json["error"]["code"]) == (status, status)


def test_an_agency_that_may_not_be_assumed_gives_no_key(cloud: Cloud) -> None:
    """Trusting somebody else, it is a 403 here too."""
    closed = Cloud(SEED.replace('trusts = "default"', 'trusts = "acme"'))
    assert closed.call("POST", KEYS, by_agency("ims-share", domain_name="acme"), by=GOOD).status == 403
    assert cloud.call("POST", KEYS, by_agency("ims-share", domain_name="acme"), by=GOOD).status == 201
