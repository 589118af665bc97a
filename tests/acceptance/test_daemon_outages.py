"""What is taken away from a daemon that works: its database, its files, its authority; and what its log says of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from commands import ENDLESS, SECRET_KEY, Stage, fleet, manifest, share, stage
from served import OFTEN, Served, serving

from worker.simulator.model import Answer
from worker.simulator.naming import project_id

OF_A_PASS = ("pass", "plan", "project", "batch", "job", "share", "call")
OF_THE_DAEMON = ("daemon", "http", "files")


@dataclass
class Gate:
    """A way to a server that can be shut: what goes through is cut off then, and who knocks is refused."""

    server: tuple[str, int]
    port: int = 0
    _door: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self) -> None:
        """Let through, always at the same port."""
        self._door = await asyncio.start_server(self._let_through, "127.0.0.1", self.port)
        self.port = self._door.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Let nothing through any more."""
        assert self._door is not None
        self._door.close()
        for writer in self._open:
            writer.transport.abort()

    async def _let_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_server = await asyncio.open_connection(*self.server)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, to_server[1]}
        self._open |= ends
        await asyncio.gather(_pour(reader, to_server[1]), _pour(to_server[0], writer))
        self._open -= ends


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def gate_to(url: str) -> AsyncIterator[tuple[Gate, str]]:
    """Stand before a database, with the gate open; give its URL through the gate."""
    parts = urlsplit(url)
    gate = Gate((str(parts.hostname), int(parts.port or 0)))
    await gate.open()
    try:
        yield gate, parts._replace(netloc=f"{parts.username}@127.0.0.1:{gate.port}").geturl()
    finally:
        gate.shut()


async def is_ready(daemon: Served) -> bool:
    """Tell whether the daemon says that it is ready."""
    return (await daemon.get("/readyz"))[0] == 200


async def test_a_database_that_comes_later_is_waited_for(tmp_path: Path, postgresql: str) -> None:
    """Without it the daemon is alive and not ready, and says why; with it, it works, without a restart."""
    async with stage(tmp_path) as here, gate_to(postgresql) as (gate, url):
        gate.shut()
        async with serving(here, settings={"journal.url": url}) as daemon:
            line = await daemon.heard("daemon.standing_by")
            assert "refused" in line["reason"]
            ready = await daemon.json("/readyz")
            assert (await is_ready(daemon), ready["journal_error"]) == (False, line["reason"])
            assert (await daemon.get("/livez"))[0] == 200
            assert (await daemon.json("/api/status"))["waits_for"] == line["reason"]
            await gate.open()
            await daemon.heard("pass.finished", result="converged")
            assert await is_ready(daemon)
            assert here.all_are("accepted")


async def test_a_database_that_restarts_is_had_again(tmp_path: Path, postgresql: str) -> None:
    """Meanwhile the daemon is not ready and sends nothing; afterwards it works on, and sends nothing twice."""
    world = fleet(3, seconds=ENDLESS)
    settings = {**OFTEN, "polling.max": "300ms"}
    async with (
        stage(tmp_path, world) as here,
        gate_to(postgresql) as (gate, url),
        serving(here, settings={**settings, "journal.url": url}) as daemon,
    ):
        await daemon.heard("batch.taken_up")
        gate.shut()
        line = await daemon.heard("daemon.standing_by")
        assert (await daemon.json("/readyz"))["journal_error"] == line["reason"]
        assert not await is_ready(daemon)
        assert "run_id" not in line
        seen = len(daemon.lines)
        await gate.open()
        await daemon.heard("daemon.at_work", since=seen)
        await daemon.until(lambda: is_ready(daemon))
        here.end_jobs()
        await daemon.heard("pass.finished", since=seen, converged=6)
        assert (here.puts(), here.sent_while_alive()) == (2, [])


async def refused(here: Stage, daemon: Served, words: str) -> None:
    """See that the files were refused with these words, everywhere, and that the daemon works on with the old ones."""
    line = await daemon.heard("files.refused")
    assert words in line["reason"]
    ready = await daemon.json("/readyz")
    assert (ready["ready"], words in ready["reload_error"]) == (True, True)
    assert (await daemon.metrics())["reload_failed"] == 1
    late = next(iter(here.world.images))
    here.world.revoke(late, project_id("payments"))
    here.world.share(late, project_id("payments"), Answer.PENDING)
    await daemon.heard("pass.finished", since=len(daemon.lines), changed=1)
    assert here.all_are("accepted")


