"""What a PUT does to its shares: accept or reject; when that is reached, and what it asks of the cloud.

All that tells one operation from another stands here. Its value is the word for it in manifest, journal and JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from worker.core.share import MemberStatus
from worker.core.source import Source


class Operation(StrEnum):
    """What a share is wished to become, and so what a batch does. Source: API reference of IMS, `status` of the PUT."""

    ACCEPT = "accepted"
    REJECT = "rejected"

    @property
    def verb(self) -> str:
        """What it does, for people."""
        return _VERBS[self]

    @property
    def takes_vault(self) -> bool:
        """Whether a full-ECS image needs a vault for it."""
        return self is Operation.ACCEPT

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields of the PUT's body that ask for it."""
        return {"status": self.value}

    @property
    def goal(self) -> MemberStatus | None:
        """What a share reads once it is done; None where it is then in no list."""
        return _GOALS[self]

    def is_met_by(self, observed: MemberStatus | None) -> bool:
        """Tell whether a share that reads so, or None in no list, is as this operation would make it."""
        return observed is self.goal


_VERBS = {Operation.ACCEPT: "accept", Operation.REJECT: "reject"}
_GOALS = {Operation.ACCEPT: MemberStatus.ACCEPTED, Operation.REJECT: MemberStatus.REJECTED}


def counts_as_reject(operation: Operation, before: MemberStatus | None, source: Source | None) -> bool:
    """Tell whether the guards count a change as a rejection: of what was accepted, or by a rule of what was pending.

    What people name one by one they mean; what a rule finds may be more than anybody has thought of.
    """
    counted = {MemberStatus.ACCEPTED, MemberStatus.PENDING} if source and source.rule else {MemberStatus.ACCEPTED}
    return operation is Operation.REJECT and before in counted
