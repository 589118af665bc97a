"""Credentials of every kind as people use them: a pass converges, nothing of them is shown, and trouble is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Stage, fleet, stage

from worker.core.exit import Exit
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.identity.model import Agency, Server, User, Workload
from worker.simulator.naming import domain_id
from worker.simulator.world import World

PASSWORD = "shown nowhere, with spaces"
SECRET_KEY = "SHOWNNOWHERE0000000000000000000000000000"
POD = "a-pod-token-that-is-shown-nowhere"
HOME = domain_id("default")
ROBOT = f'kind = "password"\nuser = "robot"\ndomain = "default"\npassword = "{PASSWORD}"\n'
KEYS = f'[credentials.keys]\nkind = "static"\naccess_key = "AKROBOT"\nsecret_key = "{SECRET_KEY}"\n'
KINDS = {
    "profile": 'kind = "profile"\n',
    "password": 'kind = "password"\nuser = "robot"\ndomain = "default"\npassword_file = "password"\n',
    "agency": f'kind = "agency"\nsource = "keys"\nagency = "share"\ndomain = "{HOME}"\nexternal_id = "word"\n{KEYS}',
    "exchanged agency": 'kind = "agency"\nsource = "user"\nagency = "plain"\ndomain = "default"\n'
    f"[credentials.user]\n{ROBOT}",
    "metadata": 'kind = "metadata"\n',
    "pod-identity": 'kind = "pod-identity"\n',
    "oidc": f'kind = "oidc"\nprovider_urn = "p"\nagency_urn = "iam::{HOME}:agency:plain"\ntoken_file = "token"\n',
}


def world() -> World:
    """Return a world with somebody of every kind in it."""
    made = fleet(images=2)
    made.add(User(name="robot", password=PASSWORD, access_key="AKROBOT", secret_key=SECRET_KEY))
    made.add(Agency(name="share", external_id="word"), Agency(name="plain"))
    made.add(Server(agency="plain"), Workload(agency="plain", tokens=(POD,)))
    return made


def configure(here: Stage, *credentials: str) -> None:
    """Write a config with these credentials, and what they read of the machine."""
    url = here.cloud.url
    here.write("password", f"{PASSWORD}\n")
    here.write("token", f"{POD}\n")
    (here.path / ".huaweicloud").mkdir()
    here.write(".huaweicloud/credentials", f"[basic]\nak = AKROBOT\nsk = {SECRET_KEY}\n")
    for name in ("password", "token", ".huaweicloud/credentials"):
        (here.path / name).chmod(0o600)
    here.write(
        "config.toml",
        f'[cloud]\nregion = "eu-west-101"\nims_endpoint = "{url}"\nmetadata_endpoint = "{url}"\n'
        f'[polling]\nfirst = "50ms"\nmax = "200ms"\n[retry]\nattempts = 2\nbase = "10ms"\nmax = "20ms"\n'
        + "".join(credentials),
    )
    here.environ |= {
        "HC_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v1/pod-identity/credentials",
        "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(here.path / "token"),
    }


@pytest.mark.parametrize("kind", KINDS)
async def test_a_pass_converges_and_shows_nothing_of_its_credential(kind: str, tmp_path: Path) -> None:
    """Neither what is presented nor what is granted stands in the report, the logs or the journal."""
    async with stage(tmp_path, world()) as here:
        configure(here, f"[credentials.default]\n{KINDS[kind]}")
        done = await here.run("run", "-v", "--json", "--log-format", "json")
        assert (done.status, done.err.count('"level": "warning"')) == (Exit.CONVERGED, 0), done.err
        assert here.all_are("accepted")
        issued = here.world.issued
        granted = [each.text for each in issued._tokens.values()]
        granted += [text for each in issued._keys.values() for text in (each.secret_key, each.security_token)]
        assert granted or kind == "profile"
        stored = b"".join(file.read_bytes() for file in here.path.glob("*.db*")).decode("latin-1")
        for secret in (PASSWORD, SECRET_KEY, POD, *granted):
            assert secret not in f"{done.out}{done.err}{stored}"


async def test_each_refused_credential_stops_alone_and_says_why(tmp_path: Path) -> None:
    """Of a fleet with six in trouble the rest converges, and each cause is told in words that an operator acts on."""
    causes = {
        "wrong": "wrong key: the secret key is not the one",
        "unknown": "wrong key: the cloud does not know",
        "blocked": "blocked: it failed too often",
        "skewed": "this machine's clock is 20 minutes",
        "user": "wrong password, or wrong user or domain",
        "expired": "expired: it is over",
    }
    made = fleet(images=2, projects=("fine", *causes))
    made.add(
        User(name="a", access_key="AKWRONG", secret_key="other"),
        User(name="b", access_key="AKBLOCKED", secret_key=SECRET_KEY, blocked=True),
        User(name="c", access_key="AKSKEWED", secret_key=SECRET_KEY),
        User(name="d", access_key="AKEXPIRED", secret_key=SECRET_KEY, security_token="ST", life=0.001),
        User(name="robot", password="another"),
    )
    keys = "".join(
        f'[credentials.{name}]\naccount = "{name}"\nkind = "static"\naccess_key = "AK{name.upper()}"\n'
        f'secret_key = "{SECRET_KEY}"\n' + ('security_token = "ST"\n' if name == "expired" else "")
        for name in causes
        if name != "user"
    )
    skew = Fault(effects.Skew(1200.0), access_key=("AKSKEWED",))
    async with stage(tmp_path, made, faults=[skew]) as here:
        here.configure(here.cloud.url, f'{keys}[credentials.user]\naccount = "user"\n{ROBOT}')
        manifest = (tmp_path / "manifest.toml").read_text()
        for name in causes:
            manifest = manifest.replace(f"[projects.{name}]\n", f'[projects.{name}]\ncredential = "{name}"\n')
        here.write("manifest.toml", manifest)
        done = await here.run("run", "--json")
        assert done.status == Exit.INCOMPLETE
        reasons: dict[str, set[str]] = {}
        for each in done.document["shares"]:
            if each["outcome"] == "unknown":
                reasons.setdefault(here.world.projects[each["project_id"]], set()).add(each["reason"])
        assert reasons.keys() == causes.keys()
        for name, cause in causes.items():
            (reason,) = reasons[name]
            assert f'credential "{name}" was refused (401' in reason
            assert cause in reason
        assert set(here.read()["fine"].values()) == {"accepted"}


async def test_what_is_wrong_between_credentials_is_known_offline(tmp_path: Path) -> None:
    """With the line and the way out; what only the machine knows is not asked for."""
    async with stage(tmp_path, world()) as here:
        configure(here, '[credentials.default]\nkind = "agency"\nsource = "kes"\nagency = "a"\ndomain = "b"\n', KEYS)
        done = await here.run("check")
        assert done.status == Exit.USAGE
        assert 'there is no credential "kes"' in done.out
        assert 'did you mean "keys"?' in done.out
        here.environ.clear()
        for kind in KINDS.values():
            here.write("config.toml", f'[cloud]\nregion = "eu-west-101"\n[credentials.default]\n{kind}')
            done = await here.run("check")
            assert done.status == Exit.CONVERGED, done.out


async def test_a_secret_that_everybody_may_read_is_warned_about(tmp_path: Path) -> None:
    """By every verb, and it goes on."""
    async with stage(tmp_path, world()) as here:
        configure(here, f"[credentials.default]\n{KINDS['password']}")
        (tmp_path / "password").chmod(0o644)
        done = await here.run("check")
        assert done.status == Exit.CONVERGED
        warning = "password holds a secret, and every user of this machine can read it: chmod o= password"
        assert warning in done.out + done.err
