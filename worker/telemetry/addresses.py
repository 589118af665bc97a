"""Sockets to listen on: of the addresses that a name has, those that can be had."""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import dataclass

BACKLOG = 256
"""Connections that the system holds until they are accepted."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Sockets that listen, at least one; `missed` has the addresses that could not be had, and why."""

    sockets: tuple[socket.socket, ...]
    missed: tuple[tuple[str, OSError], ...]


async def listeners(host: str, port: int) -> Listeners:
    """Listen on each address of a host, all on one port; port 0 is one that is free. `::` takes IPv4 too.

    Raises OSError if none can be had: one that is in use before all others, since it may become free.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    missed: list[tuple[str, OSError]] = []
    for family, _, _, _, address in dict.fromkeys(found):
        if sockets:
            # The first has the port that is taken, where any was asked for.
            address = (address[0], sockets[0].getsockname()[1], *address[2:])  # noqa: PLW2901 - the same with its port
        try:
            sockets.append(_listening(family, address))
        except OSError as error:
            missed.append((written(str(address[0]), int(address[1])), error))
    if not sockets:
        raise min((error for _, error in missed), key=lambda error: error.errno != errno.EADDRINUSE)
    return Listeners(tuple(sockets), tuple(missed))


def written(host: str, port: int) -> str:
    """Write an address as a URL has it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listening(family: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Whoever asks for all addresses of the newer kind has asked for the older kind too; else only for its own.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
