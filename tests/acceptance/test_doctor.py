"""`doctor` as people run it: the right cause for what is wrong, a page that fits, an exit status, nothing written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import PROJECTS, SECRET_KEY, Finished, Stage, fleet, manifest, share, stage
from raw_servers import Server as RawServer
from raw_servers import answer, as_server, certificate_for_localhost, listening

from worker.core.exit import Exit
from worker.simulator import effects
from worker.simulator.effects.calls import Refuse
from worker.simulator.faults import Fault
from worker.simulator.identity.model import Agency, Project, Rights, Server, User, Workload
from worker.simulator.identity.rules import IdentityRules
from worker.simulator.model import Image, Vault
from worker.simulator.naming import OWNER, domain_id, image_id, project_id
from worker.simulator.options import NO_LIMITS, Group, Options
from worker.simulator.server import Simulator
from worker.simulator.world import World

HOME = domain_id("default")
PASSWORD = "shown nowhere, with spaces"
NIGHTLY = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000"
KEYS = {
    "schema",
    "ok",
    "started_at",
    "finished_at",
    "credentials",
    "projects",
    "findings",
    "calls",
    "notes",
}
CREDENTIAL_KEYS = {
    *("credential", "kind", "account", "principal", "key", "hosts", "projects", "projects_found"),
    *("clock_ahead_seconds", "problems"),
}
PROJECT_KEYS = {
    *("project_id", "project", "credential", "region", "hosts", "may_list", "sees_everything", "job_query", "vaults"),
    *("clock_ahead_seconds", "clock_right", "failures"),
}
FINDING_KEYS = {"cause", "what", "do", "credentials", "about"}


def keys(name: str, access_key: str = "", *, token: str = "", secret_key: str = SECRET_KEY) -> str:
    """Return the table of fixed keys."""
    also = f'security_token = "{token}"\n' if token else ""
    key = access_key or f"AKOF{name.upper()}0000000"
    head = f'[credentials.{name}]\naccount = "{name}"\nkind = "static"\n'
    return f'{head}access_key = "{key}"\nsecret_key = "{secret_key}"\n{also}'


def user(name: str, **more: Any) -> User:
    """Return the user whose keys the table of that name has."""
    return User(**{"name": name, "access_key": f"AKOF{name.upper()}0000000", "secret_key": SECRET_KEY} | more)


def with_vaults(world: World) -> str:
    """Return a manifest that wishes to accept all into a vault."""
    into_vault = share(world, "accepted").replace("[[share]]", '[[share]]\nvault = "nightly"')
    return manifest(world, f'[vaults]\nnightly = "{NIGHTLY}"\n{into_vault}')


def give(here: Stage, credentials: Iterable[str]) -> None:
    """Have each of these projects use the credential of its name."""
    text = (here.path / "manifest.toml").read_text()
    for name in credentials:
        text = text.replace(f"[projects.{name}]\n", f'[projects.{name}]\ncredential = "{name}"\n')
    here.write("manifest.toml", text)


def causes(done: Finished) -> dict[str, list[str]]:
    """Return by cause which projects a document says are in trouble for it."""
    found: dict[str, list[str]] = {}
    for each in done.document["findings"]:
        assert each.keys() == FINDING_KEYS
        assert each["what"]
        assert each["do"].endswith(".")
        found.setdefault(each["cause"], []).extend(about["project"] for about in each["about"])
    return found


async def found(here: Stage, status: int = Exit.INCOMPLETE) -> dict[str, list[str]]:
    """Run the doctor, see that it wrote nothing, and return by cause what is wrong with which projects."""
    before, shares = here.files(), here.read()
    done = await here.run("doctor", "--json")
    assert done.status == status, done.out + done.err
    assert (here.puts(), here.files(), here.read()) == (0, before, shares)
    return causes(done)


async def test_where_all_is_well_each_question_is_answered(tmp_path: Path) -> None:
    """Who, at which host, may list, which job query, vaults, clock: and not a byte is written, nor a PUT sent."""
    world = fleet()
    world.add(user("robot"), Vault(NIGHTLY, project_id("payments")), Vault(NIGHTLY, project_id("ledger")))
    async with stage(tmp_path, world, text=with_vaults(world)) as here:
        here.configure(here.cloud.url, keys("robot"))
        here.write("manifest.toml", with_vaults(world).replace('id = "', 'credential = "robot"\nid = "'))
        done = await here.run("doctor", "--json")
        assert (done.status, done.err) == (0, "")
        document = done.document
        assert document.keys() == KEYS
        assert (document["schema"], document["ok"], document["findings"]) == ("ims-share-worker/doctor/1", True, [])
        (credential,) = document["credentials"]
        assert credential.keys() == CREDENTIAL_KEYS
        assert credential["principal"] == f"iam::{HOME}:user:robot"
        assert (credential["key"], credential["kind"], credential["projects"]) == ("key AKOF…", "static", 2)
        for project in document["projects"]:
            assert project.keys() == PROJECT_KEYS
            assert project["hosts"] == {"ims": here.cloud.url, "cbr": here.cloud.url}
            assert (project["may_list"], project["job_query"], project["clock_right"]) == (True, "legacy", True)
            assert project["vaults"] == [{"vault_id": NIGHTLY, "vault": "nightly", "fit": True, "reason": ""}]
            assert abs(project["clock_ahead_seconds"]) < 60
        page = await here.run("doctor")
        assert page.status == 0
        told = ("All well", "2 projects (", "images listed", "legacy query", "1 of 1 vault fit", "clock right")
        assert all(words in page.out for words in (*told, here.cloud.url))
        one = await here.run("doctor", "--json", "--project", "ledger")
        assert [each["project"] for each in one.document["projects"]] == ["ledger"]
        assert (here.puts(), here.files()) == (0, ["config.toml", "manifest.toml"])


async def test_each_wrong_key_has_its_cause(tmp_path: Path) -> None:
    """Wrong, unknown, blocked, expired, and one signed by a clock that is off: each alone, beside one that is fine."""
    wrong = {
        "wrong": "wrong-key",
        "unknown": "wrong-key",
        "blocked": "blocked-key",
        "skewed": "clock",
        "expired": "expired",
        "foreign": "other-project",
        "poor": "permission",
    }
    made = fleet(projects=("fine", *wrong))
    made.add(user("wrong", secret_key="other"), user("blocked", blocked=True), user("skewed"))
    made.add(user("expired", security_token="ST", life=0.001))
    made.add(user("foreign", rights=Rights(projects=(project_id("fine"),))))
    made.add(user("poor", rights=Rights(deny=("ims:images:list",))))
    skew = Fault(effects.Skew(1200.0), access_key=("AKOFSKEWED0000000",))
    tables = "".join(keys(name, token="ST" if name == "expired" else "") for name in wrong)
    async with stage(tmp_path, made, faults=[skew]) as here:
        here.configure(here.cloud.url, tables)
        give(here, wrong)
        done = await here.run("doctor", "--json")
        assert (done.status, here.puts()) == (Exit.INCOMPLETE, 0)
        told = {about["project"]: each for each in done.document["findings"] for about in each["about"]}
        assert {name: told[name]["cause"] for name in told} == wrong
        assert "this machine's clock is 20 minutes" in told["skewed"]["what"]
        assert "ims:images:list" in told["poor"]["do"]
        assert "blocked: it failed too often" in told["blocked"]["what"]
        assert "expired: it is over" in told["expired"]["what"]
        (off,) = [each for each in done.document["projects"] if each["project"] == "skewed"]
        assert (off["clock_right"], round(abs(off["clock_ahead_seconds"]) / 60)) == (False, 20)
        page = await here.run("doctor")
        assert "clock 20 min behind" in page.out
        # Each key was presented once by either command: a handful of failures would block it.
        assert here.cloud.ledger.counts[Group.IMAGES_LIST, 401] == 10


@pytest.mark.parametrize("permission", ["ims:images:list", "ims:imageJobs:getPercentage", "cbr:vaults:list"])
async def test_a_missing_permission_is_named(permission: str, tmp_path: Path) -> None:
    """Of whichever question; the others are answered all the same."""
    world = fleet(projects=("robot",))
    world.add(user("robot", rights=Rights(deny=(permission,))), Vault(NIGHTLY, project_id("robot")))
    async with stage(tmp_path, world, text=with_vaults(world)) as here:
        here.configure(here.cloud.url, keys("robot"))
        give(here, ["robot"])
        done = await here.run("doctor", "--json", settings={"cloud.job_api": "progress"})
        assert causes(done) == {"permission": ["robot"]}
        assert permission in done.document["findings"][0]["do"]
        assert done.status == Exit.INCOMPLETE
        (project,) = done.document["projects"]
        assert len(project["failures"]) == 1


@pytest.mark.parametrize(
    ("vault", "cause"),
    [
        (None, "vault-missing"),
        (Vault(NIGHTLY, project_id("payments"), full=True), "vault-full"),
        (Vault(NIGHTLY, project_id("payments"), object_type="disk"), "vault-type"),
        (Vault(NIGHTLY, project_id("payments"), protect_type="replication"), "vault-type"),
        (Vault(NIGHTLY, project_id("payments"), status="frozen"), "vault-state"),
    ],
)
async def test_a_vault_that_cannot_be_used_is_told(vault: Vault | None, cause: str, tmp_path: Path) -> None:
    """Missing, full, of the wrong type, or frozen, with its name."""
    world = fleet(projects=("payments",))
    if vault:
        world.add(vault)
    async with stage(tmp_path, world, text=with_vaults(world)) as here:
        assert await found(here) == {cause: ["payments"]}


@pytest.mark.parametrize("domain", [HOME, "default"])
@pytest.mark.parametrize(
    ("agency", "rights"),
    [
        (Agency(name="share", trusts=("stranger",)), Rights()),
        (Agency(name="share"), Rights(deny=("sts:agencies:assume",))),
        (Agency(name="other"), Rights()),
    ],
)
async def test_an_agency_that_may_not_be_assumed_is_told(
    agency: Agency, rights: Rights, domain: str, tmp_path: Path
) -> None:
    """As it does not trust, as the caller lacks the right, or as there is none; by the STS and by IAM."""
    world = fleet(projects=("robot",))
    world.add(user("source", rights=rights), user("stranger", domain="stranger"), agency)
    table = f'[credentials.robot]\nkind = "agency"\nsource = "source"\nagency = "share"\ndomain = "{domain}"\n'
    async with stage(tmp_path, world) as here:
        here.configure(here.cloud.url, table + keys("source"))
        give(here, ["robot"])
        assert await found(here, Exit.CLOUD) == {"agency-refused": ["robot"]}


async def test_a_token_of_another_region_and_a_user_of_another_project_are_told(tmp_path: Path) -> None:
    """The gateway's code says the one, IAM's refusal of a scope the other."""
    world = World(identity=IdentityRules(region="eu-west-101"))
    text = f'kind = "password"\nuser = "robot"\ndomain = "default"\npassword = "{PASSWORD}"\n'
    world.add_project(project_id("abroad"), "abroad", Project(project_id("abroad"), "eu-west-102_abroad"))
    world.add_project(project_id("closed"), "closed")
    world.add(Image(image_id("golden"), "golden", OWNER))
    world.add(User(name="robot", password=PASSWORD, rights=Rights(projects=(project_id("abroad"),))))
    for name, cause in (("abroad", "wrong-region"), ("closed", "other-project")):
        async with stage(tmp_path, world) as here:
            here.configure(here.cloud.url, f"[credentials.{name}]\n{text}")
            give(here, [name])
            done = await here.run("doctor", "--json", "--project", name)
            assert (done.status, causes(done)) == (Exit.CLOUD, {cause: [name]}), done.out
            assert PASSWORD not in done.out + done.err


@pytest.mark.parametrize(
    ("effect", "cause"),
    [
        (Refuse(500), "cloud-in-trouble"),
        (Refuse(404, body="html"), "wrong-endpoint"),
        (Refuse(401, body="html", message="The username or password is wrong."), "wrong-password"),
        (effects.Page(), "not-the-api"),
    ],
)
async def test_identity_that_answers_otherwise_has_its_cause(
    effect: effects.Effect, cause: str, tmp_path: Path
) -> None:
    """Told of the credential, and not as if the image service had said it."""
    world = fleet(projects=("robot",))
    world.add(User(name="robot", password=PASSWORD))
    table = f'[credentials.robot]\nkind = "password"\nuser = "robot"\ndomain = "default"\npassword = "{PASSWORD}"\n'
    async with stage(tmp_path, world, faults=[Fault(effect, on=(Group.TOKEN,))]) as here:
        here.configure(here.cloud.url, table)
        give(here, ["robot"])
        done = await here.run("doctor", "--json")
        assert (done.status, causes(done)) == (Exit.CLOUD, {cause: ["robot"]}), done.out
        assert "the credential" in done.document["findings"][0]["what"]
        assert PASSWORD not in done.out + done.err


async def test_a_key_that_sees_every_image_in_every_list_is_told(tmp_path: Path) -> None:
    """An administrator's: by the doctor, and by a pass, which does not say that images kept moving."""
    world = fleet(projects=("robot",))
    world.add(user("robot", rights=Rights(administrator=True)))
    async with stage(tmp_path, world) as here:
        here.configure(here.cloud.url, keys("robot"))
        give(here, ["robot"])
        assert await found(here) == {"sees-everything": ["robot"]}
        done = await here.run("plan")
        assert done.status == Exit.CLOUD
        assert "sees every image in every list" in done.out
        assert "kept moving" not in done.out


