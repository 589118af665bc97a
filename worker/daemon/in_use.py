"""What the daemon goes by and works with at this moment: set where that changes, looked up by who shows or uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.cloud.ims import Ims
from worker.core.calls import CallGroup
from worker.core.limits import LimitStanding
from worker.core.manifest.listed import Lists
from worker.daemon.revision import Revision
from worker.journal.lease import HeldJournal


@dataclass(slots=True)
class InUse:
    """The files as they were last good, and the journal and the cloud that are open, if they are.

    `journal_error` says why there is no journal, unless another worker holds it.
    """

    revision: Revision
    journal: HeldJournal | None = None
    journal_error: str = ""
    ims: Ims | None = None

    def take_lists(self, lists: Lists) -> None:
        """Go by these lists of the projects that are found from now on."""
        self.revision = self.revision.with_found(lists)

    def standing(self) -> Mapping[str, Mapping[CallGroup, LimitStanding]]:
        """Return how the call groups of each account stand; nothing before the cloud is open."""
        return self.ims.clients.standing() if self.ims else {}

    def refused(self) -> Mapping[str, bool]:
        """Return of each credential whether the cloud refuses it; none is refused before the cloud is open."""
        return self.ims.clients.refused() if self.ims else dict.fromkeys(self.revision.cloud.credentials, False)
