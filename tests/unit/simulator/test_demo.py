"""The fleet of the demo and its manifest belong together."""

from __future__ import annotations

import tomllib

from worker.simulator.demo import demo
from worker.simulator.model import Answer
from worker.simulator.naming import project_id
from worker.simulator.seed import parse_seed


def test_the_demo_has_one_of_each_thing() -> None:
    """Three projects, sixty images and more, full-ECS ones with a vault, accepted, unmanaged, and one to reject."""
    found = demo(lambda: 0.0)
    world = found.world
    manifest = tomllib.loads(found.manifest)
    wanted = {
        (project, manifest["images"][image]): share["status"]
        for share in manifest["share"]
        for name in (manifest["projects"] if share["projects"] == ["*"] else share["projects"])
        for project in [manifest["projects"][name]["id"]]
        for image in share["images"]
    }
    held = {(project, image): status for project in world.projects for image, status in world.shares(project).items()}
    assert sorted(world.projects.values()) == ["analytics", "edge", "payments-prod"]
    assert len(world.images) >= 60
    assert {share for share in wanted if share not in held} == {(project_id("analytics"), found.absent)}
    assert [share for share, status in wanted.items() if status == "rejected"] == [
        share for share, status in held.items() if status is Answer.ACCEPTED and wanted.get(share) == "rejected"
    ]
    assert sum(held.get(share) == status for share, status in wanted.items()) > 0
    assert len(held.keys() - wanted.keys()) > 0
    assert [image for project, image in wanted if image == found.poisoned] == [found.poisoned]
    assert found.faults[0].image == (found.poisoned,)


def test_the_demo_has_two_accounts() -> None:
    """One project is of another, by a credential of its own."""
    found = demo(lambda: 0.0)
    projects = tomllib.loads(found.manifest)["projects"]
    assert {name: each.get("credential") for name, each in projects.items()} == {
        "analytics": None,
        "edge": found.credential,
        "payments-prod": None,
    }


def test_the_demo_is_the_same_each_time() -> None:
    """Two demos have the same manifest and the same shares."""
    first, second = demo(lambda: 0.0), demo(lambda: 0.0)
    assert first.manifest == second.manifest
    assert [dict(first.world.shares(project)) for project in first.world.projects] == [
        dict(second.world.shares(project)) for project in second.world.projects
    ]


def test_the_demos_vault_takes_its_full_server_images() -> None:
    """Each full-ECS image is accepted in a project whose manifest entry names a vault that is there."""
    found = demo(lambda: 0.0)
    manifest = tomllib.loads(found.manifest)
    for project in found.world.projects:
        whole = [image for image in found.world.shares(project) if found.world.images[image].full_ecs]
        vault = manifest["projects"][found.world.projects[project]].get("vault")
        assert not whole or (project, manifest["vaults"][vault]) in found.world.vaults
    assert any(image.full_ecs for image in found.world.images.values())


def test_the_demos_manifest_can_be_rehearsed() -> None:
    """The manifest of the demo is itself a good seed."""
    assert len(parse_seed({"manifest.toml": demo(lambda: 0.0).manifest}).world.projects) == 3
