"""Tokens for a password and for an agency, and what becomes of them at IMS."""

from __future__ import annotations

from typing import Any

import pytest
from identity_client import TOKENS, Cloud, by_agency, by_password

from worker.simulator.naming import domain_id, project_id

PAYMENTS, EDGE, OTHERS = (project_id(name) for name in ("eu-west-101_payments", "eu-west-101_edge", "others"))
SEED = """
[projects.eu-west-101_payments]
[projects.eu-west-101_edge]
[projects.eu-west-101_closed]
enabled = false
[projects.others]
domain = "acme"
[[image]]
name = "golden"
[[share]]
projects = "*"
images = "*"
[[user]]
name = "robot"
password = "right"
[[user]]
name = "narrow"
password = "right"
projects = "*_edge"
[[user]]
name = "careful"
password = "right"
mfa = true
[[user]]
name = "gone"
password = "right"
blocked = true
[[user]]
name = "clerk"
password = "right"
deny = "sts:agencies:*"
[[agency]]
name = "ims-share"
domain = "acme"
trusts = "default"
[[agency]]
name = "for-others"
domain = "acme"
trusts = "acme"
[[agency]]
name = "by-sts-only"
domain = "acme"
external_id = "secret"
"""


@pytest.fixture
def cloud() -> Cloud:
    """Return a cloud with users, an account that delegates, and one image offered everywhere."""
    return Cloud(SEED)


@pytest.mark.parametrize(
    "scope",
    [
        {"id": PAYMENTS},
        {"name": "eu-west-101_payments"},
        {"name": "eu-west-101_payments", "domain": {"name": "default"}},
        {"name": "eu-west-101_payments", "domain": {"id": domain_id("default")}},
    ],
    ids=["id", "name", "name-domain", "name-domain-id"],
)
def test_a_password_gives_a_token_for_a_project(cloud: Cloud, scope: dict[str, Any]) -> None:
    """However the project is named, the token comes in its header with its end, and IMS takes it for that project."""
    answer = cloud.token(project=scope)
    token = answer.json["token"]
    assert (answer.status, token["project"]["id"], token["methods"]) == (201, PAYMENTS, ["password"])
    assert token["expires_at"] == "2026-01-16T08:30:00.000000Z"
    assert "catalog" not in token
    listed = cloud.images(answer.headers["X-Subject-Token"])
    assert (listed.status, [image["name"] for image in listed.json["images"]]) == (200, ["golden"])


def test_the_users_domain_may_be_named_by_its_id(cloud: Cloud) -> None:
    """The domain's id does as well as its name, and an unknown one as badly as a wrong name."""
    for domain, status in ((domain_id("default"), 201), (domain_id("nobody"), 401)):
        body = by_password("robot", "right", {"id": domain}, project={"id": PAYMENTS})
        assert cloud.call("POST", TOKENS, body).status == status


def test_the_catalog_comes_unless_it_is_declined(cloud: Cloud) -> None:
    """Without `nocatalog` in the query the token has a catalog."""
    body = by_password("robot", "right", {"name": "default"}, project={"id": PAYMENTS})
    assert "catalog" in cloud.call("POST", "/v3/auth/tokens", body).json["token"]


@pytest.mark.parametrize(
    ("fractions", "said"),
    [("microseconds", "08:30:00.000000Z"), ("milliseconds", "08:30:00.000Z"), ("absent", "08:30:00Z")],
)
def test_dates_come_with_and_without_fractions(fractions: str, said: str) -> None:
    """The end of a token is written as the rules say."""
    cloud = Cloud(f'{SEED}[identity]\nfractions = "{fractions}"')
    assert cloud.token(project={"id": PAYMENTS}).json["token"]["expires_at"].endswith(said)


@pytest.mark.parametrize(("user", "password"), [("robot", "wrong"), ("nobody", "right"), ("gone", "right")])
def test_a_wrong_password_an_unknown_user_and_a_blocked_one_are_refused(user: str, password: str) -> None:
    """Each is IAM's 401 in IAM's shape, with a number for a code."""
    refused = Cloud(SEED).token(user, password=password, project={"id": PAYMENTS})
    assert (refused.status, refused.json["error"]["code"], refused.json["error"]["title"]) == (401, 401, "Unauthorized")
    assert "locked" in refused.json["error"]["message"] or user != "gone"


