"""Every kind of credential over the simulated cloud: lists are read with it; it is renewed, refused, or waited for."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from virtual import wall

from worker.cloud.ims import Ims
from worker.core.fleet.selection import Selector
from worker.core.manifest.model import Project
from worker.core.share import MemberStatus
from worker.daemon.revision import Reader, Revision
from worker.errors import CloudError
from worker.settings.credentials import KINDS as KIND_WORDS
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.naming import domain_id, image_id, project_id
from worker.simulator.options import Group
from worker.simulator.seed import parse_seed
from worker.simulator.server import Simulator

pytestmark = pytest.mark.usefixtures("virtual_time")

IMAGE = image_id("golden")
SECRET = "a-secret-of-the-test"
SEED = f"""
[domains.acme]
[[image]]
name = "golden"
[[share]]
projects = "*"
images = "golden"
[[user]]
name = "robot"
domain = "acme"
password = "{SECRET}"
access_key = "AKROBOT"
secret_key = "{SECRET}"
[[user]]
name = "outsider"
password = "{SECRET}"
access_key = "AKOUTSIDER"
secret_key = "{SECRET}"
[[agency]]
name = "ims-share"
domain = "acme"
[[agency]]
name = "worded"
domain = "acme"
external_id = "word"
[server]
agency = "ims-share"
domain = "acme"
[[workload]]
agency = "ims-share"
domain = "acme"
tokens = ["first-{SECRET}", "second-{SECRET}"]
[identity]
token_life = 600.0
key_life = 900.0
"""
ACCOUNT = domain_id("acme")
OUTSIDER = f'[credentials.outsider]\nkind = "static"\naccess_key = "AKOUTSIDER"\nsecret_key = "{SECRET}"\n'
USER = f'kind = "password"\nuser = "robot"\ndomain = "acme"\npassword = "{SECRET}"\n'
KINDS: Mapping[str, str] = {
    "environment": 'kind = "environment"\n',
    "static": f'kind = "static"\naccess_key = "AKROBOT"\nsecret_key = "{SECRET}"\n',
    "static in files": 'kind = "static"\naccess_key_file = "access"\nsecret_key_file = "secret"\n',
    "profile": 'kind = "profile"\n',
    "password": USER,
    "password in a file": 'kind = "password"\nuser = "robot"\ndomain = "acme"\npassword_file = "secret"\n',
    "agency by STS": f'kind = "agency"\nsource = "outsider"\nagency = "worded"\ndomain = "{ACCOUNT}"\n'
    f'external_id = "word"\n{OUTSIDER}',
    "agency by IAM": f'kind = "agency"\nsource = "outsider"\nagency = "ims-share"\ndomain = "acme"\n{OUTSIDER}',
    "agency of a password": 'kind = "agency"\nsource = "outsider"\nagency = "ims-share"\ndomain = "acme"\n'
    f'[credentials.outsider]\nkind = "password"\nuser = "outsider"\ndomain = "default"\npassword = "{SECRET}"\n',
    "agency": f'kind = "agency"\nsource = "outsider"\nagency = "ims-share"\ndomain = "{ACCOUNT}"\n{OUTSIDER}',
    "metadata": 'kind = "metadata"\n',
    "pod-identity": 'kind = "pod-identity"\n',
    "oidc": f'kind = "oidc"\nprovider_urn = "iam::{ACCOUNT}:oidcProvider:cce"\n'
    f'agency_urn = "iam::{ACCOUNT}:agency:ims-share"\ntoken_file = "token"\n',
}
FIXED = ["environment", "static", "static in files", "profile"]
RENEWED = [name for name in KINDS if name not in FIXED]
PASSWORDS = ("password", "password in a file")
"""Those for which each project has a token of its own."""
GROUPS = {
    "password": Group.TOKEN,
    "password in a file": Group.TOKEN,
    "agency by STS": Group.STS,
    "agency by IAM": Group.TOKEN,
    "agency of a password": Group.TOKEN,
    "agency": Group.STS,
    "metadata": Group.METADATA,
    "pod-identity": Group.METADATA,
    "oidc": Group.STS,
}


class Scene:
    """A simulated cloud, some projects in it, and the client that a config with one credential gives."""

    def __init__(self, cloud: Simulator, ims: Ims, reader: Reader, revision: Revision) -> None:
        self.cloud = cloud
        self.ims = ims
        self.reader = reader
        self.revision = revision
        self.began = wall()
        self.projects = tuple(revision.inputs.manifest.projects.values())

    async def read(self, project: Project) -> str:
        """Read the list of a project; return whether it is as it should be, or what went wrong."""
        try:
            pages = [page async for page in self.ims.list_shared(project, MemberStatus.PENDING)]
        except CloudError as error:
            return str(error)
        return "read" if [image.id for page in pages for image in page] == [IMAGE] else "wrong"

    async def read_all(self) -> Counter[str]:
        """Read the lists of all projects at once; return how often what came of it."""
        return Counter(await asyncio.gather(*map(self.read, self.projects)))

    def asked(self, group: Group) -> int:
        """Return how many calls of a group the cloud has seen."""
        return sum(arrival.group is group for arrival in self.cloud.ledger.arrivals)

    def statuses(self, group: Group) -> Counter[int]:
        """Return how often each status was answered to calls of a group."""
        return Counter(arrival.status for arrival in self.cloud.ledger.arrivals if arrival.group is group)


@asynccontextmanager
async def scene(folder: Path, kind: str, *, projects: int = 3, seed: str = "", sts: str = "") -> AsyncIterator[Scene]:
    """Serve a cloud with some projects, and open a client whose credential is of a kind."""
    names = [f"eu-west-101_p{number}" for number in range(projects)]
    tables = "".join(f'[projects.{name}]\ndomain = "acme"\n' for name in names)
    parsed = parse_seed({"seed.toml": tables + SEED.replace("[identity]\n", f"[identity]\n{seed}")}, wall)
    async with Simulator(parsed.world, options=parsed.options, limits=parsed.limits) as cloud:
        for name, text in (("token", f"first-{SECRET}"), ("access", "AKROBOT"), ("secret", SECRET)):
            (folder / name).write_text(f"{text}\n")
        (folder / ".huaweicloud").mkdir(exist_ok=True)
        (folder / ".huaweicloud" / "credentials").write_text(f"[basic]\nak = AKROBOT\nsk = {SECRET}\n")
        (folder / "config.toml").write_text(
            f'[cloud]\nregion = "eu-west-101"\nims_endpoint = "{cloud.url}"\nmetadata_endpoint = "{cloud.url}"\n'
            f'read_timeout = "5s"\nconnect_timeout = "5s"\n[limits]\nburst = "10000/s"\nimages_list = "10000/s"\n'
            f'[retry]\nattempts = 3\nbase = "10ms"\nmax = "20ms"\n[credentials.default]\n{KINDS[kind]}'
        )
        listed = "".join(f'[projects.{name}]\nid = "{project_id(name)}"\n' for name in names)
        (folder / "manifest.toml").write_text(
            f'version = 1\n{listed}[[share]]\nprojects = ["*"]\nimages = ["{IMAGE}"]\nstatus = "accepted"\n'
        )
        environ = {
            "HOME": str(folder),
            "HUAWEICLOUD_SDK_AK": "AKROBOT",
            "HUAWEICLOUD_SDK_SK": SECRET,
            "HC_CONTAINER_CREDENTIALS_FULL_URI": f"{cloud.url}/v1/pod-identity/credentials",
            "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(folder / "token"),
            "HUAWEICLOUD_SDK_STS_ENDPOINT": sts,
        }
        reader = Reader(folder / "config.toml", environ, Selector())
        revision = reader.read()
        async with Ims.open(replace(revision.cloud, clock=wall)) as ims:
            yield Scene(cloud, ims, reader, revision)


async def at(seconds: float) -> None:
    """Let time pass."""
    await asyncio.sleep(seconds)


def test_each_kind_is_tried() -> None:
    """Every word that the config takes has at least one table here."""
    assert {*re.findall(r'kind = "([a-z-]+)"', "".join(KINDS.values()))} == {*KIND_WORDS}


@pytest.mark.parametrize("kind", KINDS)
async def test_projects_are_read_with_every_kind(kind: str, tmp_path: Path) -> None:
    """Each by its own project's name; no call is refused, and what was held is renewed all along a long pass."""
    async with scene(tmp_path, kind) as here:
        for _ in range(30):
            assert await here.read_all() == {"read": 3}
            await at(60)
        assert here.statuses(Group.IMAGES_LIST) == {200: 90}
        lists = Counter(each.project_id for each in here.cloud.ledger.arrivals if each.group is Group.IMAGES_LIST)
        assert lists == dict.fromkeys((project.id for project in here.projects), 30)
        assert all(here.statuses(group).keys() <= {200, 201} for group in GROUPS.values())


