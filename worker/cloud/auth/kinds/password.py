"""A token of each project, for the name and the password of an IAM user.

A token is good for one project, and in the region whose identity service it is of. Without a project it is one of the
account, which assumes agencies. Source: API reference of IAM, "Obtaining a User Token Through Password Authentication".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.cloud.auth.answers import read_token
from worker.cloud.auth.asking import TOKENS, place, post
from worker.cloud.auth.flow import AuthScope, Flow
from worker.cloud.auth.tokens import Presented
from worker.cloud.regions import Endpoints, Service
from worker.cloud.request import Call
from worker.errors import Cause, Forbidden


@dataclass(frozen=True, slots=True)
class Password:
    """An IAM user of an account, which IAM calls a domain."""

    endpoints: Endpoints
    user: str
    domain: str
    password: str = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be repeated."""
        return (self.password,)

    def scope(self, call: Call) -> AuthScope:
        """Return the project of the call, and its region."""
        return AuthScope(call.project_id, call.region)

    def obtain(self, scope: AuthScope) -> Flow:
        """Present the password for a token."""
        domain = {"name": self.domain}
        user = {"name": self.user, "password": self.password, "domain": domain}
        document = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"id": scope.project_id}} if scope.project_id else {"domain": domain},
            }
        }
        origin = place(self.endpoints, Service.IAM, scope.region)
        # The catalog of all services would make the answer a hundred times as long.
        try:
            reply = yield post(
                origin,
                TOKENS,
                document,
                Presented(self.secrets),
                (("nocatalog", "true"),),
                f"{self.domain}/{self.user}",
            )
        except Forbidden as error:
            if scope.project_id:
                # The credential is stopped for it, so that whose project it was must be said.
                error.caused(Cause.OTHER_PROJECT).message += f" (for the project {scope.project_id})"
            raise
        return read_token(reply)
