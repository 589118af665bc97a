"""The forks that other tests run commands in: they are what processes that were started anew are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from commands import MODULE, Folder, stage

VERBS = (
    ("run", "--oops"),
    ("check",),
    ("plan", "--fail-on-drift"),
    ("run",),
    ("status", "--json"),
    ("release", "golden-001", "ledger"),
    ("approve", "sha256:" + "0" * 64),
    ("demo",),
)
_CHANGES = re.compile(r"[\w./+:-]*\d[\w./+:-]*(?: (?:ms|s|min)\b)?| +")
"""What no two commands say alike: counts, times, and names that are made anew; and how columns are filled up."""


async def said(here: Folder, *arguments: str, **how: Any) -> tuple[int, str, list[str]]:
    """Run a command; return its exit status, and what it said but for its log, without what changes by itself."""
    done = await (await here.start(*arguments, **how)).finished()
    out, err = (_CHANGES.sub("_", text) for text in (done.out, done.err))
    return done.status, out, [line for line in err.splitlines() if not line.startswith("{")]


@pytest.mark.waits
async def test_each_verb_says_the_same_in_a_fork_and_started_anew(tmp_path: Path) -> None:
    """One command after the other, each way on a fleet of its own: exit status and both streams are alike."""
    found = []
    for number, how in enumerate(({"launcher": MODULE}, {})):
        folder = tmp_path / f"{number}" / "same"
        folder.mkdir(parents=True)
        async with stage(folder) as here:
            found.append([await said(here, *verb, **how) for verb in VERBS])
    for verb, anew, fork in zip(VERBS, *found, strict=True):
        assert fork == anew, verb


async def test_a_fork_has_what_was_asked_for_and_nothing_else(tmp_path: Path) -> None:
    """Its folder, its variables, as many descriptors and threads as a process that was started anew."""
    async with stage(tmp_path) as here:
        anew, fork = [await here.start("simulate", launcher=how) for how in (MODULE, ())]
        for running in (anew, fork):
            assert running.process.stdout is not None
            assert b"http://" in await running.process.stdout.readline()
        found = [_process(running.process.pid) for running in (anew, fork)]
        assert found[0] == found[1]
        assert found[1]["cwd"] == str(tmp_path)


async def test_the_end_of_a_fork_is_told_as_that_of_any_process(tmp_path: Path) -> None:
    """A signal that killed it is a negative number, once it is dead; others that run are not touched."""
    async with stage(tmp_path) as here:
        one, other = [await here.start("simulate") for _ in range(2)]
        await one.kill()
        assert one.process.returncode == -9
        with pytest.raises(ProcessLookupError):
            os.kill(one.process.pid, 0)
        assert other.process.returncode is None
        await other.kill()


def _process(pid: int) -> dict[str, Any]:
    """Return what the system says of a process."""
    files = Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (files / "status").read_text().splitlines())
    kinds = sorted(re.sub(r"\d+", "", str(each.readlink())) for each in (files / "fd").iterdir())
    same = ("Threads", "Uid", "Gid", "Groups", "Umask", "SigBlk", "SigIgn", "SigCgt", "NoNewPrivs")
    return {"cwd": str((files / "cwd").readlink()), "files": kinds, **{name: status[name] for name in same}}
