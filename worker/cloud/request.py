"""A call to be made, what of it is sent, what authorises it, and how connections are made for it.

What is signed and what is sent are the very same: quote paths with `quoted`, take the query string from
`canonical_query`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from urllib.parse import quote

from worker.cloud.bodies import MAX_VALUES, MEGABYTE
from worker.core.calls import CallGroup


@dataclass(frozen=True, slots=True)
class Connections:
    """How to connect: time-outs in seconds, how many connections at once, the file of a private CA or nothing."""

    connect_timeout: float
    read_timeout: float
    max_connections: int
    ca_file: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call to be made. `origin` is `https://host[:port]`, `path` as it is on the wire.

    `region` is the project's where it has one of its own, as its identity service does.

    `max_bytes` and `max_values` bound the answer, unpacked, and as JSON. `is_part` tells that it is about a part of
    what failed as a whole, and so lets others go first. One that `is_optional` is done without where it fails: it is
    repeated once, and a 401 to it stops no credential, which may well be good for other services; nor does one to a
    call that `is_tentative`, since that may have to be made in another way.

    The project, or the account, which is `domain_id`, is named in a header, where the signature covers it.
    """

    group: CallGroup
    method: str
    origin: str
    path: str
    project_id: str
    query: tuple[tuple[str, str | int], ...] = ()
    body: bytes = field(default=b"", repr=False)
    max_bytes: int = MEGABYTE
    max_values: int = MAX_VALUES
    is_part: bool = False
    is_optional: bool = False
    is_tentative: bool = False
    region: str = ""
    domain_id: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be sent: `host` with a port that is not the usual one, `path` as it is on the wire."""

    method: str
    host: str
    path: str
    query: tuple[tuple[str, str | int], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Authorization(Protocol):
    """Says how a call is authorised: by keys that sign it, or by a token that goes with it."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message about the call may repeat."""

    def headers(self, request: Request, at: datetime) -> Mapping[str, str]:
        """Return the headers to send at a moment, the request's own among them.

        Raises ValueError for a header that would break out of its line, and names it without its value.
        """


def quoted(text: str) -> str:
    """Return `text` as one segment of a path or one part of a query; a space is `%20`, and `~` stays."""
    return quote(text, safe="")


def canonical_query(params: Iterable[tuple[str, str | int]]) -> str:
    """Return the query string as it is signed and must be sent. Booleans read `true` and `false`."""
    pairs = ((key, str(value).lower() if isinstance(value, bool) else str(value)) for key, value in params)
    return "&".join(f"{quoted(key)}={quoted(value)}" for key, value in sorted(pairs))
