"""One file is one journal, however it is named; whose its files are; and what its locks do with links."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opening import open_journal

from worker.core.fleet.shards import Shard
from worker.errors import JournalError, JournalLocked, JournalMissing, JournalUnreachable
from worker.journal import store
from worker.journal.database import is_same
from worker.journal.lease import hold_journal

NOW = 1_800_000_000.0
WHOLE = Shard()
ODD = ["job_feature%2Flogin", "a%20b", "what?now", "a#b", "a b", "a&mode=ro", "%", "ümläut", os.fsdecode(b"\xff\xfe")]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Have the process make files with this mask for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def names_in(folder: Path) -> list[str]:
    """Return the names of what is in a folder."""
    return sorted(found.name for found in folder.iterdir())


def plain_files(folder: Path) -> set[str]:
    """Return the names of the files in a folder and below it; a link is none."""
    return {found.name for found in folder.rglob("*") if found.is_file() and not found.is_symlink()}


def mode(file: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("is_folder", [True, False])
async def test_a_path_is_taken_as_it_is(tmp_path: Path, name: str, *, is_folder: bool) -> None:
    """What would mean something in a URL is a part of the name, of a folder and of the file, to write and to read."""
    file = tmp_path / name / "journal.db" if is_folder else tmp_path / name
    file.parent.mkdir(exist_ok=True)
    async with hold_journal(f"sqlite:///{file}", "run", WHOLE) as journal:
        await journal.approvals.give("sha256:1", "ann@host", NOW)
        async with store.read_journal(f"sqlite:///{file}") as reader:
            assert await reader.approvals.is_given("sha256:1")
    async with store.read_journal(f"sqlite:///{file}") as reader:
        assert await reader.approvals.is_given("sha256:1")
    with sqlite3.connect(file) as raw:
        assert raw.execute("SELECT count(*) FROM approvals").fetchone() == (1,)
    raw.close()
    locks = {f"{file.name}.lock", f"{file.name}.0-of-1.lock"}
    assert set(names_in(file.parent)) == {file.name, *locks}
    assert set(names_in(tmp_path)) == ({name} if is_folder else {name, *locks})


def through_a_linked_folder(file: Path) -> str:
    """Name the file by a symbolic link to its folder."""
    (file.parent / "link").symlink_to(file.parent)
    return str(file.parent / "link" / file.name)


def through_a_linked_file(file: Path) -> str:
    """Name the file by a symbolic link to it, in another folder."""
    (file.parent / "elsewhere").mkdir()
    (file.parent / "elsewhere" / "other.db").symlink_to(file)
    return str(file.parent / "elsewhere" / "other.db")


def through_a_link_and_up(file: Path) -> str:
    """Name the file by the folder above a link's goal, which is not the one above the link."""
    (file.parent / "deep" / "deeper").mkdir(parents=True)
    (file.parent / "deep" / "link").symlink_to(file.parent / "deep" / "deeper")
    (file.parent / "up").symlink_to(file.parent / "deep" / "deeper")
    return str(file.parent / "up" / ".." / ".." / file.name)


def with_dots_and_slashes(file: Path) -> str:
    """Name the file by a way round."""
    (file.parent / "sub").mkdir()
    return f"{file.parent}//sub/..///./{file.name}"


def from_here(file: Path) -> str:
    """Name the file from the working directory."""
    return os.path.relpath(file)


@pytest.mark.parametrize(
    "named", [through_a_linked_folder, through_a_linked_file, through_a_link_and_up, with_dots_and_slashes, from_here]
)
@pytest.mark.parametrize("is_there", [True, False])
async def test_a_file_is_one_journal_by_whatever_name(
    tmp_path: Path, named: Callable[[Path], str], *, is_there: bool
) -> None:
    """Who names it in another way is kept out by its holder, reads what it wrote, and makes nothing beside it."""
    file = tmp_path / "journal.db"
    url, other = f"sqlite:///{file}", f"sqlite:///{named(file)}"
    if is_there:
        async with open_journal(url):
            pass
    first, second = (url, other) if is_there else (other, url)
    async with hold_journal(first, "run", WHOLE) as journal:
        await journal.approvals.give("sha256:1", "ann@host", NOW)
        await journal.verify_lease()
        with pytest.raises(JournalLocked):
            async with hold_journal(second, "run", WHOLE):
                pass
        async with store.read_journal(second) as reader:
            assert await reader.approvals.is_given("sha256:1")
    assert is_same(url, other)
    assert plain_files(tmp_path) == {"journal.db", "journal.db.lock", "journal.db.0-of-1.lock"}


async def test_a_link_that_leads_elsewhere_ends_the_lease(tmp_path: Path) -> None:
    """Who opens the journal by that name from now on gets another file, and other locks."""
    (tmp_path / "one.db").touch()
    (tmp_path / "two.db").touch()
    link = tmp_path / "journal.db"
    link.symlink_to("one.db")
    async with hold_journal(f"sqlite:///{link}", "run", WHOLE) as journal:
        link.unlink()
        link.symlink_to("two.db")
        with pytest.raises(JournalError, match="removed or replaced"):
            await journal.verify_lease()


