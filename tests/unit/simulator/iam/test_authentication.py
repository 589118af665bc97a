"""Who is believed at IMS: keys with and without an end, lockouts, clocks, and what each may do in which project."""

from __future__ import annotations

import pytest
from identity_client import Cloud, Key

from worker.simulator.model import Account
from worker.simulator.naming import image_id, project_id

PAYMENTS, EDGE, CLOSED, OTHERS, FAR = (
    project_id(name) for name in ("eu-west-101_payments", "eu-west-101_edge", "closed", "others", "cn-north-4_far")
)
SEED = """
[projects.eu-west-101_payments]
[projects.eu-west-101_edge]
[projects.cn-north-4_far]
[projects.closed]
enabled = false
[projects.others]
domain = "acme"
[[image]]
name = "golden"
count = 3
[[share]]
projects = "eu-west-101_payments"
images = "golden-001"
[[share]]
projects = "eu-west-101_payments"
images = "golden-002"
status = "accepted"
[[user]]
name = "robot"
access_key = "AK"
secret_key = "SK"
"""
GOOD = Key("AK", "SK")
PUT = {"images": [image_id("golden-001")], "project_id": PAYMENTS, "status": "accepted"}


def cloud_with(keys: str, more: str = "") -> Cloud:
    """Return a cloud whose user has these keys too."""
    return Cloud(f"{SEED}{keys}\n{more}")


def test_one_key_acts_in_each_project_of_its_account_that_it_names() -> None:
    """A user's key is good for every project of its account, for none of another's, and for none that is not there."""
    cloud = cloud_with("")
    assert [cloud.images(GOOD, project).status for project in (PAYMENTS, EDGE, FAR)] == [200, 200, 200]
    assert (cloud.images(GOOD, OTHERS).status, cloud.images(GOOD, OTHERS).code) == (403, "APIGW.0302")
    assert (cloud.images(GOOD, "f" * 32).status, cloud.images(GOOD, "f" * 32).code) == (403, "APIGW.0302")
    assert (cloud.images(GOOD, CLOSED).status, cloud.images(GOOD, CLOSED).code) == (403, "APIGW.0310")
    assert cloud.images(GOOD).code == "IMG.0104"


def test_rights_in_some_projects_are_rights_in_those() -> None:
    """A user with named projects is refused in the others of its account."""
    cloud = cloud_with('projects = "*_edge"')
    assert (cloud.images(GOOD, EDGE).status, cloud.images(GOOD, PAYMENTS).code) == (200, "APIGW.0302")


def test_another_region_knows_neither_tenant_nor_vaults() -> None:
    """A project of another region is IMS's own refusal, and the gateway's for the backup service."""
    cloud = cloud_with("", '[identity]\nregion = "eu-west-101"')
    assert (cloud.images(GOOD, PAYMENTS).status, cloud.images(GOOD, FAR).code) == (200, "IMG.0108")
    assert cloud.call("GET", f"/v3/{FAR}/vaults", by=GOOD).code == "APIGW.0302"


def test_five_failures_in_a_row_block_the_key_for_a_while() -> None:
    """After the fifth even the right secret is refused, for five minutes, and says so; other keys go on."""
    cloud = cloud_with("", '[[user]]\nname = "second"\naccess_key = "AK2"\nsecret_key = "SK2"')
    for _ in range(2):
        wrong = [cloud.images(Key("AK", "WRONG"), PAYMENTS) for _ in range(4)]
        assert {(answer.status, answer.code) for answer in wrong} == {(401, "APIGW.0301")}
        assert cloud.images(GOOD, PAYMENTS).status == 200
    for _ in range(5):
        assert "verify aksk signature fail" in cloud.images(Key("AK", "WRONG"), PAYMENTS).json["error_msg"]
    refused = cloud.images(GOOD, PAYMENTS)
    assert (refused.status, refused.code, "reach the limit" in refused.json["error_msg"]) == (401, "APIGW.0301", True)
    assert cloud.images(Key("AK2", "SK2"), PAYMENTS).status == 200
    cloud.at += 300.0
    assert cloud.images(GOOD, PAYMENTS).status == 200


def test_a_wrong_clock_blocks_the_key_too() -> None:
    """A date that is off is refused as such, and counts as a failure like any other."""
    cloud = cloud_with("")
    cloud.skew = 1200.0
    for _ in range(5):
        assert "more than 15 minutes off" in cloud.images(GOOD, PAYMENTS).json["error_msg"]
    cloud.skew = 0.0
    assert "reach the limit" in cloud.images(GOOD, PAYMENTS).json["error_msg"]


def test_lockouts_may_be_off() -> None:
    """With 0 no number of failures blocks anybody."""
    cloud = cloud_with("", "[identity]\nblock_after = 0")
    for _ in range(20):
        cloud.images(Key("AK", "WRONG"), PAYMENTS)
    assert cloud.images(GOOD, PAYMENTS).status == 200


def test_a_key_may_be_blocked_from_the_start() -> None:
    """A user that is blocked is refused with the right secret."""
    assert "reach the limit" in cloud_with("blocked = true").images(GOOD, PAYMENTS).json["error_msg"]


