"""Seeds and manifests: what the simulated cloud holds when it starts."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from worker.simulator import seed as module
from worker.simulator.document import DocumentError
from worker.simulator.jobs import JobRules, Order
from worker.simulator.model import Account, Answer, Vault
from worker.simulator.naming import image_id, project_id
from worker.simulator.options import Limits, Options, Rate
from worker.simulator.seed import load_seed, parse_seed
from worker.simulator.world import vault_trouble

PAYMENTS = "edc89b490d7d4392898e19b2deb34797"
EDGE = "0123456789abcdef0123456789abcdef"
IMAGE_A = "d164b5df-1bc3-4c3f-893e-3e471fd16e64"
IMAGE_B = "0b680482-acaa-4045-b14c-9a8c7dfe9c70"
VAULT = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000"
MANIFEST = f"""
version = 1
[images]
golden = "{IMAGE_A}"
[vaults]
nightly = "{VAULT}"
[projects.payments]
id = "{PAYMENTS}"
vault = "nightly"
[projects.edge]
id = "{EDGE}"
"""


def seeded(text: str) -> module.Seed:
    """Read a seed of one text."""
    return parse_seed({"seed.toml": text}, lambda: 0.0)


def test_the_short_example_of_the_docstring_is_right() -> None:
    """Ten lines make a project that is offered sixty numbered images."""
    text = inspect.getdoc(module) or ""
    world = seeded(text[text.index("[projects.payments-prod]") : text.index("The tables")]).world
    assert world.projects == {PAYMENTS: "payments-prod"}
    assert set(world.shares(PAYMENTS)) == {image_id(f"golden-{number:03}") for number in range(1, 61)}
    assert set(world.shares(PAYMENTS).values()) == {Answer.PENDING}


def test_the_long_example_of_the_docstring_is_right() -> None:
    """The list of all keys is itself a seed, and its values are the defaults where it says so."""
    text = inspect.getdoc(module) or ""
    start = text.index("[projects.payments-prod]", text.index("The tables"))
    found = seeded(text[start : text.index("Who there is beside that")])
    project = project_id("payments-prod")
    assert dict(found.world.shares(project)) == {image_id("golden"): Answer.PENDING}
    assert found.world.vaults == {(project, VAULT): Vault(VAULT, project)}
    assert found.world.accounts == {"AK": Account("AK", "SK")}
    assert (found.world.rules, found.options, found.limits) == (JobRules(), Options(), Limits())


def test_each_table_is_read() -> None:
    """Accounts, vaults, statuses, limits, jobs and options all arrive where they belong."""
    found = seeded(
        f"""
        [projects.edge]
        [[image]]
        name = "a"
        id = "{IMAGE_A}"
        owner = "{PAYMENTS}"
        whole = true
        [[share]]
        projects = "*"
        images = "a"
        status = "rejected"
        [[vault]]
        id = "{VAULT}"
        project = "edge"
        full = true
        [[account]]
        access_key = "AK"
        secret_key = "SK"
        security_token = "T"
        projects = ["{EDGE}"]
        [limits]
        members_put = "3/10s"
        [jobs]
        seconds = 2
        ids = "hostile"
        [options]
        page_cap = 5
        """
    )
    edge = project_id("edge")
    world = found.world
    assert dict(world.shares(edge)) == {IMAGE_A: Answer.REJECTED}
    assert (world.images[IMAGE_A].owner, world.images[IMAGE_A].full_ecs) == (PAYMENTS, True)
    assert world.vaults == {(edge, VAULT): Vault(VAULT, edge, full=True)}
    assert world.accounts == {"AK": Account("AK", "SK", security_token="T", projects=(EDGE,))}
    assert world.rules == JobRules(seconds=(2.0, 2.0), ids="hostile")
    assert (found.limits.members_put, found.limits.job_get) == (Rate(3, 10), Rate(1400, 60))
    assert found.options == Options(page_cap=5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[project.x]", "seed.toml: project: unknown key, allowed are account, agency"),
        ("[projects.x]\nname = 1", "projects.x.name: expected text, not 1"),
        ("[[image]]\ncount = 2", "image[0].name: missing"),
        ('[[image]]\nname = "x"\ncount = 2\nid = "i"', "image[0]: count is at least 1"),
        ('[[share]]\nprojects = "x"\nimages = "y"', "share[0].projects: 'x' matches nothing, known are none"),
        (
            '[[share]]\nprojects = "x"\nimages = "y"\nstatus = "ok"',
            "share[0].status: expected one of pending, ",
        ),
        ('[limits]\nmembers_put = "many"', "limits.members_put: expected a rate such as 200/5m, not 'many'"),
        ("[jobs]\nseconds = [2, 1]", "jobs: seconds and lag cannot be negative"),
        ("[options]\npage_cap = -1", "options: page_cap and max_images cannot be negative"),
        ('[options]\nlegacy = "gone"', "options.legacy: expected one of present, absent, forbidden"),
    ],
)
def test_a_wrong_seed_is_told_what_is_right(text: str, said: str) -> None:
    """Every kind of mistake names the file, the key and what is allowed."""
    with pytest.raises(DocumentError) as error:
        seeded(text)
    assert said in str(error.value)


def test_a_manifest_is_offered_as_it_stands() -> None:
    """Each image of a share is pending in each of its projects and nowhere else, by name or by id."""
    world = seeded(
        MANIFEST
        + f"""
        [[share]]
        projects = ["*"]
        images = ["golden"]
        status = "accepted"
        [[share]]
        projects = ["edge"]
        images = ["{IMAGE_B}"]
        status = "rejected"
        when_absent = "wait"
        """
    ).world
    assert dict(world.shares(PAYMENTS)) == {IMAGE_A: Answer.PENDING}
    assert dict(world.shares(EDGE)) == {IMAGE_A: Answer.PENDING, IMAGE_B: Answer.PENDING}
    assert world.projects == {PAYMENTS: "payments", EDGE: "edge"}
    assert world.images[IMAGE_A].name == "golden"
    assert set(world.vaults) == {(PAYMENTS, VAULT)}


@pytest.mark.parametrize(
    ("shares", "whole"),
    [
        ('projects = "payments"\nimages = "golden"\nstatus = "accepted"\nvault = "nightly"', True),
        ('projects = "payments"\nimages = "golden"\nstatus = "accepted"', False),
        ('projects = "*"\nimages = "golden"\nstatus = "accepted"\nvault = "nightly"', True),
        (
            """
            projects = "payments"
            images = "golden"
            status = "accepted"
            vault = "nightly"
            [[share]]
            projects = "edge"
            images = "golden"
            status = "accepted"
            """,
            False,
        ),
    ],
)
def test_a_named_vault_makes_a_full_server_image(shares: str, whole: bool) -> None:  # noqa: FBT001 - a parameter
    """An image is a full-ECS one when a share names a vault for it, unless somebody accepts it without one."""
    world = seeded(f"{MANIFEST}[[share]]\n{shares}").world
    assert world.images[IMAGE_A].full_ecs is whole


def test_a_vault_of_the_manifest_takes_its_images() -> None:
    """The vault that a share names is there in each project that the share names, so that the accept works."""
    share = 'projects = "*"\nimages = "golden"\nstatus = "accepted"\nvault = "nightly"'
    world = seeded(f"{MANIFEST}[[share]]\n{share}").world
    for project in (PAYMENTS, EDGE):
        assert vault_trouble(world, Order(project, (IMAGE_A,), Answer.ACCEPTED, VAULT)) is None


def test_what_a_manifest_finds_is_offered_what_its_shares_wish_there() -> None:
    """A seed beside it says which projects there are; what is disabled, or declared, is not found."""
    blocks = (
        '[[discover]]\nname = "eu-west-101_*"\ncredential = "main"\nvault = "nightly"\n'
        '[[share]]\nprojects = ["*"]\nimages = ["golden"]\nstatus = "accepted"\n'
        f'[[share]]\nprojects = ["main/eu-west-101_b", "eu-west-101_a", "eu-west-101_later"]\nimages = ["{IMAGE_B}"]\n'
        'status = "rejected"\n'
    )
    others = "".join(f"[projects.eu-west-101_{name}]\n" for name in "ab")
    others += "[projects.eu-west-101_off]\nenabled = false\n[projects.cn-north-4_x]\n"
    world = parse_seed({"manifest.toml": MANIFEST + blocks, "seed.toml": others}, lambda: 0.0).world
    a, b = project_id("eu-west-101_a"), project_id("eu-west-101_b")
    assert {each for each in world.projects if IMAGE_A in world.shares(each)} == {PAYMENTS, EDGE, a, b}
    assert {each for each in world.projects if IMAGE_B in world.shares(each)} == {a, b}
    assert {each.project_id for each in world.vaults.values()} == {PAYMENTS, a, b}
    alone = parse_seed({"manifest.toml": MANIFEST + blocks}, lambda: 0.0).world
    assert set(alone.projects) == {PAYMENTS, EDGE}


def test_manifests_are_merged() -> None:
    """A share of one file may use the projects and images of another."""
    share = 'version = 1\n[[share]]\nprojects = "edge"\nimages = "golden"\nstatus = "accepted"'
    world = parse_seed({"a.toml": MANIFEST, "b.toml": share}, lambda: 0.0).world
    assert dict(world.shares(EDGE)) == {IMAGE_A: Answer.PENDING}
    with pytest.raises(DocumentError, match="only manifests can be merged"):
        parse_seed({"a.toml": MANIFEST, "b.toml": "[jobs]", "c.toml": "[jobs]"}, lambda: 0.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('projects = "egde"\nimages = "golden"\nstatus = "accepted"', "share[0].projects: 'egde' is not known"),
        ('projects = "edge"\nimages = "goldn"\nstatus = "accepted"', "share[0].images: 'goldn' is not known"),
        ('projects = "edge"\nimages = "golden"\nstatus = "pending"', "share[0].status: expected one of accepted"),
        ('projects = "edge"\nstatus = "accepted"', "share[0].images: missing"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(text: str, said: str) -> None:
    """Unknown names and wrong values in a manifest are errors that name the place."""
    with pytest.raises(DocumentError) as error:
        seeded(f"{MANIFEST}[[share]]\n{text}")
    assert said in str(error.value)


def test_an_id_of_the_manifest_must_be_a_text() -> None:
    """An image id that is no text is an error that names the image."""
    with pytest.raises(DocumentError, match=r"seed\.toml:3: images\.golden: expected an id, not 7"):
        seeded("version = 1\n[images]\ngolden = 7")


def test_files_are_read_and_named(tmp_path: Path) -> None:
    """Files are read by their path, and one that cannot be read is an error that names it."""
    path = tmp_path / "manifest.toml"
    path.write_text(MANIFEST, "utf-8")
    assert set(load_seed(path).world.projects) == {PAYMENTS, EDGE}
    with pytest.raises(DocumentError, match=r"missing\.toml: cannot be read"):
        load_seed(tmp_path / "missing.toml")
