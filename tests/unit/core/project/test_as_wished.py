"""Where a share stands is told with what its wish says of it."""

from __future__ import annotations

from worker.core.manifest.model import Wish
from worker.core.operation import Operation
from worker.core.project.wishes import as_wished
from worker.core.share import Share
from worker.core.status import ShareStatus, Status

FAILED = ShareStatus(Share("p", "a"), Status.FAILED, Operation.ACCEPT)


def test_a_share_has_the_source_and_the_terms_of_its_wish() -> None:
    """Who asked for it, and whether it may be absent, stay known after it was sent."""
    wish = Wish(Operation.ACCEPT, may_be_absent=True, source="manifest.toml:9")
    told = as_wished(FAILED, wish)
    assert (told.status, told.source, told.may_be_absent) == (Status.FAILED, "manifest.toml:9", True)


def test_a_share_that_is_wished_otherwise_or_not_at_all_is_told_as_it_is() -> None:
    """What an earlier pass has sent may be wished by nobody any more: nothing of another wish belongs to it."""
    assert as_wished(FAILED, None) == FAILED
    assert as_wished(FAILED, Wish(Operation.REJECT, may_be_absent=True, source="manifest.toml:9")) == FAILED
