"""Secrets come out nowhere: every place where one can stand, and every place where one could be printed."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from commands import Folder, Stage, fleet, image_names, manifest, stage
from served import OFTEN, Served, serving

from worker.cloud.ims import Ims
from worker.core.exit import Exit
from worker.core.fleet.selection import Selector
from worker.core.share import MemberStatus
from worker.daemon.revision import Reader
from worker.errors import CloudError, SettingsError
from worker.settings import load_settings
from worker.simulator.effects.calls import Refuse
from worker.simulator.effects.jobs import Failed
from worker.simulator.faults import Fault
from worker.simulator.model import Account
from worker.simulator.naming import project_id
from worker.simulator.options import Group
from worker.simulator.world import World

ACCESS_KEY = "AKNEVERSHOWNANYWHERE"
SECRET_KEY = "never/show+this=secret%key01"
TOKEN = "never/show+this=security%token01"
PASSWORD = "never/show+this=database%password01"
BASIC = base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()
LOGIN = base64.b64encode(f"worker:{PASSWORD}".encode()).decode()
SIGNATURE = "5e1f00d5" * 8
SECRETS = (ACCESS_KEY, SECRET_KEY, TOKEN, PASSWORD, BASIC, LOGIN, SIGNATURE)
AUTHORIZATION = f"SDK-HMAC-SHA256 Access={ACCESS_KEY}, SignedHeaders=host;x-sdk-date, Signature={SIGNATURE}"
HEADERS = {"Authorization": AUTHORIZATION, "X-Security-Token": TOKEN, "X-Project-Id": "p"}
CONFIG = """\
manifest = ["manifest.toml"]
[cloud]
ims_endpoint = "{url}"
[credentials.default]
{credential}
[polling]
first = "50ms"
max = "200ms"
[retry]
attempts = 1
[batch]
max_images = 1
[journal]
{journal}
[server]
listen = "127.0.0.1:0"
"""
SQLITE = 'url = "sqlite:///journal.db"'
STATIC = f"""\
kind = "static"
access_key = "{ACCESS_KEY}"
secret_key = "{SECRET_KEY}"
security_token = "{TOKEN}"
"""
IN_FILES = """\
kind = "static"
access_key_file = "ak"
secret_key_file = "sk"
security_token_file = "token"
"""
ENVIRONMENT = 'kind = "environment"\n'
SDK = {
    "HUAWEICLOUD_SDK_AK": ACCESS_KEY,
    "HUAWEICLOUD_SDK_SK": SECRET_KEY,
    "HUAWEICLOUD_SDK_SECURITY_TOKEN": TOKEN,
}
OWN = {
    "IMS_WORKER_CREDENTIALS__DEFAULT__KIND": "static",
    "IMS_WORKER_CREDENTIALS__DEFAULT__ACCESS_KEY": ACCESS_KEY,
    "IMS_WORKER_CREDENTIALS__DEFAULT__SECRET_KEY": SECRET_KEY,
    "IMS_WORKER_CREDENTIALS__DEFAULT__SECURITY_TOKEN": TOKEN,
}
IN_WORDS = f"sent Authorization: {AUTHORIZATION} and X-Security-Token: {TOKEN}, which {SECRET_KEY} does not sign"
ECHOES = {
    "plain": IN_WORDS,
    "nested": json.dumps({"request": {"headers": HEADERS, "keys": [ACCESS_KEY, SECRET_KEY]}}),
    "nested twice": json.dumps({"body": json.dumps({"headers": HEADERS, "key": SECRET_KEY})}),
    "with escaped slashes": json.dumps({"headers": HEADERS, "key": SECRET_KEY}).replace("/", "\\/"),
    "bytes": repr(IN_WORDS.encode()),
    "a query": f"GET /?ak={quote(ACCESS_KEY)}&sk={quote(SECRET_KEY, '')}&security_token={quote(TOKEN, '')}",
    "base64": f"Authorization: Basic {BASIC}",
    "long before": f"{'word ' * 800}{IN_WORDS}",
    "long after": f"{IN_WORDS}{' word' * 800}",
    "a wall": f"{'x' * 290} {SECRET_KEY} {TOKEN}",
}
"""What a cloud may say that repeats what it was sent, and what it never was."""


def written_ways(secret: str) -> set[str]:
    """Return the ways in which a secret may be written."""
    quoted = json.dumps(secret)[1:-1]
    return {secret, quoted, quoted.replace("/", "\\/"), quote(secret, ""), quote(secret)}


def leaks(text: str | bytes) -> list[str]:
    """Return the places of a text where a secret stands, written in whatever way."""
    whole = text if isinstance(text, str) else text.decode("latin-1")
    # A backslash may itself be written as two, at any depth.
    flat = whole.replace("\\", "")
    ways = {way.replace("\\", "") for secret in SECRETS for way in written_ways(secret)}
    return [flat[max(0, at - 100) : at + 100] for way in ways if (at := flat.find(way)) >= 0]


def test_every_way_of_writing_a_secret_is_looked_for() -> None:
    """What follows can fail: a leak is found in each of the echoes, and none where there is no secret."""
    assert [name for name, echo in ECHOES.items() if not leaks(echo)] == []
    assert leaks(json.dumps(json.dumps(SECRET_KEY)).replace("/", "\\/"))
    assert leaks(repr(SDK))
    assert leaks("Access=AK, Signature=***") == []


def echoing() -> tuple[World, list[Fault]]:
    """Return a cloud that repeats secrets: a PUT and a job for each way, and in the lists of some projects."""
    unreadable = ["said", "gateway", "glance", "html"]
    names = image_names(2 * len(ECHOES))
    world = fleet(len(names), ["payments", *unreadable])
    world.add(Account(ACCESS_KEY, SECRET_KEY, security_token=TOKEN))
    faults = [
        Fault(Refuse(status=403, body=shape, message=IN_WORDS), on=(Group.IMAGES_LIST,), project=(name,))
        for name, shape in zip(unreadable, ("ims", "gateway", "glance", "html"), strict=True)
    ]
    effects = [Refuse(status=400, code="IMG.0144", message=echo) for echo in ECHOES.values()]
    effects += [Failed(reason=f"the PUT {echo}") for echo in ECHOES.values()]
    faults += [
        Fault(effect, on=(Group.MEMBERS_PUT,), image=(name,)) for name, effect in zip(names, effects, strict=True)
    ]
    return world, faults


@asynccontextmanager
async def secretive(path: Path, credential: str, environ: dict[str, str]) -> AsyncIterator[Stage]:
    """Open the echoing cloud, and a folder whose keys are where they are said to be."""
    world, faults = echoing()
    async with stage(path, world, faults) as here:
        here.write("config.toml", CONFIG.format(url=here.cloud.url, credential=credential, journal=SQLITE))
        for name, secret in (("ak", ACCESS_KEY), ("sk", SECRET_KEY), ("token", TOKEN)):
            here.write(name, f"{secret}\n")
        here.environ |= environ
        yield here


def journal_bytes(path: Path) -> bytes:
    """Return all that the journal wrote to its disk."""
    return b"\n".join(file.read_bytes() for file in sorted(path.glob("journal.db*")))


async def shown(daemon: Served) -> str:
    """Return all that a daemon shows over HTTP."""
    pages = [await daemon.get(path) for path in ("/", "/api/status", "/metrics", "/readyz", "/livez", "/nothing")]
    return "\n".join(text for _, text in pages)


@pytest.mark.parametrize(
    ("credential", "environ", "log_format"),
    [(STATIC, {}, "console"), (IN_FILES, {}, "json"), (ENVIRONMENT, SDK, "console"), (ENVIRONMENT, OWN, "json")],
    ids=["config", "files", "variables of the SDK", "variables of the worker"],
)
async def test_what_the_cloud_repeats_is_printed_by_no_command(
    tmp_path: Path, credential: str, environ: dict[str, str], log_format: str
) -> None:
    """Wherever the keys come from: not by plan, run, status or check, at any level; nor is it in the journal."""
    async with secretive(tmp_path, credential, environ) as here:
        printed = {}
        for verb in ("check", "plan", "run", "status"):
            more = ("--json",) if log_format == "json" else ()
            done = await here.run(verb, "-v", "--log-format", log_format, *more)
            printed[verb] = done.out + done.err
        assert "HTTP 403" in printed["plan"]
        assert "IMG.0144" in printed["status"], "what the cloud said is to be seen, though not all of it"
        assert "call.made" in printed["run"]
        assert {verb: found for verb, text in printed.items() if (found := leaks(text))} == {}
        assert leaks(journal_bytes(tmp_path)) == []


async def test_what_the_cloud_repeats_is_shown_by_no_daemon(tmp_path: Path) -> None:
    """Neither in its log nor on any of its pages, which have the cloud's reasons."""
    async with secretive(tmp_path, STATIC, {}) as here, serving(here, "-v") as daemon:
        await daemon.heard("pass.finished")
        text = await shown(daemon)
        assert "IMG.0144" in text
        assert "HTTP 403" in text
        assert leaks(text) == []
        assert leaks("\n".join(map(json.dumps, daemon.lines))) == []
        assert leaks(journal_bytes(tmp_path)) == []