def test_the_keys_of_an_account_are_never_blocked() -> None:
    """A key without a user fails as often as it likes, as it always did."""
    cloud = Cloud("[projects.eu-west-101_payments]")
    cloud.world.add(Account("AK", "SK"))
    for _ in range(10):
        assert "verify aksk" in cloud.images(Key("AK", "WRONG"), PAYMENTS).json["error_msg"]
    assert cloud.images(GOOD, PAYMENTS).status == 200


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (Key("AK", "SK"), "security token missing or wrong"),
        (Key("AK", "SK", "OTHER"), "security token missing or wrong"),
        (Key("AK", "WRONG", "ST"), "verify aksk signature fail"),
        (Key("NONE", "SK", "ST"), "the AK NONE does not exist"),
    ],
)
def test_a_temporary_key_needs_its_security_token(key: Key, reason: str) -> None:
    """Without it, with another's, or with a wrong secret beside it, the key is refused; with it it is good."""
    cloud = cloud_with('security_token = "ST"')
    refused = cloud.images(key, PAYMENTS)
    assert (refused.status, refused.code, reason in refused.json["error_msg"]) == (401, "APIGW.0301", True)
    assert cloud.images(Key("AK", "SK", "ST"), PAYMENTS).status == 200


def test_a_key_ends() -> None:
    """At the end of its life a key is refused as expired, and one without any life is so from the start."""
    cloud = cloud_with('security_token = "ST"\nlife = 60')
    key = Key("AK", "SK", "ST")
    cloud.at += 59.0
    assert cloud.images(key, PAYMENTS).status == 200
    cloud.at += 1.0
    refused = cloud.images(key, PAYMENTS)
    assert (refused.status, refused.code, "expired" in refused.json["error_msg"]) == (401, "APIGW.0301", True)
    assert "expired" in cloud_with('security_token = "ST"\nlife = 0').images(key, PAYMENTS).json["error_msg"]


@pytest.mark.parametrize(
    ("action", "call"),
    [
        ("ims:images:list", ("GET", "/v2/cloudimages", None)),
        ("ims:images:share", ("PUT", "/v1/cloudimages/members", PUT)),
        ("ims:imageJobs:getPercentage", ("GET", "/v1/cloudimages/job/any", None)),
    ],
)
def test_a_right_that_is_denied_is_ims_own_403(action: str, call: tuple[str, str, object]) -> None:
    """Without the right to a call it is refused with the code for a role, and the other calls go on."""
    method, target, body = call
    cloud = cloud_with(f'deny = "{action}"')
    refused = cloud.call(method, target, body, by=GOOD, headers={"X-Project-Id": PAYMENTS})
    assert (refused.status, refused.code, action in refused.json["error"]["message"]) == (403, "IMG.0026", True)
    assert cloud.world.jobs == {}
    allowed = cloud_with('deny = "cbr:*"').call(method, target, body, by=GOOD, headers={"X-Project-Id": PAYMENTS})
    assert allowed.status != 403


@pytest.mark.parametrize(
    ("query", "status"),
    [({}, 403), ({"0": ""}, 403), ({"eps": "all_granted_eps"}, 200), ({"eps": "mine"}, 200), ({"eps": "0"}, 403)],
)
def test_rights_by_enterprise_project_need_one_to_be_named(query: dict[str, str], status: int) -> None:
    """A list must name an enterprise project that was granted, or all that were; a PUT need not."""
    named = {"enterprise_project_id": query["eps"]} if "eps" in query else {}
    cloud = cloud_with('enterprise_projects = ["mine"]')
    answer = cloud.images(GOOD, PAYMENTS, **named)
    assert answer.status == status
    assert status == 200 or answer.code == "IMG.0026"
    put = cloud.call("PUT", "/v1/cloudimages/members", PUT, by=GOOD, headers={"X-Project-Id": PAYMENTS})
    assert put.status == 200


def test_an_administrator_sees_every_image_in_every_list() -> None:
    """Whatever the member status asked for, an administrator's list has all images there are, page by page."""
    cloud = cloud_with("administrator = true")
    everything = {image_id(f"golden-{number:03}") for number in range(1, 4)}
    for status in ("pending", "accepted", "rejected"):
        listed = cloud.images(GOOD, PAYMENTS, status).json["images"]
        assert {image["id"] for image in listed} == everything
        first = cloud.images(GOOD, PAYMENTS, status, limit="2").json["images"]
        rest = cloud.images(GOOD, PAYMENTS, status, limit="2", marker=first[-1]["id"]).json["images"]
        assert [image["id"] for image in first + rest] == [image["id"] for image in listed]
    plain = cloud_with("")
    assert [len(plain.images(GOOD, PAYMENTS, status).json["images"]) for status in ("pending", "accepted")] == [1, 1]


def test_the_account_of_a_call_is_its_users() -> None:
    """Limits count by the account of the user, of the key without one, or of the agency that was assumed."""
    cloud = cloud_with("")
    assert cloud.api.account(cloud.read("GET", "/v2/cloudimages", by=GOOD)) == "default"
    assert cloud.api.account(cloud.read("GET", "/v2/cloudimages", by=Key("OTHER", "SK"))) == "OTHER"
