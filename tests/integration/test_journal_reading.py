"""A journal is read without the right to write it or its folder: while it is written, after its end, after a crash."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import released
from opening import open_journal

from worker.core.fleet.shards import Shard
from worker.errors import JournalError
from worker.journal import store
from worker.journal.lease import hold_journal

NOW = 1_800_000_000.0
NOBODY = 65534
_READER = """
import asyncio, json, os, sys
from worker.errors import JournalError
from worker.journal.store import read_journal
async def read(url):
    async with read_journal(url) as journal:
        found = [await journal.approvals.is_given(f"sha256:{n}") for n in range(3)]
        journal.calls.note("default", next(iter(__import__("worker.core.calls").core.calls.CallGroup)), 1.0)
        try:
            await journal.calls.flush()
            written = True
        except JournalError as error:
            written = str(error)
        return {"found": found, "exists": journal.exists, "written": written}
asyncio.run(read("memory:"))  # what is imported late is read before the rights to read it are given up
os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    print(json.dumps(asyncio.run(read(sys.argv[1]))))
except JournalError as error:
    print(json.dumps({"error": type(error).__name__, "text": str(error)}))
"""


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """Return a folder that everybody may read, and only its owner may write to."""
    with tempfile.TemporaryDirectory(prefix="ims-shared-") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "journal.db").touch()
        (Path(folder) / "journal.db").chmod(0o644)
        yield Path(folder)


async def read_as_nobody(file: Path) -> dict[str, object]:
    """Read a journal in a process that has no rights of root any more, and is not the owner of anything."""
    if os.geteuid():
        pytest.skip("only root may become somebody else")
    command = [sys.executable, "-c", _READER, f"sqlite:///{file}"]
    # Its coverage, if the tests' is measured, could be written by the owner of the checkout alone.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=300, check=False, env=env
    )
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what would tell that a file of the folder was written."""
    return {found.name: (found.stat().st_size, found.stat().st_mtime_ns) for found in folder.iterdir()}


async def approve(file: Path, *numbers: int) -> None:
    """Make a journal, or go on with it, and end in order."""
    async with open_journal(f"sqlite:///{file}") as journal:
        for number in numbers:
            await journal.approvals.give(f"sha256:{number}", "ann@host", NOW)


async def test_after_its_end_it_is_read_where_nothing_may_be_written(shared_folder: Path) -> None:
    """Without its log SQLite would want to make one; the calls are not recorded, and that is said."""
    file = shared_folder / "journal.db"
    await approve(file, 0, 1)
    before = state(shared_folder)
    assert "journal.db-wal" not in before
    found = await read_as_nobody(file)
    assert (found["found"], found["exists"]) == ([True, True, False], True)
    assert "readonly" in str(found["written"])
    assert state(shared_folder) == before


async def test_while_it_is_written_the_newest_row_is_read(shared_folder: Path) -> None:
    """What is in the log and not yet in the file counts, also for who may write neither."""
    file = shared_folder / "journal.db"
    async with hold_journal(f"sqlite:///{file}", "run", Shard()) as journal:
        await journal.approvals.give("sha256:0", "ann@host", NOW)
        await journal.approvals.give("sha256:2", "ann@host", NOW)
        assert (await read_as_nobody(file))["found"] == [True, False, True]


@pytest.mark.parametrize("has_index", [True, False])
async def test_after_a_crash_the_log_is_read(shared_folder: Path, *, has_index: bool) -> None:
    """With the log's index or without: then in a copy, since the folder takes no new one."""
    file = shared_folder / "journal.db"
    crashed = shared_folder / "crashed"
    crashed.mkdir(mode=0o755)
    async with hold_journal(f"sqlite:///{file}", "run", Shard()) as journal:
        await journal.approvals.give("sha256:1", "ann@host", NOW)
        for name in ("journal.db", "journal.db-wal", *(["journal.db-shm"] if has_index else [])):
            shutil.copy(shared_folder / name, crashed / name)
    before = state(crashed)
    assert (await read_as_nobody(crashed / "journal.db"))["found"] == [False, True, False]
    assert state(crashed) == before


async def test_who_may_not_read_it_is_told(shared_folder: Path) -> None:
    """The file is its owner's alone: an error with the file and the reason, and no traceback."""
    file = shared_folder / "journal.db"
    await approve(file, 0)
    file.chmod(0o600)
    found = await read_as_nobody(file)
    assert found["error"] == "JournalError"
    assert str(file) in str(found["text"])
    os.chmod(shared_folder, 0o700)  # noqa: PTH101 - a Path's own is refused in a coroutine
    found = await read_as_nobody(file)
    assert (found["error"], "Permission denied" in str(found["text"])) == ("JournalError", True)


@pytest.mark.parametrize("version", released.VERSIONS)
async def test_reading_leaves_a_journal_of_an_older_worker_as_it_is(tmp_path: Path, version: int) -> None:
    """Not a byte of it changes, and no file appears beside it, even for who may write both."""
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    released.make(url, version)
    before = state(tmp_path)
    async with store.read_journal(url) as journal:
        assert await journal.approvals.is_given("sha256:0")
        assert [each.run_id for each in (await journal.memory.overview(9, released.NOW)).passes.needed()] == ["old"]
        assert list(await journal.quarantine.held()) == [released.HELD]
        assert await journal.rejections.since(0) == {}
    assert state(tmp_path) == before


async def test_a_writer_that_comes_and_goes_meanwhile_is_noticed(tmp_path: Path) -> None:
    """Twenty times a worker begins and ends beside a reader: each reading has all that was written before it."""
    file = tmp_path / "journal.db"
    url = f"sqlite:///{file}"
    await approve(file)
    written = 0

    async def write() -> None:
        nonlocal written
        for number in range(20):
            async with store.open_journal(url) as journal:
                await journal.approvals.give(f"sha256:{number}", "ann@host", NOW)
            written = number + 1

    writing = asyncio.create_task(write())
    async with store.read_journal(url) as journal:
        while not writing.done():
            await asyncio.sleep(0)
            before = written
            assert all(
                [await journal.approvals.is_given(f"sha256:{number}") for number in range(max(0, before - 2), before)]
            )
    await writing


async def test_a_file_that_is_no_journal_is_told_to_who_reads(tmp_path: Path) -> None:
    """A letter, a damaged file: the error names it, and it is not changed."""
    file = tmp_path / "journal.db"
    file.write_text("This is somebody's letter, and no database at all.\n" * 40)
    with pytest.raises(JournalError, match="file is not a database"):
        async with store.read_journal(f"sqlite:///{file}"):
            pass
