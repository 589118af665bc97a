"""Secrets come out nowhere: every place where one can stand, and every place where one could be printed."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from commands import Folder, Stage, fleet, image_names, manifest, stage
from served import OFTEN, Served, serving

from worker.cloud.ims import Ims
from worker.core.state import MemberStatus
from worker.errors import CloudError, SettingsError
from worker.settings import load_settings
from worker.simulator.effects import Failed, Poison, Refuse
from worker.simulator.faults import Fault
from worker.simulator.naming import project_id
from worker.simulator.options import Group
from worker.simulator.world import Account, World
from worker.wiring.generation import Reader
from worker.wiring.site import Aim

ACCESS_KEY = "AKNEVERSHOWNANYWHERE"
SECRET_KEY = "never/show+this=secret%key01"
TOKEN = "never/show+this=security%token01"
PASSWORD = "never/show+this=database%password01"
SECRETS = (ACCESS_KEY, SECRET_KEY, TOKEN, PASSWORD)
SIGNATURE = "5e1f00d5" * 8
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
    "base64": f"Authorization: Basic {base64.b64encode(f'{ACCESS_KEY}:{SECRET_KEY}'.encode()).decode()}",
    "long before": f"{'word ' * 800}{IN_WORDS}",
    "long after": f"{IN_WORDS}{' word' * 800}",
    "a wall": f"{'x' * 290} {SECRET_KEY} {TOKEN}",
}
"""What a cloud may say that repeats what it was sent, and what it never was."""


def written_ways(secret: str) -> set[str]:
    """Return the ways in which a secret may be written."""
    quoted = json.dumps(secret)[1:-1]
    ways = {secret, quoted, quoted.replace("/", "\\/"), quote(secret, ""), quote(secret)}
    return ways | {base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]}


def leaks(text: str | bytes) -> list[str]:
    """Return the places of a text where a secret stands, written in whatever way."""
    whole = text if isinstance(text, str) else text.decode("latin-1")
    # A backslash may itself be written as two, at any depth.
    flat = whole.replace("\\", "")
    ways = {way.replace("\\", "") for secret in SECRETS for way in written_ways(secret)} | {SIGNATURE}
    return [flat[max(0, at - 100) : at + 100] for way in ways if (at := flat.find(way)) >= 0]


def test_every_way_of_writing_a_secret_is_looked_for() -> None:
    """What follows can fail: a leak is found in each of the echoes, and none where there is no secret."""
    assert [name for name, echo in ECHOES.items() if not leaks(echo) and name != "base64"] == []
    assert leaks(json.dumps(json.dumps(SECRET_KEY)).replace("/", "\\/"))
    assert leaks(repr(SDK))
    assert leaks("Access=AK, Signature=***") == []


def echoing() -> tuple[World, list[Fault]]:
    """Return a cloud that repeats secrets: a PUT and a job for each way, and in the lists of some projects."""
    unreadable = ["said", "gateway", "glance", "html"]
    names = image_names(2 * len(ECHOES))
    world = fleet(len(names), ["payments", *unreadable])
    world.add_account(Account(ACCESS_KEY, SECRET_KEY, security_token=TOKEN))
    faults = [
        Fault(Refuse(status=403, body=shape, message=IN_WORDS), on=(Group.IMAGES_LIST,), project=(name,))
        for name, shape in zip(unreadable, ("ims", "gateway", "glance", "html"), strict=True)
    ]
    for number, echo in enumerate(ECHOES.values()):
        put, job = names[2 * number : 2 * number + 2]
        faults.append(Fault(Refuse(status=400, code="IMG.0144", message=echo), on=(Group.MEMBERS_PUT,), image=(put,)))
        faults.append(Fault(Failed(reason=f"the PUT {echo}"), image=(job,)))
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
    ("credential", "environ"),
    [(STATIC, {}), (IN_FILES, {}), (ENVIRONMENT, SDK), (ENVIRONMENT, OWN)],
    ids=["config", "files", "variables of the SDK", "variables of the worker"],
)
@pytest.mark.parametrize("log_format", ["json", "console"])
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
        assert {verb: leaks(text) for verb, text in printed.items()} == dict.fromkeys(printed, [])
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