@pytest.mark.parametrize(
    ("settings", "environ", "cause"),
    [
        ({"cloud.ims_endpoint": "https://nowhere.invalid"}, {}, "unknown-host"),
        ({"cloud.ims_endpoint": "https://127.0.0.1:1"}, {}, "unreachable"),
        ({"cloud.ims_endpoint": "https://ims.example.com"}, {"HTTPS_PROXY": "http://127.0.0.1:1"}, "proxy"),
        ({"cloud.ims_endpoint": "https://ims.example.com"}, {"HTTPS_PROXY": "http://nowhere.invalid:1"}, "proxy"),
        ({"cloud.ims_endpoint": "https://ims.example.com"}, {"HTTPS_PROXY": "socks5://127.0.0.1:1"}, "proxy"),
    ],
)
async def test_a_host_that_cannot_be_reached_has_its_cause(
    settings: dict[str, str], environ: dict[str, str], cause: str, tmp_path: Path
) -> None:
    """No such name, nobody who listens, a proxy that is away or none: exit 4, and it says which host."""
    async with stage(tmp_path) as here:
        here.environ |= environ
        done = await here.run("doctor", "--json", settings=settings)
        assert (done.status, causes(done)) == (Exit.CLOUD, {cause: sorted(PROJECTS, key=project_id)}), done.out


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
async def test_a_proxy_that_refuses_is_told_without_its_login(status: str, tmp_path: Path) -> None:
    """By its status; what it was shown is not repeated."""
    proxy = RawServer(lambda _number, _request: answer(b"", f"{status} for user:secret-pass", "Connection: close"))
    async with stage(tmp_path) as here, listening(proxy) as origin:
        here.environ["HTTPS_PROXY"] = origin.replace("http://", "http://user:secret-pass@")
        done = await here.run("doctor", "--json", settings={"cloud.ims_endpoint": "https://ims.example.com"})
        assert (done.status, [*causes(done)]) == (Exit.CLOUD, ["proxy"])
        assert f"HTTP {status[:3]}" in done.document["findings"][0]["what"]
        assert "secret-pass" not in done.out + done.err