async def test_a_hard_link_is_warned_of(tmp_path: Path) -> None:
    """Under each of its names it would be another journal to SQLite and to the locks: whoever opens it is told."""
    file, url = tmp_path / "journal.db", f"sqlite:///{tmp_path / 'journal.db'}"
    async with open_journal(url) as journal:
        assert journal.notes == ()
    (tmp_path / "other.db").hardlink_to(file)
    for opened in (hold_journal(url, "run", WHOLE), store.open_journal(url), store.read_journal(url)):
        async with opened as journal:
            (note,) = journal.notes
            assert "2 names (hard links)" in note


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o277])
async def test_what_is_made_is_for_its_owner_alone(tmp_path: Path, mask: int) -> None:
    """The file, what SQLite puts beside it, and the locks: whatever the mask of the process."""
    with umask(mask):
        async with hold_journal(f"sqlite:///{tmp_path / 'journal.db'}", "run", WHOLE) as journal:
            await journal.approvals.give("sha256:1", "ann@host", NOW)
            modes = {name: mode(tmp_path / name) for name in names_in(tmp_path)}
    beside = ("", "-shm", "-wal", ".lock", ".0-of-1.lock")
    assert modes == {f"journal.db{suffix}": 0o600 for suffix in beside}


async def test_a_group_is_let_in_where_the_file_was_made_so(tmp_path: Path) -> None:
    """An operator makes the file before: it is taken for a journal to come, and keeps its rights, also in its log."""
    file = tmp_path / "journal.db"
    file.touch()
    file.chmod(0o640)
    with pytest.raises(JournalMissing):
        async with store.open_journal(f"sqlite:///{file}"):
            pass
    async with hold_journal(f"sqlite:///{file}", "run", WHOLE) as journal:
        await journal.approvals.give("sha256:1", "ann@host", NOW)
        modes = {suffix: mode(tmp_path / f"journal.db{suffix}") for suffix in ("", "-wal", "-shm", ".lock")}
    assert modes == {"": 0o640, "-wal": 0o640, "-shm": 0o640, ".lock": 0o600}


@pytest.mark.parametrize("suffix", [".lock", ".0-of-1.lock", ".1-of-2.lock"])
async def test_a_lock_follows_no_link(tmp_path: Path, suffix: str) -> None:
    """Where somebody has put a link to a file, that file is left alone, and the link is named."""
    precious = tmp_path / "precious"
    precious.write_text("do not touch")
    (tmp_path / f"journal.db{suffix}").symlink_to(precious)
    with pytest.raises(JournalError, match="symbolic link") as caught:
        async with hold_journal(f"sqlite:///{tmp_path / 'journal.db'}", "run", WHOLE):
            pass
    assert f"journal.db{suffix}" in str(caught.value)
    assert precious.read_text() == "do not touch"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere/journal.db", "there is no folder"),
        ("file/journal.db", "Not a directory"),
        ("loop/journal.db", "cannot be reached"),
        ("folder", "must be a file"),
        ("pipe", "must be a file"),
        ("x" * 250, "its name is too long"),
        ("x" * 300, "its name is too long"),
    ],
)
async def test_a_path_that_can_never_work_is_no_state_that_passes(tmp_path: Path, path: str, words: str) -> None:
    """It is an error of the config, for who writes and for who reads, with the path; nothing waits for it."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    url = f"sqlite:///{tmp_path / path}"
    for opened in (hold_journal(url, "run", WHOLE), store.open_journal(url), store.read_journal(url)):
        with pytest.raises(JournalError) as caught:
            async with opened:
                pass
        assert words.lower() in str(caught.value).lower()
        assert path in str(caught.value)
        assert not isinstance(caught.value, JournalUnreachable | JournalMissing | JournalLocked)


async def test_who_writes_a_row_makes_no_journal(journal_url: str, tmp_path: Path) -> None:
    """Nobody would look for it there: the error names the place that was looked at, and no file is made."""
    with pytest.raises(JournalMissing, match=r"there is no journal .* yet") as caught:
        async with store.open_journal(journal_url):
            pass
    assert journal_url.rpartition("/")[2] in str(caught.value)
    assert names_in(tmp_path) == []


async def test_who_reads_is_told_that_there_is_no_journal_yet(journal_url: str, tmp_path: Path) -> None:
    """It is empty, says so, and takes calls that nobody will ask for; no file is made."""
    async with store.read_journal(journal_url) as journal:
        assert (journal.exists, await journal.batches.in_flight()) == (False, ())
        assert "there is no journal" in journal.notes[0]
    assert names_in(tmp_path) == []
