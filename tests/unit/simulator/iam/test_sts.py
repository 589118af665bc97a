"""The STS: agencies assumed by key and by a pod's token."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from identity_client import START, Cloud, Key, key_of

from worker.simulator.naming import domain_id, project_id

ASSUME, OIDC = "/v5/agencies/assume", "/v5/agencies/assume-with-oidc"
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
[[agency]]
name = "for-acme"
domain = "acme"
trusts = "acme"
[[agency]]
name = "guarded"
domain = "acme"
external_id = "a-word"
[[agency]]
name = "pods"
[[workload]]
agency = "pods"
tokens = ["token-1", "token-2"]
provider = "cce"
"""
GOOD = Key("AK", "SK")
PROVIDER = f"iam::{domain_id('default')}:oidcProvider:cce"


def urn(agency: str, domain: str = "acme") -> str:
    """Return the name that the STS knows an agency by."""
    return f"iam::{domain_id(domain)}:agency:{agency}"


def asking(agency: str = "ims-share", **changed: Any) -> dict[str, Any]:
    """Return the body that assumes an agency, with some keys changed; None leaves one out."""
    body = {"agency_urn": urn(agency), "agency_session_name": "ims-share-worker", "duration_seconds": 3600} | changed
    return {key: value for key, value in body.items() if value is not None}


def showing(token: str, **changed: Any) -> dict[str, Any]:
    """Return the body that assumes the pods' agency with a token."""
    return asking(**{"agency_urn": urn("pods", "default"), "provider_urn": PROVIDER, "id_token": token, **changed})


def jwt(**claims: Any) -> str:
    """Return an unsigned JWT of these claims."""
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims, {}))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.fixture
def cloud() -> Cloud:
    """Return a cloud with an agency that may be assumed, and some that may not."""
    return Cloud(SEED)


def test_an_agency_is_assumed_by_a_signed_call(cloud: Cloud) -> None:
    """Its keys act in the delegating account only, name the session, and end when the answer says."""
    answer = cloud.call("POST", ASSUME, asking(), by=GOOD)
    assert (answer.status, answer.json["credentials"]["expiration"]) == (200, "2026-01-15T09:30:00.000000Z")
    assert answer.json["assumed_agency"]["urn"].endswith(":assumed-agency:ims-share/ims-share-worker")
    key = key_of(answer)
    assert (cloud.images(key, OTHERS).status, cloud.images(key, PAYMENTS).status) == (200, 403)
    cloud.at += 3600.0
    assert cloud.images(key, OTHERS).status == 401


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (asking("for-acme"), 403, "PAP5.0001"),
        (asking("guarded"), 403, "PAP5.0001"),
        (asking("guarded", external_id="another"), 403, "PAP5.0001"),
        (asking("unheard-of"), 404, "STS5.1106"),
        (asking(agency_urn=urn("ims-share", "nobody")), 404, "STS5.1106"),
        (asking(agency_urn="ims-share"), 400, "STS5.1001"),
        (asking(agency_urn=None), 400, "STS5.1001"),
        (asking(agency_session_name=None), 400, "STS5.1001"),
        (asking(agency_session_name="a b"), 400, "STS5.1001"),
        (asking(duration_seconds=899), 400, "STS5.1001"),
        (asking(duration_seconds=43_201), 400, "STS5.1001"),
        (asking(duration_seconds="3600"), 400, "STS5.1001"),
        (asking(policy={}), 200, ""),
        (asking(policy={"Version": "5.0"}), 400, "STS5.1001"),
    ],
)
def test_what_may_not_be_assumed_is_refused(cloud: Cloud, body: dict[str, Any], status: int, code: str) -> None:
    """A lack of trust, a wrong word, an unknown agency and each wrong parameter have their status and code."""
    answer = cloud.call("POST", ASSUME, body, by=GOOD)
    assert answer.status == status
    if code:
        assert (answer.code, set(answer.json) >= {"error_msg", "request_id"}) == (code, True)
        assert ("encoded_authorization_message" in answer.json) == (status == 403)


@pytest.mark.parametrize(
    "body", [asking("guarded", external_id="a-word"), asking(duration_seconds=None), asking(policy='{"Version":"5.0"}')]
)
def test_what_may_be_given_is_taken(cloud: Cloud, body: dict[str, Any]) -> None:
    """The right word for an agency that asks for one, no duration, and a policy are all good."""
    assert cloud.call("POST", ASSUME, body, by=GOOD).status == 200


