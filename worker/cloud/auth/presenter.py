"""Who presents an authorization, as far as that may be shown: a principal that the cloud names, the start of a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.cloud.auth.signing import SigningKeys
from worker.cloud.auth.tokens import Token
from worker.cloud.request import Authorization

_SHOWN: Final = 4
"""Characters of an access key that tell it from others, and do not give it away; of a short one a quarter."""


@dataclass(frozen=True, slots=True)
class Presenter:
    """Who presents: the `principal` that the cloud has named, and the `key`, shortened; empty where unknown.

    `may_be_asked` tells whether the STS, which takes keys alone, could name the principal.
    """

    principal: str = ""
    key: str = ""
    may_be_asked: bool = False


def presenter_of(authorization: Authorization | None, principal: str) -> Presenter:
    """Return who presents an authorization, or None where none is held, that was granted to a principal."""
    match authorization:
        case SigningKeys(access_key=key):
            return Presenter(principal, f"key {key[: min(_SHOWN, len(key) // 4)]}…", may_be_asked=not principal)
        case Token():
            return Presenter(principal, "a token")
        case _:
            return Presenter(principal)
