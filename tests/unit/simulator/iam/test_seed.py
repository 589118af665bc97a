"""The tables of a seed that say who there is, and what is told of a wrong one."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from math import inf
from typing import Any

import pytest

from worker.simulator.document import DocumentError
from worker.simulator.iam import seed as module
from worker.simulator.identity import model, rules
from worker.simulator.identity.model import Agency, Project, Rights, Server, User, Workload
from worker.simulator.identity.rules import IdentityRules
from worker.simulator.model import Answer, Image
from worker.simulator.naming import domain_id, project_id
from worker.simulator.seed import parse_seed
from worker.simulator.world import World

ROBOT = '[[user]]\nname = "robot"\npassword = "p"\n'
MANIFEST = """
version = 1
[images]
golden = "d164b5df-1bc3-4c3f-893e-3e471fd16e64"
[projects.payments]
id = "edc89b490d7d4392898e19b2deb34797"
[[share]]
projects = "payments"
images = "golden"
status = "accepted"
"""
PAYMENTS = "edc89b490d7d4392898e19b2deb34797"


def seeded(text: str) -> World:
    """Read a seed of one text."""
    return parse_seed({"seed.toml": text}, lambda: 0.0).world


def parts() -> tuple[str, str]:
    """Return the short and the long example of the docstring."""
    text = inspect.getdoc(module) or ""
    short, _, rest = text[text.index("[projects.eu-west") :].partition("The tables, each")
    return short, rest[rest.index("[domains.acme]") : rest.index("All services are")]


def test_the_short_example_of_the_docstring_is_right() -> None:
    """Four lines make a user with a password, and a project for it."""
    world = seeded(parts()[0])
    assert world.directory.users == {("default", "robot"): User(name="robot", password="s3cret")}
    assert set(world.projects.values()) == {"eu-west-101_payments"}


def test_the_long_example_of_the_docstring_is_right() -> None:
    """With a password and projects the list of all keys is itself a seed, and its values are the defaults."""
    text = parts()[1].replace('password = ""', 'password = "p"')
    world = seeded(f"[projects.payments]\n{text}")
    directory = world.directory
    assert directory.users == {("default", "robot"): User(name="robot", password="p")}
    assert directory.agency("default", "ims-share") == Agency(name="ims-share")
    assert directory.workloads == [Workload(agency="ims-share")]
    assert directory.server == Server(agency="ims-share")
    assert directory.domain_id("acme") == domain_id("acme")
    assert world.identity == IdentityRules()


@pytest.mark.parametrize("kind", [User, Agency, Workload, Server, Rights])
def test_the_docstring_names_every_key(kind: Any) -> None:
    """No key of a table is left undocumented."""
    text = inspect.getdoc(module) or ""
    assert {key.name for key in fields(kind) if key.name != "rights" and key.name not in text} == set()


def test_the_rules_name_every_choice() -> None:
    """No choice of the rules is left undescribed."""
    text = inspect.getdoc(rules.IdentityRules) or ""
    assert {key.name for key in fields(IdentityRules) if f"`{key.name}`" not in text} == set()


def test_each_table_is_read() -> None:
    """Users, agencies, their rights, workloads, the server, domains and rules all arrive where they belong."""
    world = seeded(
        """
        [domains.acme]
        id = "acme-id"
        [projects.eu-west-101_payments]
        domain = "acme"
        enabled = false
        [projects.edge]
        name = "eu-west-101"
        domain = "acme"
        [projects.mine]
        [[user]]
        name = "robot"
        access_key = "AK"
        secret_key = "SK"
        security_token = "ST"
        life = 7
        mfa = true
        blocked = true
        [[agency]]
        name = "share"
        domain = "acme"
        trusts = ["default"]
        external_id = "word"
        projects = ["*_payments", "edge"]
        deny = "cbr:*"
        enterprise_projects = ["0"]
        administrator = true
        [[workload]]
        agency = "share"
        domain = "acme"
        tokens = ["t1", "t2"]
        provider = "cce"
        [server]
        agency = "share"
        domain = "acme"
        [identity]
        token_life = 5
        sts = "absent"
        """
    )
    payments, edge = project_id("eu-west-101_payments"), project_id("edge")
    assert world.tenancies[payments] == Project(payments, "eu-west-101_payments", "acme", enabled=False)
    assert world.tenancies[edge] == Project(edge, "eu-west-101", "acme")
    user = world.directory.user_of("AK")
    assert user == User(
        name="robot", access_key="AK", secret_key="SK", security_token="ST", life=7.0, mfa=True, blocked=True
    )
    rights = Rights((payments, edge), ("cbr:*",), ("0",), administrator=True)
    agency = Agency(name="share", domain="acme", trusts=("default",), external_id="word", rights=rights)
    assert world.directory.agency("acme", "share") == agency
    assert world.directory.workloads == [Workload(agency="share", domain="acme", tokens=("t1", "t2"), provider="cce")]
    assert world.directory.server == Server(agency="share", domain="acme")
    assert world.directory.domain_id("acme") == "acme-id"
    assert world.directory.domain_name({"id": "acme-id"}) == "acme"
    assert (world.identity.token_life, world.identity.sts) == (5.0, "absent")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[user]]\nname = "x"', "user[0]: a user has a password, or access_key and secret_key, or all"),
        ('[[user]]\nname = "x"\naccess_key = "AK"', "user[0]: access_key and secret_key go together"),
        ('[[user]]\npassword = "p"', "user[0].name: missing"),
        ('[[user]]\nname = 7\npassword = "p"', "user[0].name: expected text, not 7"),
        (f'{ROBOT}rights = "all"', "user[0].rights: unknown key, allowed are access_key, administrator, "),
        (f'{ROBOT}projects = "none"', "user[0].projects: 'none' matches nothing, known are payments"),
        (f"{ROBOT}{ROBOT}", "user[1].name: 'robot' is user[0] already"),
        (
            "".join(f'[[user]]\nname = "{name}"\naccess_key = "AK"\nsecret_key = "SK"\n' for name in "xy"),
            "user[1].access_key: 'AK' is in use already",
        ),
        (
            '[[agency]]\nname = "a"\ndomain = "acme"',
            "agency[0].domain: no project is of 'acme', there are some of default",
        ),
        ('[[agency]]\nname = "a"\ntrusts = "acme"', "agency[0].trusts: 'acme' is not known, known are default"),
        ('[[workload]]\nagency = "a"', "workload[0].agency: 'a' of default is not known, known are none"),
        (
            '[[agency]]\nname = "b"\n[server]\nagency = "a"',
            "server.agency: 'a' of default is not known, known are b of",
        ),
        ("[[server]]", "server: write it as [server]"),
        ("[identity]\ntoken_life = 0", "identity: token_life and key_life are more than 0"),
        ("[identity]\ntoken_length = 99", "identity: token_length is from 100 to 100000"),
        ("[identity]\nblock_after = -1", "identity: block_after cannot be negative"),
        ('[identity]\nmetadata = "new"', "identity.metadata: expected one of token, optional, 404"),
        ("[domains.acme]\nname = 1", "domains.acme.name: unknown key, allowed are id"),
    ],
)
def test_a_wrong_seed_is_told_what_is_right(text: str, said: str) -> None:
    """Every kind of mistake names the file, the key and what is allowed."""
    with pytest.raises(DocumentError) as error:
        seeded(f"[projects.payments]\n{text}")
    assert re.match(r"seed\.toml:[0-9]+: ", str(error.value))
    assert said in str(error.value)


def test_a_seed_goes_with_manifests() -> None:
    """It says who there is and whose a project is, whose id the manifest has; images of both are there."""
    seed = f'[projects.payments]\ndomain = "acme"\n[[image]]\nname = "more"\n{ROBOT}domain = "acme"'
    found = parse_seed({"manifest.toml": MANIFEST, "seed.toml": seed}, lambda: 0.0).world
    assert found.tenancies == {PAYMENTS: Project(PAYMENTS, "payments", "acme")}
    assert set(found.shares(PAYMENTS).values()) == {Answer.PENDING}
    assert {image.name for image in found.images.values() if isinstance(image, Image)} == {"golden", "more"}
    assert not found.directory.open


def test_secrets_are_not_shown() -> None:
    """Neither passwords nor keys nor tokens are in what a user or a workload prints as, or in what is wrong with it."""
    user = User(name="x", password="pw-1", access_key="AK", secret_key="sk-1", security_token="st-1")
    shown = repr((user, Workload(agency="a", tokens=("tok-1",))))
    assert not any(secret in shown for secret in ("pw-1", "sk-1", "st-1", "tok-1"))
    assert user.life == inf
    with pytest.raises(DocumentError) as error:
        seeded('[[user]]\nname = "x"\npassword = ["pw-1"]\n[[workload]]\nagency = "a"\ntokens = [["tok-1"]]')
    assert [problem.partition(": ")[2] for problem in error.value.problems] == [
        "user[0].password: expected text",
        "workload[0].tokens: expected text",
    ]


@pytest.mark.parametrize(
    ("name", "region"),
    [("eu-west-101", "eu-west-101"), ("eu-de_x", "eu-de"), ("eu-ch2_x_y", "eu-ch2"), ("payments", ""), ("my_team", "")],
)
def test_a_projects_region_is_what_its_name_begins_with(name: str, region: str) -> None:
    """A region's own project and those below it are of the region; other names say nothing."""
    assert model.Project("p", name).region == region