@pytest.mark.parametrize("header", ["optional", "required"])
@pytest.mark.parametrize("kind", KINDS)
async def test_projects_are_found_with_every_kind(kind: str, header: Any, tmp_path: Path) -> None:
    """Also where the cloud wants the account to be named; and again when what was held has ended, or is refused."""
    async with scene(tmp_path, kind) as here:
        here.cloud.world.identity = replace(here.cloud.world.identity, domain_header=header)
        names = {project.name for project in here.projects}
        for _ in range(3):
            found = await here.ims.list_projects("default")
            assert {each.name for each in found} - {"MOS"} == names
            assert await here.read_all() == {"read": 3}
            await at(700)


@pytest.mark.parametrize("kind", RENEWED)
async def test_a_refusal_is_asked_for_once_and_stops_the_credential(kind: str, tmp_path: Path) -> None:
    """For the pass; in the next one it is tried anew, and nothing that is presented stands in what is told."""
    async with scene(tmp_path, kind, projects=20) as here:
        here.cloud.set_faults([Fault(effects.Refuse(403, "iam", message=f"not you, {SECRET}"), on=(GROUPS[kind],))])
        ((told, count),) = (await here.read_all()).items()
        assert (count, here.asked(Group.IMAGES_LIST)) == (20, 0)
        assert told.startswith('credential "default" was refused (403')
        assert SECRET not in told or kind == "metadata"  # which presents nothing
        assert here.statuses(GROUPS[kind])[403] == 1
        assert await here.read_all() == {told: 20}
        assert here.statuses(GROUPS[kind])[403] == 1
        here.cloud.set_faults([])
        here.ims.clients.retry_stopped()
        assert await here.read_all() == {"read": 20}