async def test_a_certificate_that_is_not_trusted_is_told(tmp_path: Path) -> None:
    """With real TLS; with the authority's file it is trusted, and what answers there is told instead."""
    folder = tmp_path / "tls"
    folder.mkdir()
    certificate = certificate_for_localhost(folder)
    web = RawServer(
        lambda _number, _request: answer(b"<html><title>Sign in</title></html>", "200 OK", "Connection: close")
    )
    async with stage(tmp_path) as here, listening(web, as_server(certificate)) as origin:
        settings = {"cloud.ims_endpoint": origin}
        done = await here.run("doctor", "--json", settings=settings)
        assert (done.status, [*causes(done)]) == (Exit.CLOUD, ["certificate"])
        assert "is not trusted" in done.document["findings"][0]["what"]
        trusted = settings | {"cloud.ca_file": f"{certificate}.crt"}
        done = await here.run("doctor", "--json", settings=trusted)
        assert (done.status, [*causes(done)]) == (Exit.CLOUD, ["not-the-api"])


@pytest.mark.parametrize(
    ("effect", "status", "cause"),
    [
        (Refuse(503), Exit.CLOUD, "cloud-in-trouble"),
        (Refuse(404, body="gateway", code="APIGW.0101"), Exit.CLOUD, "wrong-endpoint"),
        (Refuse(403, body="gateway", code="APIGW.0310"), Exit.INCOMPLETE, "project-unavailable"),
        (Refuse(400, body="ims", code="IMG.0030"), Exit.INCOMPLETE, "other-project"),
        (Refuse(400, body="ims", code="IMG.0108"), Exit.INCOMPLETE, "wrong-region"),
        (effects.Page(), Exit.CLOUD, "not-the-api"),
        (effects.Redirect("https://portal.example.com/"), Exit.CLOUD, "not-the-api"),
        (effects.Hang(), Exit.CLOUD, "no-answer"),
    ],
)
async def test_what_the_cloud_answers_instead_has_its_cause(
    effect: effects.Effect, status: Exit, cause: str, tmp_path: Path
) -> None:
    """Errors, pages and silence, each once for all projects."""
    ims = (Group.IMAGES_LIST, Group.JOB_GET, Group.JOB_PROGRESS)
    async with stage(tmp_path, faults=[Fault(effect, on=ims)]) as here:
        done = await here.run("doctor", "--json", settings={"cloud.read_timeout": "200ms"})
        assert [*causes(done)] == [cause], done.out
        (finding,) = done.document["findings"]
        assert {about["project"] for about in finding["about"]} == {*PROJECTS}
        assert done.status == status


