"""Projects found: one's own and an account's, by key and by token."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from identity_client import NOTHING, Cloud, Key

from worker.simulator.model import Account
from worker.simulator.naming import domain_id, project_id

OWN, ALL = "/v3/auth/projects", "/v3/projects"
SEED = """
[projects.eu-west-101]
[projects.eu-west-101_payments]
[projects.eu-west-101_edge]
enabled = false
[projects.of-acme]
name = "eu-west-101"
domain = "acme"
[[user]]
name = "robot"
password = "right"
access_key = "AK"
secret_key = "SK"
[[user]]
name = "narrow"
access_key = "AK2"
secret_key = "SK2"
projects = "*_payments"
deny = "iam:projects:*"
[[user]]
name = "robot"
domain = "acme"
access_key = "AK3"
secret_key = "SK3"
"""
GOOD, NARROW, ACME = Key("AK", "SK"), Key("AK2", "SK2"), Key("AK3", "SK3")


def names(cloud: Cloud, target: str, by: Key | str = GOOD, headers: Mapping[str, str] = NOTHING) -> list[str]:
    """Return the names of the projects that are listed."""
    answer = cloud.call("GET", target, by=by, headers=headers)
    assert answer.status == 200, answer.body
    return [project["name"] for project in answer.json["projects"]]


@pytest.fixture
def cloud() -> Cloud:
    """Return a cloud of two accounts, one of which has a project that is disabled."""
    return Cloud(SEED)


def test_a_user_finds_the_projects_it_may_act_in(cloud: Cloud) -> None:
    """That needs no right; the object storage's own project is among them, and nothing of another account."""
    assert names(cloud, OWN) == ["eu-west-101", "eu-west-101_payments", "eu-west-101_edge", "MOS"]
    assert names(cloud, OWN, NARROW) == ["eu-west-101_payments", "MOS"]
    assert names(cloud, OWN, ACME) == ["eu-west-101", "MOS"]
    assert names(cloud, OWN, cloud.token().headers["X-Subject-Token"]) == names(cloud, OWN)


def test_a_project_has_all_that_is_documented(cloud: Cloud) -> None:
    """A sub-project is below its region's own, that below the account; each says whether it is enabled."""
    found = {each["name"]: each for each in cloud.call("GET", ALL, by=GOOD).json["projects"]}
    region, edge = found["eu-west-101"], found["eu-west-101_edge"]
    assert (region["parent_id"], edge["parent_id"]) == (domain_id("default"), project_id("eu-west-101"))
    assert (region["enabled"], edge["enabled"], edge["is_domain"]) == (True, False, False)
    assert edge["id"] == project_id("eu-west-101_edge")
    assert set(edge) == {"id", "name", "domain_id", "parent_id", "enabled", "is_domain", "description", "links"}
    orphan = Cloud("[projects.eu-west-101_x]").call("GET", ALL, by=GOOD).json["projects"][0]
    assert orphan["parent_id"] not in {"", domain_id("default")}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name=eu-west-101", ["eu-west-101"]),
        ("name=none", []),
        ("enabled=false", ["eu-west-101_edge"]),
        ("enabled=true", ["eu-west-101", "eu-west-101_payments", "MOS"]),
        (f"domain_id={domain_id('default')}&name=MOS", ["MOS"]),
        (f"parent_id={project_id('eu-west-101')}", ["eu-west-101_payments", "eu-west-101_edge"]),
        ("page=1&per_page=3", ["eu-west-101", "eu-west-101_payments", "eu-west-101_edge"]),
        ("page=2&per_page=3", ["MOS"]),
        ("page=3&per_page=3", []),
        ("page=1&per_page=5000", ["eu-west-101", "eu-west-101_payments", "eu-west-101_edge", "MOS"]),
    ],
)
def test_the_accounts_list_obeys_its_query(cloud: Cloud, query: str, expected: list[str]) -> None:
    """Name, parent, account, whether enabled, and which page of which size."""
    assert names(cloud, f"{ALL}?{query}") == expected


@pytest.mark.parametrize("query", ["page=1", "per_page=3", "page=0&per_page=3", "page=1&per_page=5001", "enabled=yes"])
def test_a_wrong_query_is_a_400(cloud: Cloud, query: str) -> None:
    """A page without its size, out of its bounds, or a word that is none, is refused in IAM's shape."""
    refused = cloud.call("GET", f"{ALL}?{query}", by=GOOD)
    assert (refused.status, refused.json["error"]["code"]) == (400, 400)


def test_the_accounts_list_needs_a_right(cloud: Cloud) -> None:
    """Without it, and for another account, it is a 403 that names the right."""
    refused = cloud.call("GET", ALL, by=NARROW)
    assert (refused.status, "iam:projects:listProjects" in refused.json["error"]["message"]) == (403, True)
    assert cloud.call("GET", f"{ALL}?domain_id={domain_id('acme')}", by=GOOD).status == 403


def test_the_header_names_the_account_or_a_project(cloud: Cloud) -> None:
    """The caller's own account or a project of it is good, another's is a 403."""
    for headers, status in (
        ({"X-Domain-Id": domain_id("default")}, 200),
        ({"X-Domain-Id": domain_id("acme")}, 403),
        ({"X-Project-Id": project_id("eu-west-101")}, 200),
        ({"X-Project-Id": project_id("of-acme")}, 403),
    ):
        assert [cloud.call("GET", path, by=GOOD, headers=headers).status for path in (OWN, ALL)] == [status] * 2


def test_a_cloud_may_ask_for_the_header() -> None:
    """By the rules a signed call without any header for its account is a 401; a token needs none."""
    cloud = Cloud(f'{SEED}[identity]\ndomain_header = "required"')
    assert [cloud.call("GET", path, by=GOOD).status for path in (OWN, ALL)] == [401, 401]
    assert names(cloud, OWN, headers={"X-Domain-Id": domain_id("default")})
    assert names(cloud, OWN, cloud.token().headers["X-Subject-Token"])


@pytest.mark.parametrize(("presence", "status"), [("forbidden", 403), ("absent", 404)])
def test_ones_own_list_may_be_refused(presence: str, status: int) -> None:
    """By the rules the list that needs no right is refused, while the account's goes on."""
    cloud = Cloud(f'{SEED}[identity]\nauth_projects = "{presence}"')
    assert cloud.call("GET", OWN, by=GOOD).status == status
    assert "eu-west-101" in names(cloud, ALL)


def test_nobody_is_told_nothing(cloud: Cloud) -> None:
    """Without a signature or a token, and with a wrong secret, both lists are a 401."""
    for path in (OWN, ALL):
        assert [cloud.call("GET", path, by=by).status for by in (None, Key("AK", "WRONG"))] == [401, 401]


def test_the_account_of_a_caller_is_told(cloud: Cloud) -> None:
    """The list of accounts has the caller's own."""
    (domain,) = cloud.call("GET", "/v3/auth/domains", by=ACME).json["domains"]
    assert (domain["id"], domain["name"]) == (domain_id("acme"), "acme")


def test_a_key_without_a_user_finds_its_projects() -> None:
    """The key of an account finds all there are, or those that it is for."""
    cloud = Cloud("[projects.payments]\n[projects.edge]")
    assert names(cloud, OWN) == ["payments", "edge", "MOS"]
    cloud.world.add(Account("AK", "SK", projects=(project_id("edge"),)))
    assert names(cloud, OWN) == ["edge", "MOS"]
