"""Tell systemd how the daemon is: ready, reloading, stopping, alive.

The protocol is one datagram with lines of NAME=VALUE to the socket that the environment names. Source: sd_notify(3)
and sd_watchdog_enabled(3). Outside systemd the environment names none, and nothing happens.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from collections.abc import Mapping

from worker.core.text import visible

READY = "READY=1"
"""The daemon is up, or has done what a reload asks for."""
STOPPING = "STOPPING=1"
"""The daemon is on its way to its end."""
ALIVE = "WATCHDOG=1"
"""The event loop turns; to be told more often than `watchdog_interval`."""
_LINE = 400
"""Characters that people see of a status."""
_RELOAD = ("RELOADING", "MONOTONIC_USEC")
_PASSING = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""What may be otherwise in a moment: the queue is full, or the system has no room for the socket."""


def reloading() -> str:
    """Return the state of a daemon that begins to read its files again; READY must follow."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def status(text: str) -> str:
    """Return the state that is `text`, one line for people, in `systemctl status`."""
    return f"STATUS={visible(' '.join(text.split()))[:_LINE]}"


class Notifier:
    """Tells systemd, through the socket of $NOTIFY_SOCKET if there is one, and never waits for it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._untold: dict[str, str] = {}

    def tell(self, state: str = "") -> bool:
        """Send a state, or several with a line for each, with what could not be sent before.

        Return whether all has been told; where the queue is full it has not, and is to be tried again. Of what is
        told late, the newest state of each name counts.
        """
        if READY in state.splitlines():
            # What is ready again no longer reloads: said in one breath, systemd could not tell which came last.
            for name in _RELOAD:
                self._untold.pop(name, None)
        for line in state.splitlines():
            name, _, value = line.partition("=")
            self._untold.pop(name, None)
            self._untold[name] = value
        if self._untold and _sent("\n".join(f"{name}={value}" for name, value in self._untold.items()), self._environ):
            self._untold.clear()
        return not self._untold


def _sent(state: str, environ: Mapping[str, str]) -> bool:
    """Send a datagram, and tell whether it is done with: a socket that is gone is passed over, a full queue is not."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return True
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect(address)
            sender.send(state.encode(errors="replace"))
    except OSError as error:
        return error.errno not in _PASSING
    return True


def watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Return within how many seconds systemd wants to hear ALIVE again; None if it does not watch this process."""
    usec = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(usec) / 1e6 if re.fullmatch("[0-9]{1,18}", usec) and int(usec) > 0 else None
