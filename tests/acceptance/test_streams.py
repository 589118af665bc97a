"""Standard streams as people and machines leave them: closed, full, with nobody at the other end, in any encoding."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import forks
import msgspec
import pytest
from commands import SECRET_KEY, TIMEOUT, Folder, Stage, fleet, manifest, share, stage

from worker.simulator.model import Answer, Image
from worker.simulator.naming import OWNER, image_id, project_id

VERBS = ("check", "demo --json", "--help")
NO_RESULT = (">&-", ">/dev/full", ">&0", "<&- >&- 2>&-")
"""Redirections with which no result arrives; standard input leads to a pipe that nobody reads."""
RESULT = ("<&-", "2>&-", "2>/dev/full", "2>&0")
"""Redirections with which it does."""
ENCODINGS: tuple[dict[str, str], ...] = (
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)
NAME = "größe ♥"
BYTES = b"\xff\x1b[2J\xe2\x80\xae"
"""A name of a file with what is no UTF-8, a control sequence, and what turns text around."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended, and what arrived of its output."""

    status: int
    out: bytes
    err: bytes


async def start(here: Folder, redirections: str, *arguments: str | bytes) -> asyncio.subprocess.Process | forks.Fork:
    """Start a command whose standard streams are redirected as in a shell.

    Only with streams that are closed, which Python has to cope with when it starts, it is started anew.
    """
    reading, writing = os.pipe()
    os.close(reading)
    try:
        if "&-" not in redirections:
            return await _fork(here, redirections, writing, *map(os.fsdecode, arguments))
        return await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", "worker", *arguments),
            cwd=here.path,
            env={"PATH": os.defpath, "HOME": str(here.path), **here.environ},
            stdin=writing,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    finally:
        os.close(writing)


async def _fork(
    here: Folder, redirections: str, unread: int, *arguments: str
) -> asyncio.subprocess.Process | forks.Fork:
    full = os.open("/dev/full", os.O_WRONLY)
    leads = {"/dev/full": full, "&0": unread}
    try:
        places = {number or "1": leads[to] for number, _, to in (each.partition(">") for each in redirections.split())}
        out, err = (places.get(number, asyncio.subprocess.PIPE) for number in "12")
        return (await here.start(*arguments, out=out, err=err)).process
    finally:
        os.close(full)


async def ended(process: asyncio.subprocess.Process | forks.Fork) -> Ended:
    """Wait for its end; whatever happens to its streams is no bug, and nothing to shout about."""
    async with asyncio.timeout(TIMEOUT):
        out, err = await process.communicate()
    assert process.returncode is not None
    for forbidden in (b"Traceback", b"Exception", SECRET_KEY.encode(), b"\x1b", b"\xff"):
        assert forbidden not in out + err, out + err
    return Ended(process.returncode, out, err)


async def run(here: Folder, redirections: str, *arguments: str | bytes) -> Ended:
    """Run a command whose standard streams a shell has redirected."""
    return await ended(await start(here, redirections, *arguments))


async def every_verb(tmp_path: Path, redirections: str) -> dict[str, Ended]:
    """Run what needs no cloud."""
    async with stage(tmp_path) as here:
        done = await asyncio.gather(*(run(here, redirections, *verb.split()) for verb in VERBS))
        return dict(zip(VERBS, done, strict=True))


@pytest.mark.parametrize("redirections", NO_RESULT)
async def test_a_result_that_arrives_nowhere_is_1(tmp_path: Path, redirections: str) -> None:
    """It is told in a line where there is one who reads it, but for a reader who has gone."""
    for verb, done in (await every_verb(tmp_path, redirections)).items():
        assert (done.status, done.out) == (1, b""), verb
        told = b"error: the result could not be written" in done.err
        assert told is (redirections in {">&-", ">/dev/full"}), verb


@pytest.mark.parametrize("redirections", RESULT)
async def test_what_is_said_beside_the_result_may_arrive_nowhere(tmp_path: Path, redirections: str) -> None:
    """The result alone arrives where it should, and the exit status is as ever."""
    found = await every_verb(tmp_path, redirections)
    for verb, done in found.items():
        assert (done.status, bool(done.out)) == (0, True), verb
    assert found["check"].out.startswith(b"OK: ")
    assert json.loads(found["demo --json"].out)["as_expected"] is True


@pytest.mark.parametrize("redirections", [*NO_RESULT, "2>&-", "2>/dev/full"])
async def test_an_error_stays_one_wherever_it_is_told(tmp_path: Path, redirections: str) -> None:
    """A usage error and bad settings are 2, though neither words nor document may arrive."""
    here = Folder(tmp_path)
    done = await asyncio.gather(
        run(here, redirections, "run", "--json", "--bogus"),
        run(here, redirections, "check", "--json", "--config", "nope.toml"),
        run(here, redirections, "plan", "--config", "nope.toml", "--json"),
    )
    assert [each.status for each in done] == [2, 2, 2]
    for each in done:
        assert not each.out or json.loads(each.out)


