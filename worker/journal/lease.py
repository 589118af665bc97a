"""One writer per journal: a lock on a file beside it, which the system lets go of when the process dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from worker.errors import JournalError, JournalLocked


@contextmanager
def hold(journal: Path, verb: str) -> Iterator[None]:
    """Hold the journal for this process; raise JournalLocked with who holds it, JournalError if it cannot be locked.

    The lock file stays behind, unlocked and harmless: to remove it would open a race.
    """
    path = journal.with_name(journal.name + ".lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"the lock {path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(handle, 0)
        os.pwrite(handle, json.dumps(_holder(verb)).encode(), 0)
        yield
    except BlockingIOError as error:
        raise JournalLocked(f"another worker holds the journal {journal}: {_described(handle)}") from error
    finally:
        os.close(handle)


def _holder(verb: str) -> dict[str, str | int]:
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"verb": verb, "pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _described(handle: int) -> str:
    try:
        holder = json.loads(os.pread(handle, 4096, 0))
        return f"`{holder['verb']}`, process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "it has not said who it is"
