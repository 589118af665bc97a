"""Projects that are found, and not listed: `[[discover]]` as people use it, whatever the identity service answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import ACCESS_KEY, SECRET_KEY, Stage, fleet, stage
from served import OFTEN, serving

from worker.core.exit import Exit
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.identity.model import Project, Rights, User
from worker.simulator.identity.rules import IdentityRules
from worker.simulator.model import Answer
from worker.simulator.naming import project_id
from worker.simulator.options import Group
from worker.simulator.world import World

FOUND = ("eu-west-101", "eu-west-101_ledger", "eu-west-101_payments")
OTHERS = ("ap-southeast-1_branch", "eu-west-1010_lookalike")
REGION = '[cloud]\nregion = "eu-west-101"\n'
DISCOVER = '[[discover]]\nname = "*"\n'
AWAY = Fault(effects.Refuse(503), on=(Group.PROJECTS,))


def world(*projects: str, images: int = 2) -> World:
    """Return a world with these projects, or with some of two regions, all of them offered the images."""
    return fleet(images, projects or (*FOUND, *OTHERS))


def disable(held: World, name: str) -> None:
    """Have the cloud list a project that is disabled."""
    held.tenancies[project_id(name)] = replace(held.tenancies[project_id(name)], enabled=False)


def remove(held: World, name: str) -> None:
    """Have the cloud know a project no more."""
    del held.tenancies[project_id(name)], held.projects[project_id(name)]


def text(held: World, *blocks: str, projects: Iterable[str] = ("*",)) -> str:
    """Return a manifest that accepts all images in these projects, with these blocks besides; it declares none."""
    names = "".join(f'{image.name} = "{image.id}"\n' for image in held.images.values())
    images = json.dumps([image.name for image in held.images.values()])
    wish = f'[[share]]\nprojects = {json.dumps(list(projects))}\nimages = {images}\nstatus = "accepted"\n'
    return f"version = 1\n[images]\n{names}{''.join(blocks)}{wish}"


def in_region(here: Stage) -> None:
    """Say which region the config is about."""
    config = (here.path / "config.toml").read_text()
    here.write("config.toml", config.replace("[cloud]\n", REGION))


def accepted(here: Stage) -> set[str]:
    """Return the names of the projects that have accepted all there is."""
    return {name for name, shares in here.read().items() if set(shares.values()) == {"accepted"}}


async def test_two_lines_accept_everything_in_every_project_that_is_found(tmp_path: Path) -> None:
    """The region's own project and those below it, as if declared; other regions and what is disabled are not."""
    held = world()
    disable(held, "eu-west-101_ledger")
    async with stage(tmp_path, held, text=text(held, DISCOVER)) as here:
        in_region(here)
        planned = await here.run("plan", "--json")
        assert (planned.status, planned.document["desired"], here.puts()) == (Exit.CONVERGED, 4, 0), planned.err
        done = await here.run("run", "--json")
        assert (done.status, done.document["notes"]) == (Exit.CONVERGED, []), done.err
        assert accepted(here) == {"eu-west-101", "eu-west-101_payments"}
        assert done.document["digest"] == planned.document["digest"]
        assert {each["project_id"] for each in done.document["shares"]} == {project_id(each) for each in accepted(here)}
        again = await here.run("run", "--json", "--project", "eu-west-101_payments")
        assert (again.status, again.document["desired"], again.document["converged"]) == (Exit.CONVERGED, 2, 2)
        released = await here.run("release", "golden-001", "eu-west-101_payments", "--json")
        assert (released.status, released.document["freed_from"]) == (Exit.CONVERGED, []), released.err
        status = await here.run("status", "--json")
        assert {each["project"] for each in status.document["readings"]} == accepted(here)


