"""The daemon's routes: what it says of its health, its readiness and itself, for whatever has happened."""

from __future__ import annotations

import asyncio
import errno
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from commands import SECRET_KEY, Folder, fleet, manifest

from worker.core import daemon_events, events
from worker.core.fleet.selection import Selector
from worker.core.instruction import Instruction, InstructionKind
from worker.daemon import endpoint as module
from worker.daemon.endpoint import Endpoint
from worker.daemon.in_use import InUse
from worker.daemon.revision import Reader, Revision
from worker.daemon.telemetry import DaemonTelemetry
from worker.errors import JournalError, SettingsError
from worker.reconcile.background import background_tasks
from worker.render.daemon import DaemonView
from worker.telemetry.http import Views

TIMEOUT = 300.0


@dataclass
class Journal:
    """A journal that answers, fails or hangs."""

    error: Exception | None = None
    hangs: bool = False

    async def answers(self) -> None:
        """Do so."""
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise self.error


@dataclass
class Shown:
    """What is shown, and where: `asked` are the addresses, `fails` says why the next ones cannot be had."""

    in_use: InUse
    telemetry: DaemonTelemetry
    endpoint: Endpoint
    asked: list[str] = field(default_factory=list)
    fails: list[OSError] = field(default_factory=list)
    views: list[Views] = field(default_factory=list)

    def take(self, revision: Revision) -> None:
        """Go by another revision of the files."""
        self.in_use.revision = revision
        self.endpoint.move()

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether it is ready, and what it says of that."""
        health = await self.views[-1].readyz()
        return health.ok, dict(health.document)

    async def status(self) -> dict[str, Any]:
        """Return the document behind the page."""
        document: dict[str, Any] = json.loads(await self.views[-1].status())
        return document


@pytest.fixture
async def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shown]:
    """Show what happens, without a socket."""
    monkeypatch.setattr(module, "_TRY_AGAIN", 0.01)
    monkeypatch.setattr(module, "_JOURNAL_PATIENCE", 0.05)
    found = showing(read(Folder(tmp_path)))

    @asynccontextmanager
    async def listening(host: str, port: int, views: Views, _: object) -> AsyncIterator[str]:
        found.asked.append(f"{host}:{port}")
        if found.fails:
            raise found.fails.pop(0)
        found.views.append(views)
        yield f"{host}:{port}"

    monkeypatch.setattr(module, "listening", listening)
    async with background_tasks() as start:
        start(found.telemetry.watch_the_loop())
        start(found.endpoint.serve())
        await until(lambda: bool(found.views))
        yield found


def showing(revision: Revision) -> Shown:
    """Return what shows what happens."""
    in_use = InUse(revision)
    telemetry = DaemonTelemetry(in_use, {})
    return Shown(in_use, telemetry, Endpoint(in_use, telemetry))


def read(folder: Folder, listen: str = "127.0.0.1:0") -> Revision:
    """Write the files of a fleet, and read them."""
    folder.configure("http://127.0.0.1:1")
    folder.write("manifest.toml", manifest(fleet(2)))
    return Reader(folder.path / "config.toml", {"IMS_WORKER_SERVER__LISTEN": listen}, Selector()).read()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(TIMEOUT):
        while not is_so():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.005)


async def test_it_is_not_ready_before_it_is_about_something(shown: Shown) -> None:
    """Starting it is alive, and no more; it is ready at work, and as a stand-by that says whom it waits for."""
    ready, document = await shown.ready()
    assert (ready, document["phase"], shown.views[0].livez().ok) == (False, "starting", True)
    shown.telemetry(daemon_events.StandingBy("held by `serve`, process 7 on host"))
    ready, document = await shown.ready()
    assert (ready, document["phase"], document["stand_by"]) == (True, "standing_by", True)
    assert document["waits_for"] == "held by `serve`, process 7 on host"
    shown.in_use.journal = Journal()  # type: ignore[assignment] - it has what is asked for
    shown.telemetry(daemon_events.AtWork(unclean=False))
    assert await shown.ready() == (
        True,
        {
            "ready": True,
            "phase": "at_work",
            "stand_by": False,
            "waits_for": "",
            "journal_error": "",
            "reload_error": "",
            "paused": "",
            "bugs": 0,
            "last_bug": "",
        },
    )


async def test_a_pause_is_told_until_it_ends(shown: Shown) -> None:
    """It is ready all the same, and says who paused it, and until when."""
    shown.in_use.journal = Journal()  # type: ignore[assignment] - it has what is asked for
    shown.telemetry(daemon_events.AtWork(unclean=False))
    shown.telemetry(daemon_events.PauseBegan(Instruction(1, InstructionKind.PAUSE, "ann@host", 0.0, 60.0)))
    ready, document = await shown.ready()
    assert (ready, document["paused"]) == (True, "paused by ann@host until 1970-01-01T00:01:00Z")
    shown.telemetry(daemon_events.PauseEnded())
    assert (await shown.ready())[1]["paused"] == ""


@pytest.mark.parametrize(
    ("journal", "why"),
    [
        (Journal(JournalError("the journal /data/j.db failed: it is a file")), "it is a file"),
        (Journal(hangs=True), "does not answer in time"),
    ],
)
async def test_it_is_not_ready_without_its_journal(shown: Shown, journal: Journal, why: str) -> None:
    """A journal that fails or hangs is named, and when it answers again all is well."""
    shown.telemetry(daemon_events.AtWork(unclean=False))
    shown.in_use.journal = journal  # type: ignore[assignment] - as above
    ready, document = await shown.ready()
    assert (ready, document["ready"], why in document["journal_error"]) == (False, False, True)
    assert shown.views[0].livez().ok
    shown.in_use.journal = Journal()  # type: ignore[assignment] - as above
    assert (await shown.ready())[0]


async def test_a_journal_that_cannot_be_had_is_told(shown: Shown) -> None:
    """It stands by for a database that does not answer: that is not ready, unlike one that another worker holds."""
    shown.in_use.journal_error = "the journal failed: connection refused"
    shown.telemetry(daemon_events.StandingBy(shown.in_use.journal_error))
    ready, document = await shown.ready()
    assert (ready, document["journal_error"]) == (False, "the journal failed: connection refused")


async def test_bad_files_are_told_and_leave_it_ready(shown: Shown) -> None:
    """The last good ones stay, so there is no reason to take it out of service."""
    shown.telemetry(daemon_events.AtWork(unclean=False))
    shown.telemetry(daemon_events.ReloadFailed("manifest.toml:4: unknown"))
    ready, document = await shown.ready()
    assert (ready, document["reload_error"]) == (True, "manifest.toml:4: unknown")
    shown.telemetry(daemon_events.Reloaded(2, 4))
    assert (await shown.ready())[1]["reload_error"] == ""


async def test_a_bug_in_one_project_is_named_and_leaves_it_ready(shown: Shown) -> None:
    """The others are served as before, so it stays in service; the page lists the bug among its troubles."""
    shown.telemetry(daemon_events.AtWork(unclean=False))
    shown.telemetry(events.BugFound("p", "KeyError in worker.x, line 7", "Traceback: the words of it"))
    ready, document = await shown.ready()
    assert (ready, document["bugs"], document["last_bug"]) == (True, 1, "project p: KeyError in worker.x, line 7")
    status = await shown.status()
    assert [(each["what"], each["reason"]) for each in status["troubles"]] == [
        ("a bug in the work of project p", "KeyError in worker.x, line 7")
    ]
    assert "the words of it" not in json.dumps([document, status])


async def test_a_loop_that_stalls_is_seen_when_it_turns_again(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that blocks the loop leaves its mark; while the last beat is too old the answer is no."""
    await asyncio.sleep(0.15)
    time.sleep(0.3)  # noqa: ASYNC251 - to hold up the loop is what this is about
    monkeypatch.setattr(module, "_STALLED", 0.2)
    assert shown.views[0].livez().ok is False
    await until(lambda: shown.views[0].livez().ok)
    assert shown.views[0].livez().document["loop_lag_max_seconds"] >= 0.1


