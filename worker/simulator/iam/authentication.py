"""Who a call is from, and whether that is to be believed: a signature with a key, or a token.

Source: error codes of the API gateway: APIGW.0301 for whatever is wrong with a key or a token, APIGW.0307 for a token
that must be renewed, or is another region's.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from math import inf

from worker.simulator.calls import Call, text_at
from worker.simulator.iam.answers import UNAUTHORIZED, iam_error
from worker.simulator.identity.model import Principal, Rights
from worker.simulator.options import Group
from worker.simulator.replies import Reply, error
from worker.simulator.signature import MAX_SKEW, Authorization, Request, signature, signed_at
from worker.simulator.world import World

_BLOCKED = "AK access failed to reach the limit, forbidden"


@dataclass(frozen=True, slots=True)
class _Key:
    """A key that the cloud knows. `locks` is whether failures with it count, `blocked` whether it is from the start."""

    secret_key: str = field(repr=False)
    security_token: str = field(repr=False)
    principal: Principal
    ends_at: float = inf
    locks: bool = False
    blocked: bool = False


class Authentication:
    """Tells who calls, for all services of one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def claimed(self, call: Call) -> Principal:
        """Return who the call says it is from, believed or not; an unknown key is an account of its own."""
        if call.authorization is not None:
            key = self._key(call.access_key)
            return key.principal if key else Principal(call.access_key, call.access_key)
        if token := self._world.issued.find_token(call.auth_token):
            return token.principal
        domain = text_at(call.body, "auth", "identity", "password", "user", "domain", "name")
        return Principal(call.access_key, domain or call.access_key)

    def project(self, call: Call) -> str:
        """Return the project of the token that the call shows, empty if it shows none or that is for none."""
        token = None if call.authorization else self._world.issued.find_token(call.auth_token)
        return token.project_id if token else ""

    def refusal(self, call: Call, now: float, *, signed_only: bool = False) -> Reply | None:
        """Return why the caller is not believed, or None if it is; with `signed_only` a token is no proof."""
        if call.authorization is None and call.auth_token and not signed_only:
            return self._distrust_token(call, now)
        if (reason := self._distrust_key(call, now)) is not None:
            return error("gateway", 401, "APIGW.0301", f"Incorrect IAM authentication information: {reason}")
        return None

    def _distrust_token(self, call: Call, now: float) -> Reply | None:
        token = self._world.issued.find_token(call.auth_token)
        if call.group in {Group.TOKEN, Group.PROJECTS}:
            return None if token and now < token.ends_at else iam_error(401, UNAUTHORIZED)
        incorrect = "Incorrect IAM authentication information: "
        if token is None:
            return error("gateway", 401, "APIGW.0301", f"{incorrect}decrypt token fail")
        if now >= token.ends_at:
            code = self._world.identity.expired_token
            return error("gateway", 401, code, f"{incorrect}decrypt token fail, token has expired")
        other = token.project_id and call.project_id not in {"", token.project_id}
        if other or self.abroad(token.project_id):
            return error("gateway", 401, "APIGW.0307", "The token must be updated.")
        return None

    def abroad(self, project_id: str) -> bool:
        """Tell whether a project belongs to another region than this cloud is."""
        here, project = self._world.identity.region, self._world.tenancies.get(project_id)
        return bool(here and project and project.region and project.region != here)

    def _key(self, access_key: str) -> _Key | None:
        if account := self._world.accounts.get(access_key):
            rights = Rights(projects=account.projects)
            principal = Principal(access_key, account.name, rights=rights)
            return _Key(account.secret_key, account.security_token, principal)
        if user := self._world.directory.user_of(access_key):
            ends = self._world.started + user.life
            acting = self._world.directory.acting(user)
            return _Key(user.secret_key, user.security_token, acting, ends, locks=True, blocked=user.blocked)
        if issued := self._world.issued.find_key(access_key):
            return _Key(issued.secret_key, issued.security_token, issued.principal, issued.ends_at)
        return None

    def _distrust_key(self, call: Call, now: float) -> str | None:
        key = self._key(call.access_key) if call.authorization else None
        if key is None or not key.locks:
            return self._reason(call, key, now)
        if key.blocked or self._world.lockouts.blocked(call.access_key):
            return _BLOCKED
        reason = self._reason(call, key, now)
        self._world.lockouts.note(call.access_key, failed=reason is not None)
        return reason

    def _reason(self, call: Call, key: _Key | None, now: float) -> str | None:
        if call.authorization is None:
            return "authorization header missing or malformed"
        signed = signed_at(call.request)
        if signed is None or abs(signed - now) > MAX_SKEW:
            return "signature expired: X-Sdk-Date is more than 15 minutes off"
        if key is None:
            return None if self._world.directory.open else f"the AK {call.access_key} does not exist"
        if (reason := _mismatch(call.request, call.authorization, key)) is not None:
            return reason
        return "the security token has expired" if now >= key.ends_at else None


def _mismatch(request: Request, authorization: Authorization, key: _Key) -> str | None:
    """Return why the signature is not the key's, or None if it is."""
    if key.security_token:
        token = request.headers.get("x-security-token", "")
        if "x-security-token" not in authorization.headers or token != key.security_token:
            return "security token missing or wrong for a temporary AK"
    expected = signature(request, authorization.headers, key.secret_key)
    return None if hmac.compare_digest(expected, authorization.signature) else "verify aksk signature fail"
