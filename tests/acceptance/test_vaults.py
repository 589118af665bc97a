"""Vaults, as people see them: what cannot be used is blocked with its reason, what cannot be read is a note."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from commands import fleet, manifest, share, stage

from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.model import Vault
from worker.simulator.naming import image_id, project_id, vault_id
from worker.simulator.options import Group
from worker.simulator.world import World

VAULT = vault_id("nightly")


def world_with(vault: Vault) -> World:
    """Return a world whose two projects are offered two images, the first of them a full-ECS one; one has the vault."""
    world = fleet(2)
    world.add(replace(world.images[image_id("golden-001")], full_ecs=True), vault)
    world.add(Vault(VAULT, project_id("ledger")))
    return world


def accept_all(world: World) -> str:
    """Return the manifest that accepts everything, in vaults of the same id."""
    return f'{manifest(world, share(world, "accepted"))}vault = "{VAULT}"\n'


@pytest.mark.parametrize("verb", ["plan", "run"])
async def test_a_vault_that_is_locked_blocks_its_shares_in_one_project(tmp_path: Path, verb: str) -> None:
    """The others go; the reason stands in the JSON, and the exit is that of something left to do."""
    world = world_with(Vault(VAULT, project_id("payments"), status="lock"))
    async with stage(tmp_path, world, text=accept_all(world)) as here:
        done = await here.run(verb, "--json")
        document = done.document
        blocked = (
            document["blocked"] if verb == "plan" else [s for s in document["shares"] if s["outcome"] == "blocked"]
        )
        assert [(each["project_id"], each["image_id"], each["reason"]) for each in blocked] == [
            (project_id("payments"), image_id("golden-001"), f"the vault {VAULT} cannot be used: it is locked")
        ]
        assert all(note.startswith("there is no journal") for note in document["notes"])
        assert done.status == 1
        if verb == "run":
            assert (document["result"], document["changed"], document["blocked"]) == ("incomplete", 3, 1)
            assert set(document["calls"]) == {
                *("members_put", "job_get", "job_progress", "images_list", "token", "throttled", "retried")
            }
        assert here.cloud.ledger.count(Group.VAULTS) == 2


@pytest.mark.parametrize("verb", ["plan", "run"])
async def test_vaults_that_may_not_be_read_are_a_note(tmp_path: Path, verb: str) -> None:
    """On standard error and in the JSON, once, with the permission and the projects; the pass goes on."""
    world = world_with(Vault(VAULT, project_id("payments")))
    denied = Fault(effects.Refuse(403, "gateway", "CBR.0403"), (Group.VAULTS,))
    async with stage(tmp_path, world, [denied], accept_all(world)) as here:
        done = await here.run(verb, "--json")
        (note,) = (note for note in done.document["notes"] if not note.startswith("there is no journal"))
        assert "vaults could not be read in 2 projects (ledger, payments)" in note
        assert "cbr:vaults:list" in note
        assert f"note: {note}" in done.err
        assert done.status == 0
        if verb == "run":
            assert done.document["result"] == "converged"


async def test_a_403_is_a_note_with_what_to_check(tmp_path: Path) -> None:
    """One for all projects, in the reason of each share too."""
    denied = Fault(effects.Refuse(403, "ims", "IMG.0026"), (Group.MEMBERS_PUT,))
    async with stage(tmp_path, fleet(2), [denied]) as here:
        done = await here.run("run", "--json")
        (note,) = done.document["notes"]
        assert "refused with a 403 in 2 projects (ledger, payments)" in note
        assert "ims:images:share" in note
        assert f"note: {note}" in done.err
        assert {each["outcome"] for each in done.document["shares"]} == {"failed"}
        assert all("ims:images:share" in each["reason"] for each in done.document["shares"])
        assert done.status == 1
