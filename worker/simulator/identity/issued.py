"""What has been handed out: tokens and temporary keys, and when each ends."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from worker.simulator.identity.model import Principal
from worker.simulator.identity.rules import IdentityRules


@dataclass(frozen=True, slots=True)
class Token:
    """A token of IAM: whose it is, and for which project (empty: for none). Times are seconds since the epoch."""

    text: str = field(repr=False)
    principal: Principal
    project_id: str
    methods: tuple[str, ...]
    issued_at: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class TemporaryKey:
    """A temporary access key; it is good only together with its security token, and until `ends_at`."""

    access_key: str
    secret_key: str = field(repr=False)
    security_token: str = field(repr=False)
    principal: Principal
    ends_at: float


class Issued:
    """The tokens and temporary keys of one cloud. None voids another; those that are over are kept to be told so."""

    def __init__(self, now: Callable[[], float], rules: IdentityRules) -> None:
        self._now = now
        self._rules = rules
        self._tokens: dict[str, Token] = {}
        self._keys: dict[str, TemporaryKey] = {}

    def token(self, principal: Principal, project_id: str, methods: tuple[str, ...]) -> Token:
        """Make a token."""
        at = self._now()
        text = ("MIIatAYJKoZIhvcNAQcC" + secrets.token_urlsafe(self._rules.token_length))[: self._rules.token_length]
        token = Token(text, principal, project_id, methods, at, at + self._rules.token_life)
        self._tokens[token.text] = token
        return token

    def key(self, principal: Principal, seconds: float) -> TemporaryKey:
        """Make a temporary key that lives for so many seconds, or as long as any does."""
        ends = self._now() + min(seconds, self._rules.key_life)
        access_key = "HST" + secrets.token_hex(9).upper()[:17]
        key = TemporaryKey(access_key, secrets.token_urlsafe(30), secrets.token_urlsafe(300), principal, ends)
        self._keys[key.access_key] = key
        return key

    def find_token(self, text: str) -> Token | None:
        """Return the token of this text, ended or not."""
        return self._tokens.get(text)

    def find_key(self, access_key: str) -> TemporaryKey | None:
        """Return the temporary key of this name, ended or not."""
        return self._keys.get(access_key)

    def end(self, name: str) -> None:
        """End now all that a user or an agency of this name holds, as a change of its password or rights would."""
        at = self._now()
        for text, token in self._tokens.items():
            if token.principal.name == name:
                self._tokens[text] = replace(token, ends_at=min(at, token.ends_at))
        for access_key, key in self._keys.items():
            if key.principal.name == name:
                self._keys[access_key] = replace(key, ends_at=min(at, key.ends_at))
