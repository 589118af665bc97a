"""The daemon's HTTP server: health, metrics, the status page and the JSON behind it. Nothing can be changed through it.

It must not hurt the work: so connections and waits are bounded, and what is large is made for one client at a time. The
probes, which are cheap, are answered meanwhile, whoever else is connected.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from worker.core.hosts import is_loopback
from worker.core.text import json_bytes
from worker.telemetry.addresses import BACKLOG, listeners, written
from worker.telemetry.connections import Place, Room, room
from worker.telemetry.safety import HEADERS, policy_of, why_misdirected

MAX_WAITING = 64
"""Requests that wait for something large; further ones are told 503."""
PATIENCE = 30.0
"""Seconds that a view may take for its answer, and a client to read it."""
CLOSING = 0.4
"""Seconds that requests under way are given when the server closes, and again to see that they have been cut off."""
_METHODS = ("GET", "HEAD")
_PROBES = ("/livez", "/readyz")
_AT_A_TIME = 16
"""Connections accepted before one of them is read: a request that has come is in hand before many more come."""
_WORTH_COMPRESSING = 1024
# What a view does wrong is told to `on_error`; a client that hangs up is no news.
_UNHEARD = logging.getLogger(__name__)
_UNHEARD.disabled = True
# A client has 20 s for a request, from the first on. No body is read, so the connection of a long one is closed.
_CONNECTION: dict[str, Any] = {
    "keepalive_timeout": 20.0,
    "lingering_time": 0.0,
    "access_log": None,
    "logger": _UNHEARD,
}

OnError = Callable[[str, Exception], None]


@dataclass(frozen=True, slots=True)
class Health:
    """Whether all is well, and JSON that says more."""

    ok: bool
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Views:
    """What is shown. `metrics` is given the Accept header, and returns a text with its content type.

    `status` returns JSON. `page` is HTML with one script and one style, both within it.
    """

    livez: Callable[[], Health]
    readyz: Callable[[], Awaitable[Health]]
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]]
    status: Callable[[], Awaitable[bytes]]
    page: bytes


@asynccontextmanager
async def listening(host: str, port: int, views: Views, on_error: OnError) -> AsyncIterator[str]:
    """Serve the views at an address, and yield it as "host:port"; port 0 takes any that is free.

    A name is listened on at each of its addresses that can be had. What cannot be is told to `on_error`, and so is a
    view that raises, which is a 500 without details. Raises OSError if no address can be had, ValueError if the page
    has not one script and one style. At the end every connection is closed within about a second, whatever it is at.
    """
    routes = _Routes(host, views, on_error)
    server = web.Server(routes.handle)
    loop, space = asyncio.get_running_loop(), room()
    found = await listeners(host, port)
    addresses = [each.getsockname() for each in found.sockets]
    routes.is_private = all(is_loopback(address[0]) for address in addresses)
    for address, error in found.missed:
        on_error(f"nothing answers HTTP on {address}", error)
    accepting = []
    for each in found.sockets:
        made = await loop.create_server(lambda: _Connection(server, loop, space), sock=each, backlog=_AT_A_TIME)
        accepting.append(made)
        # The loop takes the one number for both: how many it accepts at a time, and how many the system holds.
        each.listen(BACKLOG)
    try:
        yield written(*addresses[0][:2])
    finally:
        for made in accepting:
            made.close()
        server.pre_shutdown()
        await server.shutdown(CLOSING)


class _Connection(web.RequestHandler):
    """One client's connection; aiohttp ends it when no whole request comes for as long as it may be idle."""

    __slots__ = ("_place", "_room")

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop, space: Room) -> None:
        super().__init__(server, loop=loop, **_CONNECTION)
        self._room = space
        self._place = Place("", self.force_close)

    @property
    def is_reserved(self) -> bool:
        """Whether there is only room for it if it is a probe's."""
        return self._place.reserved

    @contextmanager
    def working(self) -> Iterator[None]:
        """Keep the connection, whoever needs room, for as long as a request is in hand."""
        self._room.work(self._place)
        try:
            yield
        finally:
            self._room.rest(self._place)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._place.address = str(peer[0]) if peer else ""
        if not self._room.enter(self._place):
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._room.leave(self._place)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, which is no error of ours and not logged; leave what else there is to aiohttp."""
        if status != 400:
            other = super().handle_error(request, status, exc, message)
            other.headers.update(HEADERS)
            return other
        response = _text(400, "this is not HTTP as it should be")
        response.force_close()
        return response


class _Routes:
    """What is where, and who may have it. `is_private` tells whether only loopback addresses lead here."""

    def __init__(self, host: str, views: Views, on_error: OnError) -> None:
        self.is_private = True
        self._host = host
        self._views = views
        self._on_error = on_error
        self._page_headers = {"Content-Security-Policy": policy_of(views.page)}
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._by_path: dict[str, Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            "/": self._page,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/api/status": self._status,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, and see the answer off; a client that does not read it is cut off."""
        connection = request.protocol
        if not isinstance(connection, _Connection):
            raise TypeError(f"a request came by {connection!r}")
        with connection.working():
            return await self._see_off(request, await self._answer(request, is_reserved=connection.is_reserved))

    async def _see_off(self, request: web.BaseRequest, response: web.Response) -> web.Response:
        transport = request.transport
        if transport is None:
            return response
        # With no buffer, what is written has left the process, and cannot hold up the end of the connection.
        transport.set_write_buffer_limits(0)
        try:
            async with asyncio.timeout(PATIENCE):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            transport.abort()
        except asyncio.CancelledError:
            transport.abort()
            raise
        return response

    async def _answer(self, request: web.BaseRequest, *, is_reserved: bool) -> web.Response:
        if is_reserved and request.path not in _PROBES:
            response = _text(503, "too many connections; only probes are answered for now")
            response.force_close()
            return response
        hosts = request.headers.getall("Host", [])
        if self.is_private and (why := why_misdirected(hosts, self._host)):
            return _text(421 if len(hosts) == 1 else 400, why)
        route = self._by_path.get(request.path)
        if route is None:
            return _text(404, f"there is nothing here; there are {', '.join(self._by_path)}")
        if request.method not in _METHODS:
            return _text(405, "nothing can be changed here", {"Allow": ", ".join(_METHODS)})
        try:
            async with asyncio.timeout(PATIENCE):
                return await route(request)
        except Exception as error:  # noqa: BLE001 - a broken view must not end the server
            self._on_error(f"the view of {request.method} {request.path} failed", error)
            return _text(500, "this cannot be shown; the log has the reason")

    async def _livez(self, _: web.BaseRequest) -> web.Response:
        return _health(self._views.livez())

    async def _readyz(self, _: web.BaseRequest) -> web.Response:
        return _health(await self._views.readyz())

    async def _page(self, request: web.BaseRequest) -> web.Response:
        async def page() -> tuple[bytes, str]:
            return self._views.page, "text/html; charset=utf-8"

        return await self._large(request, page, self._page_headers)

    async def _metrics(self, request: web.BaseRequest) -> web.Response:
        return await self._large(request, lambda: self._views.metrics(request.headers.get("Accept", "")))

    async def _status(self, request: web.BaseRequest) -> web.Response:
        async def status() -> tuple[bytes, str]:
            return await self._views.status(), "application/json"

        return await self._large(request, status)

    async def _large(
        self,
        request: web.BaseRequest,
        make: Callable[[], Awaitable[tuple[bytes, str]]],
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """Make what is large when it is its turn, unless too many wait for theirs."""
        if self._waiting >= MAX_WAITING:
            return _text(503, "too many requests at a time")
        self._waiting += 1
        try:
            async with self._turn:
                return await _packed(request, *await make(), headers or {})
        finally:
            self._waiting -= 1


async def _packed(request: web.BaseRequest, body: bytes, content_type: str, more: Mapping[str, str]) -> web.Response:
    """Make a response, compressed where that is wanted and worth it."""
    headers = {**HEADERS, "Content-Type": content_type, "Vary": "Accept-Encoding", **more}
    if len(body) >= _WORTH_COMPRESSING and _takes_gzip(request.headers.get("Accept-Encoding", "")):
        body = await asyncio.to_thread(gzip.compress, body, 6, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)


def _health(health: Health) -> web.Response:
    body = json_bytes(health.document) + b"\n"
    return web.Response(
        status=200 if health.ok else 503, body=body, headers=HEADERS | {"Content-Type": "application/json"}
    )


def _text(status: int, text: str, more: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers={**HEADERS, **(more or {})})


def _takes_gzip(accepted: str) -> bool:
    """Read an Accept-Encoding header: gzip is welcome unless it is not named, or has the weight zero."""
    for coding in accepted.lower().replace(" ", "").split(","):
        name, _, weight = coding.partition(";q=")
        if name == "gzip":
            return not weight or weight.strip("0.") != ""
    return False
