"""The process behind `forks.py`: it has imported all of the worker once, and each command is a fork of it.

A fork becomes what a process that was just started is: it has the folder, the variables and the standard streams that
were asked for, no descriptor besides, and it runs the worker's own `main` and ends as Python does.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

_LATE = (
    "coverage",
    "encodings.idna",
    "psycopg",
    "psycopg_binary",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
)
"""What commands import, besides the worker's own modules, only when they need it."""


@dataclass(frozen=True)
class Request:
    """A command to be forked: its streams, a pipe for its exit status, and the rest as `forks.py` sent it."""

    descriptors: tuple[int, ...]
    arguments: list[str]
    folder: str
    environ: dict[str, str]


def main() -> None:
    """Import, serve until nobody can ask any more, and be the command in each fork."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    at_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the commands, which end by it
    _import_all()
    request = _serve(channel)
    channel.detach()
    signal.signal(signal.SIGINT, at_interrupt)
    _become(request)
    importlib.import_module("worker.__main__").main()


def _import_all() -> None:
    worker = importlib.import_module("worker")
    for module in pkgutil.walk_packages(worker.__path__, "worker."):
        importlib.import_module(module.name)
    for name in _LATE:
        with suppress(ImportError):
            importlib.import_module(name)
    assert threading.active_count() == 1, "a thread would be missing in each fork"
    gc.collect()
    gc.freeze()


def _serve(channel: socket.socket) -> Request:
    """Fork for each request, and tell how each fork ended; return in a fork."""
    living: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready != channel.fileno():
                poll.unregister(ready)
                os.close(ready)
                pid, status = living.pop(ready)
                os.write(status, str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
                os.close(status)
                continue
            request = _receive(channel)
            if request is None:
                for pid, _ in living.values():
                    os.kill(pid, signal.SIGKILL)
                sys.exit()
            pid = os.fork()
            if not pid:
                return request
            *streams, status = request.descriptors
            for stream in streams:
                os.close(stream)
            ended = os.pidfd_open(pid)
            living[ended] = (pid, status)
            poll.register(ended, select.POLLIN)
            channel.sendall(pid.to_bytes(4))


def _receive(channel: socket.socket) -> Request | None:
    size, descriptors, _, _ = socket.recv_fds(channel, 4, 4)
    if not size:
        return None
    return Request(tuple(descriptors), **json.loads(channel.recv(int.from_bytes(size), socket.MSG_WAITALL)))


def _become(request: Request) -> None:
    """Take on what a new process gets from who starts it."""
    for number, descriptor in enumerate(request.descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environ)
    time.tzset()
    sys.stdin = sys.__stdin__ = _stream(0, "r", sys.stdin)
    sys.stdout = sys.__stdout__ = _stream(1, "w", sys.stdout)
    sys.stderr = sys.__stderr__ = _stream(2, "w", sys.stderr)
    sys.argv[1:] = request.arguments
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        importlib.import_module("coverage").process_startup()


def _stream(descriptor: int, mode: str, like: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return what Python makes for a standard stream when it starts."""
    buffering = 1 if descriptor == 2 or os.isatty(descriptor) else -1
    return open(descriptor, mode, buffering, like.encoding, like.errors, closefd=False)


if __name__ == "__main__":
    main()