@pytest.mark.parametrize("kind", FIXED)
async def test_fixed_keys_that_are_refused_are_offered_once(kind: str, tmp_path: Path) -> None:
    """Nothing renews them: of all the projects one has asked, until the next pass tries them anew."""
    async with scene(tmp_path, kind, projects=20) as here:
        users = here.cloud.world.directory
        robot = users.users["acme", "robot"]
        users.add(replace(robot, secret_key="changed"))
        for number in range(1, 3):
            ((told, count),) = (await here.read_all()).items()
            assert (count, here.asked(Group.IMAGES_LIST)) == (20, number)
            assert "(wrong key: the secret key is not the one of the access key" in told
            assert SECRET not in told
            here.ims.clients.retry_stopped()
        users.add(robot)
        assert await here.read_all() == {"read": 20}


@pytest.mark.parametrize(
    ("kind", "file", "text"),
    [
        ("static in files", "secret", "{}\n"),
        ("profile", ".huaweicloud/credentials", "[basic]\nak = AKROBOT\nsk = {}\n"),
        ("password in a file", "secret", "{}\n"),
    ],
)
async def test_a_file_that_was_rotated_is_taken_when_the_files_are_read_again(
    kind: str, file: str, text: str, tmp_path: Path
) -> None:
    """With the new secret all is read; half of a file, and none at all, leave what there was before in use."""
    async with scene(tmp_path, kind) as here:
        assert await here.read_all() == {"read": 3}
        users = here.cloud.world.directory
        users.add(replace(users.users["acme", "robot"], secret_key="new-secret", password="new-secret"))
        before = here.revision
        for broken in ("", None):
            (tmp_path / file).unlink() if broken is None else (tmp_path / file).write_text(broken)
            again = here.reader.reread(before)
            assert again.problems
            assert SECRET not in "".join(map(str, again.problems))
            assert again.revision.works_with(before)
        (tmp_path / file).write_text(text.format("new-secret"))
        again = here.reader.reread(before)
        assert (again.problems, again.reconnects) == ((), True)
        async with Ims.open(replace(again.revision.cloud, clock=wall)) as here.ims:
            assert await here.read_all() == {"read": 3}
        assert here.statuses(Group.IMAGES_LIST) == {200: 6}


@pytest.mark.parametrize("kind", RENEWED)
async def test_identity_that_does_not_answer_refuses_nothing(kind: str, tmp_path: Path) -> None:
    """Where it hangs, or is out of order, the reads fail for want of it, and succeed as soon as it is back."""
    async with scene(tmp_path, kind, projects=20) as here:
        for fault, told in ((effects.Hang(), "no answer in time"), (effects.Refuse(503, "html"), "HTTP 503")):
            here.cloud.set_faults([Fault(fault, on=(GROUPS[kind], Group.TOKEN))])
            found = await here.read_all()
            assert all(told in each for each in found), found
            assert not any("refused" in each for each in found)
            assert here.asked(Group.IMAGES_LIST) == 0
        here.cloud.set_faults([])
        assert await here.read_all() == {"read": 20}
        assert here.ims.clients.refused() == {"default": False}