async def test_where_no_region_is_named_the_name_says_it(tmp_path: Path) -> None:
    """What a name begins with is the region; without one anywhere, `check` says what to write."""
    held = world()
    async with stage(tmp_path, held, text=text(held, '[[discover]]\nname = "ap-southeast-1_*"\n')) as here:
        done = await here.run("run", "--json")
        assert (done.status, accepted(here)) == (Exit.CONVERGED, {"ap-southeast-1_branch"}), done.err
        here.write("manifest.toml", text(held, '[[discover]]\nname = "*_payments"\n'))
        checked = await here.run("check", "--json")
        assert checked.status is Exit.USAGE.value
        (problem,) = checked.document["problems"]
        assert (problem["line"], problem["path"]) == (6, "discover[0].name")
        assert "[cloud] region" in problem["hint"]


@pytest.mark.parametrize("presence", ["forbidden", "absent"])
async def test_a_list_that_is_refused_has_another_beside_it(presence: Any, tmp_path: Path) -> None:
    """That of the account, which takes a right."""
    held = world()
    held.identity = IdentityRules(auth_projects=presence)
    async with stage(tmp_path, held, text=text(held, DISCOVER)) as here:
        in_region(here)
        done = await here.run("run", "--json")
        assert (done.status, accepted(here)) == (Exit.CONVERGED, {*FOUND}), done.err


async def test_where_both_are_refused_and_none_is_known_the_declared_go_on(tmp_path: Path) -> None:
    """The report says which right is missing, and so does its exit status; with nothing declared it is 4."""
    held = world()
    held.identity = IdentityRules(auth_projects="forbidden")
    held.add(
        User(
            name="robot",
            access_key="AKROBOT",
            secret_key=SECRET_KEY,
            rights=Rights(deny=("iam:projects:listProjects",)),
        )
    )
    declared = f'[projects.mine]\nid = "{project_id("eu-west-101_ledger")}"\n'
    async with stage(tmp_path, held, text=text(held, declared, DISCOVER)) as here:
        config = (here.path / "config.toml").read_text().replace(ACCESS_KEY, "AKROBOT")
        here.write("config.toml", config.replace("[cloud]\n", REGION))
        done = await here.run("run", "--json")
        assert (done.status, done.document["result"]) == (Exit.INCOMPLETE, "partial"), done.err
        assert accepted(here) == {"eu-west-101_ledger"}
        (note,) = done.document["notes"]
        assert "iam:projects:listProjects" in note
        assert 'credential "default"' in note
        assert f"note: {note}" in done.err
        planned = await here.run("plan", "--json")
        assert planned.status is Exit.INCOMPLETE.value, planned.err
        assert "iam:projects:listProjects" in planned.document["notes"][0]
        only = await here.run("run", "--project", "mine")
        assert only.status is Exit.CONVERGED.value, only.err
        other = await here.run("run", "--project", "eu-west-101_payments")
        assert (other.status, "listProjects" in other.err) == (Exit.USAGE, True)
        here.write("manifest.toml", text(held, DISCOVER))
        nothing = await here.run("run", "--json")
        assert (nothing.status, nothing.document["result"]) == (Exit.CLOUD, "failed"), nothing.err
        assert (await here.run("plan")).status is Exit.CLOUD.value


async def test_the_last_good_list_stands_in_for_one_that_cannot_be_read(tmp_path: Path) -> None:
    """The pass says so; nothing is missed and nothing rejected, whatever the manifest wishes of the other projects."""
    held = world(*FOUND)
    away = replace(AWAY, skip=1)
    async with stage(tmp_path, held, (away,), text=text(held, DISCOVER)) as here:
        in_region(here)
        assert (await here.run("run")).status is Exit.CONVERGED.value
        for name in held.shares(project_id("eu-west-101_payments")):
            held.share(name, project_id("eu-west-101_payments"), Answer.PENDING)
        for verb in ("plan", "run"):
            done = await here.run(verb, "--json")
            assert (done.status, done.document["desired"]) == (Exit.CONVERGED, 6), done.err
            (note,) = done.document["notes"]
            assert "the list of 20" in note and "stands in" in note and "503" in note  # noqa: PT018 - one claim
            assert f"note: {note}" in done.err
        assert accepted(here) == {*FOUND}


