"""The agency that is set on a cloud server: temporary keys from its metadata service.

A newer service wants a token of its own with the question, an older one has none to give. Keys live an hour and are
replaced ten minutes before their end, with both good in between. Source: user guide of ECS; the vendor's SDK,
`MetadataAccessor`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from worker.cloud.auth.answers import read_keys, read_text
from worker.cloud.auth.flow import EVERYWHERE, Ask, AuthScope, Flow, Step
from worker.cloud.auth.tokens import Presented
from worker.cloud.refusals import Reply
from worker.cloud.request import Call
from worker.core.calls import CallGroup
from worker.errors import AuthFailed, CloudError

NO_AGENCY: Final = "configure Cloud Service Agency"
"""What a refusal says where no agency is set on the server, so that no token would help."""

_OLD: Final = frozenset({404, 405, 503})
_LIFE: Final = "21600"


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata service at `origin`."""

    origin: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be repeated: nothing is presented but that the call comes from the server."""
        return ()

    def scope(self, call: Call) -> AuthScope:  # noqa: ARG002 - they are good for any
        """Return that the keys are good for all calls."""
        return EVERYWHERE

    def obtain(self, scope: AuthScope) -> Flow:  # noqa: ARG002 - as above
        """Ask for a token, and with it, or without where there is none, for the keys."""
        token = yield from self._token()
        try:
            reply = yield self._keys(token)
        except AuthFailed as error:
            if NO_AGENCY.lower() in error.message.lower():
                raise
            token = yield from self._token()
            if not token:
                raise
            reply = yield self._keys(token)
        return read_keys(reply)

    def _token(self) -> Generator[Step, Reply, str]:
        call = Call(CallGroup.TOKEN, "PUT", self.origin, "/meta-data/latest/api/token", "")
        try:
            return read_text((yield Ask(call, Presented(extra={"X-Metadata-Token-Ttl-Seconds": _LIFE}))))
        except CloudError as error:
            if error.status in _OLD:
                return ""
            raise

    def _keys(self, token: str) -> Ask:
        call = Call(CallGroup.TOKEN, "GET", self.origin, "/openstack/latest/securitykey", "")
        return Ask(call, Presented((token,), {"X-Metadata-Token": token}) if token else Presented())
