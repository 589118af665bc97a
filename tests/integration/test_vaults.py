"""Vaults over real calls: a vault that cannot be used blocks its shares, and a backup service in trouble nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rehearse import KEYS, VAULT, accepted, arrivals, fleet, kinds, rehearsal

from worker.core.calls import CallGroup
from worker.core.status import Status
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.identity.model import Rights, User
from worker.simulator.model import Vault
from worker.simulator.naming import project_id
from worker.simulator.options import Group, Options
from worker.simulator.world import World

pytestmark = pytest.mark.usefixtures("virtual_time")
VAULTS = (Group.VAULTS,)
SECRET = KEYS["secret_key"]


def with_vault(**changes: object) -> World:
    """Return a world whose project p is offered six images, two of them full-ECS, with such a vault."""
    world = fleet({"p": 6}, whole=2)
    world.add(replace(Vault(VAULT, project_id("p")), **changes))  # type: ignore[arg-type]
    return world


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": "lock"}, "it is locked"),
        ({"status": "frozen"}, "it is frozen, as it is when the account is in arrears"),
        ({"object_type": "disk"}, "it is for objects of the type disk, not for servers"),
        ({"protect_type": "replication"}, "it is for replication, not for backups"),
        ({"full": True}, "it is full: 100 GB of 100 GB are used"),
    ],
)
async def test_a_vault_that_cannot_be_used_blocks_what_needs_it(changes: dict[str, object], why: str) -> None:
    """No PUT names it, the plain images go, and the reason is told."""
    async with rehearsal(with_vault(**changes)) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.BLOCKED: 2, Status.CHANGED: 4}
        (reason,) = {each.reason for each in report.outcomes if each.status is Status.BLOCKED}
        assert reason == f"the vault {VAULT} cannot be used: {why}"
        assert [len(put.images) for put in arrivals(worker.cloud, Group.MEMBERS_PUT)] == [4]
        assert len(arrivals(worker.cloud, Group.VAULTS)) == 1


@pytest.mark.parametrize("missing", ["404", "400"])
async def test_a_vault_that_is_missing_blocks_what_needs_it(missing: str) -> None:
    """It is in no list, and nobody knows its id; the next pass, when it is there, accepts."""
    world = fleet({"p": 6}, whole=2)
    del world.vaults[project_id("p"), VAULT]
    async with rehearsal(world, options=Options(vault_missing=missing)) as worker:  # type: ignore[arg-type]
        report = await worker.run()
        assert kinds(report) == {Status.BLOCKED: 2, Status.CHANGED: 4}
        assert {each.reason.rpartition(": ")[2] for each in report.outcomes if each.status is Status.BLOCKED} == {
            "there is no such vault in this project"
        }
        world.add(Vault(VAULT, project_id("p")))
        assert kinds(await worker.run()) == {Status.CHANGED: 2}
        assert accepted(worker.cloud, "p") == 6


async def test_a_vault_that_can_be_used_costs_a_call_while_it_is_needed() -> None:
    """One for each project, none when all is accepted, and none where nothing needs a vault."""
    async with rehearsal(fleet({"p": 6, "q": 6}, whole=2)) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: 12}
        assert report.calls.made[CallGroup.VAULTS_LIST] == 2
        assert (await worker.run()).calls.made[CallGroup.VAULTS_LIST] == 0
    async with rehearsal(fleet({"p": 6})) as worker:
        assert kinds(await worker.run()) == {Status.CHANGED: 6}
        assert arrivals(worker.cloud, Group.VAULTS) == []


@pytest.mark.parametrize("deny", ["cbr:vaults:*", "cbr:vaults:list"])
async def test_without_the_right_to_read_vaults_the_pass_goes_on_and_says_so(deny: str) -> None:
    """The note names the permission and the project; what the vault then cannot take fails as before."""
    world = fleet({"p": 6}, whole=2)
    world.accounts.clear()
    world.add(User(name="reader", access_key=KEYS["access_key"], secret_key=SECRET, rights=Rights(deny=(deny,))))
    async with rehearsal(world) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: 6}
        (note,) = report.notes
        assert "vaults could not be read in 1 project (p)" in note
        assert "cbr:vaults:list" in note
        assert "HTTP 403" in note


@pytest.mark.parametrize(
    ("effect", "says"),
    [
        (effects.Refuse(401, "gateway", "APIGW.0301"), "HTTP 401"),
        (effects.Expired(), "HTTP 401"),
        (effects.Refuse(503, "html"), "HTTP 503"),
        (effects.Refuse(404, "gateway", "APIGW.0101"), "no such path"),
        (effects.Refuse(500, "gateway"), "HTTP 500"),
        (effects.Reset(), "broke"),
        (effects.Hang(), "no answer in time"),
        (effects.Drip(0.1), "no answer in time"),
        (effects.Gigantic(17), "larger than 16 MB"),
        (effects.Page(), "is not JSON"),
        (effects.Truncated(), "not JSON"),
        (effects.Redirect("https://evil.example/steal"), "redirects to evil.example"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, effects.effect.Effect) else "",
)
async def test_a_backup_service_in_trouble_blocks_nobody(
    effects_world: World, effect: effects.Effect, says: str
) -> None:
    """Whatever it answers, or does not, all is accepted and the note says why the vaults were not looked at."""
    async with rehearsal(effects_world, faults=[Fault(effect, VAULTS)]) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: 6}
        (note,) = report.notes
        assert says in note
        assert SECRET not in note
        assert KEYS["access_key"] not in note
        assert not any(worker.ims.clients.refused().values())


async def test_a_401_of_the_backup_service_is_one_for_all_projects() -> None:
    """The key that the image service takes is not tried there again and again, lest it is blocked."""
    world = fleet(dict.fromkeys(map("p{}".format, range(12)), 6), whole=2)
    async with rehearsal(world, faults=[Fault(effects.Refuse(401, "gateway", "APIGW.0301"), VAULTS)]) as worker:
        assert kinds(await worker.run()) == {Status.CHANGED: 72}
        assert len(arrivals(worker.cloud, Group.VAULTS)) == 1


@pytest.fixture
def effects_world() -> World:
    """Return a world with one project, whose first two images need its vault."""
    return fleet({"p": 6}, whole=2)