async def test_identity_that_is_away_and_what_it_reads_are_told(tmp_path: Path) -> None:
    """A metadata service, a token that is none, and, as settings, a token file and a profile that are not there."""
    world = fleet(projects=("away", "odd", "none", "file"))
    world.add(Agency(name="plain"), Workload(agency="plain"), Server(agency="plain"))
    oidc = f'kind = "oidc"\nprovider_urn = "p"\nagency_urn = "iam::{HOME}:agency:plain"\ntoken_file'
    tables = (
        f'[credentials.away]\nkind = "metadata"\n[credentials.file]\n{oidc} = "nowhere"\n[credentials.odd]\n{oidc} = '
        '"token"\n[credentials.none]\nkind = "profile"\nfile = "nowhere"\n'
    )
    async with stage(tmp_path, world) as here:
        here.configure(here.cloud.url, tables)
        here.write("token", "two words\n")
        give(here, ["away", "odd", "none", "file"])
        done = await here.run("doctor", "--json", settings={"cloud.metadata_endpoint": "http://127.0.0.1:1"})
        assert done.status == Exit.USAGE
        told = {each["about"][0]["project"]: each for each in done.document["findings"]}
        assert {name: each["cause"] for name, each in told.items()} == {
            "away": "unreachable",
            "odd": "token-file",
            "none": "settings",
            "file": "settings",
        }
        assert "169.254.169.254" in told["away"]["do"]
        assert "nowhere: the token cannot be read" in told["file"]["what"]
        assert "nowhere: cannot be read" in told["none"]["what"]
        assert "two words" not in done.out + done.err


