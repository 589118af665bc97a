"""Commands and their journal: what each says of one that is not there, cannot be had now, or never can."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest
from commands import ENDLESS, fleet, stage
from disks import fill
from served import serving

DIGEST = f"sha256:{'0' * 64}"
ASKED = (("approve", DIGEST), ("release", "golden-001", "payments"), ("reconcile",), ("pause",), ("resume",))


@pytest.mark.parametrize("verb", ASKED[:2])
async def test_no_command_but_a_pass_makes_a_journal(tmp_path: Path, verb: tuple[str, ...]) -> None:
    """Who approves or frees looked at a place where nobody will look: 2, the place is named, and no file is made."""
    async with stage(tmp_path) as here:
        before = here.files()
        done = await here.run(*verb, "--json")
        assert (done.status, done.document["exit"]) == (2, 2)
        assert f"there is no journal {tmp_path / 'journal.db'} yet" in done.err
        assert here.files() == before


@pytest.mark.parametrize("verb", ["reconcile", "resume"])
async def test_where_there_is_no_journal_nobody_is_at_work(tmp_path: Path, verb: str) -> None:
    """So it is 1 and not 2, the place is named all the same, and no file is made."""
    async with stage(tmp_path) as here:
        before = here.files()
        done = await here.run(verb, "--json")
        assert (done.status, done.document["written"]) == (1, False)
        assert f"there is no journal {tmp_path / 'journal.db'} yet" in done.err
        assert "nobody is at work" in done.err
        assert here.files() == before


@pytest.mark.parametrize("is_own", [True, False])
async def test_a_pause_makes_a_journal_to_stay_in_but_in_no_folder_of_somebody_else(
    tmp_path: Path, *, is_own: bool
) -> None:
    """Whoever works there could not use it; in its own folder a daemon that begins finds the pause."""
    if not is_own and os.geteuid():
        pytest.skip("only root may give a folder away")
    async with stage(tmp_path) as here:
        if not is_own:
            os.chown(tmp_path, 65534, -1)
        done = await here.run("pause", "--json")
        assert (done.status, done.document["written"]) == (1, is_own)
        assert "nobody is at work" in done.err
        assert ("journal.db" in here.files()) is is_own
        if is_own:
            assert (tmp_path / "journal.db").stat().st_mode & 0o777 == 0o600
            async with serving(here) as daemon:
                await daemon.heard("daemon.paused")
                assert (await daemon.heard("pass.finished"))["not_sent"] == 8


async def test_who_looks_is_told_that_there_is_no_journal_yet(tmp_path: Path) -> None:
    """In text, as JSON and on standard error; after a pass nobody says so."""
    async with stage(tmp_path) as here:
        words = f"there is no journal {tmp_path / 'journal.db'} yet"
        for verb in ("status", "plan"):
            done = await here.run(verb, "--json")
            assert done.status == 0
            assert f"note: {words}" in done.err
            assert words in done.document["notes"][0]
        assert (await here.run("status", "--json")).document["exists"] is False
        assert "(there is none yet)" in (await here.run("status")).out
        assert "journal.db" not in here.files()
        assert (await here.run("run", "--json")).document["notes"] == []
        for verb in ("status", "plan"):
            done = await here.run(verb, "--json")
            assert (done.document["notes"], "note:" in done.err) == ([], False)
        assert (await here.run("approve", DIGEST, "--force")).status == 0


async def test_a_url_may_come_from_a_file_beside_the_config(tmp_path: Path) -> None:
    """As a unit of systemd and root in a shell use one journal: `url_file` is found from the config's folder."""
    async with stage(tmp_path) as here:
        config = (tmp_path / "config.toml").read_text()
        here.write("config.toml", config.replace('url = "sqlite:///journal.db"', 'url_file = "journal_url"'))
        here.write("journal_url", "sqlite:///journal.db\n")
        (tmp_path / "copy").write_text("sqlite:///journal.db")
        here.environ["IMS_WORKER_JOURNAL__URL_FILE"] = str(tmp_path / "copy")
        assert (await here.run("run")).status == 0
        del here.environ["IMS_WORKER_JOURNAL__URL_FILE"]
        assert (await here.run("approve", DIGEST, "--force")).status == 0
        assert len((await here.run("status", "--json")).document["passes"]) == 1


@pytest.mark.parametrize("verb", [("run",), ("plan",), ("status",), *ASKED])
@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("postgresql://ann:hidden-word@127.0.0.1:1/journal", 7),
        ("postgresql://ann:hidden-word@nowhere.invalid/journal", 7),
        ("postgresql://ann@127.0.0.1:1/journal?hidden-word=1", 2),
        ("postgresql://ann@127.0.0.1:1/journal?sslmode=hidden-word", 2),
        ("sqlite:///nowhere/journal.db", 2),
        ("sqlite:///.", 2),
        ("sqlite:///config.toml", 2),
    ],
)
async def test_what_may_pass_is_7_and_what_never_can_is_2(
    tmp_path: Path, verb: tuple[str, ...], url: str, status: int
) -> None:
    """A server that is away may come back, a wrong name stays so; nothing is told of what the URL keeps secret."""
    async with stage(tmp_path) as here:
        done = await here.run(*verb, "--json", settings={"journal.url": url})
        assert (done.status, done.document["exit"]) == (status, status), done.err
        assert "hidden-word" not in done.out + done.err
        assert here.puts() == 0


