"""One writer per journal and shard: locks on files beside it, which the system lets go of when the process dies.

Each holder locks a file named after its shard; the whole fleet is shard 0 of 1. Two shards of one count go together,
while shards of different counts would overlap. Whoever wants a lock looks at those of the others alone, behind a gate.
"""

from __future__ import annotations

import fcntl
import glob
import os
import pwd
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from worker.core.fleet.shards import Shard
from worker.errors import JournalError, JournalLocked, JournalUnreachable
from worker.journal.engine import system_error
from worker.journal.holder import described, introduction
from worker.journal.sqlite_file import make_private

_LOCK_OF_SHARD = re.compile(r"\.([0-9]+)-of-([0-9]+)\.lock")
_LOOKS, _BETWEEN_LOOKS = 50, 0.01
"""How often, and how many seconds apart, the gate is tried: who goes through it takes far less than a millisecond."""


@contextmanager
def hold(journal: Path, verb: str, shard: Shard) -> Iterator[None]:
    """Hold the journal, whose path is free of links, or its part for a shard, for this process. It may wait a little.

    Raises JournalLocked with who holds it already, JournalError if it cannot be locked. The lock files stay behind,
    unlocked and harmless: to remove them would open a race.
    """
    with ExitStack() as held:
        try:
            with _opened(journal, ".lock") as gate:
                _go_through(gate, journal)
                for rival in _rivals(journal, shard):
                    _see_that_it_is_free(journal, rival)
                lock = held.enter_context(_opened(journal, f".{shard.index}-of-{shard.count}.lock"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.truncate(lock, 0)
                os.pwrite(lock, introduction(verb, shard).encode(), 0)
        except OSError as error:
            way_out = "its folder must exist, be writable and have room"
            raise system_error(f"the journal {journal} cannot be locked", error, way_out) from error
        yield


def holders(journal: Path) -> tuple[str, ...]:
    """Return what those have written down who hold the journal, whose path is free of links, or a part of it, now.

    Raises JournalLocked where somebody is about to take it and does not get on, JournalError where that cannot be told.
    """
    found: list[str] = []
    if not journal.with_name(f"{journal.name}.lock").exists():
        # Nobody has ever held it; a lock file made here might belong to somebody whom no worker runs as.
        return ()
    try:
        with _opened(journal, ".lock") as gate:
            # Nobody takes a lock meanwhile, who would find it taken by this look.
            _go_through(gate, journal)
            for suffix in _locks(journal):
                with _opened(journal, suffix) as lock:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    except BlockingIOError:
                        found.append(_written(lock))
    except OSError as error:
        raise system_error(
            f"the journal's locks beside {journal} cannot be read", error, "see to their rights"
        ) from error
    return tuple(found)


@contextmanager
def _opened(journal: Path, suffix: str) -> Iterator[int]:
    file = journal.with_name(journal.name + suffix)
    make_private(file)
    try:
        # What is there is opened as it is, and no link is followed: it might lead to a file of somebody else.
        handle = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _cannot_be_opened(file, error) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _cannot_be_opened(file: Path, error: OSError) -> JournalError:
    if file.is_symlink():
        return JournalError(f"the journal's lock {file} is a symbolic link, and is not followed: remove it")
    with suppress(OSError):
        owner = file.lstat().st_uid
        if owner != os.geteuid():
            return JournalUnreachable(
                f"the journal's lock {file} belongs to {_name_of(owner)}, who alone may use it: run as that user, or "
                "remove it when no worker is at work"
            )
    return system_error(f"the journal's lock {file} cannot be opened", error, "see to its rights")


def _name_of(user: int) -> str:
    try:
        return f"{pwd.getpwuid(user).pw_name} (uid {user})"
    except KeyError:
        return f"uid {user}"


def _go_through(gate: int, journal: Path) -> None:
    """Wait for the gate, but not for long: somebody who was stopped there must not stop the others."""
    for _ in range(_LOOKS):
        with suppress(BlockingIOError):
            return fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_BETWEEN_LOOKS)
    raise JournalLocked(f"another worker is about to take the journal {journal}, and does not get on")


def _rivals(journal: Path, shard: Shard) -> Iterator[str]:
    """Yield the suffixes of the lock files of those that must not write beside this shard."""
    for suffix, (index, count) in _locks(journal).items():
        if count != shard.count or index == shard.index:
            yield suffix


def _locks(journal: Path) -> dict[str, tuple[int, int]]:
    """Return the suffixes of the lock files of all shards, in their order, with index and count of the shard."""
    found = {}
    for path in sorted(journal.parent.glob(f"{glob.escape(journal.name)}.*.lock")):
        suffix = path.name.removeprefix(journal.name)
        if match := _LOCK_OF_SHARD.fullmatch(suffix):
            found[suffix] = (int(match[1]), int(match[2]))
    return found


def _written(lock: int) -> str:
    return os.pread(lock, 4096, 0).decode(errors="replace")


def _see_that_it_is_free(journal: Path, suffix: str) -> None:
    with _opened(journal, suffix) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = described(_written(lock))
            raise JournalLocked(f"another worker holds the journal {journal}: {holder}") from error