UNREACHABLE = {
    "refused": "postgresql://worker:{password}@127.0.0.1:{port}/journal",
    "no port": "postgresql://worker:{password}@127.0.0.1:no-port/journal",
    "no host but a password": "postgresql://worker:{password}",
    "an unknown option": "postgresql://worker:{password}@127.0.0.1:{port}/journal?nonsense={password}",
    "a password among the options": "postgresql://worker@127.0.0.1:{port}/journal?password={password}",
    "an odd character": "postgresql://worker:{password}@@127.0.0.1:{port}/journal",
    "no host": "postgresql://worker:{password}@",
    "another database": "mysql://worker:{password}@127.0.0.1:{port}/journal",
}


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a port of loopback on which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def see_no_password(folder: Folder, journal: str) -> None:
    """See that a command cannot have the journal, and says so without the password."""
    folder.write("manifest.toml", manifest(fleet()))
    folder.write("config.toml", CONFIG.format(url="http://127.0.0.1:1", credential=STATIC, journal=journal))
    done = await folder.run("status", "-v", "--json")
    assert done.status in {Exit.USAGE, Exit.JOURNAL}, done
    assert "postgresql://" in done.err
    assert leaks(done.out + done.err) == []


@pytest.mark.parametrize("url", UNREACHABLE.values(), ids=UNREACHABLE.keys())
async def test_the_password_of_a_journal_that_cannot_be_had_is_not_shown(
    tmp_path: Path, closed_port: int, url: str
) -> None:
    """Whatever is wrong with its URL."""
    url = url.format(password=quote(PASSWORD, ""), port=closed_port)
    await see_no_password(Folder(tmp_path), f"url = {json.dumps(url)}")


