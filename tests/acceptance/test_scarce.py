"""What the system refuses makes the daemon slower, and it says so; it goes on, and ends as ever."""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from commands import Stage, fleet, manifest, share, stage
from served import OFTEN, SELDOM, Served, serving

_LAUNCHER = (
    "import os, sys; os.execvp({0!r}, [{0!r}, '-Ur', 'sh', '-c',"
    ' \'echo 0 > /proc/sys/user/{1} && exec "$0" -m worker "$@"\', sys.executable, *sys.argv[1:]])'
)


def launcher(limit: str) -> tuple[str, ...]:
    """Return what starts a command in a user namespace of its own, where a limit is zero."""
    unshare = shutil.which("unshare")
    asked = (unshare or "false", "-Ur", "sh", "-c", f"echo 0 > /proc/sys/user/{limit}")
    if subprocess.run(asked, check=False, capture_output=True).returncode:
        pytest.skip("this machine gives no user namespaces")
    return ("-c", _LAUNCHER.format(unshare, limit))


@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
async def test_a_daemon_that_may_not_watch_files_looks_at_them(tmp_path: Path, limit: str) -> None:
    """Why is logged, a changed manifest takes effect all the same, and SIGTERM ends it with 0."""
    started = launcher(limit)
    async with stage(tmp_path, fleet(2)) as here, serving(here, settings=SELDOM, launcher=started) as served:
        line = await served.heard("trouble")
        assert "cannot be watched" in line["what"]
        await here.until(lambda: here.all_are("accepted"), served.running)
        rejecting(here)
        await here.until(lambda: here.all_are("rejected"), served.running)
        assert len([each for each in served.lines if "cannot be watched" in each.get("what", "")]) == 1
        served.running.send(signal.SIGTERM)
        assert await served.ended() == 0


def rejecting(here: Stage) -> None:
    """Write a manifest that rejects all."""
    here.write("manifest.toml", manifest(here.world, share(here.world, "rejected")))


@pytest.mark.waits
async def test_a_daemon_without_files_waits_until_it_has_some(tmp_path: Path) -> None:
    """It may open none for a while: calls fail, nobody can connect, and then all is well again."""
    async with stage(tmp_path, fleet(2)) as here, serving(here, settings=OFTEN) as served:
        await here.until(lambda: here.all_are("accepted"), served.running)
        pid, files = served.running.process.pid, resource.RLIMIT_NOFILE
        before = resource.prlimit(pid, files, (3, resource.getrlimit(files)[1]))
        knocking = [await asyncio.open_connection(*served.address.split(":")) for _ in range(3)]
        rejecting(here)
        await served.until(refused(served))
        since = len(served.lines)
        resource.prlimit(pid, files, before)
        await here.until(lambda: here.all_are("rejected"), served.running)
        await served.heard("pass.finished", since=since, result="converged")
        assert (await served.get("/livez"))[0] == 200
        for _, writer in knocking:
            writer.close()
        served.running.send(signal.SIGTERM)
        assert await served.ended() == 0


@pytest.mark.waits
async def test_a_daemon_with_few_files_answers_probes_though_many_connect(tmp_path: Path) -> None:
    """Who only connects takes no file that the work needs."""
    few = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (72, 72));"
        "os.execv(sys.executable, [sys.executable, '-m', 'worker', *sys.argv[1:]])"
    )
    async with (
        stage(tmp_path, fleet(2)) as here,
        serving(here, settings=OFTEN, launcher=("-c", few)) as served,
        AsyncExitStack() as opened,
    ):
        for _ in range(200):
            _, writer = await asyncio.open_connection(*served.address.split(":"))
            opened.callback(writer.close)
        for _ in range(5):
            assert (await served.get("/livez"))[0] == 200
        rejecting(here)
        await here.until(lambda: here.all_are("rejected"), served.running)
        assert not [line for line in served.lines if line["event"] in {"project.unreadable", "pass.broken"}]
        served.running.send(signal.SIGTERM)
        assert await served.ended() == 0


def refused(served: Served) -> Callable[[], Awaitable[bool]]:
    """Return what tells whether the log has said that files are refused."""

    async def is_told() -> bool:
        return any("Too many open files" in str(line) for line in served.lines)

    return is_told
