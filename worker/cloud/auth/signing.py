"""Sign requests with the cloud's SDK-HMAC-SHA256. Source: the vendor's core SDK, `Signer`.

The signature covers the very bytes that are sent: let nobody change the returned headers afterwards.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from worker.cloud.request import Request, canonical_query

_ALGORITHM = "SDK-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """An access key with its secret; a temporary one has a security token too."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may repeat."""
        return tuple(filter(None, (self.secret_key, self.security_token, self.access_key)))

    def headers(self, request: Request, at: datetime) -> dict[str, str]:
        """Return the headers to send, signed; raise as `sign` does."""
        return sign(request, self, at)


def canonical_request(request: Request, headers: Mapping[str, str]) -> str:
    """Return the text whose digest is signed, with all of `headers` that have no `_` in their name."""
    # The trailing slash belongs to the canonical form only; it is not sent.
    path = quote(unquote(request.path), safe="/").removesuffix("/") + "/"
    signed = _signed(headers)
    return "\n".join(
        (
            request.method.upper(),
            path,
            canonical_query(request.query),
            *(f"{name}:{value}" for name, value in signed),
            "",
            ";".join(name for name, _ in signed),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def sign(request: Request, keys: SigningKeys, at: datetime) -> dict[str, str]:
    """Return the headers to send: the request's, then Host, X-Sdk-Date, X-Security-Token, Authorization.

    `at` is an aware time. The cloud accepts it within 15 minutes of its own clock, so sign each attempt anew.
    Raises ValueError for a header that would break out of its line, and names it without its value.
    """
    date = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {**request.headers, "Host": request.host, "X-Sdk-Date": date}
    if keys.security_token is not None:
        headers["X-Security-Token"] = keys.security_token
    headers = {name: _one_line(name, value) for name, value in headers.items()}

    digest = hashlib.sha256(canonical_request(request, headers).encode()).hexdigest()
    text = f"{_ALGORITHM}\n{date}\n{digest}"
    signature = hmac.digest(keys.secret_key.encode(), text.encode(), "sha256").hex()
    names = ";".join(name for name, _ in _signed(headers))
    authorization = f"{_ALGORITHM} Access={keys.access_key}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "Authorization": _one_line("Authorization", authorization)}


def _signed(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in headers.items() if "_" not in name)


def _one_line(name: str, value: str) -> str:
    if any(end in value for end in "\r\n\0"):
        raise ValueError(f"the value of the header {name} has a line break or a NUL in it")
    return value.strip()
