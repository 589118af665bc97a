"""What only a journal on PostgreSQL can meet: a connection that dies, other shards, a server that is not there."""

from __future__ import annotations

import asyncio
import signal
import sys

import psycopg
import pytest
from opening import open_journal

from worker.core.state import Batch, MemberStatus
from worker.core.target import Shard
from worker.errors import JournalError, JournalLocked
from worker.journal import database
from worker.journal.lease import hold_journal

NOW = 1_800_000_000.0
BATCH = Batch("p1", MemberStatus.ACCEPTED, None, ("a",))


def cut_off(url: str) -> None:
    """Have the server end the connection of whoever holds the lease."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT DISTINCT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )


async def test_a_lost_connection_ends_the_lease_at_once(postgresql: str) -> None:
    """Not one intent is taken after the connection is gone, though no other worker has taken over yet."""
    async with hold_journal(postgresql, "run", Shard()) as journal:
        key = await journal.intend(BATCH, "run-1", NOW, 0)
        cut_off(postgresql)
        for why in ("terminating connection", "the lease with it"):
            with pytest.raises(JournalError, match=why):
                await journal.intend(BATCH, "run-1", NOW, 0)
        with pytest.raises(JournalError, match="the lease with it"):
            await journal.see_that_it_is_held()
        assert [flight.key for flight in await journal.in_flight()] == [key]
    async with hold_journal(postgresql, "run", Shard()) as journal:
        assert journal.unclean


async def test_shards_of_another_count_are_kept_out(postgresql: str) -> None:
    """Two of four go together; the same one again, one of three, and the whole fleet do not."""
    async with hold_journal(postgresql, "run", Shard(0, 4)), hold_journal(postgresql, "run", Shard(1, 4)):
        for other in (Shard(0, 4), Shard(2, 3), Shard()):
            with pytest.raises(JournalLocked, match="--shard 0/4"):
                async with hold_journal(postgresql, "run", other):
                    pass
    async with hold_journal(postgresql, "run", Shard()):
        with pytest.raises(JournalLocked, match="`run`"):
            async with hold_journal(postgresql, "run", Shard(0, 4)):
                pass


async def test_journals_of_two_databases_do_not_meet(postgresql: str, postgresql_server: str) -> None:
    """The lease of one database says nothing about the next on the same server."""
    async with hold_journal(postgresql, "run", Shard()), hold_journal(postgresql_server, "run", Shard()):
        pass


async def test_a_killed_holder_is_gone_with_its_connection(postgresql: str) -> None:
    """After SIGKILL the server lets the lease go, and the next holder knows that the end was unclean."""
    code = """
import asyncio, os, sys
from worker.core.target import Shard
from worker.journal.lease import hold_journal
async def main():
    async with hold_journal(sys.argv[1], "run", Shard()):
        os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", code, postgresql)
    assert await holder.wait() == -signal.SIGKILL
    async with hold_journal(postgresql, "run", Shard()) as journal:
        assert journal.unclean


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: "postgresql://ann:hidden-word@127.0.0.1:1/none", ["127.0.0.1:1/none", "refused"]),
        (lambda url: f"{url}-missing", ["does not exist", "a database"]),
        (lambda url: url.replace("worker@", "nobody:hidden-word@"), ['role "nobody" does not exist', "a user"]),
    ],
)
async def test_a_server_that_cannot_be_used_is_told_without_the_password(
    postgresql: str, change: object, words: list[str]
) -> None:
    """Wrong address, database, user or URL: one line with the way out."""
    with pytest.raises(JournalError) as caught:
        async with open_journal(change(postgresql)):  # type: ignore[operator]
            pass
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
    assert "hidden-word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_driver_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg the error says what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(JournalError, match=r"ims-share-worker\[postgres\]"):
        database.open_database("postgresql://127.0.0.1/x")