@pytest.mark.parametrize("kind", RENEWED)
async def test_a_renewal_without_an_answer_disturbs_nobody(kind: str, tmp_path: Path) -> None:
    """What is held is good for a while, and by then the service answers again."""
    async with scene(tmp_path, kind) as here:
        assert await here.read_all() == {"read": 3}
        await at(545 if kind in PASSWORDS else 815)
        here.cloud.set_faults([Fault(effects.Hang(), on=(GROUPS[kind], Group.TOKEN), until=wall() + 20 - here.began)])
        for _ in range(10):
            assert await here.read_all() == {"read": 3}
            await at(10)
        assert here.statuses(Group.IMAGES_LIST).keys() == {200}


@pytest.mark.parametrize("kind", [name for name in RENEWED if name not in {"metadata", "pod-identity"}])
async def test_what_is_refused_before_its_end_is_renewed(kind: str, tmp_path: Path) -> None:
    """As where somebody changed the rights of whom it is of: the call is made again with what is granted anew."""
    holder = "robot" if kind in PASSWORDS else "worded" if kind == "agency by STS" else "ims-share"
    async with scene(tmp_path, kind) as here:
        assert await here.read_all() == {"read": 3}
        here.cloud.world.issued.end(holder)
        assert await here.read_all() == {"read": 3}
        assert here.ims.clients.refused() == {"default": False}


@pytest.mark.parametrize("kind", RENEWED)
async def test_a_401_is_not_believed_while_identity_is_away(kind: str, tmp_path: Path) -> None:
    """It may be the image service that has lost it; nothing is stopped, and later in the pass all is read."""
    async with scene(tmp_path, kind) as here:
        assert await here.read_all() == {"read": 3}
        away = [
            Fault(effects.Expired(), on=(Group.IMAGES_LIST,)),
            Fault(effects.Hang(), on=(GROUPS[kind], Group.TOKEN)),
        ]
        here.cloud.set_faults(away)
        found = await here.read_all()
        assert not any("was refused" in each for each in found), found
        here.cloud.set_faults([])
        assert await here.read_all() == {"read": 3}


@pytest.mark.parametrize("kind", ["pod-identity", "oidc"])
async def test_a_token_that_was_replaced_is_read(kind: str, tmp_path: Path) -> None:
    """The cluster swaps a link to the new one, and by the next renewal the old one is good no more."""
    async with scene(tmp_path, kind) as here:
        assert await here.read_all() == {"read": 3}
        (tmp_path / "second").write_text(f"second-{SECRET}")
        (tmp_path / "link").symlink_to("second")
        (tmp_path / "link").replace(tmp_path / "token")
        workloads = here.cloud.world.directory.workloads
        workloads[:] = [replace(each, tokens=(f"second-{SECRET}",)) for each in workloads]
        for _ in range(10):
            await at(120)
            assert await here.read_all() == {"read": 3}
        assert here.statuses(GROUPS[kind]).keys() == {200}


@pytest.mark.parametrize("kind", ["pod-identity", "oidc"])
async def test_a_token_file_that_is_away_for_a_while_disturbs_nobody(kind: str, tmp_path: Path) -> None:
    """What is held is good for longer; where it is away for good, that is what is told, and it is no refusal."""
    async with scene(tmp_path, kind) as here:
        assert await here.read_all() == {"read": 3}
        await at(815)
        (tmp_path / "token").rename(tmp_path / "away")
        for _ in range(3):
            assert await here.read_all() == {"read": 3}
            await at(10)
        (tmp_path / "away").rename(tmp_path / "token")
        for _ in range(3):
            await at(100)
            assert await here.read_all() == {"read": 3}
        (tmp_path / "token").unlink()
        await at(1000)
        ((told, _),) = (await here.read_all()).items()
        assert f"the token file {tmp_path / 'token'} cannot be read: no such file or directory" in told
        assert "was refused" not in told
        assert here.statuses(GROUPS[kind]) == {200: 2}


@pytest.mark.parametrize("kind", RENEWED)
async def test_two_hundred_projects_renew_once_for_each_scope(kind: str, tmp_path: Path) -> None:
    """Keys are good for all of them, a token is for one; there is never more than one renewal of a scope at a time."""
    async with scene(tmp_path, kind, projects=200) as here:
        for _ in range(3):
            assert await here.read_all() == {"read": 200}
        scopes = 200 if kind in PASSWORDS else 1
        calls = {"metadata": 2, "agency of a password": 2}.get(kind, 1)
        assert here.asked(GROUPS[kind]) == scopes * calls
        await at(545 if kind in PASSWORDS else 815)
        assert await here.read_all() == {"read": 200}
        await at(10)
        assert await here.read_all() == {"read": 200}
        assert here.asked(GROUPS[kind]) == 2 * scopes * calls
        assert here.statuses(Group.IMAGES_LIST) == {200: 1000}