@pytest.mark.parametrize("verb", [("run",), ("plan",), ("status",), ("approve", DIGEST)])
@pytest.mark.parametrize(("part", "instead", "status"), [("/journal_", "/missing_", 2), ("worker@", "stranger@", 2)])
async def test_a_server_that_knows_neither_database_nor_user_is_2(
    tmp_path: Path, postgresql: str, verb: tuple[str, ...], part: str, instead: str, status: int
) -> None:
    """It is there, and says no: that stays so until somebody mends the config or the server."""
    async with stage(tmp_path) as here:
        done = await here.run(*verb, settings={"journal.url": postgresql.replace(part, instead)})
        assert done.status == status, done.err
        assert "does not exist" in done.err


@pytest.mark.waits
async def test_a_stranger_who_locks_the_file_is_7(tmp_path: Path) -> None:
    """Somebody's transaction in the file is waited for, then told; whoever only looks does not wait for it."""
    async with stage(tmp_path) as here:
        assert (await here.run("run")).status == 0
        stranger = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        done = await here.run("approve", DIGEST, "--force")
        assert (done.status, "another process is writing to it" in done.err) == (7, True)
        assert (await here.run("status")).status == 0
        stranger.close()


async def test_a_full_disk_is_7(tmp_path: Path, small_disk: Path) -> None:
    """Somebody will make room; the report of a pass during which it filled up is printed, with the reason."""
    async with stage(tmp_path) as here:
        settings = {"journal.url": f"sqlite:///{small_disk / 'journal.db'}"}
        fill(small_disk / "ballast")
        done = await here.run("run", settings=settings)
        assert (done.status, here.puts()) == (7, 0)
        assert "No space left" in done.err or "full" in done.err


async def test_a_journal_that_fails_in_the_pass_is_7_with_the_report(tmp_path: Path) -> None:
    """What was sent is followed and told, though nothing of it could be written any more; `journal_error` says why."""
    async with stage(tmp_path, fleet(2, seconds=ENDLESS)) as here:
        running = await here.start("run", "--json")
        await here.until(lambda: len(here.world.jobs) == len(here.world.projects), running)
        connection = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        connection.execute("PRAGMA busy_timeout = 10000")
        # What the job's settling writes to is gone, as after a clumsy hand.
        connection.execute("DROP TABLE passes")
        connection.close()
        here.end_jobs()
        done = await running.finished()
        assert (done.status, done.document["changed"]) == (7, 4)
        assert "no such table" in done.document["journal_error"]


async def test_a_lock_of_another_user_is_named_with_its_owner(tmp_path: Path) -> None:
    """Whoever may not use it is told whose it is, and to try again as that user: 7."""
    if os.geteuid():
        pytest.skip("only root may give a file to somebody else")
    async with stage(tmp_path) as here:
        (tmp_path / "journal.db.lock").mkdir()
        os.chown(tmp_path / "journal.db.lock", 65534, 65534)
        done = await here.run("run")
        assert (done.status, "belongs to nobody (uid 65534)" in done.err) == (7, True)


async def test_a_stranger_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """With the file locked, what cannot be written any more is given up when the grace ends, not after each wait."""
    async with stage(tmp_path, fleet(2, seconds=ENDLESS)) as here:
        running = await here.start("run", "--json", settings={"schedule.grace": "1s"})
        await here.until(lambda: len(here.world.jobs) == len(here.world.projects), running)
        stranger = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        stranger.execute("PRAGMA busy_timeout = 10000")
        stranger.execute("BEGIN IMMEDIATE")
        running.send(signal.SIGTERM)
        done = await running.finished()
        assert (done.status, done.document["unsettled"]) == (7, 4)
        assert "locked" in done.document["journal_error"]
        stranger.close()


async def test_a_file_by_another_name_is_no_other_journal_to_a_reload(tmp_path: Path) -> None:
    """The daemon goes on when the config names the same file through a link."""
    async with stage(tmp_path) as here, serving(here, settings={"schedule.every": "500ms"}) as daemon:
        await daemon.heard("pass.finished")
        (tmp_path / "link").symlink_to(tmp_path)
        config = (tmp_path / "config.toml").read_text()
        here.write("config.toml", config.replace("sqlite:///journal.db", "sqlite:///link/journal.db"))
        await daemon.heard("files.reloaded")
        assert not [line for line in daemon.lines if line["event"] == "files.refused"]


async def test_a_second_run_by_another_name_is_kept_out(tmp_path: Path) -> None:
    """A symbolic link to the journal leads to the same lock: the second run is 5, and sends nothing."""
    async with stage(tmp_path, fleet(2, seconds=ENDLESS)) as here:
        running = await here.start("run", "--json")
        await here.until(lambda: len(here.world.jobs) == len(here.world.projects), running)
        (tmp_path / "other.db").symlink_to("journal.db")
        done = await here.run("run", settings={"journal.url": "sqlite:///other.db"})
        assert done.status == 5
        here.end_jobs()
        assert (await running.finished()).status == 0
