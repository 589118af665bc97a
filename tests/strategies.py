"""Arbitrary values of the core for property tests: a small world, so that everything meets everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import strategies as st

from worker.core.batch import Batch, Change, InFlight
from worker.core.manifest.model import Manifest, Project, Rule, Wish
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined
from worker.core.reading import ObservedImage, Offer, Reading
from worker.core.share import MemberStatus, Share

PROJECTS = ("p", "q", "r")
IMAGES = tuple(f"image-{number}" for number in range(6))
EPOCH = 1_800_000_000.0
DAY = 86400.0

statuses = st.sampled_from(MemberStatus)
operations = st.sampled_from(Operation)
vaults = st.sampled_from([None, "vault-a", "vault-b"])
shares = st.builds(Share, st.sampled_from(PROJECTS), st.sampled_from(IMAGES))
moments = st.floats(EPOCH - DAY, EPOCH + DAY)
_wishes = st.builds(Wish, operations, vaults, st.booleans())
_whole = st.sampled_from([True, False, None])


def change(share: Share, before: MemberStatus, operation: Operation, vault: str | None) -> Change:
    """Return a change; one to rejected carries no vault."""
    return Change(share, before, operation, vault if operation.takes_vault else None)


changes = st.dictionaries(shares, st.tuples(statuses, operations, vaults), max_size=len(PROJECTS) * len(IMAGES)).map(
    lambda drawn: [change(share, *rest) for share, rest in drawn.items() if not rest[1].is_met_by(rest[0])]
)
"""Changes of different shares, in any order."""

wishes = st.dictionaries(st.sampled_from(PROJECTS), st.dictionaries(st.sampled_from(IMAGES), _wishes, min_size=1))
"""What is wished, by project and image."""


def manifest_of(wished: Mapping[str, Mapping[str, Wish]], *rules: Rule, more: Iterable[str] = ()) -> Manifest:
    """Return a manifest with these wishes and rules, and `more` projects without any."""
    projects = {each: Project(each, each.upper()) for each in (*wished, *more)}
    return Manifest(projects, wished, {}, {}, {}, {}, rules)


def _offers(drawn: dict[str, tuple[MemberStatus, bool | None]]) -> dict[str, Offer]:
    return {
        image: Offer(ObservedImage(image, image.upper(), "owner", whole), status)
        for image, (status, whole) in drawn.items()
    }


offers = st.dictionaries(st.sampled_from(IMAGES), st.tuples(statuses, _whole)).map(_offers)
readings = offers.map(Reading) | st.just(Reading({}, "HTTP 503: down"))
"""What was read of a project, or why it could not be."""

batches = st.builds(
    Batch,
    st.sampled_from(PROJECTS),
    operations,
    st.none(),
    st.sets(st.sampled_from(IMAGES), min_size=1).map(lambda images: tuple(sorted(images))),
)
flights = st.lists(
    st.builds(InFlight, st.integers(1, 99), batches, moments, st.sampled_from([None, "job-1", "job-2"])), max_size=4
)
quarantines = st.dictionaries(shares, st.tuples(operations, moments)).map(
    lambda drawn: {
        share: Quarantined(share, operation, 1, "first", "last", next_try)
        for share, (operation, next_try) in drawn.items()
    }
)
