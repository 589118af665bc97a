"""Tell systemd how the daemon is: ready, reloading, stopping, alive.

The protocol is one datagram with lines of NAME=VALUE to the socket that the environment names. Source: sd_notify(3)
and sd_watchdog_enabled(3). Outside systemd the environment names none, and nothing happens.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

READY = "READY=1"
"""The daemon is up, or has done what a reload asks for."""
STOPPING = "STOPPING=1"
"""The daemon is on its way to its end."""
ALIVE = "WATCHDOG=1"
"""The event loop turns; to be told more often than `watchdog_interval`."""
_PATIENCE = 1.0
"""Seconds that the event loop may be held up by a queue that is full."""


def reloading() -> str:
    """Return the state of a daemon that begins to read its files again; READY must follow."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def status(text: str) -> str:
    """Return the state that is `text`, one line for people, in `systemctl status`."""
    return f"STATUS={' '.join(text.split())}"


def notify(state: str, environ: Mapping[str, str]) -> None:
    """Send a state, or several with a line for each, to the socket of $NOTIFY_SOCKET if there is one.

    A socket that is gone, or full for a second, is passed over: the work matters more than who watches it.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_PATIENCE)
        sender.connect(address)
        sender.send(state.encode(errors="replace"))


def watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Return within how many seconds systemd wants to hear ALIVE again; None if it does not watch this process."""
    usec = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(usec) / 1e6 if usec.isdecimal() and int(usec) > 0 else None
