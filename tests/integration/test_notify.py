"""What systemd hears, on the socket that it would listen on."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from worker.telemetry.systemd import ALIVE, READY, Notifier, reloading, status

_TALKERS = 4
"""As many as fill the queue: the system bounds what one of them may have under way."""


@pytest.mark.parametrize("address", [lambda path: str(path / "notify"), lambda path: f"@{path}/notify"])
def test_systemd_hears_each_state_in_a_datagram(tmp_path: Path, address: Callable[[Path], str]) -> None:
    """States arrive whole and in order, on a socket in the file system and on an abstract one."""
    environ = {"NOTIFY_SOCKET": address(tmp_path)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(environ["NOTIFY_SOCKET"].replace("@", "\0"))
        systemd.settimeout(300)
        notifier = Notifier(environ)
        assert notifier.tell(READY)
        assert notifier.tell(READY + "\n" + status("at wörk \udcff"))
        assert [systemd.recv(4096) for _ in range(2)] == [b"READY=1", "READY=1\nSTATUS=at wörk \\xff".encode()]


def test_nobody_to_hear_it_is_passed_over(tmp_path: Path) -> None:
    """Without a socket, with one that is gone, of a kind unknown, or too long a name, nothing happens."""
    for address in ("", str(tmp_path / "gone"), "@gone", "vsock:2:9", "/" + "x" * 200):
        assert Notifier({"NOTIFY_SOCKET": address} if address else {}).tell(READY)


def test_a_full_queue_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait is ever asked for; what could not be told is told once there is room, the newest of each name, once."""
    monkeypatch.setattr(socket.socket, "settimeout", lambda *_: pytest.fail("it would wait"))
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    with ExitStack() as ends:
        systemd, *others = (
            ends.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) for _ in range(1 + _TALKERS)
        )
        systemd.bind(str(tmp_path / "notify"))
        told = 0
        for other in others:
            other.connect(str(tmp_path / "notify"))
            told += len(_until_it_would_block(other, lambda end: end.send(ALIVE.encode())))
        for state in (READY, status("one"), reloading(), f"{READY}\n{status('two')}", ALIVE):
            assert not notifier.tell(state)
        assert _until_it_would_block(systemd, lambda end: end.recv(4096)) == [ALIVE.encode()] * told
        assert notifier.tell()
        assert systemd.recv(4096) == b"READY=1\nSTATUS=two\nWATCHDOG=1"
        assert notifier.tell()
        assert _until_it_would_block(systemd, lambda end: end.recv(4096)) == []


def _until_it_would_block(end: socket.socket, act: Callable[[socket.socket], object]) -> list[object]:
    """Do something with one end of a queue again and again, and return what it gave each time."""
    end.setblocking(False)
    given: list[object] = []
    with suppress(BlockingIOError):
        while True:
            given.append(act(end))
    return given