async def test_a_new_address_is_listened_on(shown: Shown, tmp_path: Path) -> None:
    """When the files name another; the same address is left as it is."""
    shown.take(read(Folder(tmp_path)))
    shown.take(read(Folder(tmp_path), "127.0.0.2:9999"))
    await until(lambda: len(shown.asked) == 2)
    assert shown.asked == ["127.0.0.1:0", "127.0.0.2:9999"]


async def test_an_address_in_use_is_tried_again_and_told_once(shown: Shown, tmp_path: Path) -> None:
    """Until it is free; trouble is told when it begins, and not at each attempt."""
    shown.fails += [OSError(errno.EADDRINUSE, "Address already in use") for _ in range(3)]
    shown.take(read(Folder(tmp_path), "127.0.0.2:9999"))
    await until(lambda: len(shown.views) == 2)
    troubles = [each for each in (await shown.status())["troubles"] if "nothing answers HTTP" in each["what"]]
    assert [each["reason"] for each in troubles] == ["Address already in use"]
    assert len(shown.asked) == 5


async def test_the_first_address_must_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it cannot be had at all, that is a mistake in the settings, and said at once."""

    @asynccontextmanager
    async def listening(*_: object) -> AsyncIterator[str]:
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        yield ""

    monkeypatch.setattr(module, "listening", listening)
    found = showing(read(Folder(tmp_path)))
    with pytest.raises(SettingsError, match=r"server\.listen: nothing can listen there: cannot assign"):
        await found.endpoint.serve()


async def test_readers_of_the_same_moment_share_a_document(shown: Shown) -> None:
    """As long as nothing has happened; any event makes a new one."""
    first = await shown.views[0].status()
    assert await shown.views[0].status() is first
    shown.telemetry(events.Incident("something", "why"))
    assert json.loads(await shown.views[0].status())["troubles"][0]["what"] == "something"


async def test_the_document_is_made_beside_the_loop(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread, of a board that stays as it was: what happens meanwhile is in the next one."""
    begun, go, threads = threading.Event(), threading.Event(), []
    make = module.daemon_bytes

    def slow(view: DaemonView) -> bytes:
        threads.append(threading.get_ident())
        begun.set()
        go.wait(TIMEOUT)
        return make(view)

    monkeypatch.setattr(module, "daemon_bytes", slow)
    asked = asyncio.create_task(shown.status())
    await until(begun.is_set)
    shown.telemetry(events.Incident("odd", "why"))
    go.set()
    assert (await asked)["troubles"] == []
    assert (await shown.status())["troubles"] != []
    assert threading.get_ident() not in threads


async def test_credentials_are_shown_before_the_cloud_is_open(shown: Shown) -> None:
    """A stand-by has them too: none is refused, and no key is in what is shown."""
    assert (await shown.status())["credentials"] == [{"name": "default", "refused": False}]
    text, _ = await shown.views[0].metrics("")
    assert b'ims_share_worker_credential_refused{credential="default"} 0.0' in text
    assert SECRET_KEY.encode() not in text
