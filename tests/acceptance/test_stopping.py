"""Ctrl-C and SIGTERM: what is said at the first signal, what is known at the second, and that the third ends it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import sqlite3
import struct
import termios
from contextlib import closing
from pathlib import Path

import pytest
from commands import ENDLESS, TIMEOUT, Running, Stage, fleet, stage
from served import SELDOM, serving

from worker.core.fleet.shards import Shard
from worker.errors import JournalLocked
from worker.journal.file_lock import hold
from worker.simulator.effects.calls import Delay, Hang
from worker.simulator.faults import Fault
from worker.simulator.options import Group

SIGNALS = [signal.SIGINT, signal.SIGTERM]
TEAMS = ("payments", "ledger", "edge")
LONG = {"schedule.grace": "200s"}
"""A grace that no test waits for: whoever ends before, has not waited for it."""
PRESS = "press again to leave them to the next run"
LEAVING = "Leaving 3 jobs to the next run; press again to end without a report"
LEAVING_AT_ONCE = "Leaving 3 jobs to the next run; press again to end at once"


@pytest.mark.parametrize("number", SIGNALS)
async def test_the_first_explains_itself_and_the_second_reports_what_is_known(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Jobs in flight are unsettled and nothing else is said of them; the journal has them, and the next run as well."""
    world = fleet(2, TEAMS, seconds=ENDLESS)
    async with stage(tmp_path, world) as here:
        running = await here.start("run", "--json", settings=LONG)
        await polled_all(here, 3, running)
        running.send(number)
        line = await running.said("Stopping")
        assert line == f"Stopping: nothing more is sent; waiting up to 3 m 20 s for 3 jobs, {PRESS}\n"
        running.send(number)
        assert await running.said("Leaving") == f"{LEAVING}\n"
        done = await running.finished()
        assert (done.status, done.document["unsettled"], done.document["desired"]) == (1, 6, 6)
        assert {job["state"] for job in done.document["jobs"]} == {"unsettled"}
        assert {each["outcome"] for each in done.document["shares"]} == {"unsettled"}
        kept = (await here.run("status", "--json")).document["in_flight"]
        assert {each["job_id"] for each in kept} == set(world.jobs)
        here.end_jobs()
        assert (await here.run("run")).status == 0
        assert here.puts() == 3


async def test_a_signal_while_projects_are_read_ends_the_reading(tmp_path: Path) -> None:
    """Nothing was sent, so nothing is waited for; what was not read is unknown, and the report says why."""
    async with stage(tmp_path, faults=[Fault(Delay(300.0), on=(Group.IMAGES_LIST,))]) as here:
        running = await here.start("run", "--json", settings=LONG)
        await here.until(lambda: here.cloud.ledger.peak > 0, running)
        running.send(signal.SIGTERM)
        assert await running.said("Stopping") == (
            "Stopping: nothing more is sent, and nothing that was sent is still open\n"
        )
        done = await running.finished()
        assert (done.status, done.document["unknown"], here.puts()) == (1, 8, 0)
        assert done.document["result"] == "incomplete"
        assert {each["reason"] for each in done.document["shares"]} == {"the pass was told to stop before it was read"}


async def test_the_report_says_that_projects_were_not_read_and_not_that_they_could_not_be(tmp_path: Path) -> None:
    """Nobody tried: the pass was told to stop, and is incomplete."""
    async with stage(tmp_path, faults=[Fault(Delay(300.0), on=(Group.IMAGES_LIST,))]) as here:
        running = await here.start("run", settings=LONG)
        await here.until(lambda: here.cloud.ledger.peak > 0, running)
        running.send(signal.SIGINT)
        done = await running.finished()
    told = "2 projects were not read: the pass was told to stop first"
    assert (done.status, done.out.splitlines()[0]) == (1, told)
    assert "could be read" not in done.out
    assert "\nIncomplete: " in done.out


