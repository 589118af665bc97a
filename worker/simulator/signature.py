"""Checks SDK-HMAC-SHA256 from the server's side, on purpose without a line of the client's.

Source: "API Request Signing Guide" of the API gateway.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, unquote

MAX_SKEW = 15 * 60.0
_AUTHORIZATION = re.compile(
    r"SDK-HMAC-SHA256 Access=(?P<key>[^\s,]+), ?"
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<hex>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Authorization:
    """The three parts of an `Authorization` header."""

    access_key: str
    headers: tuple[str, ...]
    signature: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived: `target` is the raw path with its query, header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


def read_authorization(header: str) -> Authorization | None:
    """Read an `Authorization` header; return None if it is none of this scheme or misses a minimum header."""
    match = _AUTHORIZATION.fullmatch(header)
    if match is None:
        return None
    names = tuple(match["headers"].split(";"))
    if names != tuple(sorted(names)) or not {"host", "x-sdk-date"} <= set(names):
        return None
    return Authorization(match["key"], names, match["hex"])


def signed_at(request: Request) -> float | None:
    """Return when the request says that it was signed, in seconds since the epoch; None if it does not say."""
    try:
        return datetime.strptime(request.headers.get("x-sdk-date", "") + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
    except ValueError:
        return None


def signature(request: Request, headers: tuple[str, ...], secret_key: str) -> str:
    """Return the signature that a request over these headers must carry."""
    path, _, query = request.target.partition("?")
    segments = [_encoded(unquote(segment)) for segment in path.split("/")]
    if segments[-1]:
        segments.append("")
    pairs = sorted(tuple(map(unquote, pair.partition("=")[::2])) for pair in query.split("&") if pair)
    payload = request.headers.get("x-sdk-content-sha256") or hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join(
        [
            request.method,
            "/".join(segments),
            "&".join(f"{_encoded(key)}={_encoded(value)}" for key, value in pairs),
            *(f"{name}:{request.headers.get(name, '').strip()}" for name in headers),
            "",
            ";".join(headers),
            payload,
        ]
    )
    digest = hashlib.sha256(canonical.encode(errors="surrogateescape")).hexdigest()
    text = f"SDK-HMAC-SHA256\n{request.headers['x-sdk-date']}\n{digest}"
    return hmac.new(secret_key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _encoded(text: str) -> str:
    """Percent-encode all but unreserved characters; bytes that were no UTF-8 come out as they came in."""
    return quote(text, safe="", errors="surrogateescape")