async def test_a_run_does_its_work_whatever_becomes_of_its_report(tmp_path: Path) -> None:
    """The cloud is as wished; the report is lost with 1, and the log without harm."""
    async with stage(tmp_path, fleet(2)) as here:
        assert (await run(here, ">/dev/full 2>/dev/full", "run")).status == 1
        assert here.all_are("accepted")
        done = await run(here, "<&- 2>&-", "run", "--json")
        assert (done.status, json.loads(done.out)["converged"]) == (0, 4)


async def test_a_lost_result_hides_no_worse_one(tmp_path: Path) -> None:
    """3 for a refused plan and 6 for drift stand, since they go before the 1 of a result that was not written."""
    world = fleet(2, status=Answer.ACCEPTED)
    async with stage(tmp_path, world, text=manifest(world, share(world, "rejected"))) as here:
        assert (await run(here, ">&-", "plan", "--fail-on-drift")).status == 6
        here.environ["IMS_WORKER_GUARDS__MAX_REJECT"] = "0%"
        assert (await run(here, ">/dev/full", "run")).status == 3
        assert (await run(here, ">&0", "plan", "--json")).status == 3


async def test_who_shows_no_result_needs_no_stream(tmp_path: Path) -> None:
    """A daemon works with all streams closed, and its files are not taken for them; it ends as asked."""
    async with stage(tmp_path, fleet(2)) as here:
        process = await start(here, "<&- >&- 2>&-", "serve")
        try:
            async with asyncio.timeout(TIMEOUT):
                while not here.all_are("accepted"):
                    assert process.returncode is None
                    await asyncio.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert (await ended(process)).status == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        assert (await run(here, "", "status")).out.count(b"converged") == 1


async def test_short_writes_and_a_simulated_cloud_say_where_they_failed(tmp_path: Path) -> None:
    """Without its address a simulated cloud is of no use: 1; what was approved and released is so, and 1 too."""
    async with stage(tmp_path) as here:
        assert (await here.run("run")).status == 0
        done = await asyncio.gather(
            run(here, ">&-", "simulate"),
            run(here, ">/dev/full", "approve", "--force", "sha256:" + "0" * 64),
            run(here, ">/dev/full", "release", "golden-001", "payments"),
        )
        assert [each.status for each in done] == [1, 1, 1]
        assert all(b"the result could not be written" in each.err for each in done)


def with_names(here: Stage) -> None:
    """Have the fleet, the manifest and its files bear names that neither ASCII nor Latin-1 has."""
    here.world.add_project(project_id(NAME), NAME)
    here.world.add(Image(image_id(NAME), NAME, OWNER))
    here.world.share(image_id(NAME), project_id(NAME), Answer.PENDING)
    text = manifest(here.world, share(here.world, "accepted", images=[NAME], projects=[NAME]))
    quoted = text.replace(f"\n{NAME} =", f'\n"{NAME}" =').replace(f"[projects.{NAME}]", f'[projects."{NAME}"]')
    (here.path / "manifest.toml").unlink()
    (here.path / os.fsdecode(b"manifest" + BYTES + b".toml")).write_text(quoted, encoding="utf-8")
    here.write("odd.toml", 'manifest = ["manifest*.toml"]\n' + (here.path / "config.toml").read_text())
    (here.path / "odd.toml").rename(here.path / os.fsdecode(BYTES))


@pytest.mark.parametrize("variables", ENCODINGS, ids=str)
async def test_what_a_stream_has_no_characters_for_is_escaped(tmp_path: Path, variables: Mapping[str, str]) -> None:
    """No report is lost for its names, nor a project or file for the bytes it is called by."""
    async with stage(tmp_path, fleet(1)) as here:
        with_names(here)
        here.environ |= {**variables, "LOGNAME": os.fsdecode(BYTES), "IMS_WORKER_LOG__LEVEL": "debug"}
        planned = await run(here, "", "plan", "--config", BYTES, "--project", NAME.encode())
        assert planned.status == 0
        assert b"\\u2665" in planned.out
        done = await run(here, "", "run", "--config", BYTES, "--image", NAME.encode(), "--log-format", "console")
        assert (done.status, here.puts()) == (0, 1)
        checked = await run(here, "", "check", "--config", BYTES, "--json")
        assert msgspec.json.decode(checked.out)["files"][0].startswith("manifest\\xff\x1b[2J")
        approved = await run(here, "", "approve", "--force", "--config", BYTES, "--json", "sha256:" + "0" * 64)
        assert msgspec.json.decode(approved.out)["approved_by"].startswith("\\xff\\x1b[2J\\")


async def test_bytes_on_the_command_line_are_shown_escaped(tmp_path: Path) -> None:
    """An unknown verb, option, project, digest or file of odd bytes is a plain error, also as JSON."""
    async with stage(tmp_path) as here:
        lines = ([BYTES], ["check", b"--" + BYTES], ["plan", "--project", BYTES], ["approve", BYTES])
        done = await asyncio.gather(*(run(here, "", "--json", *line) for line in lines))
        assert [each.status for each in done] == [2] * len(lines)
        for each in done:
            assert msgspec.json.decode(each.out)["exit"] == 2
            assert "\u202e" not in each.err.decode()
        missing = await run(here, "", "check", "--json", "--config", BYTES)
        assert msgspec.json.decode(missing.out)["problems"][0]["file"] == "\\xff\x1b[2J\u202e"
