"""What the system refuses makes the daemon slower, and it says so; it goes on, and ends as ever."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from commands import Stage, fleet, manifest, share, stage
from served import SELDOM, serving

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
