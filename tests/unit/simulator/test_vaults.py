"""The backup service's view of vaults, and which vaults take an image."""

from __future__ import annotations

from typing import Any

import pytest
from identity_client import Cloud, Key

from worker.simulator.jobs import Order
from worker.simulator.model import Answer, Vault
from worker.simulator.naming import image_id, project_id
from worker.simulator.options import Options
from worker.simulator.world import vault_trouble

PAYMENTS, EDGE = project_id("payments"), project_id("edge")
SEED = """
[projects.payments]
[projects.edge]
[[image]]
name = "backup"
whole = true
[[vault]]
id = "nightly"
project = "*"
name = "Nightly"
used = 2048
[[vault]]
id = "full"
project = "payments"
full = true
size = 10
[[vault]]
id = "disks"
project = "payments"
object_type = "disk"
[[vault]]
id = "copies"
project = "payments"
protect_type = "replication"
[[vault]]
id = "frozen"
project = "payments"
status = "frozen"
[[vault]]
id = "worm"
project = "payments"
locked = true
"""
GOOD = Key("AK", "SK")
ROBOT = '[[user]]\nname = "robot"\naccess_key = "AK"\nsecret_key = "SK"\n'


def ids(cloud: Cloud, query: str = "", project: str = PAYMENTS) -> list[str]:
    """Return the ids of the vaults that are listed."""
    answer = cloud.call("GET", f"/v3/{project}/vaults{query}", by=GOOD)
    assert answer.status == 200, answer.body
    return [vault["id"] for vault in answer.json["vaults"]]


def test_a_project_has_its_own_vaults() -> None:
    """The list has the project's vaults and no other's, with counts, and without any header for the project."""
    cloud = Cloud(SEED)
    assert ids(cloud, project=EDGE) == ["nightly"]
    assert ids(cloud) == ["copies", "disks", "frozen", "full", "nightly", "worm"]
    body = cloud.call("GET", f"/v3/{PAYMENTS}/vaults?limit=2&offset=1", by=GOOD).json
    assert ([vault["id"] for vault in body["vaults"]], body["count"]) == (["disks", "frozen"], 6)
    assert (body["limit"], body["offset"]) == (2, 1)


def test_a_vault_is_told_in_the_services_units() -> None:
    """Sizes are in GB, what is used in MB, the date has no zone; a full one is used up."""
    cloud = Cloud(SEED)
    vault = cloud.call("GET", f"/v3/{PAYMENTS}/vaults/nightly", by=GOOD).json["vault"]
    assert (vault["name"], vault["project_id"], vault["locked"]) == ("Nightly", PAYMENTS, False)
    assert vault["created_at"] == "2025-01-01T00:00:00.000000"
    shown = {
        key: vault["billing"][key] for key in ("object_type", "protect_type", "status", "size", "allocated", "used")
    }
    assert list(shown.values()) == ["server", "backup", "available", 100, 2, 2048]
    full = cloud.call("GET", f"/v3/{PAYMENTS}/vaults/full", by=GOOD).json["vault"]["billing"]
    assert (full["size"], full["used"]) == (10, 10_240)
    assert cloud.call("GET", f"/v3/{PAYMENTS}/vaults/worm", by=GOOD).json["vault"]["locked"] is True


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?id=full", ["full"]),
        ("?name=Nightly", ["nightly"]),
        ("?object_type=disk", ["disks"]),
        ("?protect_type=replication", ["copies"]),
        ("?status=frozen", ["frozen"]),
        ("?cloud_type=private", []),
        ("?object_type=server&protect_type=backup&status=available", ["full", "nightly", "worm"]),
        ("?enterprise_project_id=all_granted_eps&id=full", ["full"]),
    ],
)
def test_the_list_obeys_its_query(query: str, expected: list[str]) -> None:
    """Each filter that is modelled narrows the list."""
    assert ids(Cloud(SEED), query) == expected


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=many", "offset=-1", "policy_id=x", "resource_ids=x"])
def test_a_wrong_query_is_a_400(query: str) -> None:
    """What is out of bounds or not modelled is refused rather than ignored."""
    assert Cloud(SEED).call("GET", f"/v3/{PAYMENTS}/vaults?{query}", by=GOOD).status == 400


