"""What a rule with `newest` matches → its name groups: which images it chooses, and which may not be rejected yet.

Make before break: what an accepting rule matched and did not choose is rejected only once enough newer images of its
group read as accepted: as many as the rule chooses, or asks for as `min_accepted`, or all that there are if these are
fewer, but `min_accepted` at any rate. Where nobody knows when an image was made, nobody knows what is newer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.core.globs import normal
from worker.core.manifest.model import Newest
from worker.core.reading import Offer
from worker.core.share import MemberStatus

_Aged = tuple[float, str, bool]  # when it was made, by which images are ranked, its id, and whether it is accepted


@dataclass(slots=True)
class Ranking:
    """Of what one rule matches, by image id: what it chooses, and of the rest what must stay as long as it does."""

    chosen: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)


def rank(newest: Newest, matched: Iterable[Offer]) -> Ranking:
    """Rank what a rule matches; an image that is of no group is neither chosen nor held."""
    groups: dict[tuple[str, str], list[_Aged]] = {}
    for offer in matched:
        image = offer.image
        if (group := newest.groups.of(normal(image.name))) is not None:
            made = -math.inf if image.created_at is None else image.created_at
            groups.setdefault((image.owner, group), []).append((made, image.id, offer.status is MemberStatus.ACCEPTED))
    ranking = Ranking()
    for aged in groups.values():
        aged.sort(reverse=True)
        _rank(newest, aged, ranking)
    return ranking


def _rank(newest: Newest, newest_first: list[_Aged], ranking: Ranking) -> None:
    accepted = 0
    for newer, (made, image_id, is_accepted) in enumerate(newest_first):
        if newer < newest.count:
            ranking.chosen.add(image_id)
        elif made == -math.inf or accepted < _needed(newest, newer):
            ranking.held.add(image_id)
        accepted += is_accepted


def _needed(newest: Newest, newer: int) -> int:
    """Return how many of so many newer images must read as accepted before one may be rejected."""
    return max(min(max(newest.count, newest.min_accepted), newer), newest.min_accepted)
