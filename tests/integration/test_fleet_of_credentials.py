"""A fleet of two accounts that twelve credentials serve, of every kind: some are in trouble, and the rest converges.

What is in trouble is told once for each cause, in words that somebody can act on, and asked no more than it must be.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from consoles import piped
from rehearse import BRISK, QUICK, Worker, arrivals, sent_while_alive
from virtual import wall

from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.selection import Selector
from worker.core.fleet.shards import Shard
from worker.core.status import Status
from worker.daemon.revision import Reader
from worker.render.names import Names
from worker.render.report import print_report, report_json
from worker.session.opening import open_as_writer
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.naming import domain_id, image_id, project_id
from worker.simulator.options import NO_LIMITS, Group
from worker.simulator.seed import parse_seed
from worker.simulator.server import Simulator

pytestmark = pytest.mark.usefixtures("virtual_time")

SECRET = "a-secret-of-this-fleet"
ACME, MEGA = domain_id("acme"), domain_id("mega")
IMAGES = ("golden", "silver")
OTHER_REGION = "eu-de"


def _static(name: str, more: str = "") -> str:
    return f'kind = "static"\naccess_key = "AK{name.upper()}"\nsecret_key_file = "secret"\n{more}'


OIDC = (
    f'kind = "oidc"\nprovider_urn = "iam::{MEGA}:oidcProvider:cce"\nagency_urn = "iam::{MEGA}:agency:share"\n'
    'token_file = "token"\n'
)
CREDENTIALS: Mapping[str, tuple[str, str]] = {
    "environment": ("acme", 'kind = "environment"\n'),
    "static": ("acme", _static("static")),
    "profile": ("acme", 'kind = "profile"\nsection = "acme"\n'),
    "password": ("acme", 'kind = "password"\nuser = "robot"\ndomain = "acme"\npassword_file = "secret"\n'),
    "agency": ("acme", f'kind = "agency"\nsource = "outsider"\nagency = "share"\ndomain = "{ACME}"\n'),
    "exchanged": ("acme", 'kind = "agency"\nsource = "user"\nagency = "share"\ndomain = "acme"\n'),
    "metadata": ("mega", 'kind = "metadata"\n'),
    "pod": ("mega", 'kind = "pod-identity"\n'),
    "oidc": ("mega", OIDC),
    "late": ("acme", _static("late", f'security_token = "{SECRET}"\n')),
    "skewed": ("mega", _static("skewed")),
    "blocked": ("mega", _static("blocked")),
}
"""The account of each, and its table; those of an account share its limits, be they in trouble or not."""
SOURCES = (
    f'[credentials.outsider]\naccount = "outside"\n{_static("outsider")}'
    '[credentials.user]\naccount = "outside"\nkind = "password"\nuser = "outsider"\ndomain = "outside"\n'
    'password_file = "secret"\n'
)


def _user(domain: str, name: str, more: str = "") -> str:
    return f'[[user]]\nname = "{name}"\ndomain = "{domain}"\n{more}'


def _key(name: str, more: str = "") -> str:
    return f'access_key = "AK{name.upper()}"\nsecret_key = "{SECRET}"\n{more}'


def seed(projects: Mapping[str, Sequence[str]], agencies: str) -> str:
    """Return the seed of a cloud with these projects, by credential, and with everybody that the credentials are of."""
    tables = [
        f'[projects.{name}]\ndomain = "{CREDENTIALS[credential][0]}"\n'
        for credential, names in projects.items()
        for name in names
    ]
    tables += [f'[[image]]\nname = "{name}"\n' for name in IMAGES]
    tables += ['[[share]]\nprojects = "*"\nimages = "*"\n', "[domains.outside]\n"]
    tables += [_user("acme", name, _key(name)) for name in ("environment", "static", "profile")]
    tables += [_user("acme", "robot", f'password = "{SECRET}"\n')]
    tables += [_user("outside", "outsider", _key("outsider", f'password = "{SECRET}"\n'))]
    tables += [_user("acme", "late", _key("late", f'security_token = "{SECRET}"\nlife = 0.001\n'))]
    tables += [_user("mega", "skewed", _key("skewed")), _user("mega", "blocked", _key("blocked", "blocked = true\n"))]
    tables += [agencies, '[[agency]]\nname = "share"\ndomain = "mega"\n']
    tables += ['[server]\nagency = "share"\ndomain = "mega"\n']
    tables += [f'[[workload]]\nagency = "share"\ndomain = "mega"\ntokens = ["{SECRET}"]\n']
    return "".join([*tables, f'[identity]\nregion = "eu-west-101"\n[jobs]\nseconds = {[*BRISK.seconds]}\n'])


def config(url: str) -> str:
    """Return a config with all of the credentials, as quick as a rehearsal's."""
    cloud = f'region = "eu-west-101"\nims_endpoint = "{url}"\nmetadata_endpoint = "{url}"\n'
    sections = "".join(
        f"[{section}]\n{cloud if section == 'cloud' else ''}"
        + "".join(
            f"{key} = {value if isinstance(value, float | int) else repr(value)}\n" for key, value in keys.items()
        )
        for section, keys in QUICK.items()
    )
    tables = "".join(
        f'[credentials.{name}]\naccount = "{account}"\n{table}' for name, (account, table) in CREDENTIALS.items()
    )
    return f'{sections}[journal]\nurl = "memory:"\n{tables}{SOURCES}'


