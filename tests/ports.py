"""Ports for servers that cannot choose one themselves."""

from __future__ import annotations

import random
import socket

_RESERVABLE = range(10_000, 30_000)
"""The system gives connections, and whoever asks for any port, those above: none of these is taken in between."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    while True:
        port = random.SystemRandom().choice(_RESERVABLE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