async def test_the_password_of_a_journal_is_not_shown_wherever_it_comes_from(tmp_path: Path, closed_port: int) -> None:
    """A file of its own, or a variable."""
    url = UNREACHABLE["refused"].format(password=quote(PASSWORD, ""), port=closed_port)
    folder = Folder(tmp_path)
    folder.write("url", url)
    await see_no_password(folder, 'url_file = "url"')
    folder.environ["IMS_WORKER_JOURNAL__URL"] = url
    await see_no_password(folder, "")


async def test_a_daemon_that_waits_for_its_database_does_not_show_the_password(
    tmp_path: Path, closed_port: int
) -> None:
    """Its log and all its pages say which database it waits for."""
    url = UNREACHABLE["refused"].format(password=quote(PASSWORD, ""), port=closed_port)
    async with stage(tmp_path) as here, serving(here, "-v", settings={"journal.url": url}) as daemon:
        await daemon.heard("daemon.standing_by")
        text = await shown(daemon)
        assert f"127.0.0.1:{closed_port}" in text
        assert leaks(text + json.dumps(daemon.lines)) == []


GOOD = CONFIG.format(url="http://127.0.0.1:1", credential=STATIC, journal=SQLITE)
MISTAKES = {
    "a misspelt key": GOOD.replace("secret_key", "secret_kye"),
    "a key in a table where it is none": GOOD.replace("[polling]", f'[polling]\nsecret_key = "{SECRET_KEY}"'),
    "a key outside of all tables": f'secret_key = "{SECRET_KEY}"\n{GOOD}',
    "a key in the place of a table": f'{ENVIRONMENT}secret_key = "{SECRET_KEY}"\n{GOOD}'.replace("kind", "credential"),
    "a misspelt table": GOOD.replace("[credentials.default]", "[credential.default]"),
    "keys of another kind": GOOD.replace('"static"', '"environment"'),
    "the key where its file should be": GOOD.replace("secret_key =", "secret_key_file ="),
    "a key with a space": GOOD.replace(SECRET_KEY, f"{SECRET_KEY} "),
    "a key with a line break": GOOD.replace(SECRET_KEY, f"{SECRET_KEY}\\n"),
    "a key in a list": GOOD.replace(f'"{SECRET_KEY}"', f'["{SECRET_KEY}"]'),
    "a key in a table": GOOD.replace(f'"{SECRET_KEY}"', f'{{ value = "{SECRET_KEY}" }}'),
    "a key without quotes": GOOD.replace(f'"{SECRET_KEY}"', SECRET_KEY),
    "a key with half of its quotes": GOOD.replace(f'"{SECRET_KEY}"', f'"{SECRET_KEY}'),
    "a key twice": GOOD.replace("[polling]", f'secret_key = "{SECRET_KEY}"\n[polling]'),
    "a key and its file": GOOD.replace("[polling]", 'secret_key_file = "sk"\n[polling]'),
    "a login in an endpoint": GOOD.replace("http://", f"https://{ACCESS_KEY}:{quote(SECRET_KEY, '')}@"),
}