@pytest.mark.parametrize(
    ("denied", "status", "cause"), [(False, Exit.CONVERGED, ""), (True, Exit.INCOMPLETE, "permission")]
)
async def test_projects_that_are_found_are_looked_at_too(
    denied: bool,  # noqa: FBT001 - a parameter
    status: Exit,
    cause: str,
    tmp_path: Path,
) -> None:
    """As those that are declared; where they cannot be listed, that is told of the credential."""
    names = ("eu-west-101_a", "eu-west-101_b")
    world = World(identity=IdentityRules(auth_projects="forbidden" if denied else "present"))
    for name in names:
        world.add_project(project_id(name), name)
    world.add(Image(image_id("golden"), "golden", OWNER))
    world.add(user("robot", rights=Rights(deny=("iam:projects:listProjects",))))
    text = f'version = 1\n[images]\ngolden = "{image_id("golden")}"\n[projects.c]\nid = "{project_id(names[0])}"\n'
    text += 'credential = "robot"\n[[discover]]\ncredential = "robot"\nname = "eu-west-101_*"\n'
    async with stage(tmp_path, world, text=text + share(world, "accepted")) as here:
        here.configure(here.cloud.url, keys("robot"))
        done = await here.run("doctor", "--json", settings={"cloud.region": "eu-west-101"})
        assert (done.status, [*causes(done)]) == (status, [cause] if cause else []), done.out + done.err
        (credential,) = done.document["credentials"]
        assert (credential["projects_found"] or 0) >= (0 if denied else 2)
        assert (credential["projects_found"] is None) is denied
        told = {each["project"] for each in done.document["projects"]}
        assert told == ({"c"} if denied else {"c", "eu-west-101_b"})