async def test_answers_that_are_awaited_are_counted_and_kept(tmp_path: Path) -> None:
    """A PUT without an answer may have been taken: it is unsettled, and stands in the journal without a job."""
    silent = Fault(Hang(), on=(Group.MEMBERS_PUT,))
    async with stage(tmp_path, fleet(4, ["payments"]), [silent]) as here:
        running = await here.start("run", "--json", settings={**LONG, "cloud.read_timeout": "300s"})
        await here.until(lambda: here.puts() == 1, running)
        running.send(signal.SIGINT)
        assert "for the answer to 1 PUT, press again to leave it to the next run" in await running.said("Stopping")
        running.send(signal.SIGINT)
        assert "Leaving the answer to 1 PUT to the next run" in await running.said("Leaving")
        done = await running.finished()
        assert (done.status, done.document["unsettled"], done.document["jobs"]) == (1, 4, [])
        kept = (await here.run("status", "--json")).document["in_flight"]
        assert [each["job_id"] for each in kept] == [None]


async def test_whoever_waits_for_the_journal_waits_no_longer(tmp_path: Path) -> None:
    """With the file locked by a stranger a signal ends the run well before its patience does, with one document."""
    async with stage(tmp_path) as here:
        assert (await here.run("plan")).status == 0
        with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as stranger:
            stranger.execute("PRAGMA journal_mode = WAL")
            stranger.execute("BEGIN EXCLUSIVE")
            running = await here.start("run", "--json", settings=LONG)
            await here.until(lambda: is_held(tmp_path / "journal.db"), running)
            running.send(signal.SIGTERM)
            assert "nothing that was sent is still open" in await running.said("Stopping")
            done = await running.finished()
            assert (done.status, done.document["schema"]) == (7, "ims-share-worker/error/1")
        assert here.puts() == 0


async def test_a_journal_that_cannot_be_written_keeps_no_second_signal_waiting(tmp_path: Path) -> None:
    """A stranger locks the file during the pass: the report comes all the same, says so, and is one document."""
    world = fleet(2, TEAMS, seconds=ENDLESS)
    async with stage(tmp_path, world) as here:
        running = await here.start("run", "--json", settings=LONG)
        await polled_all(here, 3, running)
        with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as stranger:
            stranger.execute("BEGIN EXCLUSIVE")
            running.send(signal.SIGINT)
            await running.said("Stopping")
            running.send(signal.SIGINT)
            done = await running.finished()
        assert (done.status, done.document["unsettled"]) == (7, 6)
        assert done.document["journal_error"]


@pytest.mark.parametrize("imported", ["worker.commands.performing", "worker.wiring"])
async def test_a_run_that_has_not_begun_says_that_nothing_was_sent(tmp_path: Path, imported: str) -> None:
    """A signal before its verb is performed, or as that imports what it needs: 1, and with JSON one document."""
    async with stage(tmp_path) as here:
        here.write("stopped.py", STOPPED.format(imported))
        for options in ((), ("--json",)):
            done = await (await here.start("run", *options, launcher=("stopped.py",))).finished()
            assert (done.status, done.err) == (1, "interrupted: nothing was sent\n")
            if options:
                assert (done.document["schema"], done.document["exit"]) == ("ims-share-worker/error/1", 1)
            else:
                assert done.out == ""
        assert (await (await here.start("serve", launcher=("stopped.py",))).finished()).status == 0
        assert sum(here.cloud.ledger.counts.values()) == 0


STOPPED = """\
import os, signal, sys

from worker import __main__

class Early:
    def find_spec(self, name, *_):
        if name == "{}":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Early())
__main__.main()
"""
"""The command, which gets a signal while it imports what it needs."""


async def test_a_third_signal_ends_at_once(tmp_path: Path) -> None:
    """The report is never written, one document says so, and the journal has what was sent."""
    world = fleet(2, TEAMS, seconds=ENDLESS)
    async with stage(tmp_path, world) as here:
        here.write("deaf.py", DEAF)
        running = await here.start("run", "--json", settings=LONG, launcher=("deaf.py",))
        await polled_all(here, 3, running)
        for words in ("Stopping", "Leaving", "Ended without a report"):
            running.send(signal.SIGINT)
            await running.said(words)
        done = await running.finished()
        assert (done.status, done.document["schema"]) == (1, "ims-share-worker/error/1")
        assert len((await here.run("status", "--json")).document["in_flight"]) == 3


DEAF = """\
import asyncio

from worker import __main__
from worker.reconcile import run

async def never(*_):
    await asyncio.Event().wait()

run.record = never
__main__.main()
"""
"""The command, which never comes to the end of its pass."""