@pytest.mark.parametrize("text", MISTAKES.values(), ids=MISTAKES.keys())
async def test_a_mistake_with_a_secret_is_told_without_it(tmp_path: Path, text: str) -> None:
    """By check as text, by run as JSON: exit 2, and words that name the place."""
    folder = Folder(tmp_path)
    folder.write("config.toml", text)
    folder.write("manifest.toml", manifest(fleet()))
    for done in await asyncio.gather(folder.run("check"), folder.run("run", "-v", "--json")):
        assert done.status == 2, done
        assert "config.toml" in done.out + done.err or "credential" in done.out + done.err
        assert leaks(done.out + done.err) == []


async def test_misspelt_variables_are_warned_of_by_name_alone(tmp_path: Path) -> None:
    """Their values are never looked at; of the SDK's, one with a space inside is an error without it."""
    folder = Folder(tmp_path)
    folder.write("config.toml", GOOD)
    folder.write("manifest.toml", manifest(fleet()))
    folder.environ = {f"IMS_WORKER_{name}": SECRET_KEY for name in ("SECRET_KEY", "CREDENTIALS__DEFAULT__SECRET_KYE")}
    done = await folder.run("check", "-v")
    assert "SECRET_KYE" in done.err
    assert leaks(done.out + done.err) == []
    folder.write("config.toml", GOOD.replace(STATIC, ENVIRONMENT))
    folder.environ = {**SDK, "HUAWEICLOUD_SDK_SK": f"{SECRET_KEY} and more"}
    done = await folder.run("plan", "-v")
    assert (done.status, "HUAWEICLOUD_SDK_SK has spaces" in done.err, leaks(done.out + done.err)) == (2, True, [])


async def test_a_daemon_that_is_given_a_mistake_does_not_show_the_secret(tmp_path: Path) -> None:
    """The refused files are told in its log and on its pages."""
    async with stage(tmp_path) as here, serving(here, "-v", settings=OFTEN) as daemon:
        await daemon.heard("pass.finished")
        for name in ("a misspelt key", "a key without quotes", "the key where its file should be"):
            seen = len(daemon.lines)
            here.write("config.toml", MISTAKES[name])
            await daemon.heard("files.refused", since=seen)
            text = await shown(daemon)
            assert "config.toml" in text
            assert leaks(text + json.dumps(daemon.lines)) == []


