"""Rules and what a project is offered → what is wished there, what is only reported, and what nobody speaks of.

For each image the first rule that matches it decides, unless a `[[share]]` speaks of it. A rule ranks all that it
matches by its other keys, whoever decides about it. One with `pending_for` matches a share that has been pending for
so long, and one that already is as the rule wishes, so that what it has brought about stays as desired.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from worker.core.clock import age_of
from worker.core.manifest.model import Rule, Wish
from worker.core.operation import Operation
from worker.core.reading import Offer
from worker.core.rules.matching import Matcher, matches_of
from worker.core.rules.ranking import Ranking, rank
from worker.core.share import MemberStatus


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What rules decide by beside the images: the time, and since when shares are pending, by image id.

    Times are seconds since the epoch.
    """

    now: float = 0.0
    pending_since: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What rules say of the images that a project is offered, by image id.

    `reported` has the rule that only reports an image, `unsolicited` the pending ones that neither a share nor a rule
    speaks of. `pending_since` is when shares that a rule waits for were first seen pending, in seconds since the epoch.
    Of those that are `unclear` a rule would have to know whether they are full-ECS images.
    """

    wishes: Mapping[str, Wish] = field(default_factory=dict)
    reported: Mapping[str, Rule] = field(default_factory=dict)
    unsolicited: tuple[str, ...] = ()
    pending_since: Mapping[str, float] = field(default_factory=dict)
    unclear: frozenset[str] = frozenset()


def decide(
    rules: Sequence[Rule],
    owners: Collection[str],
    offers: Mapping[str, Offer],
    declared: Collection[str],
    default_vault: str | None,
    circumstances: Circumstances,
) -> Decisions:
    """Decide what the rules that speak of a project say of what it is offered.

    `owners` are the ids of all owners that the manifest names, and `declared` the images that its shares speak of. A
    rule that names no vault has full-ECS images accepted into the `default_vault`.
    """
    matches, unclear = matches_of(Matcher(rules, owners, circumstances.now), offers)
    pending = {image_id: offer for image_id, offer in offers.items() if offer.status is MemberStatus.PENDING}
    decided = _Decider(rules, _rankings(rules, matches, offers), circumstances, default_vault)
    for image_id, matching in matches.items():
        if image_id not in declared:
            decided.take(image_id, offers[image_id], matching)
    return Decisions(
        wishes=decided.wishes,
        reported=decided.reported,
        unsolicited=tuple(image_id for image_id in pending if not matches[image_id] and image_id not in declared),
        pending_since=_pending_since(rules, matches, pending, circumstances),
        unclear=unclear,
    )


def _rankings(
    rules: Sequence[Rule], matches: Mapping[str, Sequence[int]], offers: Mapping[str, Offer]
) -> dict[int, Ranking]:
    ranking: dict[int, list[Offer]] = {at: [] for at, rule in enumerate(rules) if rule.newest}
    if not ranking:
        return {}
    for image_id, matching in matches.items():
        for at in matching:
            if at in ranking:
                ranking[at].append(offers[image_id])
    return {at: rank(newest, matched) for at, matched in ranking.items() if (newest := rules[at].newest)}


def _pending_since(
    rules: Sequence[Rule],
    matches: Mapping[str, Sequence[int]],
    pending: Mapping[str, Offer],
    circumstances: Circumstances,
) -> Mapping[str, float]:
    waiting = {at for at, rule in enumerate(rules) if rule.pending_for is not None}
    if not waiting:
        return {}
    return {
        image_id: circumstances.pending_since.get(image_id, circumstances.now)
        for image_id in pending
        if not waiting.isdisjoint(matches[image_id])
    }


class _Decider:
    """What was decided so far, image by image; each rule has one wish object for all that it wishes."""

    def __init__(
        self,
        rules: Sequence[Rule],
        rankings: Mapping[int, Ranking],
        circumstances: Circumstances,
        default_vault: str | None,
    ) -> None:
        self.wishes: dict[str, Wish] = {}
        self.reported: dict[str, Rule] = {}
        self._rules = rules
        self._rankings = rankings
        self._circumstances = circumstances
        self._wish_of = [_wish_of(rule, default_vault) for rule in rules]

    def take(self, image_id: str, offer: Offer, matching: Sequence[int]) -> None:
        """Decide about one image by the rules that match it."""
        is_held = False
        for at in matching:
            rule, ranking = self._rules[at], self._rankings.get(at)
            if ranking is not None and image_id not in ranking.chosen:
                is_held |= rule.operation is Operation.ACCEPT and image_id in ranking.held
                continue
            if not self._is_due(rule, image_id, offer):
                continue
            if rule.operation is None:
                self.reported[image_id] = rule
            elif not (
                is_held and rule.operation is Operation.REJECT and not rule.operation.is_met_by(offer.status)
            ) and (wish := self._wish_of[at]):
                self.wishes[image_id] = wish
            return

    def _is_due(self, rule: Rule, image_id: str, offer: Offer) -> bool:
        """Tell whether a share has been pending for as long as a rule asks, or is as the rule wishes."""
        if rule.pending_for is None:
            return True
        if offer.status is not MemberStatus.PENDING:
            return rule.operation is not None and rule.operation.is_met_by(offer.status)
        now = self._circumstances.now
        return age_of(self._circumstances.pending_since.get(image_id, now), now) >= rule.pending_for


def _wish_of(rule: Rule, default_vault: str | None) -> Wish | None:
    if rule.operation is None:
        return None
    vault_id = (rule.vault_id or default_vault) if rule.operation.takes_vault else None
    return Wish(rule.operation, vault_id, source=rule.source)