def test_keys_that_were_assumed_assume_for_an_hour_at_most(cloud: Cloud) -> None:
    """An agency of an agency's keys is bounded by an hour, even where the first is trusted."""
    open_to_all = Cloud(SEED.replace('trusts = "default"', ""))
    chained = key_of(open_to_all.call("POST", ASSUME, asking(), by=GOOD))
    assert open_to_all.call("POST", ASSUME, asking(duration_seconds=3601), by=chained).code == "STS5.1001"
    assert open_to_all.call("POST", ASSUME, asking(), by=chained).status == 200
    assert cloud.call("POST", ASSUME, asking(), by=key_of(cloud.call("POST", ASSUME, asking(), by=GOOD))).status == 403


def test_only_a_signature_is_a_proof(cloud: Cloud) -> None:
    """Neither a token of IAM nor a wrong secret assumes anything."""
    for by in (cloud.token().headers["X-Subject-Token"], Key("AK", "WRONG"), None):
        refused = cloud.call("POST", ASSUME, asking(), by=by)
        assert (refused.status, refused.code) == (401, "APIGW.0301")


def test_a_cloud_may_have_no_sts() -> None:
    """By the rules all its paths are unknown to the gateway, whoever asks."""
    cloud = Cloud(f'{SEED}[identity]\nsts = "absent"')
    for path, body in ((ASSUME, asking()), (OIDC, showing("token-1"))):
        refused = cloud.call("POST", path, body, by=GOOD)
        assert (refused.status, refused.code) == (404, "APIGW.0101")


@pytest.mark.parametrize("token", ["token-1", "token-2"])
def test_a_pods_token_gives_the_keys_of_its_agency(cloud: Cloud, token: str) -> None:
    """Each of its tokens is good, so that they can rotate; nothing is signed."""
    answer = cloud.call("POST", OIDC, showing(token))
    assert answer.status == 200
    assert cloud.images(key_of(answer), PAYMENTS).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (showing("token-3"), 401),
        (showing("token-1", agency_urn=urn("ims-share")), 401),
        (showing("token-1", provider_urn=f"iam::{domain_id('default')}:oidcProvider:other"), 403),
        (showing("token-1", provider_urn=None), 400),
        (showing(""), 400),
        (showing("token-1", duration_seconds=1), 400),
        (showing("token-1", agency_urn=urn("unheard-of")), 404),
    ],
)
def test_another_token_agency_or_provider_is_refused(cloud: Cloud, body: dict[str, Any], status: int) -> None:
    """A token that nobody knows, one of another agency, or a wrong provider gives nothing."""
    assert cloud.call("POST", OIDC, body).status == status


def test_a_jwt_ends_when_it_says() -> None:
    """A token that reads as a JWT is refused from its end on, whether the seed names it or takes any."""
    token, later = jwt(sub="system:serviceaccount:ims:worker", exp=START + 60), jwt(exp=START + 600)
    for tokens in ("", f"tokens = {json.dumps([token, later])}"):
        cloud = Cloud(f'[projects.payments]\n[[agency]]\nname = "pods"\n[[workload]]\nagency = "pods"\n{tokens}')
        body = showing(token)
        assert cloud.call("POST", OIDC, body).status == 200
        cloud.at += 60.0
        refused = cloud.call("POST", OIDC, body)
        assert (refused.status, "expired" in refused.json["error_msg"]) == (401, True)
        assert cloud.call("POST", OIDC, showing(later)).status == 200


@pytest.mark.parametrize("token", ["plain", "a.b", "a.!.c", "a..c", f"a.{base64.urlsafe_b64encode(b'[]').decode()}.c"])
def test_where_any_jwt_is_good_others_are_not(token: str) -> None:
    """A workload without tokens takes only what is well-formed."""
    cloud = Cloud('[projects.payments]\n[[agency]]\nname = "pods"\n[[workload]]\nagency = "pods"')
    assert cloud.call("POST", OIDC, showing(token)).status == 401


def test_the_sts_tells_who_calls(cloud: Cloud) -> None:
    """The caller's account and name."""
    told = cloud.call("GET", "/v5/caller-identity", by=GOOD).json
    assert (told["account_id"], told["principal_urn"]) == (
        domain_id("default"),
        f"iam::{domain_id('default')}:user:robot",
    )


def test_without_anybody_in_the_seed_every_agency_is_assumed() -> None:
    """Any key and any pod's token give keys that act in every project."""
    cloud = Cloud("[projects.payments]")
    for answer in (
        cloud.call("POST", ASSUME, asking(agency_urn="iam::some-id:agency:any"), by=GOOD),
        cloud.call("POST", OIDC, showing("x")),
    ):
        assert cloud.images(key_of(answer), PAYMENTS).status == 200
