"""Rules for tests: what a wish may be that depends on what is observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.manifest.model import Project, Wish
from worker.core.operation import Operation
from worker.core.reading import Offer
from worker.core.share import MemberStatus


@dataclass(frozen=True)
class AllPending:
    """A rule that accepts whatever is pending when it is read, and keeps what is accepted, in every project."""

    def speaks_of(self, project: Project) -> bool:
        """Speak of every project."""
        return True

    def wishes(self, project: Project, offers: Mapping[str, Offer]) -> Mapping[str, Wish]:
        """Wish for what is not rejected."""
        return {
            image: Wish(Operation.ACCEPT, source="rule all pending")
            for image, offer in offers.items()
            if offer.status is not MemberStatus.REJECTED
        }