def test_five_failures_in_a_row_block_the_user_for_a_while(cloud: Cloud) -> None:
    """After the fifth even the right password is refused, for five minutes; a success before that clears the count."""
    scope = {"id": PAYMENTS}
    for passwords in (["wrong"] * 4, ["right"], ["wrong"] * 4, ["right"], ["wrong"] * 5):
        answers = [cloud.token(password=password, project=scope) for password in passwords]
        assert {answer.status for answer in answers} == {201 if passwords == ["right"] else 401}
    refused = cloud.token(project=scope)
    assert (refused.status, "locked" in refused.json["error"]["message"]) == (401, True)
    assert cloud.token("narrow", project={"id": EDGE}).status == 201
    cloud.at += 299.0
    assert cloud.token(project=scope).status == 401
    cloud.at += 1.0
    assert cloud.token(project=scope).status == 201


def test_a_second_factor_is_demanded(cloud: Cloud) -> None:
    """A user with a second factor needs a code of six digits beside the password."""
    body = by_password("careful", "right", {"name": "default"}, project={"id": PAYMENTS})
    refused = cloud.call("POST", TOKENS, body)
    assert (refused.status, "Multi-factor" in refused.json["error"]["message"]) == (401, True)
    identity = body["auth"]["identity"]
    identity["methods"] = ["password", "totp"]
    for passcode, status in (("123456", 201), ("12345", 401)):
        identity["totp"] = {"user": {"name": "careful", "passcode": passcode}}
        assert cloud.call("POST", TOKENS, body).status == status


@pytest.mark.parametrize(
    ("user", "scope"),
    [
        ("robot", {"project": {"id": OTHERS}}),
        ("robot", {"project": {"name": "others"}}),
        ("robot", {"project": {"id": "f" * 32}}),
        ("robot", {"project": {"name": "eu-west-101_closed"}}),
        ("narrow", {"project": {"id": PAYMENTS}}),
        ("robot", {"domain": {"name": "acme"}}),
    ],
)
@pytest.mark.parametrize("status", [403, 401])
def test_a_scope_out_of_reach_is_refused(user: str, scope: dict[str, Any], status: int) -> None:
    """No token for a project of others, one that is not there, is closed, or where the user has no rights."""
    rules = "" if status == 403 else '[identity]\nno_access = "401"'
    refused = Cloud(SEED + rules).token(user, **scope)
    assert (refused.status, refused.json["error"]["code"]) == (status, status)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"auth": []},
        {"auth": {"identity": {"methods": ["password"]}}},
        {"auth": {"identity": {"methods": "password"}}},
        {"auth": {"identity": {"methods": ["hw_context"]}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": 1, "password": "right"}}}}},
    ],
)
def test_a_body_that_asks_for_nothing_known_is_a_400(cloud: Cloud, body: Any) -> None:
    """Whatever is wrong with the body, the answer is IAM's 400."""
    refused = cloud.call("POST", TOKENS, body)
    assert (refused.status, refused.json["error"]["code"]) == (400, 400)


def test_a_token_without_a_project_is_no_use_at_ims(cloud: Cloud) -> None:
    """A token for the domain, or for nothing, is given, and IMS asks for the project."""
    for scope in ({}, {"domain": {"name": "default"}}):
        answer = cloud.token(**scope)
        assert (answer.status, answer.json["token"]["domain"]["name"]) == (201, "default")
        assert cloud.images(answer.headers["X-Subject-Token"]).code == "IMG.0104"


def test_a_token_is_good_for_its_project_and_no_other(cloud: Cloud) -> None:
    """Another project in the header is the code for a token that must be renewed; one in the body is IMS's own."""
    token = cloud.token(project={"id": PAYMENTS}).headers["X-Subject-Token"]
    assert cloud.images(token, PAYMENTS).status == 200
    refused = cloud.images(token, EDGE)
    assert (refused.status, refused.code) == (401, "APIGW.0307")
    image = next(iter(cloud.world.images))
    order = {"images": [image], "project_id": EDGE, "status": "accepted"}
    assert cloud.call("PUT", "/v1/cloudimages/members", order, by=token).code == "IMG.0030"
    order["project_id"] = PAYMENTS
    assert cloud.call("PUT", "/v1/cloudimages/members", order, by=token).status == 200


@pytest.mark.parametrize("code", ["APIGW.0301", "APIGW.0307"])
def test_a_token_ends(code: str) -> None:
    """At the end of its life, and not before, a token is refused with the code of the rules; a new one is good."""
    cloud = Cloud(f'{SEED}[identity]\ntoken_life = 60\nexpired_token = "{code}"')
    first = cloud.token(project={"id": PAYMENTS}).headers["X-Subject-Token"]
    cloud.at += 59.0
    second = cloud.token(project={"id": PAYMENTS}).headers["X-Subject-Token"]
    assert (first != second, cloud.images(first).status) == (True, 200)
    cloud.at += 1.0
    refused = cloud.images(first)
    assert (refused.status, refused.code) == (401, code)
    assert cloud.images(second).status == 200
    cloud.world.issued.end("robot")
    assert cloud.images(second).code == code


