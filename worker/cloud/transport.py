"""One exchange over HTTP: sent once, read within bounds, and every failure put into our own words.

- Nothing is sent twice. aiohttp itself sends a PUT or GET again when the connection dies before the answer, on fresh
  connections too; a client middleware that puts the error into our words first keeps it from that.
- No redirect is followed, no cookie is kept, no `.netrc` is read.
- A proxy of the environment (`HTTPS_PROXY`, `NO_PROXY`) is used for https, through a tunnel that shows it nothing but
  the host. Plain http is for loopback and link-local addresses only and never goes to a proxy.
- Bodies are capped while they stream, counted after decompression.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from worker.cloud.bodies import MAX_VALUES, Body
from worker.cloud.proxies import LoginRefused, Proxies, Proxy
from worker.cloud.refusals import Reply, refusal
from worker.cloud.request import Authorization, Call, Connections, Request, canonical_query
from worker.core.redaction import sanitize
from worker.errors import (
    AuthFailed,
    Cause,
    CloudError,
    Problem,
    SettingsError,
    TerminalCloudError,
    TransientCloudError,
    UnexpectedReply,
)

_T = TypeVar("_T")

_REFUSAL_BYTES: Final = 64 * 1024
_CHUNK: Final = 64 * 1024
_HEADER_BYTES: Final = 64 * 1024
"""Bytes of a header that is read: a token comes in one, and may be longer than the library takes by default."""
_READS_IN_ALL: Final = 3
"""Read time-outs that a whole exchange may last: an answer that trickles must end too."""


class Transport:
    """The session that all calls of all accounts share."""

    def __init__(self, session: aiohttp.ClientSession, clock: Callable[[], float]) -> None:
        self._session = session
        self._clock = clock
        self.proxies = Proxies()

    @classmethod
    @asynccontextmanager
    async def open(cls, connections: Connections, clock: Callable[[], float]) -> AsyncIterator[Self]:
        """Open the session, and close it at the end with all its connections.

        `clock` is the wall clock in seconds since the epoch. Raises SettingsError for a CA file that cannot be used.
        """
        timeout = aiohttp.ClientTimeout(
            total=connections.connect_timeout + _READS_IN_ALL * connections.read_timeout,
            sock_connect=connections.connect_timeout,
            sock_read=connections.read_timeout,
        )
        # Without an authority of its own the library's context will do, which it has made already, as strict as ours.
        tls = tls_context(connections.ca_file) if connections.ca_file else True
        connector = aiohttp.TCPConnector(limit=connections.max_connections, ssl=tls)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "ims-share-worker"},
            middlewares=(_send_once,),
            trace_configs=[_told_of_connections()],
            auto_decompress=False,
            max_field_size=_HEADER_BYTES,
        ) as session:
            yield cls(session, clock)

    async def exchange(self, call: Call, authorization: Authorization) -> Reply:
        """Send a call once, with what authorises it, and return the answer if its status is 2xx.

        The caller holds one of the connections, so that no time passes between a signature and the sending. Raises
        CloudError; its `nothing_done` says that the call certainly had no effect: there was no connection to send it
        on, or the cloud said so. Cancellation drops the connection; the call may have been carried out.
        """
        proxy = self.proxies.to(call.origin)
        secrets = (*authorization.secrets, *(proxy.secrets if proxy else ()))
        async with proxy.turn() if proxy else nullcontext():
            headers = self._headers(call, authorization)
            secrets = (headers.get("Authorization", ""), *secrets)
            reply = await _translate_errors(self._ask(call, headers, proxy), secrets, proxy)
        if reply.status == 206:
            raise UnexpectedReply("the answer is only a part of one, which nobody asked for", status=reply.status)
        if 200 <= reply.status < 300:
            return reply
        refused = refusal(reply, self._clock(), secrets)
        refused.server_date = reply.headers.get("Date", "")
        raise refused

    async def _ask(self, call: Call, headers: Mapping[str, str], proxy: Proxy | None) -> Reply:
        query = f"?{canonical_query(call.query)}" if call.query else ""
        async with self._session.request(
            call.method,
            URL(f"{call.origin}{call.path}{query}", encoded=True),
            data=call.body or None,
            headers=headers,
            allow_redirects=False,
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy else None,
            trace_request_ctx=proxy,
        ) as response:
            return Reply(response.status, response.headers, await _body(response, call))

    def _headers(self, call: Call, authorization: Authorization) -> Mapping[str, str]:
        headers = {"X-Project-Id": call.project_id} if call.project_id else {}
        if call.domain_id:
            headers["X-Domain-Id"] = call.domain_id
        if call.body:
            headers["Content-Type"] = "application/json;charset=UTF-8"
        request = Request(call.method, urlsplit(call.origin).netloc, call.path, call.query, headers, call.body)
        try:
            return authorization.headers(request, datetime.fromtimestamp(self._clock(), UTC))
        except ValueError as error:
            raise AuthFailed(str(error)) from error


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Return a context that trusts the system, and a private authority if given; raise SettingsError for a bad file.

    Certificates and the names of hosts are always verified, and nothing older than TLS 1.2 is spoken.
    """
    context = ssl.create_default_context()
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            message = f"the CA file cannot be used: {error.strerror or error}"
            raise SettingsError((Problem.about(ca_file, message, path="cloud.ca_file"),)) from error
    return context