def manifest(projects: Mapping[str, Sequence[str]]) -> str:
    """Return a manifest that wishes for all images in all projects, each with its credential."""
    tables = "".join(
        f'[projects.{name}]\nid = "{project_id(name)}"\ncredential = "{credential}"\n'
        for credential, names in projects.items()
        for name in names
    )
    images = [image_id(name) for name in IMAGES]
    return f'version = 1\n{tables}[[share]]\nprojects = ["*"]\nimages = {images}\nstatus = "accepted"\n'


@asynccontextmanager
async def working(
    folder: Path,
    projects: Mapping[str, Sequence[str]],
    faults: Sequence[Fault],
    agencies: str = '[[agency]]\nname = "share"\ndomain = "acme"\n',
) -> AsyncIterator[Worker]:
    """Open a worker, with the config and the files of such a fleet, at a cloud where some things go wrong."""
    parsed = parse_seed({"seed.toml": seed(projects, agencies)}, wall)
    async with Simulator(parsed.world, faults=faults, options=parsed.options, limits=NO_LIMITS) as cloud:
        (folder / ".huaweicloud").mkdir()
        for name, text in {
            "config.toml": config(cloud.url),
            "manifest.toml": manifest(projects),
            "secret": SECRET,
            "token": SECRET,
            ".huaweicloud/credentials": f"[acme]\nak = AKPROFILE\nsk = {SECRET}\n",
        }.items():
            (folder / name).write_text(text)
        environ = {
            "HOME": str(folder),
            "HUAWEICLOUD_SDK_AK": "AKENVIRONMENT",
            "HUAWEICLOUD_SDK_SK": SECRET,
            "HC_CONTAINER_CREDENTIALS_FULL_URI": f"{cloud.url}/v1/pod-identity/credentials",
            "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(folder / "token"),
        }
        found = Reader(folder / "config.toml", environ, Selector()).read()
        async with open_as_writer(found.inputs, found.cloud, "run", Shard(), lambda _: None) as (journal, ims):
            yield Worker(cloud, found.inputs, ims, journal, [], [])
            assert sent_while_alive(cloud) == []


