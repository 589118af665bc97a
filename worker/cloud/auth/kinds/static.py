"""Fixed keys, as they are written down."""

from __future__ import annotations

from dataclasses import dataclass

from worker.cloud.auth.flow import EVERYWHERE, AuthScope, Flow, Granted
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.request import Call


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """Keys that sign the calls for every project: nothing has to be asked for them, and nothing renews them."""

    keys: SigningKeys

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be repeated."""
        return self.keys.secrets

    def scope(self, call: Call) -> AuthScope:  # noqa: ARG002 - they are good for any
        """Return that they are good for all calls."""
        return EVERYWHERE

    def obtain(self, scope: AuthScope) -> Flow:  # noqa: ARG002 - as above
        """Return the keys, and ask for nothing."""
        yield from ()
        return Granted(self.keys)
