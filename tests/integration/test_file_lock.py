"""The lock beside an SQLite journal: one holder per shard, who is named, and whose death sets it free."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker.core.fleet.shards import Shard
from worker.errors import JournalError, JournalLocked
from worker.journal.file_lock import hold

WHOLE = Shard()
_HOLDER = """
import sys
from pathlib import Path
from worker.core.fleet.shards import parse_shard
from worker.journal.file_lock import hold
with hold(Path(sys.argv[1]), "run", parse_shard(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(journal: Path, shard: Shard = WHOLE) -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the journal; end that process at the end."""
    command = [sys.executable, "-c", _HOLDER, str(journal), str(shard)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_holder_is_told_who_holds(tmp_path: Path) -> None:
    """The error names the journal, and the verb, process and host that hold it."""
    journal = tmp_path / "journal.db"
    with holder(journal) as process:
        with pytest.raises(JournalLocked) as caught, hold(journal, "run", WHOLE):
            pass
        for word in (str(journal), "`run`", f"process {process.pid}", os.uname().nodename):
            assert word in str(caught.value)


def test_the_journal_is_free_once_its_holder_is_killed(tmp_path: Path) -> None:
    """After SIGKILL, which lets nobody tidy up, the next one holds it at once."""
    journal = tmp_path / "journal.db"
    with holder(journal) as process:
        process.kill()
        process.wait(300)
        with hold(journal, "run", WHOLE):
            pass


def test_the_journal_is_free_after_the_hold(tmp_path: Path) -> None:
    """Two holds in a row do not disturb each other, and neither does an error inside the first."""
    journal = tmp_path / "journal.db"
    with pytest.raises(ZeroDivisionError), hold(journal, "run", WHOLE):
        raise ZeroDivisionError
    with hold(journal, "run", WHOLE):
        pass


def test_an_error_of_the_holder_is_its_own(tmp_path: Path) -> None:
    """A system call that would block, inside the hold, is not taken for a lock."""
    with pytest.raises(BlockingIOError), hold(tmp_path / "journal.db", "run", WHOLE):
        raise BlockingIOError


@pytest.mark.parametrize(
    ("held", "asked", "together"),
    [
        ("0/1", "0/1", False),
        ("0/2", "0/2", False),
        ("0/2", "1/2", True),
        ("0/2", "0/1", False),
        ("0/1", "1/2", False),
        ("0/2", "1/3", False),
        ("0/2", "0/3", False),
    ],
)
def test_shards_of_one_count_go_together_and_no_others(
    tmp_path: Path, held: str, asked: str, *, together: bool
) -> None:
    """Two shards of one count may write at once; the same shard, the whole fleet, or another count may not."""
    first, second = (Shard(*map(int, text.split("/"))) for text in (held, asked))
    journal = tmp_path / "journal.db"
    with hold(journal, "run", first):
        if together:
            with hold(journal, "run", second):
                pass
            return
        with pytest.raises(JournalLocked), hold(journal, "run", second):
            pass


def test_who_stops_while_taking_the_journal_stops_nobody_else(tmp_path: Path) -> None:
    """The moment in which holders are compared is waited for, and not for ever."""
    journal = tmp_path / "journal.db"
    with (tmp_path / "journal.db.lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        with pytest.raises(JournalLocked, match="does not get on"), hold(journal, "run", WHOLE):
            pass
    with hold(journal, "run", WHOLE):
        pass


def test_a_shard_that_holds_is_named(tmp_path: Path) -> None:
    """Of a shard the error says which one it is."""
    journal = tmp_path / "journal.db"
    with (
        hold(journal, "run", Shard(1, 4)),
        pytest.raises(JournalLocked, match="`run --shard 1/4`"),
        hold(journal, "run", WHOLE),
    ):
        pass


def test_journals_in_one_folder_have_locks_of_their_own(tmp_path: Path) -> None:
    """A journal whose name is a pattern for the others' is not locked with them, and is locked by itself."""
    strange = tmp_path / "[ab].db"
    with (
        hold(tmp_path / "a.db", "run", WHOLE),
        hold(tmp_path / "b.db", "run", WHOLE),
        hold(strange, "run", WHOLE),
        pytest.raises(JournalLocked),
        hold(strange, "run", WHOLE),
    ):
        pass


def test_a_lock_that_cannot_be_made_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    """A missing folder is an error of the journal, which it names, and not of the lock alone."""
    journal = tmp_path / "nowhere" / "journal.db"
    with pytest.raises(JournalError, match="its folder must exist") as caught, hold(journal, "run", WHOLE):
        pass
    assert str(journal) in str(caught.value)
    assert not isinstance(caught.value, JournalLocked)