class _NotAnsweredError(Exception):
    """The library's own error, so that it does not send a call again because of it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.error = error


async def _send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await send(request)
    except (aiohttp.ClientError, OSError) as error:
        failure = _NotAnsweredError(error)
    raise failure


def _told_of_connections() -> aiohttp.TraceConfig:
    """Tell a proxy that it has let a call through as soon as it has: the answer to the call may take long."""

    async def connected(_session: aiohttp.ClientSession, context: SimpleNamespace, _details: object) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx.let_through()

    told = aiohttp.TraceConfig()
    told.on_connection_create_end.append(connected)
    return told


async def _body(response: aiohttp.ClientResponse, call: Call) -> bytes:
    """Read a body within its bounds. Of a refusal the beginning is enough, however long or badly packed it is."""
    refused = not 200 <= response.status < 300
    limits = (_REFUSAL_BYTES, MAX_VALUES) if refused else (call.max_bytes, call.max_values)
    body: Body | None = None
    try:
        body = Body(response.headers.get("Content-Encoding", ""), *limits)
        async for chunk in response.content.iter_chunked(_CHUNK):
            body.add(chunk)
        return body.end()
    except UnexpectedReply as error:
        response.close()
        error.status = response.status
        if not refused:
            raise
        return body.content if body else b""


async def _translate_errors(exchange: Awaitable[_T], secrets: Sequence[str], proxy: Proxy | None) -> _T:
    try:
        return await exchange
    except _NotAnsweredError as error:
        failure = error.error
    except CloudError:
        raise
    except Exception as error:  # noqa: BLE001 - of what is no answer, the library fails in more ways than it promises
        failure = error
    # Raised out here, since the original may carry the headers that were sent, signature and token among them.
    raise _translate_error(failure, secrets, proxy)


def _translate_error(error: Exception, secrets: Sequence[str], proxy: Proxy | None) -> CloudError:
    match error:
        case aiohttp.ClientHttpProxyError():
            return _translate_proxy_refusal(error.status, sanitize(error.message, secrets))
        case aiohttp.ClientResponseError():
            return UnexpectedReply(f"the answer is not proper HTTP: {sanitize(error.message, secrets)}")
        case aiohttp.ClientError() | OSError():
            return _translate_connection_error(error, proxy)
        case _:
            return UnexpectedReply(f"the answer is not proper HTTP: {type(error).__name__}")


def _translate_proxy_refusal(status: int, reason: str) -> CloudError:
    message = f"the proxy does not connect: HTTP {status} {reason}"
    if status in {401, 407}:
        way_out = "HTTPS_PROXY names the proxy and its login, as http://user:password@host:port"
        return LoginRefused(f"{message} ({way_out})").caused(Cause.PROXY)
    if 400 <= status < 500:
        return TerminalCloudError(message).caused(Cause.PROXY)
    return TransientCloudError(message, nothing_done=True).caused(Cause.PROXY)


def _translate_connection_error(error: aiohttp.ClientError | OSError, proxy: Proxy | None) -> CloudError:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = sanitize(str(error.certificate_error))
            message = f"the certificate of {error.host} is not trusted: {reason}"
            return TerminalCloudError(message).caused(Cause.CERTIFICATE)
        case aiohttp.ClientConnectorError():
            # One that is broken off during the handshake, as by who speaks an older TLS, has no words of its own.
            reason = sanitize(error.os_error.strerror or str(error.os_error)) or "the other side broke it off"
            is_proxy = proxy is not None and (error.host, error.port) == (proxy.url.host, proxy.url.port)
            message = f"cannot connect to {'the proxy ' if is_proxy else ''}{error.host}:{error.port}: {reason}"
            is_unknown = isinstance(error, aiohttp.ClientConnectorDNSError)
            cause = Cause.PROXY if is_proxy else Cause.UNKNOWN_HOST if is_unknown else Cause.UNREACHABLE
            return TransientCloudError(message, nothing_done=True).caused(cause)
        case aiohttp.ConnectionTimeoutError():
            return TransientCloudError("cannot connect in time", nothing_done=True).caused(Cause.UNREACHABLE)
        case TimeoutError():
            return TransientCloudError("no answer in time").caused(Cause.NO_ANSWER)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return TerminalCloudError("the endpoint or the proxy is not a usable address").caused(Cause.ENDPOINT)
        case _:
            message = f"the connection broke before the answer was complete: {type(error).__name__}"
            return TransientCloudError(message).caused(Cause.NO_ANSWER)