async def test_an_identity_that_hangs_is_known_to_be_silent(tmp_path: Path) -> None:
    """Its projects are asked in vain, as those of an image service that hangs, and cost the others nothing."""
    async with scene(tmp_path, "password") as here:
        here.cloud.set_faults([Fault(effects.Hang(), on=(Group.TOKEN,))])
        reading = asyncio.create_task(here.read_all())
        await at(8)
        assert {round(here.ims.silent_for(project), 3) for project in here.projects} == {8.0}
        await reading
        assert {here.ims.silent_for(project) for project in here.projects} == {0.0}


async def test_a_word_that_the_agency_wants_is_not_dropped_where_there_is_no_sts(tmp_path: Path) -> None:
    """And without one IAM exchanges the keys."""
    async with scene(tmp_path, "agency by STS", seed='sts = "absent"\n') as here:
        ((told, _),) = (await here.read_all()).items()
        assert "this cloud has no STS, which alone takes an external_id" in told
    async with scene(tmp_path, "agency", seed='sts = "absent"\n') as here:
        assert await here.read_all() == {"read": 3}
        assert (here.statuses(Group.STS), here.statuses(Group.TOKEN)) == ({404: 1}, {201: 1})


async def test_where_the_sts_has_no_host_iam_exchanges_the_keys(tmp_path: Path) -> None:
    """As at a sister cloud without one; an agency that wants a word is not taken without it, and may be later."""
    async with scene(tmp_path, "agency", sts="https://sts.nowhere.invalid") as here:
        assert await here.read_all() == {"read": 3}
        assert (here.asked(Group.STS), here.statuses(Group.TOKEN)) == (0, {201: 1})
    async with scene(tmp_path, "agency by STS", sts="https://sts.nowhere.invalid") as here:
        ((told, _),) = (await here.read_all()).items()
        assert "cannot connect to sts.nowhere.invalid:443" in told
        assert (here.asked(Group.TOKEN), here.asked(Group.IMAGES_LIST)) == (0, 0)
        assert here.ims.clients.refused() == {"default": False}


async def test_a_token_of_another_region_is_called_that(tmp_path: Path) -> None:
    """It is renewed once, which is of no use, and then nothing more is sent."""
    async with scene(tmp_path, "password", projects=9, seed='region = "eu-de"\n') as here:
        ((told, count),) = (await here.read_all()).items()
        assert count == 9
        assert told.startswith(
            'credential "default" was refused (401 APIGW.0307): The token must be updated. (wrong region: '
        )
        assert (here.asked(Group.IMAGES_LIST), here.asked(Group.TOKEN)) == (2, 2)


async def test_a_user_who_is_locked_out_is_asked_for_once_in_a_pass(tmp_path: Path) -> None:
    """So that a wrong password never locks anybody out, however many projects there are."""
    async with scene(tmp_path, "password", projects=50) as here:
        users = here.cloud.world.directory.users
        users["acme", "robot"] = replace(users["acme", "robot"], password="changed")
        for number in range(1, 4):
            ((told, count),) = (await here.read_all()).items()
            assert (count, here.asked(Group.TOKEN)) == (50, number)
            assert "(wrong password, or wrong user or domain)" in told
            here.ims.clients.retry_stopped()


@pytest.mark.parametrize("mode", ["token", "optional", "404", "405", "503"])
async def test_every_metadata_service_is_understood(mode: str, tmp_path: Path) -> None:
    """New ones, and old ones, which have no token to give."""
    async with scene(tmp_path, "metadata", seed=f'metadata = "{mode}"\n') as here:
        assert await here.read_all() == {"read": 3}


@pytest.mark.parametrize("shape", ["credential", "credentials", "flat"])
async def test_every_answer_to_a_pod_is_understood(shape: str, tmp_path: Path) -> None:
    """The keys have three spellings."""
    async with scene(tmp_path, "pod-identity", seed=f'pod_answer = "{shape}"\n') as here:
        assert await here.read_all() == {"read": 3}


@pytest.mark.parametrize("fractions", ["microseconds", "milliseconds", "absent"])
@pytest.mark.parametrize("kind", RENEWED)
async def test_every_date_is_understood(kind: str, fractions: str, tmp_path: Path) -> None:
    """With fractions of a second, and without."""
    async with scene(tmp_path, kind, seed=f'fractions = "{fractions}"\n') as here:
        assert await here.read_all() == {"read": 3}
