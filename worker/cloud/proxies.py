"""The way to an origin: straight, or through the proxy that the environment names for it.

A proxy may check its login against a directory, which locks an account after a few refusals. So until a proxy has let
somebody through, one call at a time offers the login; once it is refused, nobody offers it again until it is allowed.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from yarl import URL

from worker.cloud.no_proxy import proxy_named
from worker.errors import Cause, CloudError, TerminalCloudError, TransientCloudError


class LoginRefused(TerminalCloudError):  # noqa: N818 - as its siblings
    """The proxy asks for another login, or for one at all."""


@dataclass(slots=True)
class Proxy:
    """One proxy with one login, for every origin behind it. `secrets` are what no message may repeat."""

    url: URL
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    _proven: bool = False
    _refused: LoginRefused | None = None
    _first: asyncio.Future[CloudError | None] | None = field(default=None, repr=False)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold a turn for one call: alone while the login is unproven.

        Raises LoginRefused where the proxy has refused it, and a TransientCloudError with `nothing_done` where the
        first call had no answer either: nothing is sent then.
        """
        while not self._proven and self.headers and self._first is not None:
            failure = await asyncio.shield(self._first)
            if failure is not None and self._refused is None:
                # In the words of the first, so that one outage is one fact.
                raise TransientCloudError(str(failure), nothing_done=True).caused(failure.cause)
        if self._refused is not None:
            raise LoginRefused(self._refused.message).caused(self._refused.cause)
        if self._proven or not self.headers:
            async with self._watched():
                yield
            return
        self._first = first = asyncio.get_running_loop().create_future()
        failure = None
        try:
            async with self._watched():
                yield
        except CloudError as error:
            failure = None if self._proven else error
            raise
        finally:
            self._first = None
            if not first.done():
                first.set_result(failure)

    def let_through(self) -> None:
        """Take note that the proxy has connected somebody."""
        self._proven = True
        if self._first is not None and not self._first.done():
            self._first.set_result(None)

    def allow(self) -> None:
        """Let a login that was refused be offered once more."""
        if self._refused is not None:
            self._refused, self._proven = None, False

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        try:
            yield
        except LoginRefused as error:
            self._refused = error
            raise


class Proxies:
    """The ways to all origins; those that lead through one proxy with one login share its verdict."""

    def __init__(self) -> None:
        self._ways: dict[str, Proxy | None] = {}
        self._proxies: dict[tuple[URL, str], Proxy] = {}

    def to(self, origin: str) -> Proxy | None:
        """Return the proxy to an origin, or None for the straight way; raise TerminalCloudError for a senseless one."""
        if origin not in self._ways:
            found = _environment_proxy(origin)
            key = (found.url, found.headers.get("Proxy-Authorization", "")) if found else None
            self._ways[origin] = self._proxies.setdefault(key, found) if found and key else None
        return self._ways[origin]

    def allow(self) -> None:
        """Let every login that was refused be offered once more."""
        for proxy in self._proxies.values():
            proxy.allow()


def _environment_proxy(origin: str) -> Proxy | None:
    named = proxy_named(origin, os.environ)
    if not named:
        return None
    try:
        url = URL(named if "://" in named else f"http://{named}")
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        message = "the proxy that the environment names for https is not an address of http or https"
        raise TerminalCloudError(message).caused(Cause.PROXY)
    if url.user is None:
        return Proxy(url)
    login = b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
    secrets = (login, *filter(None, [url.password]))
    return Proxy(url.with_user(None), {"Proxy-Authorization": f"Basic {login}"}, secrets)
