"""What all tests share: no event loop left over, and journals on every database."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import postgres
import psycopg
import pytest
import virtual

_numbers = itertools.count(1)

# How long an example takes, or its making, is the machine's affair.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_configure() -> None:
    """Leave no default event loop behind, so that no plugin makes one that nobody closes."""
    asyncio.set_event_loop(None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Have `-n auto` start two workers for each core, and one: the tests of daemons wait longer than they compute."""
    return 2 * (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what waits for long, while others compute, so that nothing is left to be waited for at the end."""
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """Have signals do what they did before: a command that ends in this process ignores them, and children inherit."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Run a PostgreSQL server for the session, and return the URL of a database on it."""
    try:
        with postgres.server() as url:
            yield url
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture
def postgresql(postgresql_server: str) -> str:
    """Return the URL of a PostgreSQL database that is new and empty."""
    name = f"journal_{next(_numbers)}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgresql_server.rpartition("/")[0] + f"/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a journal that is not there yet, on each database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.db'}"
    return str(request.getfixturevalue("postgresql"))


@pytest.fixture
async def virtual_time() -> AsyncIterator[None]:
    """Put the test's loop on virtual time; nothing of the test may be in another process."""
    with virtual.virtual_time(asyncio.get_running_loop()):
        yield


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of a megabyte, where that can be had."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, timeout=300, check=False).returncode:
        pytest.skip("only root may mount the small disk that this needs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, timeout=300)  # noqa: S607 - as found on this system