async def test_two_hundred_projects_fit_on_a_page(tmp_path: Path) -> None:
    """Of a few credentials, one of them expired, one without a right: each fact is said once, with a count."""
    names = [f"p{number:03}" for number in range(200)]
    of = {"robot": names[:120], "poor": names[120:150], "expired": names[150:]}
    world = fleet(images=1, projects=names)
    world.add(user("robot"), user("poor", rights=Rights(deny=("ims:images:list",))))
    world.add(user("expired", security_token="ST", life=0.001))
    async with stage(tmp_path, world) as here:
        here.configure(here.cloud.url, keys("robot") + keys("poor") + keys("expired", token="ST"))
        text = (tmp_path / "manifest.toml").read_text()
        for credential, projects in of.items():
            for name in projects:
                text = text.replace(f"[projects.{name}]\n", f'[projects.{name}]\ncredential = "{credential}"\n')
        here.write("manifest.toml", text)
        page = await here.run("doctor")
        assert page.status == Exit.INCOMPLETE
        assert len(page.out.splitlines()) <= 24, page.out
        assert "50 projects (p150, p151, p152 and 47 more), credential expired: the credential was refused" in page.out
        assert "30 projects (p120, p121, p122 and 27 more), credential poor: HTTP 403" in page.out
        assert "2 findings: 3 credentials, 200 projects" in page.out
        assert here.puts() == 0


@pytest.mark.parametrize(
    ("options", "query", "status"),
    [
        (Options(legacy="absent"), "progress", Exit.CONVERGED),
        (Options(legacy="forbidden"), "progress", Exit.CONVERGED),
        (Options(job_missing="404"), "legacy", Exit.CONVERGED),
        (Options(legacy="absent", progress="absent"), None, Exit.INCOMPLETE),
    ],
)
async def test_the_job_query_that_answers_is_told(
    options: Options, query: str | None, status: Exit, tmp_path: Path
) -> None:
    """The newer one where the older is gone or forbidden; and that neither does, where that is so."""
    world = fleet(projects=("payments",))
    async with Simulator(world, options=options, limits=NO_LIMITS) as cloud, Stage(tmp_path, cloud=cloud) as here:
        here.configure(cloud.url)
        here.write("manifest.toml", manifest(world))
        done = await here.run("doctor", "--json")
        assert {each["job_query"] for each in done.document["projects"]} == {query}
        assert done.status == status


async def test_the_journal_gets_the_calls_that_count_and_nothing_else(tmp_path: Path) -> None:
    """Of a journal that is there; what `status` shows of it is as before, and its lock is not needed."""

    def rows() -> dict[str, int]:
        with closing(sqlite3.connect(tmp_path / "journal.db")) as journal:
            tables = [name for (name,) in journal.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: journal.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}  # noqa: S608 - its own

    async with stage(tmp_path) as here:
        assert (await here.run("run")).status == 0
        before, told = rows(), (await here.run("status", "--json")).document
        assert (await here.run("doctor")).status == 0
        assert (await here.run("status", "--json")).document == told
        assert {name for name, count in rows().items() if count != before[name]} == {"calls"}


async def test_wrong_options_and_names_are_usage_errors(tmp_path: Path) -> None:
    """As of every verb."""
    async with stage(tmp_path) as here:
        done = await here.run("doctor", "--json", "--project", "paymens")
        assert (done.status, done.document["schema"]) == (Exit.USAGE, "ims-share-worker/error/1")
        assert "payments" in done.document["problems"][0]["hint"]