@pytest.mark.parametrize("answer", ["closed", "repeats", "nonsense"])
async def test_the_login_of_a_proxy_is_not_shown(tmp_path: Path, closed_port: int, answer: str) -> None:
    """A proxy that is not there, one that refuses and repeats what it was sent, and one that talks nonsense."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert f"Proxy-Authorization: Basic {LOGIN}" in asked
        line = f"{'407' if answer == 'repeats' else 'what'} not with Proxy-Authorization: Basic {LOGIN}"
        writer.write(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as proxy, stage(tmp_path) as here:
        port = closed_port if answer == "closed" else proxy.sockets[0].getsockname()[1]
        here.environ["HTTPS_PROXY"] = f"http://worker:{quote(PASSWORD, '')}@127.0.0.1:{port}"
        config = CONFIG.format(url="https://ims.example.com", credential=STATIC, journal=SQLITE)
        here.write("config.toml", config)
        done = await here.run("run", "-v", "--json")
        assert done.status == 4
        assert leaks(done.out + done.err) == []
        assert leaks(journal_bytes(tmp_path)) == []


def test_settings_do_not_represent_secrets(tmp_path: Path) -> None:
    """Neither as they are read, nor as what they become on the way to the cloud, nor as what is wrong with them."""
    folder = Folder(tmp_path)
    folder.write("manifest.toml", manifest(fleet()))
    folder.write("config.toml", GOOD.replace(SQLITE, f'url = "postgresql://worker:{quote(PASSWORD, "")}@db/journal"'))
    loaded = load_settings(tmp_path / "config.toml", {}, {})
    reader = Reader(tmp_path / "config.toml", {**SDK, **OWN}, Selector())
    shown = [f"{each!r} {each!s}" for each in (loaded, loaded.settings, reader, reader.read().inputs)]
    shown += [f"{loaded.settings.model_dump()}", loaded.settings.model_dump_json()]
    # An access key is no secret by itself: only what signs with it is hidden from those who debug.
    assert [each for each in shown if leaks(each)] == []
    cloud = repr(reader.read().cloud)
    assert [secret for secret in (SECRET_KEY, TOKEN) if secret in cloud] == []


@pytest.mark.parametrize("text", MISTAKES.values(), ids=MISTAKES.keys())
def test_errors_about_settings_do_not_represent_secrets(tmp_path: Path, text: str) -> None:
    """With their causes, as a traceback would show them."""
    folder = Folder(tmp_path)
    folder.write("config.toml", text)
    folder.write("manifest.toml", manifest(fleet()))
    with pytest.raises(SettingsError) as raised:
        Reader(tmp_path / "config.toml", {}, Selector()).read()
    assert leaks(told(raised.value)) == []


def told(error: BaseException) -> str:
    """Return all that can be told of an error, its causes and contexts too."""
    lines = [*traceback.format_exception(error), repr(error), repr(getattr(error, "problems", ""))]
    # Lines of code are not what is meant here: those of this very file have the secrets.
    return "\n".join(line for line in lines if __file__ not in line)


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
async def test_errors_of_the_cloud_do_not_represent_secrets(tmp_path: Path, echo: str) -> None:
    """Not even in the causes that they are chained to."""
    world = fleet(1)
    world.add(Account(ACCESS_KEY, SECRET_KEY, security_token=TOKEN))
    for effect in (Refuse(status=401, body="gateway", message=echo), Refuse(status=500, message=echo)):
        async with stage(tmp_path, world, [Fault(effect)]) as here:
            config = CONFIG.format(url=here.cloud.url, credential=STATIC, journal=SQLITE)
            here.write("config.toml", config)
            revision = Reader(tmp_path / "config.toml", {}, Selector()).read()
            project = revision.inputs.manifest.projects[project_id("payments")]
            async with Ims.open(revision.cloud) as ims:
                with pytest.raises(CloudError) as raised:
                    await anext(aiter(ims.list_shared(project, MemberStatus.PENDING)))
    assert leaks(told(raised.value)) == []