@pytest.mark.parametrize("status", ["404", "400"])
def test_a_vault_that_is_not_there_has_its_code(status: Any) -> None:
    """Unknown, or another project's, it is a 404, or by option the 400 of the service's table of codes."""
    cloud = Cloud(SEED, Options(vault_missing=status))
    for project, vault in ((PAYMENTS, "none"), (EDGE, "full")):
        refused = cloud.call("GET", f"/v3/{project}/vaults/{vault}", by=GOOD)
        assert (str(refused.status), refused.code) == (status, "BackupService.6105")


def test_vaults_need_a_right() -> None:
    """Each of the two calls has its own, and is refused without it."""
    for deny, statuses in (("cbr:vaults:list", [403, 200]), ("cbr:vaults:get", [200, 403]), ("cbr:*", [403, 403])):
        cloud = Cloud(f'{SEED}{ROBOT}deny = "{deny}"')
        paths = (f"/v3/{PAYMENTS}/vaults", f"/v3/{PAYMENTS}/vaults/full")
        answers = [cloud.call("GET", path, by=GOOD) for path in paths]
        assert [answer.status for answer in answers] == statuses
        assert all("cbr:vaults" in answer.json["error_msg"] for answer in answers if answer.status == 403)


def test_rights_by_enterprise_project_need_one_to_be_named() -> None:
    """The list must name one, as that of images; a single vault need not."""
    cloud = Cloud(f'{SEED}{ROBOT}enterprise_projects = "mine"')
    assert cloud.call("GET", f"/v3/{PAYMENTS}/vaults", by=GOOD).status == 403
    assert "full" in ids(cloud, "?enterprise_project_id=mine")
    assert cloud.call("GET", f"/v3/{PAYMENTS}/vaults/full", by=GOOD).status == 200


def test_the_path_and_the_credential_must_be_of_one_project() -> None:
    """A header or a token for another project than the path's is refused, and so is nobody's call."""
    cloud = Cloud(f'{SEED}{ROBOT}password = "right"')
    headers = {"X-Project-Id": EDGE}
    assert cloud.call("GET", f"/v3/{PAYMENTS}/vaults", by=GOOD, headers=headers).code == "APIGW.0302"
    token = cloud.token(project={"id": EDGE}).headers["X-Subject-Token"]
    assert cloud.call("GET", f"/v3/{EDGE}/vaults", by=token).status == 200
    assert cloud.call("GET", f"/v3/{PAYMENTS}/vaults", by=token).code == "APIGW.0302"
    assert cloud.call("GET", f"/v3/{PAYMENTS}/vaults").code == "APIGW.0301"


@pytest.mark.parametrize(
    ("vault", "code"),
    [
        ("none", "IMG.0184"),
        ("full", "IMG.0182"),
        ("disks", "IMG.0193"),
        ("copies", "IMG.0193"),
        ("frozen", "IMG.0188"),
        ("worm", ""),
        ("nightly", ""),
    ],
)
def test_an_accept_says_what_is_wrong_with_its_vault(vault: str, code: str) -> None:
    """What the backup service shows as unfit is what IMS refuses, each with its code."""
    trouble = vault_trouble(Cloud(SEED).world, Order(PAYMENTS, (image_id("backup"),), Answer.ACCEPTED, vault))
    assert (trouble[0] if trouble else "") == code


@pytest.mark.parametrize("wrong", [{"size": 0}, {"used": -1}])
def test_a_vault_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    """A vault without a size, or with less than nothing in it, is a mistake."""
    with pytest.raises(ValueError, match="size is at least 1"):
        Vault("v", PAYMENTS, **wrong)  # type: ignore[arg-type]