@pytest.mark.parametrize(
    "journal",
    ["sqlite:///gone/journal.db", "sqlite:///another.db", "postgresql://worker@127.0.0.1:1/journal", "memory:"],
)
async def test_another_journal_is_refused(tmp_path: Path, journal: str) -> None:
    """Whether it can be had or not, it knows nothing of what is in flight: that takes a new start."""
    async with stage(tmp_path) as here, serving(here, settings=OFTEN) as daemon:
        await daemon.heard("pass.finished")
        config = (tmp_path / "config.toml").read_text()
        here.write("config.toml", config.replace("sqlite:///journal.db", journal))
        await refused(here, daemon, "started anew")
        assert "another.db" not in here.files()


async def test_a_bad_authority_is_refused(tmp_path: Path) -> None:
    """No connection is made with it, and none that is there is closed for it."""
    async with stage(tmp_path) as here, serving(here, settings=OFTEN) as daemon:
        await daemon.heard("pass.finished")
        here.write("ca.pem", "no certificate")
        config = (tmp_path / "config.toml").read_text()
        here.write("config.toml", config.replace("[cloud]\n", '[cloud]\nca_file = "ca.pem"\n'))
        await refused(here, daemon, "the CA file cannot be used")


@pytest.mark.waits
async def test_what_nobody_watches_is_found_all_the_same(tmp_path: Path) -> None:
    """The config names a key file before it is there: once it is, the config takes effect; it is told once that not."""
    async with stage(tmp_path) as here, serving(here) as daemon:
        await daemon.heard("pass.finished")
        config = (tmp_path / "config.toml").read_text()
        here.write("config.toml", config.replace(f'secret_key = "{SECRET_KEY}"', 'secret_key_file = "keys/sk"'))
        await daemon.heard("files.refused")
        (tmp_path / "keys").mkdir()
        here.write("keys/sk", SECRET_KEY)
        await daemon.heard("files.reloaded")
        assert [line["event"] for line in daemon.lines].count("files.refused") == 1
        assert (await daemon.metrics())["reload_failed"] == 0


async def test_of_many_mistakes_the_first_ones_are_told(tmp_path: Path) -> None:
    """A log line is no place for hundreds; how many more there are, and how to see them, is said."""
    async with stage(tmp_path) as here, serving(here) as daemon:
        await daemon.heard("pass.finished")
        wrong = [share(here.world, "accepted", projects=[f"nowhere-{number:02}"]) for number in range(33)]
        here.write("manifest.toml", manifest(here.world, *wrong))
        lines = (await daemon.heard("files.refused"))["reason"].splitlines()
        assert len(lines) == 21
        assert ("nowhere-00" in lines[0], "nowhere-19" in lines[19]) == (True, True)
        assert lines[20] == "and 13 more: `ims-share-worker check` shows them"


async def test_every_line_of_a_pass_has_its_run_id(tmp_path: Path) -> None:
    """So has every line of what is followed beside it: that of the pass which sent it; the daemon's own have none."""
    world = fleet(2, seconds=ENDLESS)
    async with (
        stage(tmp_path, world) as here,
        serving(here, "-v", settings={**OFTEN, "polling.max": "300ms"}) as daemon,
    ):
        sent = await daemon.heard("batch.submitted")
        await daemon.heard("batch.taken_up")
        here.end_jobs()
        for name in here.world.projects:
            settled = await daemon.heard("job.settled", project_id=name, state="succeeded")
            # A later pass may see that its shares read as desired before it is asked about again.
            assert settled["run_id"] == sent["run_id"] or settled["polls"] == 0
            assert settled.keys() >= {"job_id", "status", "images", "polls", "seconds", "reason"}
        await daemon.heard("pass.finished", converged=4)
        lines = list(daemon.lines)
    of_a_pass = [line for line in lines if line["event"].split(".")[0] in OF_A_PASS]
    assert {line["event"] for line in of_a_pass if "run_id" not in line} == {"pass.scheduled"}
    assert [line for line in lines if line["event"].split(".")[0] in OF_THE_DAEMON and "run_id" in line] == []
    assert {line["run_id"] for line in lines if line["event"] == "batch.taken_up"} == {sent["run_id"]}
    assert len({line["run_id"] for line in lines if line["event"] == "pass.started"}) > 1
