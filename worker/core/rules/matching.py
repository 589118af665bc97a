"""Images → the rules that match each, by all that they say but `newest` and `pending_for`.

What an image must be is said once for each rule, and asked only where it may be so: rules are found by the image's
owner, and by how its name begins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from worker.core.globs import normal
from worker.core.manifest.model import ANYONE, Rule
from worker.core.reading import NO_FACTS, Facts, ObservedImage, Offer
from worker.core.share import MemberStatus

_Buckets = dict[int, dict[str, list[int]]]


class Matcher:
    """Finds the rules that match an image at `now` (seconds since the epoch), by their positions, in their order.

    `rules` are those that speak of the project, `owners` the ids of all owners that the manifest names.
    """

    def __init__(self, rules: Sequence[Rule], owners: Collection[str], now: float) -> None:
        self._rules = rules
        self._now = now
        self._named = owners
        # Once a rule has decided, only those after it matter that rank what they match.
        self._last_ranking = max((at for at, rule in enumerate(rules) if rule.newest), default=-1)
        self._parts = [rule.image.part for rule in rules]
        self._decides = [not (rule.newest or rule.pending_for is not None) for rule in rules]
        self._of_owner = {rule.owner: self._buckets({rule.owner}) for rule in rules if rule.owner != ANYONE}
        self._of_strangers = {owner: self._buckets({owner, ANYONE}) for owner in self._of_owner}
        self._of_anyone = self._buckets({ANYONE})

    def matching(self, offer: Offer, unclear: set[str]) -> list[int]:
        """Return the positions of the rules that match an offered image; of those after one that decides, only some.

        An image goes to `unclear` where a rule would have to know whether it is a full-ECS image, and its list did not
        say so; it is taken to be none.
        """
        found: list[int] = []
        image = offer.image
        name = normal(image.name)
        is_decided = False
        for at in self._candidates(image.owner, name):
            if is_decided and at > self._last_ranking:
                break
            if self._parts[at] not in name or not self._is_as_said(rule := self._rules[at], offer, name):
                continue
            if rule.full_ecs is not None:
                if image.full_ecs is None:
                    unclear.add(image.id)
                if bool(image.full_ecs) is not rule.full_ecs:
                    continue
            found.append(at)
            is_decided |= self._decides[at]
        return found

    def _candidates(self, owner: str, name: str) -> Iterable[int]:
        of_owners = self._of_owner if owner in self._named else self._of_strangers
        buckets = of_owners.get(owner)
        if buckets is None:
            if owner in self._named:
                return ()
            buckets = self._of_anyone
        found: list[int] = []
        for length, by_prefix in buckets.items():
            found += by_prefix.get(name[:length], ())
        return sorted(found) if len(found) > 1 else found

    def _buckets(self, owners: Collection[str]) -> _Buckets:
        buckets: _Buckets = {}
        for at, rule in enumerate(self._rules):
            if rule.owner in owners:
                prefix = rule.image.prefix
                buckets.setdefault(len(prefix), {}).setdefault(prefix, []).append(at)
        return buckets

    def _is_as_said(self, rule: Rule, offer: Offer, name: str) -> bool:
        image = offer.image
        return (
            rule.image.matches(name)
            and (rule.owner != ANYONE or offer.status is not MemberStatus.ACCEPTED)
            and (not rule.os_type or rule.os_type == image.os_type)
            and (not rule.tags or rule.tags.issubset(map(normal, image.tags)))
            and (rule.max_age is None or _is_young(image, rule.max_age, self._now))
        )


def _is_young(image: ObservedImage, max_age: float, now: float) -> bool:
    return image.created_at is not None and now - image.created_at <= max_age


def asked_facts(rules: Iterable[Rule]) -> Facts:
    """Return the facts of images that any of these rules decides by: fields of `ObservedImage`."""
    return NO_FACTS.union(*(rule.asks for rule in rules))


def matches_of(matcher: Matcher, offers: Mapping[str, Offer]) -> tuple[dict[str, list[int]], frozenset[str]]:
    """Return by image id the rules that match what a project is offered, and the images whose kind is unclear."""
    unclear: set[str] = set()
    return {image_id: matcher.matching(offer, unclear) for image_id, offer in offers.items()}, frozenset(unclear)
