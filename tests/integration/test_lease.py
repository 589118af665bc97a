"""The lease of a journal in SQLite: one writer, who is named; its number stops a holder who has lost it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opening import open_journal

from worker.core.batch import Batch
from worker.core.fleet.shards import Shard
from worker.core.operation import Operation
from worker.errors import JournalLocked
from worker.journal.database import MEMORY
from worker.journal.lease import hold_journal

NOW = 1_800_000_000.0
BATCH = Batch("p1", Operation.ACCEPT, None, ("a",))
WHOLE = Shard()
_HOLDER = """
import asyncio, sys
from worker.core.fleet.shards import Shard
from worker.journal.database import MEMORY
from worker.journal.lease import hold_journal
async def main():
    async with hold_journal(sys.argv[1], "run", Shard()):
        print("held", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """Return the URL of a journal that is not there yet, in an SQLite file."""
    return f"sqlite:///{tmp_path / 'journal.db'}"


@contextmanager
def holder(url: str) -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the journal; end that process at the end."""
    command = [sys.executable, "-c", _HOLDER, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


async def test_a_second_holder_is_told_who_holds_and_others_may_write_a_row(journal_url: str) -> None:
    """Another process's lease is respected, and named; an approval, which needs none, is written beside it."""
    with holder(journal_url) as process:
        with pytest.raises(JournalLocked, match=f"`run`, process {process.pid} on "):
            async with hold_journal(journal_url, "run", WHOLE):
                pass
        async with open_journal(journal_url) as journal:
            await journal.approvals.give("sha256:1", "ann@host", NOW)


async def test_after_a_kill_the_lease_is_free_and_the_end_known_as_unclean(journal_url: str) -> None:
    """SIGKILL frees the lease at once; the next holder knows that calls may be unrecorded, the one after does not."""
    with holder(journal_url) as process:
        process.kill()
        process.wait(300)
    ends = []
    for _ in range(2):
        async with hold_journal(journal_url, "run", WHOLE) as journal:
            ends.append(journal.unclean)
    assert ends == [True, False]


async def test_an_error_of_the_holder_is_no_unclean_end(journal_url: str) -> None:
    """Whatever ends the work, the lease is given back on the way out."""
    with pytest.raises(ZeroDivisionError):
        async with hold_journal(journal_url, "run", WHOLE):
            raise ZeroDivisionError
    async with hold_journal(journal_url, "run", WHOLE) as journal:
        assert not journal.unclean


async def test_shards_of_one_count_hold_together(journal_url: str) -> None:
    """Both halves of a fleet are held at once, and each may send; the whole fleet is refused beside them."""
    async with (
        hold_journal(journal_url, "run", Shard(0, 2)) as one,
        hold_journal(journal_url, "run", Shard(1, 2)) as other,
    ):
        for journal in (one, other):
            await journal.batches.intend(BATCH, "run-1", NOW, 0)
        with pytest.raises(JournalLocked, match="--shard 0/2"):
            async with hold_journal(journal_url, "run", WHOLE):
                pass


@pytest.mark.parametrize("next_shard", [WHOLE, Shard(1, 2)])
async def test_who_lost_the_lease_without_noticing_sends_nothing_more(
    tmp_path: Path, file_url: str, next_shard: Shard
) -> None:
    """When the lock was deleted and another took over, the first holder's intents are refused, the second's are not."""
    async with hold_journal(file_url, "run", WHOLE) as lost:
        await lost.batches.intend(BATCH, "run-1", NOW, 0)
        remove_locks(tmp_path)
        async with hold_journal(file_url, "run", next_shard) as journal:
            with pytest.raises(JournalLocked, match="taken the journal over"):
                await lost.batches.intend(BATCH, "run-1", NOW, 0)
            key = await journal.batches.intend(BATCH, "run-2", NOW + 1, 0)
            assert [flight.key for flight in await journal.batches.in_flight()][1:] == [key]


async def test_memory_needs_no_lock(tmp_path: Path) -> None:
    """Two workers whose journals are in memory know nothing of each other."""
    async with hold_journal(MEMORY, "run", WHOLE) as one, hold_journal(MEMORY, "run", WHOLE) as other:
        await one.batches.intend(BATCH, "run-1", NOW, 0)
        assert await other.batches.in_flight() == ()


def remove_locks(folder: Path) -> None:
    """Delete the lock files, as a careless cleaner might."""
    for lock in folder.glob("*.lock"):
        lock.unlink()
