"""What authorises a request without a signature: a token that goes with it, or a secret that stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from worker.cloud.request import Request


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the identity service, which goes with each call."""

    token: str = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may repeat."""
        return (self.token,)

    def headers(self, request: Request, at: datetime) -> Mapping[str, str]:  # noqa: ARG002 - it is good at any time
        """Return the headers of the request, and the token."""
        return {**request.headers, "X-Auth-Token": self.token}


@dataclass(frozen=True, slots=True)
class Presented:
    """What is presented to obtain an authorization: in the body of the request, or in `extra` headers of it."""

    secrets: tuple[str, ...] = field(default=(), repr=False)
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)

    def headers(self, request: Request, at: datetime) -> Mapping[str, str]:  # noqa: ARG002 - as above
        """Return the headers of the request, and the others."""
        return {**request.headers, **self.extra}
