"""What a command says and nobody reads: its work goes on, and a signal still ends it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from commands import TIMEOUT, Folder, Running, Stage, fleet, share, stage
from ports import free_port
from served import OFTEN

from worker.simulator.options import Group


@pytest.fixture
def unread() -> Iterator[int]:
    """Open a pipe that is full, and that nobody reads; give its end to write to."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with suppress(BlockingIOError):
        while True:
            os.write(theirs, bytes(4096))
    os.set_blocking(theirs, True)
    yield theirs
    os.close(ours)
    os.close(theirs)


async def livez(port: int, running: Running) -> int:
    """Ask a daemon whether it lives, once it listens; return the status."""
    async with asyncio.timeout(TIMEOUT), aiohttp.ClientSession() as session:
        while True:
            assert running.process.returncode is None
            with suppress(aiohttp.ClientConnectorError):
                async with session.get(f"http://127.0.0.1:{port}/livez") as answer:
                    return answer.status
            await asyncio.sleep(0.05)


async def writes_in_vain(running: Running) -> None:
    """Wait until a command waits for room in a pipe."""
    async with asyncio.timeout(TIMEOUT):
        while "pipe_write" not in sleeps_in(running.process.pid):
            assert running.process.returncode is None
            await asyncio.sleep(0.05)


def sleeps_in(pid: int) -> str:
    """Return the function of the system in which a process sleeps."""
    return Path(f"/proc/{pid}/wchan").read_text()


async def passes(here: Stage, count: int, running: Running) -> None:
    """Wait until the cloud was asked for as many lists as this many further passes take."""
    lists = here.cloud.ledger.count(Group.IMAGES_LIST) + count * 2
    await here.until(lambda: here.cloud.ledger.count(Group.IMAGES_LIST) >= lists, running)


async def test_a_daemon_works_on_though_nobody_reads_its_log(tmp_path: Path, unread: int) -> None:
    """Passes are made, the probe is answered, what is lost is counted, and SIGTERM ends it as ever."""
    async with stage(tmp_path) as here:
        port = free_port()
        settings = {**OFTEN, "server.listen": f"127.0.0.1:{port}"}
        running = await here.start("serve", "-v", settings=settings, err=unread)
        await here.until(lambda: here.all_are("accepted"), running)
        await passes(here, 3, running)
        assert await livez(port, running) == 200
        running.send(signal.SIGTERM)
        async with asyncio.timeout(TIMEOUT):
            assert await running.process.wait() == 0


async def test_a_pass_is_made_though_nobody_reads_its_log(tmp_path: Path, unread: int) -> None:
    """The report is on standard output, and the end does not wait for ever."""
    async with stage(tmp_path) as here:
        running = await here.start("run", "-v", "--json", err=unread)
        async with asyncio.timeout(TIMEOUT):
            out, _ = await running.process.communicate()
        assert (running.process.returncode, json.loads(out)["result"]) == (0, "converged")


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 1>&- 2>&-", "2>/dev/full"])
async def test_a_daemon_works_without_a_standard_error(tmp_path: Path, closed: str) -> None:
    """Closed or full, it disturbs nothing; and no file of the daemon's own is taken for it."""
    async with stage(tmp_path) as here:
        command = (
            f"import os, sys; os.execvp('sh', ['sh', '-c', 'exec \"$0\" -m worker \"$@\" {closed}', *sys.argv[1:]])"
        )
        launcher = ("-c", f"import sys; sys.argv.insert(1, sys.executable); {command}")
        settings = {**OFTEN, "server.listen": f"127.0.0.1:{free_port()}"}
        running = await here.start("serve", settings=settings, launcher=launcher)
        await here.until(lambda: here.all_are("accepted"), running)
        await passes(here, 2, running)
        running.send(signal.SIGTERM)
        async with asyncio.timeout(TIMEOUT):
            await running.process.communicate()
        assert running.process.returncode == 0
        assert (await here.run("status")).status == 0


async def test_a_signal_ends_a_report_that_nobody_reads(tmp_path: Path, unread: int) -> None:
    """One is enough, for each command that prints; by then the pass has ended, and the journal is free."""
    async with stage(tmp_path, fleet(4), text=None) as here:
        for arguments in (("run", "--json"), ("plan", "--json"), ("status",), ("check",)):
            running = await here.start(*arguments, out=unread)
            if arguments[0] == "run":
                await here.until(lambda: here.all_are("accepted"), running)
                while (await here.run("run", "--project", "payments")).status == 5:
                    pass
            await writes_in_vain(running)
            running.send(signal.SIGTERM)
            async with asyncio.timeout(TIMEOUT):
                await running.process.communicate()
            assert running.process.returncode == 1, arguments


async def test_a_terminal_that_is_stopped_holds_up_no_pass(tmp_path: Path) -> None:
    """Ctrl-S stops what a person sees, and nothing else."""
    ours, theirs = os.openpty()
    termios.tcflow(theirs, termios.TCOOFF)
    try:
        async with stage(tmp_path, fleet(3, seconds=(0.2, 0.4))) as here:
            here.environ["TERM"] = "xterm"
            running = await here.start("run", "--json", err=theirs)
            async with asyncio.timeout(TIMEOUT):
                out, _ = await running.process.communicate()
            assert (running.process.returncode, json.loads(out)["result"]) == (0, "converged")
    finally:
        os.close(theirs)
        os.close(ours)


async def test_files_that_hang_keep_no_signal_from_ending_a_daemon(tmp_path: Path) -> None:
    """As on a disk that is away: it ends with 0, since it has not begun anything."""
    hanging = (
        "import sys, threading, worker.daemon.revision as module;"
        "module.Reader.read = lambda _: (print('reading', file=sys.stderr), threading.Event().wait());"
        "import worker.__main__ as command; command.main()"
    )
    async with Folder(tmp_path) as folder:
        running = await folder.start("serve", launcher=("-c", hanging))
        assert running.process.stderr is not None
        async with asyncio.timeout(TIMEOUT):
            assert await running.process.stderr.readline() == b"reading\n"
        running.send(signal.SIGTERM)
        assert (await running.finished()).status == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--oops"),
        ("oops",),
        ("run", "--shard", "9/3"),
        ("--config", "gone.toml", "plan"),
        ("plan",),
        ("status",),
    ],
)
async def test_with_json_logs_each_line_of_standard_error_is_a_document(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """What is wrong with the arguments, the settings or the manifest, and warnings, too."""
    async with stage(tmp_path) as here:
        here.environ["IMS_WORKER_ODD__THING"] = "1"
        here.write("manifest.toml", "version = 1\n[[share]]\n" + share(here.world, "odd"))
        finished = await here.run("--log-format", "json", *arguments)
        documents = [json.loads(line) for line in finished.err.splitlines()]
        assert documents
        assert all({"event", "level", "timestamp"} <= each.keys() for each in documents)


async def test_with_json_logs_a_bug_is_one_document(tmp_path: Path) -> None:
    """With its traceback."""
    launcher = ("-c", "import worker.cli, worker.__main__; worker.cli._run = None; worker.__main__.main()")
    async with Folder(tmp_path) as folder:
        running = await folder.start("check", "--log-format", "json", launcher=launcher)
        _, err = await running.process.communicate()
    assert running.process.returncode == 70
    (line,) = err.decode().splitlines()
    assert json.loads(line)["level"] == "error"
    assert "TypeError" in json.loads(line)["message"]