@pytest.mark.parametrize("columns", [80, 200])
async def test_on_a_terminal_it_stands_above_the_progress_in_whole_words(tmp_path: Path, columns: int) -> None:
    """With live progress the sentence is not torn and no time to go beside it; the report follows, and the cursor."""
    world = fleet(2, TEAMS, seconds=ENDLESS)
    async with stage(tmp_path, world) as here:
        here.environ |= {"TERM": "xterm", "LANG": "C.UTF-8"}
        seen, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        text = Terminal(seen)
        running = await here.start("run", settings=LONG, err=theirs)
        os.close(theirs)
        await polled_all(here, 3, running)
        await text.until("waiting for jobs of the cloud")
        running.send(signal.SIGINT)
        await text.until("next run")
        running.send(signal.SIGINT)
        assert running.process.stdout is not None
        async with asyncio.timeout(TIMEOUT):
            out = (await running.process.stdout.read()).decode()
            assert await running.process.wait() == 1
        text.close()
        sentence = f"Stopping: nothing more is sent; waiting up to 3 m 20 s for 3 jobs, {PRESS}"
        lines = [line.strip() for line in text.lines() if line.strip()]
        if columns == 200:
            assert sentence in lines
        else:
            at = lines.index("Stopping: nothing more is sent; waiting up to 3 m 20 s for 3 jobs, press again")
            assert lines[at + 1] == "to leave them to the next run"
        assert "waiting for jobs of the cloud" not in text.text[text.text.index("Stopping") :]
        assert text.text.rindex("\x1b[?25h") > text.text.rindex("\x1b[?25l")
        assert "6 unsettled" in out


class Terminal:
    """What a terminal got, of which `seen` is the other end."""

    def __init__(self, seen: int) -> None:
        self.text = ""
        self._seen = seen
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(seen, self._read)

    async def until(self, words: str) -> None:
        """Wait until it has got these words."""
        async with asyncio.timeout(TIMEOUT):
            while words not in self.text:
                self._changed.clear()
                await self._changed.wait()

    def lines(self) -> list[str]:
        """Return the lines without what moves the cursor or colours them."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.text).replace("\r", "\n").split("\n")

    def close(self) -> None:
        """Take what is left, and let go of it."""
        self._read()
        asyncio.get_running_loop().remove_reader(self._seen)
        os.close(self._seen)

    def _read(self) -> None:
        try:
            self.text += os.read(self._seen, 1_000_000).decode()
        except OSError:  # nobody is at the other end any more
            asyncio.get_running_loop().remove_reader(self._seen)
        self._changed.set()


async def test_a_daemon_explains_itself_and_waits_for_nothing_at_the_second(tmp_path: Path) -> None:
    """SIGTERM is told in the log with what is awaited; a second one ends the daemon with 0, and the journal has all."""
    world = fleet(2, TEAMS, seconds=ENDLESS)
    async with stage(tmp_path, world) as here, serving(here, settings={**SELDOM, **LONG}) as daemon:
        await polled_all(here, 3, daemon.running)
        daemon.running.send(signal.SIGTERM)
        line = await daemon.heard("daemon.stopping", grace=200.0)
        assert line["message"] == f"Stopping: nothing more is sent; waiting up to 3 m 20 s for 3 jobs, {PRESS}"
        daemon.running.send(signal.SIGTERM)
        await daemon.heard("daemon.stopping", message=LEAVING_AT_ONCE)
        await daemon.heard("pass.finished", unsettled=6)
        async with asyncio.timeout(TIMEOUT):
            assert await daemon.running.process.wait() == 0
        assert len((await here.run("status", "--json")).document["in_flight"]) == 3


def is_held(journal: Path) -> bool:
    """Tell whether a worker holds a journal."""
    try:
        with hold(journal, "run", Shard()):
            return False
    except JournalLocked:
        return True


async def polled_all(here: Stage, jobs: int, running: Running) -> None:
    """Wait until so many jobs have been asked for: they are journalled, and followed."""
    await here.until(lambda: sum(job.polls > 0 for job in here.world.jobs.values()) == jobs, running)