def test_a_token_nobody_gave_is_refused(cloud: Cloud) -> None:
    """IMS says it in the gateway's words, IAM in its own."""
    assert (cloud.images("made-up").status, cloud.images("made-up").code) == (401, "APIGW.0301")
    refused = cloud.call("GET", "/v3/auth/projects", by="made-up")
    assert (refused.status, refused.json["error"]["code"]) == (401, 401)


def test_another_regions_token_must_be_renewed() -> None:
    """A cloud that is one region refuses the tokens of another's projects."""
    seed = f"""{SEED}
        [projects.cn-north-4_payments]
        [identity]
        region = "eu-west-101"
        """
    cloud = Cloud(seed)
    far = cloud.token(project={"name": "cn-north-4_payments"}).headers["X-Subject-Token"]
    near = cloud.token(project={"id": PAYMENTS}).headers["X-Subject-Token"]
    assert (cloud.images(far).status, cloud.images(far).code) == (401, "APIGW.0307")
    assert cloud.images(near).status == 200


@pytest.mark.parametrize("delegating", [{"domain_name": "acme"}, {"domain_id": domain_id("acme")}], ids=["name", "id"])
def test_an_agency_gives_a_token_for_a_project_of_the_delegating_account(
    cloud: Cloud, delegating: dict[str, str]
) -> None:
    """With the caller's own token an agency that trusts it gives one that acts in the other account, and only there."""
    own = cloud.token().headers["X-Subject-Token"]
    answer = cloud.call("POST", TOKENS, by_agency("ims-share", {"project": {"id": OTHERS}}, **delegating), by=own)
    assert (answer.status, answer.json["token"]["methods"]) == (201, ["assume_role"])
    assert cloud.images(answer.headers["X-Subject-Token"]).status == 200
    elsewhere = cloud.call("POST", TOKENS, by_agency("ims-share", {"project": {"id": PAYMENTS}}, **delegating), by=own)
    assert elsewhere.status == 403


@pytest.mark.parametrize(
    ("user", "agency", "delegating", "status"),
    [
        ("robot", "for-others", {"domain_name": "acme"}, 403),
        ("robot", "by-sts-only", {"domain_name": "acme"}, 403),
        ("clerk", "ims-share", {"domain_name": "acme"}, 403),
        ("robot", "unheard-of", {"domain_name": "acme"}, 404),
        ("robot", "ims-share", {"domain_name": "nobody"}, 404),
        ("robot", "ims-share", {}, 400),
    ],
)
def test_an_agency_that_may_not_be_assumed_is_refused(
    cloud: Cloud, user: str, agency: str, delegating: dict[str, str], status: int
) -> None:
    """Without its trust, or without the right to assume any, it is IAM's 403; an unknown one is a 404."""
    own = cloud.token(user).headers["X-Subject-Token"]
    scope = {"project": {"id": OTHERS}}
    refused = cloud.call("POST", TOKENS, by_agency(agency, scope, **delegating), by=own)
    assert (refused.status, refused.json["error"]["code"]) == (status, status)


def test_an_agency_needs_to_know_who_asks(cloud: Cloud) -> None:
    """Without the caller's token, or with one that is over, there is no token for an agency."""
    body = by_agency("ims-share", {"project": {"id": OTHERS}}, domain_name="acme")
    assert cloud.call("POST", TOKENS, body).status == 401
    own = cloud.token().headers["X-Subject-Token"]
    cloud.world.issued.end("robot")
    assert cloud.call("POST", TOKENS, body, by=own).status == 401


def test_without_anybody_in_the_seed_everybody_is_taken_at_their_word() -> None:
    """Any user with any password gets a token for any project, directly or by any agency, and it ends all the same."""
    cloud = Cloud("[projects.payments]\n[identity]\ntoken_life = 60")
    own = cloud.token("anybody", password="whatever", of="anywhere", project={"name": "payments"}).headers[
        "X-Subject-Token"
    ]
    assert cloud.images(own).status == 200
    body = by_agency("any", {"project": {"name": "payments"}}, domain_id="some-id")
    assert cloud.images(cloud.call("POST", TOKENS, body, by=own).headers["X-Subject-Token"]).status == 200
    cloud.at += 60.0
    assert cloud.images(own).status == 401


def test_two_clouds_have_nothing_in_common() -> None:
    """A token of one cloud is nobody's in another of the same seed, as between two regions."""
    one, other = Cloud(SEED), Cloud(SEED)
    tokens = [each.token(project={"id": PAYMENTS}).headers["X-Subject-Token"] for each in (one, other)]
    assert (one.images(tokens[0]).status, other.images(tokens[0]).status) == (200, 401)