async def test_a_project_that_is_found_no_more_is_reported_and_nothing_is_rejected(tmp_path: Path) -> None:
    """Not even where a share names it: then its shares are unknown, and the others go on."""
    held = world(*FOUND)
    async with stage(tmp_path, held, text=text(held, DISCOVER)) as here:
        in_region(here)
        assert (await here.run("run")).status is Exit.CONVERGED.value
        puts = here.puts()
        remove(held, "eu-west-101_payments")
        gone = await here.run("run", "--json")
        assert (gone.status, gone.document["desired"], here.puts()) == (Exit.CONVERGED, 4, puts), gone.err
        (note,) = gone.document["notes"]
        assert "1 project" in note and "eu-west-101_payments" in note and "no more" in note  # noqa: PT018 - one claim
        assert (await here.run("run", "--json")).document["notes"] == []
        here.write("manifest.toml", text(held, DISCOVER, projects=("eu-west-101_payments", "eu-west-101")))
        named = await here.run("run", "--json")
        report = named.document
        assert (named.status, report["desired"], report["converged"], report["unknown"]) == (Exit.INCOMPLETE, 4, 2, 2)
        (unread,) = report["unread"]
        assert unread["project_id"] == project_id("eu-west-101_payments")
        assert "found no more" in unread["reason"]
        assert here.puts() == puts


async def test_a_share_may_name_what_is_found_and_check_warns(tmp_path: Path) -> None:
    """`check` makes no call; a name that is not found after all is an error with file and line, and what was meant."""
    held = world()
    declared = f'[projects.mine]\nid = "{project_id("eu-west-101_ledger")}"\n'
    blocks = (declared, '[[discover]]\nname = "eu-west-101_*"\n')
    async with stage(tmp_path, held, text=text(held, *blocks, projects=("mine", "eu-west-101_payments"))) as here:
        in_region(here)
        checked = await here.run("check")
        assert checked.status is Exit.CONVERGED.value
        assert "(1 declared, others are found)" in checked.out
        assert 'manifest.toml:10:21: share[0].projects[1]: "eu-west-101_payments" is not declared' in checked.err
        assert not here.cloud.ledger.arrivals
        document = (await here.run("check", "--json")).document
        assert (document["ok"], document["declared"], document["others_are_found"]) == (True, 1, True)
        done = await here.run("run", "--json")
        assert (done.status, accepted(here)) == (Exit.CONVERGED, {"eu-west-101_ledger", "eu-west-101_payments"})
        here.write("manifest.toml", text(held, *blocks, projects=("mine", "eu-west-101_paymnets")))
        assert (await here.run("check")).status is Exit.CONVERGED.value
        for verb in ("plan", "run"):
            wrong = await here.run(verb)
            assert wrong.status is Exit.USAGE.value
            assert 'manifest.toml:10:21: error: unknown project "eu-west-101_paymnets"' in wrong.err
            assert 'did you mean "eu-west-101_payments"?' in wrong.err
        here.write("manifest.toml", text(held, *blocks, projects=("mien",)))
        assert (await here.run("check")).status is Exit.USAGE.value


