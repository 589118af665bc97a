"""A signing client for the simulator's own tests: one call, one answer, nothing hidden or repeated."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from worker.simulator.server import Simulator
from worker.simulator.signature import Request, signature

NO_QUERY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


@dataclass
class Client:
    """Calls one simulator as one project; `skew` is how far its clock is off, in seconds."""

    simulator: Simulator
    session: aiohttp.ClientSession
    project: str
    access_key: str = "AK"
    secret_key: str = "SK"
    skew: float = 0.0

    @classmethod
    @asynccontextmanager
    async def of(cls, simulator: Simulator, project: str, **settings: Any) -> AsyncIterator[Self]:
        """Yield a client for as long as the context lasts; it resends nothing."""
        patience = aiohttp.ClientTimeout(300)
        async with aiohttp.ClientSession(timeout=patience, middlewares=(_once,), max_field_size=128 * 1024) as session:
            yield cls(simulator, session, project, **settings)

    async def call(self, method: str, path: str, body: bytes = b"", query: Mapping[str, str] = NO_QUERY) -> Answer:
        """Send one signed request and return the answer; raise what aiohttp raises."""
        target = path + ("?" + urlencode(query, quote_via=quote) if query else "")
        date = datetime.now(UTC) + timedelta(seconds=self.skew)
        headers = {
            "host": self.simulator.url.removeprefix("http://"),
            "x-project-id": self.project,
            "x-sdk-date": date.strftime("%Y%m%dT%H%M%SZ"),
        }
        names = tuple(headers)
        made = signature(Request(method, target, headers, body), names, self.secret_key)
        headers["Authorization"] = (
            f"SDK-HMAC-SHA256 Access={self.access_key}, SignedHeaders={';'.join(names)}, Signature={made}"
        )
        url = URL(self.simulator.url + target, encoded=True)
        async with self.session.request(
            method, url, data=io.BytesIO(body) if body else None, headers=headers, allow_redirects=False
        ) as response:
            return Answer(response.status, await response.read(), response.headers)

    async def put(self, *images: str, status: str = "accepted", **more: str) -> Answer:
        """Ask for images to be accepted, or whatever `status` says."""
        body = {"images": images, "project_id": self.project, "status": status, **more}
        return await self.call("PUT", "/v1/cloudimages/members", json.dumps(body).encode())

    async def images(self, status: str = "pending", **query: str) -> Answer:
        """Read a page of the images that are offered and have this status."""
        shared = {"__imagetype": "shared", "visibility": "shared", "member_status": status}
        return await self.call("GET", "/v2/cloudimages", query=shared | query)

    async def job(self, job_id: str, *, legacy: bool = False) -> Answer:
        """Ask for a job by one of the two queries."""
        path = f"/v1/{self.project}/jobs/" if legacy else "/v1/cloudimages/job/"
        return await self.call("GET", path + quote(job_id, safe=""))


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request again by itself when the connection dies."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectionError as error:
        raise Unanswered from error


class Unanswered(Exception):  # noqa: N818 - it says what happened
    """The connection ended before an answer came."""
