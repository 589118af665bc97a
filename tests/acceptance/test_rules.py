"""Rules, as people run them: what an image factory shares under a name, in all projects, and nothing from strangers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import Stage, fleet, stage

from worker.simulator.effects.calls import Refuse
from worker.simulator.faults import Fault
from worker.simulator.model import Answer, Image
from worker.simulator.naming import OWNER, image_id
from worker.simulator.options import Group
from worker.simulator.world import World

STRANGER = "5" * 32
TWENTY = tuple(f"team-{number:02}" for number in range(20))
WEEK = 7 * 86400.0
RULES = f"""
[owners]
factory = "{OWNER}"

[[rule]]
name = "golden images"
projects = ["*"]
owner = "factory"
image = "golden-*"
newest = 2
status = "accepted"

[[rule]]
name = "old golden images"
projects = ["*"]
owner = "factory"
image = "golden-*"
status = "rejected"
"""


def built(world: World, week: int) -> Image:
    """Return what the factory has built in a week, which begins with 1."""
    name = f"golden-ubuntu-{week:03}"
    return Image(image_id(name), name, OWNER, created_at=world.now() - WEEK * (9 - week))


def share_with_all(world: World, image: Image, status: Answer = Answer.PENDING) -> None:
    """Share an image with every project."""
    if image.id not in world.images:
        world.add(image)
    for project in world.projects:
        world.share(image.id, project, status)


def manifest(world: World, rules: str = RULES) -> str:
    """Return a manifest with every project of the world, and rules."""
    projects = "".join(f'[projects.{name}]\nid = "{key}"\n' for key, name in world.projects.items())
    return f"version = 1\n{projects}{rules}"


def states(on: Stage, image: str) -> dict[str, str]:
    """Return by project what it says to an image, by name."""
    return {project: of_project[image] for project, of_project in on.read().items() if image in of_project}


def moves(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the images that a plan changes, by name, and what becomes of each."""
    return {(change["image"], change["to"]) for change in document["changes"]}


@pytest.mark.waits
async def test_a_week_in_the_life(tmp_path: Path) -> None:
    """Build 3 comes to 20 projects: it is accepted everywhere, and one pass later build 1 is rejected, but not before.

    In the project where the accept of build 3 fails, build 1 stays until it has been accepted.
    """
    world = fleet(0, TWENTY)
    for week in (1, 2):
        share_with_all(world, built(world, week), Answer.ACCEPTED)
    share_with_all(world, built(world, 3))
    failing = Fault(Refuse(403, code="IMG.0026"), on=(Group.MEMBERS_PUT,), project=("team-07",))
    async with stage(tmp_path, world, text=manifest(world)) as on:
        on.cloud.set_faults((failing,))
        plan = await on.run("plan", "--json")
        assert moves(plan.document) == {("golden-ubuntu-003", "accepted")}
        assert (await on.run("run")).status == 1
        assert states(on, "golden-ubuntu-001") == dict.fromkeys(TWENTY, "accepted")
        second = await on.run("run", "--json")
        assert second.status == 1
        assert states(on, "golden-ubuntu-001") == dict.fromkeys(TWENTY, "rejected") | {"team-07": "accepted"}
        assert states(on, "golden-ubuntu-002") == dict.fromkeys(TWENTY, "accepted")
        on.cloud.set_faults(())
        assert (await on.run("run")).status == 0
        assert states(on, "golden-ubuntu-001")["team-07"] == "accepted"
        assert (await on.run("run")).status == 0
        assert states(on, "golden-ubuntu-001") == dict.fromkeys(TWENTY, "rejected")
        last = await on.run("run", "--json")
        assert (last.status, last.document["result"], last.document["desired"]) == (0, "converged", 60)