def reasons(report: RunReport, projects: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """Return why projects could not be read, by credential: as the JSON says it of projects and of shares alike."""
    credentials = {project_id(name): credential for credential, names in projects.items() for name in names}
    document = report_json(report)
    unread, unknown = defaultdict(set), defaultdict(set)
    for each in document["unread"]:
        unread[credentials[each["project_id"]]].add(each["reason"])
    for each in document["shares"]:
        if each["outcome"] == "unknown":
            unknown[credentials[each["project_id"]]].add(each["reason"])
    assert unread == unknown
    return dict(unread)


def told(worker: Worker, report: RunReport) -> str:
    """Return the report as people see it, which shows no secret."""
    text = piped(lambda out: print_report(report, Names.of(worker.inputs.manifest), out))
    assert SECRET not in f"{text}{report_json(report)}"
    return text


def assert_said_once(text: str, reason: str, projects: Sequence[str], of: int) -> None:
    """See that a text has a reason in one line, with how many projects it is the reason of."""
    lines = [line for line in text.splitlines() if reason in line]
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{len(projects)} of {of} projects could not be read ({projects[0]}, ")


def assert_converged(worker: Worker, report: RunReport, projects: Sequence[str]) -> None:
    """See that each of the projects has accepted all, with one PUT."""
    changed = Counter(each.share.project_id for each in report.outcomes if each.status is Status.CHANGED)
    assert changed == {project_id(name): len(IMAGES) for name in projects}
    puts = Counter(each.project_id for each in arrivals(worker.cloud, Group.MEMBERS_PUT))
    assert puts == dict.fromkeys(changed, 1)
    for name in projects:
        assert {answer.value for answer in worker.cloud.world.shares(project_id(name)).values()} == {"accepted"}


def statuses(worker: Worker, who: str) -> Counter[int]:
    """Return how often each status was answered to the calls of an access key or a user."""
    return Counter(each.status for each in worker.cloud.ledger.arrivals if each.access_key == who)


async def test_of_200_projects_only_those_of_the_three_credentials_in_trouble_wait(tmp_path: Path) -> None:
    """One has expired, one is of a machine whose clock is 20 minutes off, one is blocked: each is offered once."""
    names = [f"eu-west-101_p{number:03}" for number in range(200)]
    projects = {each: names[at :: len(CREDENTIALS)] for at, each in enumerate(CREDENTIALS)}
    causes = {
        "late": "(expired: it is over, and has to be replaced)",
        "skewed": "(this machine's clock is 20 minutes behind the cloud's: set it by NTP)",
        "blocked": "(blocked: it failed too often in a row, and is let in again minutes after the last failure;",
    }
    faults = [Fault(effects.Skew(1200.0), access_key=("AKSKEWED",))]
    async with working(tmp_path, projects, faults) as worker:
        report = await worker.run()
        assert report.result is Result.PARTIAL
        found, text = reasons(report, projects), told(worker, report)
        assert found.keys() == causes.keys()
        for name, cause in causes.items():
            (reason,) = found[name]
            assert reason.startswith(f'credential "{name}" was refused (401 APIGW.0301)')
            assert cause in reason
            assert_said_once(text, reason, projects[name], 200)
            assert statuses(worker, f"AK{name.upper()}") == {401: 1}
        sound = {name: each for name, each in projects.items() if name not in causes}
        assert_converged(worker, report, [name for each in sound.values() for name in each])
        assert_obtained_once(worker, projects["password"])
        assert_obtained_once(worker, projects["password"])


def assert_obtained_once(worker: Worker, of_robot: Sequence[str]) -> None:
    """See that a token was fetched for each project of the password, and keys once for all of any other credential."""
    tokens = arrivals(worker.cloud, Group.TOKEN)
    assert Counter(each.project_id for each in tokens if each.access_key == "robot") == Counter(
        map(project_id, of_robot)
    )
    assert len(tokens) == len(of_robot) + 2, "the token of the user, and the keys for that"
    assert len(arrivals(worker.cloud, Group.STS)) == 2, "the keys of an agency, and those of a workload"
    assert len(arrivals(worker.cloud, Group.METADATA)) == 3, "the server's token, its keys, and a pod's"


async def test_what_is_wrong_with_identity_itself_costs_nobody_else_anything(tmp_path: Path) -> None:
    """Tokens of another region, an agency that trusts others, no metadata service, and an IAM that hangs for one user.

    What was refused is offered no more than twice; what got no answer is no refusal, and is not called one.
    """
    projects = {
        name: [f"{OTHER_REGION if name == 'password' else 'eu-west-101'}_{name}{number:02}" for number in range(5)]
        for name in CREDENTIALS
        if name not in {"late", "skewed", "blocked"}
    }
    faults = [
        Fault(effects.Hang(), (Group.METADATA,)),
        Fault(effects.Hang(), (Group.TOKEN,), access_key=("outsider",)),
    ]
    causes = {
        "password": "(wrong region: the token is of another region's identity service, see region and iam_endpoint)",
        "agency": "(the agency may not be assumed: it must trust the account of the caller",
        "exchanged": "no answer in time",
        "metadata": "no answer in time",
        "pod": "no answer in time",
    }
    untrusting = '[[agency]]\nname = "share"\ndomain = "acme"\ntrusts = ["mega"]\n'
    async with working(tmp_path, projects, faults, untrusting) as worker:
        report = await worker.run()
        found, text = reasons(report, projects), told(worker, report)
        assert found.keys() == causes.keys()
        for name, cause in causes.items():
            (reason,) = found[name]
            assert reason.startswith(f'credential "{name}" ')
            assert cause in reason
            assert ("was refused" in reason) is (cause != "no answer in time")
            assert text.count(f"{reason}\n") == 1
        sound = [name for each in projects if each not in causes for name in projects[each]]
        assert_converged(worker, report, sound)
        assert max(each.at for each in arrivals(worker.cloud, Group.MEMBERS_PUT)) < wall() - 0.1, "the others waited"
        assert statuses(worker, "AKOUTSIDER") == {403: 1}
        assert [each.status for each in arrivals(worker.cloud, Group.TOKEN) if each.access_key == "robot"] == [201] * 2
        assert len([each for each in worker.cloud.ledger.arrivals if each.status == 401]) == 2
