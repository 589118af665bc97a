"""One exchange over HTTP: signed, sent once, read within bounds, and every failure put into our own words.

- Nothing is sent twice. aiohttp itself sends a PUT or GET again when the connection dies before the answer, on fresh
  connections too; a client middleware that puts the error into our words first keeps it from that.
- No redirect is followed, no cookie is kept, no `.netrc` is read.
- A proxy of the environment (`HTTPS_PROXY`, `NO_PROXY`) is used for https, through a tunnel that shows it nothing but
  the host. Plain http is for loopback only and never goes to a proxy.
- Bodies are capped while they stream, counted after decompression.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from worker.cloud.redaction import tidy
from worker.cloud.refusals import Reply, refusal
from worker.cloud.signing import Request, SigningKeys, canonical_query, sign
from worker.core.calls import CallGroup
from worker.errors import (
    AuthFailed,
    CloudError,
    Problem,
    SettingsError,
    TerminalCloudError,
    TransientCloudError,
    UnexpectedReply,
)

_T = TypeVar("_T")

MEGABYTE: Final = 1 << 20
_REFUSAL_BYTES: Final = 64 * 1024
_READS_IN_ALL: Final = 3
"""Read time-outs that a whole exchange may last: an answer that trickles must end too."""


@dataclass(frozen=True, slots=True)
class Connections:
    """How to connect: time-outs in seconds, how many connections at once, the file of a private CA or nothing."""

    connect_timeout: float
    read_timeout: float
    max_connections: int
    ca_file: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call to be made. `origin` is `https://host[:port]`, `path` as it is on the wire, `max_bytes` of the answer.

    The project is named in a header, where the signature covers it.
    """

    group: CallGroup
    method: str
    origin: str
    path: str
    project_id: str
    query: tuple[tuple[str, str | int], ...] = ()
    body: bytes = field(default=b"", repr=False)
    max_bytes: int = MEGABYTE


class Transport:
    """The session that all calls of all accounts share, and its free connections."""

    def __init__(self, session: aiohttp.ClientSession, max_connections: int, clock: Callable[[], float]) -> None:
        self.free_connection = asyncio.Semaphore(max_connections)
        self._session = session
        self._clock = clock
        self._proxies: dict[str, _Proxy] = {}

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
        connector = aiohttp.TCPConnector(limit=connections.max_connections, ssl=tls_context(connections.ca_file))
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "ims-share-worker"},
            middlewares=(_send_once,),
        ) as session:
            yield cls(session, connections.max_connections, clock)

    async def exchange(self, call: Call, keys: SigningKeys) -> Reply:
        """Sign a call, send it once, and return the answer if its status is 2xx.

        The caller holds `free_connection`, so that no time passes between the signature and the sending. Raises
        CloudError. A TransientCloudError is `answered` if the call certainly did nothing: there was no connection to
        send it on, or the cloud said so. Cancellation drops the connection; the call may have been carried out.
        """
        headers = self._signed(call, keys)
        reply = await _in_our_words(self._ask(call, headers, self._proxy(call.origin)))
        if reply.status == 206:
            raise UnexpectedReply("the answer is only a part of one, which nobody asked for", status=reply.status)
        if 200 <= reply.status < 300:
            return reply
        raise refusal(reply, self._clock(), (headers["Authorization"], *keys.secrets))

    async def _ask(self, call: Call, headers: Mapping[str, str], proxy: _Proxy) -> Reply:
        query = f"?{canonical_query(call.query)}" if call.query else ""
        async with self._session.request(
            call.method,
            URL(f"{call.origin}{call.path}{query}", encoded=True),
            data=call.body or None,
            headers=headers,
            allow_redirects=False,
            proxy=proxy.url,
            proxy_headers=proxy.headers,
        ) as response:
            return Reply(response.status, response.headers, await _body(response, call.max_bytes))

    def _signed(self, call: Call, keys: SigningKeys) -> dict[str, str]:
        headers = {"X-Project-Id": call.project_id}
        if call.body:
            headers["Content-Type"] = "application/json;charset=UTF-8"
        request = Request(call.method, urlsplit(call.origin).netloc, call.path, call.query, headers, call.body)
        try:
            return sign(request, keys, datetime.fromtimestamp(self._clock(), UTC))
        except ValueError as error:
            raise AuthFailed(f"the credential cannot be used: {error}") from error

    def _proxy(self, origin: str) -> _Proxy:
        if origin not in self._proxies:
            self._proxies[origin] = _environment_proxy(origin)
        return self._proxies[origin]


@dataclass(frozen=True, slots=True)
class _Proxy:
    """The way to an origin: straight where `url` is None."""

    url: URL | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def _environment_proxy(origin: str) -> _Proxy:
    parts = urlsplit(origin)
    named = getproxies().get("https", "")
    if parts.scheme != "https" or not named or proxy_bypass(parts.netloc):
        return _Proxy()
    try:
        url = URL(named if "://" in named else f"http://{named}")
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise TerminalCloudError("the proxy that the environment names for https is not an address of http or https")
    if url.user is None:
        return _Proxy(url)
    login = b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
    return _Proxy(url.with_user(None), {"Proxy-Authorization": f"Basic {login}"})


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Return a context that trusts the system, and a private authority if given; raise SettingsError for a bad file."""
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            message = f"the CA file cannot be used: {error.strerror or error}"
            raise SettingsError((Problem(ca_file, 0, 0, "cloud.ca_file", message),)) from error
    return context


async def _send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    return await _in_our_words(send(request))


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Read a body within its bounds. Of a refusal the beginning is enough, however long it is."""
    refused = not 200 <= response.status < 300
    limit = _REFUSAL_BYTES if refused else max_bytes
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            if refused:
                break
            raise UnexpectedReply(f"the answer is larger than {limit // MEGABYTE} MB", status=response.status)
    return bytes(body)


async def _in_our_words(exchange: Awaitable[_T]) -> _T:
    try:
        return await exchange
    except aiohttp.ClientResponseError as error:
        failure = _misfit(error)
    except (aiohttp.ClientError, OSError) as error:
        raise _broken(error) from error
    # Raised out here, since the original carries the headers that were sent, signature and token among them.
    raise failure


def _misfit(error: aiohttp.ClientResponseError) -> CloudError:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        message = f"the proxy does not connect: HTTP {error.status} {tidy(error.message)}"
        return TransientCloudError(message, answered=True)
    return UnexpectedReply(f"the answer is not proper HTTP: {tidy(error.message)}")


def _broken(error: aiohttp.ClientError | OSError) -> CloudError:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = tidy(str(error.certificate_error))
            return TerminalCloudError(f"the certificate of {error.host} is not trusted: {reason}")
        case aiohttp.ClientConnectorError():
            reason = tidy(error.os_error.strerror or str(error.os_error))
            return TransientCloudError(f"cannot connect to {error.host}:{error.port}: {reason}", answered=True)
        case aiohttp.ConnectionTimeoutError():
            return TransientCloudError("cannot connect in time", answered=True)
        case TimeoutError():
            return TransientCloudError("no answer in time")
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return TerminalCloudError("the endpoint or the proxy is not a usable address")
        case _:
            return TransientCloudError(f"the connection broke before the answer was complete: {type(error).__name__}")
