"""What only a journal on PostgreSQL can meet: a connection that dies, other shards, a server that is not there."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import quote

import psycopg
import pytest
from opening import open_journal
from sqlalchemy.exc import OperationalError

from worker.core.batch import Batch
from worker.core.fleet.shards import Shard
from worker.core.operation import Operation
from worker.errors import JournalError, JournalLocked
from worker.journal import database
from worker.journal.advisory_lock import SILENT_FOR
from worker.journal.lease import HeldJournal, hold_journal

NOW = 1_800_000_000.0
BATCH = Batch("p1", Operation.ACCEPT, None, ("a",))


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
        key = await journal.batches.intend(BATCH, "run-1", NOW, 0)
        cut_off(postgresql)
        for why in ("terminating connection", "the lease with it"):
            with pytest.raises(JournalError, match=why):
                await journal.batches.intend(BATCH, "run-1", NOW, 0)
        with pytest.raises(JournalError, match="the lease with it"):
            await journal.verify_lease()
        assert [flight.key for flight in await journal.batches.in_flight()] == [key]
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
from worker.core.fleet.shards import Shard
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


_STOPPED = """
import asyncio, os, signal, sys
from worker.core.batch import Batch
from worker.core.fleet.shards import Shard
from worker.core.operation import Operation
from worker.errors import JournalError
from worker.journal.lease import hold_journal
BATCH = Batch("p1", Operation.ACCEPT, None, ("a",))
async def main():
    async with hold_journal(sys.argv[1], "run", Shard()) as journal:
        await journal.batches.intend(BATCH, "before", 1.0, 0)
        print("held", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        for attempt in ("first", "second"):
            try:
                await journal.batches.intend(BATCH, attempt, 2.0, 0)
                print("would send")
            except JournalError as error:
                print(type(error).__name__)
asyncio.run(main())
"""


@pytest.mark.waits
async def test_a_holder_that_stands_still_loses_the_lease_and_sends_nothing_when_it_wakes(postgresql: str) -> None:
    """Its system answers for it, so that only the server can tell: another takes over, and what it wakes to is no."""
    stopped = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _STOPPED, postgresql, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert stopped.stdout is not None
        assert await stopped.stdout.readline() == b"held\n"
        async with asyncio.timeout(SILENT_FOR + 300), taken_over(postgresql) as journal:
            assert journal.unclean
            stopped.send_signal(signal.SIGCONT)
            said, _ = await stopped.communicate()
            assert said.split() == [b"JournalUnreachable", b"JournalUnreachable"]
            assert [flight.run_id for flight in await journal.batches.in_flight()] == ["before"]
    finally:
        if stopped.returncode is None:
            stopped.kill()
            await stopped.wait()


@asynccontextmanager
async def taken_over(url: str) -> AsyncIterator[HeldJournal]:
    """Hold the journal as soon as nobody else does."""
    async with AsyncExitStack() as held:
        while True:
            with suppress(JournalLocked):
                journal = await held.enter_async_context(hold_journal(url, "serve", Shard()))
                break
            await asyncio.sleep(0.2)
        yield journal


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


SECRETS = "Key-Of_Ann", "db1-service", "/home/ann/cert", "search_path=private_schema", "42-hidden"
FAILURES = {
    'definition of service "{}" not found': SECRETS[1],
    'certificate file "{}" does not exist': SECRETS[2],
    'invalid value for parameter "{}"': SECRETS[3],
    "the server said {} twice": SECRETS[0],
    "FATAL: unrecognized parameter {}": SECRETS[4],
}


@pytest.mark.parametrize("said", FAILURES)
def test_no_error_repeats_what_the_url_keeps_secret(said: str) -> None:
    """Whatever the driver, its library or the server says of a connection: password and options are masked in it."""
    password, service, cert, options, name = (quote(secret) for secret in SECRETS)
    opened = database.open_database(
        f"postgresql://ann:{password}@h/db?service={service}&sslcert={cert}&options=-c%20{options}"
        f"&application_name={name}&sslmode=require"
    )
    text = said.format(FAILURES[said])
    error = OperationalError("connect", {}, psycopg.OperationalError(f"{text}: SSL was required"))
    shown = opened.explained(error)
    assert "***" in shown
    assert not [secret for secret in (*SECRETS, "private_schema") if secret in f"{shown} {opened.where}"]
    assert "SSL was required" in shown


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://h/db?row_factory=hidden-word", "does not know"),
        ("postgresql://h/db?hidden-word=1", "does not know"),
        ("postgresql://h/db?plugin=hidden-word", "does not know"),
        ("postgresql://h/db?sslmode=hidden-word&sslmode=other", "twice"),
        ("postgresql://h/db?port=hidden-word", "not a URL"),
        ("postgresql://ann:hidden-word@h:99x/db", "not a URL"),
    ],
)
def test_a_url_that_makes_no_connection_is_told_without_its_parts(url: str, words: str) -> None:
    """What the driver would take for an argument of its own is refused before it, by its kind and not by its text."""
    with pytest.raises(JournalError, match=words) as caught:
        database.open_database(url)
    assert "hidden-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ("connection to server at 127.0.0.1, port 1 failed: Connection refused", True),
        ("FATAL:  the database system is starting up", True),
        ("FATAL:  the database system is shutting down", True),
        ("FATAL:  sorry, too many clients already", True),
        ("failed to resolve host 'h': [Errno -2] Name or service not known", True),
        ("failed to resolve host 'h': [Errno -3] Temporary failure in name resolution", True),
        ("connection timeout expired", True),
        ("server closed the connection unexpectedly", True),
        ('FATAL:  password authentication failed for user "ann"', False),
        ('FATAL:  database "db" does not exist', False),
        ('FATAL:  role "ann" does not exist', False),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "ann", database "db", no encryption', False),
        ("server does not support SSL, but SSL was required", False),
        ("SSL error: certificate verify failed", False),
        ("fe_sendauth: no password supplied", False),
        ('invalid sslmode value: "x"', False),
    ],
)
def test_a_connection_that_fails_may_pass_unless_somebody_must_mend_it(said: str, *, passes: bool) -> None:
    """A server that is away, starting or full comes back; a name, a password or a certificate stays wrong."""
    opened = database.open_database("postgresql://ann@h/db")
    assert opened.passes(OperationalError("connect", {}, psycopg.OperationalError(said))) is passes