async def test_names_that_two_projects_have_get_their_credential(tmp_path: Path) -> None:
    """Also one that is declared with another id; and the same id twice is one project, of the first block."""
    held = world()
    twin = "0" * 31 + "1"
    held.add_project(twin, "twin", Project(twin, "eu-west-101_payments", "other"))
    for image in held.images:
        held.share(image, twin)
    held.add(
        User(name="a", access_key="AKA", secret_key=SECRET_KEY),
        User(name="b", domain="other", access_key="AKB", secret_key=SECRET_KEY),
    )
    keys = "".join(
        f'[credentials.{name}]\nkind = "static"\naccess_key = "AK{name.upper()}"\nsecret_key = "{SECRET_KEY}"\n'
        for name in ("a", "b")
    )
    blocks = [f'[projects.eu-west-101_ledger]\nid = "{"0" * 31}2"\ncredential = "a"\n']
    blocks += [f'[[discover]]\nname = "eu-west-101_*"\ncredential = "{name}"\n' for name in ("a", "b", "a")]
    wish = ("a/eu-west-101_payments", "b/eu-west-101_payments", "a/eu-west-101_ledger")
    async with stage(tmp_path, held, text=text(held, *blocks, projects=wish)) as here:
        in_region(here)
        here.write("config.toml", (here.path / "config.toml").read_text() + keys)
        done = await here.run("run", "--json")
        assert done.status is Exit.CONVERGED.value, done.err
        assert accepted(here) == {"eu-west-101_payments", "eu-west-101_ledger", "twin"}
        here.write("manifest.toml", text(held, *blocks, projects=("eu-west-101_payments",)))
        wrong = await here.run("run")
        assert wrong.status is Exit.USAGE.value
        assert 'write "a/eu-west-101_payments" or "b/eu-west-101_payments"' in wrong.err


async def test_a_credential_that_is_refused_fails_alone(tmp_path: Path) -> None:
    """What another one finds goes on; the reason is told, and nobody is asked more often than before."""
    held = world()
    held.add(User(name="a", access_key="AKA", secret_key=SECRET_KEY))
    keys = "".join(
        f'[credentials.{name}]\nkind = "static"\naccess_key = "{key}"\nsecret_key = "{SECRET_KEY}"\n'
        for name, key in (("a", "AKA"), ("wrong", "AKWRONG"))
    )
    blocks = [f'[[discover]]\nname = "eu-west-101_*"\ncredential = "{name}"\n' for name in ("wrong", "a")]
    async with stage(tmp_path, held, text=text(held, *blocks)) as here:
        in_region(here)
        here.write("config.toml", (here.path / "config.toml").read_text() + keys)
        done = await here.run("run", "--json")
        assert (done.status, accepted(here)) == (Exit.INCOMPLETE, {*FOUND[1:]}), done.err
        assert 'credential "wrong"' in done.document["notes"][0]
        refused = [each for each in here.cloud.ledger.arrivals if each.status == 401]
        assert len(refused) == 2


async def test_an_account_must_be_named_where_the_cloud_asks_for_it(tmp_path: Path) -> None:
    """It is asked which that is."""
    held = world()
    held.identity = IdentityRules(domain_header="required")
    held.add(User(name="a", access_key="AKA", secret_key=SECRET_KEY))
    async with stage(tmp_path, held, text=text(held, DISCOVER)) as here:
        config = (here.path / "config.toml").read_text().replace(ACCESS_KEY, "AKA")
        here.write("config.toml", config.replace("[cloud]\n", REGION))
        done = await here.run("run", "--json")
        assert (done.status, accepted(here)) == (Exit.CONVERGED, {*FOUND}), done.err


async def test_the_daemon_finds_a_new_project_with_its_next_pass(tmp_path: Path) -> None:
    """And shows it; one that is there no more is told of."""
    held = world(*FOUND)
    async with stage(tmp_path, held, text=text(held, DISCOVER)) as here:
        in_region(here)
        async with serving(here, settings=OFTEN) as daemon:
            await here.until(lambda: accepted(here) == {*FOUND}, daemon.running)
            new = "eu-west-101_new"
            held.add_project(project_id(new), new)
            for image in held.images:
                held.share(image, project_id(new))
            await here.until(lambda: new in accepted(here), daemon.running)
            remove(held, "eu-west-101_ledger")
            await daemon.until(lambda: shown(daemon, {"eu-west-101", "eu-west-101_payments", new}))


async def shown(daemon: Any, names: set[str]) -> bool:
    """Tell whether the daemon shows just these projects."""
    return {each["name"] for each in (await daemon.json("/api/status"))["projects"]} == names
