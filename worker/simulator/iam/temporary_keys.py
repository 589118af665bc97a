"""`POST /v3.0/OS-CREDENTIAL/securitytokens`: a temporary key for a token, or for an agency that is assumed.

Source: API reference of IAM. A key asked for with a token acts as whoever the token is for.
"""

from __future__ import annotations

from typing import Any

from worker.simulator.calls import Call, dig, text_at
from worker.simulator.iam.answers import UNAUTHORIZED, iam_error, key_body
from worker.simulator.iam.authentication import Authentication
from worker.simulator.iam.tokens import Tokens
from worker.simulator.identity.model import Agency, Principal
from worker.simulator.replies import Reply, json_reply
from worker.simulator.world import World

SHORTEST, LONGEST = 900, 86_400


class TemporaryKeys:
    """Hands out temporary keys of one world."""

    def __init__(self, world: World, authentication: Authentication, tokens: Tokens) -> None:
        self._world = world
        self._authentication = authentication
        self._tokens = tokens

    def issue(self, call: Call) -> Reply:
        """Return a temporary key, or why there is none."""
        identity = dig(call.body, "auth", "identity")
        methods = dig(identity, "methods")
        if methods not in (["token"], ["assume_role"]):
            return iam_error(400, "The value of methods is invalid.")
        seconds = _duration(dig(identity, methods[0]))
        if seconds is None:
            return iam_error(400, f"duration_seconds must be from {SHORTEST} to {LONGEST}.")
        principal = self._by_token(call, identity) if methods == ["token"] else self._by_agency(call, identity)
        if isinstance(principal, Reply):
            return principal
        return json_reply(key_body(self._world.issued.key(principal, seconds), self._world.identity), 201)

    def _by_token(self, call: Call, identity: Any) -> Principal | Reply:
        text = text_at(identity, "token", "id")
        if not text and call.authorization:
            return self._authentication.claimed(call)
        token = self._world.issued.find_token(text or call.auth_token)
        if token is None or self._world.now() >= token.ends_at:
            return iam_error(401, UNAUTHORIZED)
        return token.principal

    def _by_agency(self, call: Call, identity: Any) -> Principal | Reply:
        agency = self._tokens.assumed(call, dig(identity, "assume_role"))
        return self._world.directory.acting(agency) if isinstance(agency, Agency) else agency


def _duration(asked: Any) -> int | None:
    seconds = asked.get("duration_seconds", SHORTEST) if isinstance(asked, dict) else SHORTEST
    return seconds if type(seconds) is int and SHORTEST <= seconds <= LONGEST else None
