"""Commands that need not import the worker anew: forks of a process that has, which is most of what a start costs."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

_SERVER = Path(__file__).with_name("fork_server.py")
_OF_THE_START = ("LC_", "LANG", "PYTHON", "LD_", "OPENSSL_", "SSL_")
"""How variables begin that Python, or a library, reads when it starts."""


class Fork:
    """A command that runs: what `asyncio.subprocess.Process` is for one that was started."""

    def __init__(
        self, pid: int, status: int, stdout: asyncio.StreamReader | None, stderr: asyncio.StreamReader | None
    ) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._status = status
        self._loop.add_reader(status, self._end)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; ProcessLookupError if it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end, and return its exit status, or the negative number of the signal that ended it."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """Read what it prints, and wait for its end."""
        out, err, _ = await asyncio.gather(_read(self.stdout), _read(self.stderr), self.wait())
        return out, err

    def _end(self) -> None:
        self._loop.remove_reader(self._status)
        told = os.read(self._status, 16)
        os.close(self._status)
        assert told, "the server of forks has ended"
        self.returncode = int(told)
        self._ended.set()


def is_possible(variables: Mapping[str, str]) -> bool:
    """Tell whether a fork behaves as a new process with these variables would."""
    return not any(name.startswith(_OF_THE_START) for name in variables)


async def fork(arguments: Sequence[str], folder: Path, environ: Mapping[str, str], out: int, err: int) -> Fork:
    """Start the worker's command; `out` and `err` are descriptors, or `asyncio.subprocess.PIPE`."""
    request = {"arguments": arguments, "folder": str(folder), "environ": dict(environ)}
    stdout, theirs_out = await _pipe(out)
    stderr, theirs_err = await _pipe(err)
    status, theirs_status = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        pid = _server().fork(json.dumps(request).encode(), (nothing, theirs_out, theirs_err, theirs_status))
    finally:
        for descriptor, asked in ((nothing, None), (theirs_out, out), (theirs_err, err), (theirs_status, None)):
            if descriptor != asked:
                os.close(descriptor)
    return Fork(pid, status, stdout, stderr)


class _Server:
    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(_SERVER), str(theirs.fileno())],
                env={"PATH": os.defpath, "HOME": "/"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        atexit.register(self._close)

    def fork(self, request: bytes, descriptors: Sequence[int]) -> int:
        """Return the number of the process that was asked for."""
        socket.send_fds(self._channel, [len(request).to_bytes(4)], descriptors)
        self._channel.sendall(request)
        pid = self._channel.recv(4, socket.MSG_WAITALL)
        assert pid, "the server of forks has ended"
        return int.from_bytes(pid)

    def _close(self) -> None:
        self._channel.close()
        self._process.wait()


_server = cache(_Server)


async def _pipe(asked: int) -> tuple[asyncio.StreamReader | None, int]:
    """Return a reader, where one is asked for, and the descriptor for the command."""
    if asked != asyncio.subprocess.PIPE:
        return None, asked
    ours, theirs = os.pipe()
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", 0))
    return reader, theirs


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream else b""
