"""The daemon's HTTP server: health, metrics, the status page and the JSON behind it. Nothing can be changed through it.

It must not hurt the work: so connections and waits are bounded, and what is large is made for one client at a time. The
probes, which are cheap, are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from worker.core.text import json_bytes
from worker.telemetry.safety import HEADERS, is_loopback, policy_of, why_misdirected

MAX_CONNECTIONS = 256
"""Connections that are open at a time; further ones are cut off."""
MAX_WAITING = 64
"""Requests that wait for something large; further ones are told 503."""
PATIENCE = 30.0
"""Seconds that a view may take for its answer, and a client to read it."""
CLOSING = 0.4
"""Seconds that requests under way are given when the server closes, and again to see that they have been cut off."""
_METHODS = ("GET", "HEAD")
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
    status: Callable[[], bytes]
    page: bytes


@asynccontextmanager
async def listening(host: str, port: int, views: Views, on_error: OnError) -> AsyncIterator[str]:
    """Serve the views at an address, and yield it as "host:port"; port 0 takes any that is free.

    A view that raises is a 500 without details, and told to `on_error` with the name of what was asked for. Raises
    OSError if the address cannot be had, ValueError if the page has not one script and one style. At the end every
    connection is closed within about a second, whatever it is at.
    """
    site = _Site(host, views, on_error)
    server = web.Server(site.handle)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: _Connection(server, loop), host, port)
    addresses = [each.getsockname() for each in listener.sockets]
    site.is_private = all(is_loopback(address[0]) for address in addresses)
    try:
        yield _written(*addresses[0][:2])
    finally:
        listener.close()
        server.pre_shutdown()
        await server.shutdown(CLOSING)


class _Connection(web.RequestHandler):
    """One client's connection; aiohttp ends it when no whole request comes for as long as it may be idle."""

    __slots__ = ("_server",)

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop=loop, **_CONNECTION)
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self._server.connections) > MAX_CONNECTIONS:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, which is no error of ours and not logged; leave what else there is to aiohttp."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        response = _text(400, "this is not HTTP as it should be")
        response.force_close()
        return response


class _Site:
    """What is where, and who may have it. `is_private` tells whether only loopback addresses lead here."""

    def __init__(self, host: str, views: Views, on_error: OnError) -> None:
        self.is_private = True
        self._host = host
        self._views = views
        self._on_error = on_error
        self._page_headers = {"Content-Security-Policy": policy_of(views.page)}
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._routes: dict[str, Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            "/": self._page,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/api/status": self._status,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, and see the answer off; a client that does not read it is cut off."""
        transport = request.transport
        response = await self._answer(request)
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

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        hosts = request.headers.getall("Host", [])
        if self.is_private and (why := why_misdirected(hosts, self._host)):
            return _text(421 if len(hosts) == 1 else 400, why)
        route = self._routes.get(request.path)
        if route is None:
            return _text(404, f"there is nothing here; there are {', '.join(self._routes)}")
        if request.method not in _METHODS:
            return _text(405, "nothing can be changed here", {"Allow": ", ".join(_METHODS)})
        try:
            async with asyncio.timeout(PATIENCE):
                return await route(request)
        except Exception as error:  # noqa: BLE001 - a broken view must not end the server
            self._on_error(f"{request.method} {request.path}", error)
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
            return self._views.status(), "application/json"

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


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
