"""Arbitrary values of the core for property tests: a small world, so that everything meets everything."""

from __future__ import annotations

from hypothesis import strategies as st

from worker.core.state import (
    Batch,
    Change,
    DesiredState,
    InFlight,
    MemberStatus,
    ObservedImage,
    ObservedState,
    Offer,
    Project,
    Quarantined,
    Share,
    Wish,
)

PROJECTS = ("p", "q", "r")
IMAGES = tuple(f"image-{number}" for number in range(6))
EPOCH = 1_800_000_000.0
DAY = 86400.0

statuses = st.sampled_from(MemberStatus)
wishable = st.sampled_from([MemberStatus.ACCEPTED, MemberStatus.REJECTED])
vaults = st.sampled_from([None, "vault-a", "vault-b"])
shares = st.builds(Share, st.sampled_from(PROJECTS), st.sampled_from(IMAGES))
moments = st.floats(EPOCH - DAY, EPOCH + DAY)
_wishes = st.builds(Wish, wishable, vaults, st.booleans())
_whole = st.sampled_from([True, False, None])


def change(share: Share, before: MemberStatus, after: MemberStatus, vault: str | None) -> Change:
    """Return a change; one to rejected carries no vault."""
    return Change(share, before, after, vault if after is MemberStatus.ACCEPTED else None)


changes = st.dictionaries(shares, st.tuples(statuses, wishable, vaults), max_size=len(PROJECTS) * len(IMAGES)).map(
    lambda drawn: [change(share, *rest) for share, rest in drawn.items() if rest[0] is not rest[1]]
)
"""Changes of different shares, in any order."""

desired_states = st.dictionaries(
    st.sampled_from(PROJECTS), st.dictionaries(st.sampled_from(IMAGES), _wishes, min_size=1)
).map(lambda wishes: DesiredState({each: Project(each, each.upper()) for each in wishes}, wishes, {}))


def _offers(drawn: dict[str, tuple[MemberStatus, bool | None]]) -> dict[str, Offer]:
    return {
        image: Offer(ObservedImage(image, image.upper(), "owner", whole), status)
        for image, (status, whole) in drawn.items()
    }


def _observed(drawn: dict[str, dict[str, Offer] | str]) -> ObservedState:
    return ObservedState(
        {project: found for project, found in drawn.items() if isinstance(found, dict)},
        {project: found for project, found in drawn.items() if isinstance(found, str)},
    )


observed_states = st.dictionaries(
    st.sampled_from(PROJECTS),
    st.dictionaries(st.sampled_from(IMAGES), st.tuples(statuses, _whole)).map(_offers) | st.just("HTTP 503: down"),
).map(_observed)
"""Each project has offers, could not be read, or was not asked."""

batches = st.builds(
    Batch,
    st.sampled_from(PROJECTS),
    wishable,
    st.none(),
    st.sets(st.sampled_from(IMAGES), min_size=1).map(lambda images: tuple(sorted(images))),
)
flights = st.lists(
    st.builds(InFlight, st.integers(1, 99), batches, moments, st.sampled_from([None, "job-1", "job-2"])), max_size=4
)
quarantines = st.dictionaries(shares, st.tuples(wishable, moments)).map(
    lambda drawn: {
        share: Quarantined(share, status, 1, "first", "last", next_try) for share, (status, next_try) in drawn.items()
    }
)


def shuffled(desired: DesiredState, observed: ObservedState) -> tuple[DesiredState, ObservedState]:
    """Return the same states with everything in them in the opposite order."""
    return (
        DesiredState(
            desired.projects,
            {project: dict(reversed(wishes.items())) for project, wishes in reversed(desired.wishes.items())},
            desired.image_names,
        ),
        ObservedState(
            {project: dict(reversed(offers.items())) for project, offers in reversed(observed.offers.items())},
            dict(reversed(observed.unreadable.items())),
        ),
    )
