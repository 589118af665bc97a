"""What rules decide about what a project is offered: order, precedence, `newest`, make before break, waiting."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules import OWNER, rule
from strategies import DAY, EPOCH

from worker.core.globs import Glob
from worker.core.manifest.groups import NameGroups
from worker.core.manifest.model import ANYONE, Newest, Rule, Wish
from worker.core.operation import Operation
from worker.core.reading import ObservedImage, Offer
from worker.core.rules.decide import Circumstances, Decisions, decide
from worker.core.rules.matching import asked_facts
from worker.core.share import MemberStatus
from worker.core.source import Source

ACCEPT, REJECT = Operation.ACCEPT, Operation.REJECT
PENDING, ACCEPTED, REJECTED = MemberStatus.PENDING, MemberStatus.ACCEPTED, MemberStatus.REJECTED
NAMES = ("golden-a-1", "golden-a-2", "golden-b-1", "other", "ünlü-1", unicodedata.normalize("NFD", "ünlü-1"))
OWNERS = (OWNER, "another", "stranger")
NAMED = frozenset({OWNER, "another"})

images = st.builds(
    ObservedImage,
    st.just(""),
    st.sampled_from(NAMES),
    st.sampled_from(OWNERS),
    st.sampled_from([True, False, None]),
    os_type=st.sampled_from(["", "Linux", "Windows"]),
    tags=st.sets(st.sampled_from(["team=a", "team=b", "x=ü"])).map(tuple),
    created_at=st.none() | st.integers(0, 4).map(lambda days: EPOCH - days * DAY),
)
offers = st.lists(st.tuples(images, st.sampled_from(MemberStatus)), max_size=8).map(
    lambda drawn: {
        f"image-{number}": Offer(replace(image, id=f"image-{number}"), status)
        for number, (image, status) in enumerate(drawn)
    }
)


def named(drawn: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return rules that tell who they are, and accept from nobody whom they do not name."""
    return tuple(
        replace(
            each,
            name=f"rule {number}",
            source=Source("manifest.toml", number, rule=f"rule {number}"),
            operation=REJECT if each.owner == ANYONE and each.operation is ACCEPT else each.operation,
        )
        for number, each in enumerate(drawn)
    )


rules = st.lists(
    st.builds(
        Rule,
        st.just(""),
        st.none(),
        st.sampled_from([*OWNERS, ANYONE]),
        st.sampled_from(["*", "golden-*", "golden-a-?", "[go]*", "other", "ünlü-*", "*-1"]).map(Glob),
        st.sampled_from([ACCEPT, REJECT, None]),
        st.sampled_from(["", "Linux"]),
        st.sampled_from([None, True, False]),
        st.sampled_from([frozenset(), frozenset({"team=a"}), frozenset({"team=a", "team=b"})]),
        st.sampled_from([None, 2 * DAY]),
        st.none() | st.builds(Newest, st.integers(1, 3), min_accepted=st.integers(1, 4)),
        st.sampled_from([None, DAY]),
    ),
    max_size=4,
).map(named)
since = st.dictionaries(
    st.sampled_from([f"image-{number}" for number in range(8)]), st.sampled_from([EPOCH, EPOCH - DAY, EPOCH + DAY])
)
declared = st.frozensets(st.sampled_from([f"image-{number}" for number in range(8)]), max_size=2)


def asked(
    rules: Sequence[Rule],
    offered: Mapping[str, Offer],
    declared: frozenset[str] = frozenset(),
    pending_since: Mapping[str, float] | None = None,
) -> Decisions:
    """Decide."""
    return decide(rules, NAMED, offered, declared, "default-vault", Circumstances(EPOCH, pending_since or {}))


def matches(each: Rule, offer: Offer) -> bool:
    """Tell whether a rule matches, but for what it ranks and waits for: each key for itself, as the contract has it."""
    image = offer.image
    is_owner = image.owner == each.owner or (
        each.owner == ANYONE and image.owner not in NAMED and offer.status is not ACCEPTED
    )
    name = unicodedata.normalize("NFC", image.name)
    return (
        is_owner
        and each.image.matches(name)
        and each.os_type in {"", image.os_type}
        and each.full_ecs in {None, bool(image.full_ecs)}
        and set(each.tags) <= set(image.tags)
        and (each.max_age is None or (image.created_at is not None and EPOCH - image.created_at <= each.max_age))
    )


def newer_of(each: Rule, image_id: str, offered: Mapping[str, Offer]) -> list[Offer]:
    """Return what a rule matches of the same owner and group, and is newer than an image."""

    def group(offer: Offer) -> tuple[str, str]:
        name = unicodedata.normalize("NFC", offer.image.name)
        return offer.image.owner, name.rsplit("-", 1)[0]

    def age(offer: Offer) -> tuple[float, str]:
        return offer.image.created_at or 0.0, offer.image.id

    mine = offered[image_id]
    return [
        other
        for other in offered.values()
        if matches(each, other) and group(other) == group(mine) and age(other) > age(mine)
    ]


def by_the_contract(
    rules: Sequence[Rule], image_id: str, offered: Mapping[str, Offer], pending_since: Mapping[str, float]
) -> Rule | None:
    """Return the rule that decides about an image, read slowly: one image, one rule, one key after the other."""
    offer, held = offered[image_id], False
    for each in rules:
        if not matches(each, offer):
            continue
        if each.newest and len(newer := newer_of(each, image_id, offered)) >= each.newest.count:
            needed = min(max(each.newest.count, each.newest.min_accepted), len(newer))
            accepted = sum(other.status is ACCEPTED for other in newer)
            enough = accepted >= max(needed, each.newest.min_accepted) and offer.image.created_at is not None
            held |= each.operation is ACCEPT and not enough
            continue
        if each.pending_for is not None:
            goal = {ACCEPT: ACCEPTED, REJECT: REJECTED, None: None}[each.operation]
            waited = offer.status is PENDING and EPOCH - pending_since.get(image_id, EPOCH) >= each.pending_for
            if not waited and offer.status is not goal:
                continue
        return None if held and each.operation is REJECT and offer.status is not REJECTED else each
    return None


@given(rules, offers, declared, since)
def test_the_first_rule_that_matches_decides(
    rules: tuple[Rule, ...],
    offered: Mapping[str, Offer],
    declared: frozenset[str],
    pending_since: Mapping[str, float],
) -> None:
    """Whatever keys it has, in their order; a share wins over all of them, and what no rule matches is left alone."""
    decided = asked(rules, offered, declared, pending_since)
    expected = {
        image_id: found
        for image_id in offered.keys() - declared
        if (found := by_the_contract(rules, image_id, offered, pending_since))
    }
    sources = {image_id: wish.source for image_id, wish in decided.wishes.items()}
    assert sources == {each: found.source for each, found in expected.items() if found.operation is not None}
    assert decided.reported == {each: found for each, found in expected.items() if found.operation is None}
    for image_id, wish in decided.wishes.items():
        vault = "default-vault" if expected[image_id].operation is ACCEPT else None
        assert wish == Wish(expected[image_id].operation, vault)  # type: ignore[arg-type]


@given(rules, offers, declared)
def test_what_nothing_speaks_of_is_unsolicited(
    rules: tuple[Rule, ...], offered: Mapping[str, Offer], declared: frozenset[str]
) -> None:
    """Pending, and neither in a share nor matched by any rule, also by one that ranks it lower or waits."""
    unsolicited = asked(rules, offered, declared).unsolicited
    assert set(unsolicited) == {
        image_id
        for image_id, offer in offered.items()
        if offer.status is PENDING and image_id not in declared and not any(matches(each, offer) for each in rules)
    }


@given(rules, offers, since)
def test_it_is_kept_since_when_a_rule_waits(
    rules: tuple[Rule, ...], offered: Mapping[str, Offer], pending_since: Mapping[str, float]
) -> None:
    """Only of pending shares that a rule with pending_for decides about, or could: from the first sight of them."""
    kept = asked(rules, offered, pending_since=pending_since).pending_since
    waiting = [each for each in rules if each.pending_for is not None]
    assert all(offered[each].status is PENDING for each in kept)
    assert all(any(matches(rule, offered[each]) for rule in waiting) for each in kept)
    assert all(kept[each] == pending_since.get(each, EPOCH) for each in kept)
    if not waiting:
        assert not kept


@given(rules, offers, since, st.randoms())
def test_the_order_in_which_images_are_listed_means_nothing(
    rules: tuple[Rule, ...], offered: Mapping[str, Offer], pending_since: Mapping[str, float], chance: object
) -> None:
    """The same images have the same wishes, ties included."""
    shuffled = list(offered)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    again = asked(rules, {each: offered[each] for each in shuffled}, pending_since=pending_since)
    assert again.wishes == asked(rules, offered, pending_since=pending_since).wishes


@given(rules, offers)
def test_what_is_accepted_is_never_rejected_because_it_is_offered_by_nobody_known(
    rules: tuple[Rule, ...], offered: Mapping[str, Offer]
) -> None:
    """A rule about anyone touches neither an owner that the manifest names nor an image that is accepted."""
    anyone = {each.source for each in rules if each.owner == ANYONE}
    for image_id, wish in asked(rules, offered).wishes.items():
        if wish.source in anyone:
            assert offered[image_id].image.owner not in NAMED
            assert offered[image_id].status is not ACCEPTED


BUILDS = [rule("keep", newest=Newest(2)), rule("drop", REJECT)]


def build(number: int, status: MemberStatus, name: str = "golden-a") -> Offer:
    """Return a build of an image, made that many days after another."""
    image = ObservedImage(f"image-{number}", f"{name}-{number}", OWNER, created_at=EPOCH - 90 * DAY + number * DAY)
    return Offer(image, status)


def roll(*status: MemberStatus, rules: Sequence[Rule] = BUILDS) -> dict[str, Operation]:
    """Return what is wished of builds that read so, the oldest first."""
    offered = {f"image-{number}": build(number, each) for number, each in enumerate(status)}
    return {image_id: wish.operation for image_id, wish in asked(rules, offered).wishes.items()}


def test_an_old_build_stays_until_enough_newer_ones_are_accepted() -> None:
    """First the newest is accepted, and only where it reads so is the oldest rejected."""
    both = {"image-1": ACCEPT, "image-2": ACCEPT}
    assert roll(ACCEPTED, ACCEPTED, PENDING) == both
    assert roll(ACCEPTED, ACCEPTED, REJECTED) == both
    assert roll(ACCEPTED, ACCEPTED, ACCEPTED) == {"image-0": REJECT, **both}


@given(st.lists(st.sampled_from(MemberStatus), min_size=1, max_size=6), st.integers(1, 4), st.integers(1, 4))
def test_whatever_fails_in_whatever_order_enough_stay_accepted(
    status: list[MemberStatus], newest: int, least: int
) -> None:
    """Nothing is rejected that leaves fewer than min_accepted, or fewer than are chosen as far as there are so many."""
    rules = [rule("keep", newest=Newest(newest, min_accepted=least)), rule("drop", REJECT)]
    wished = roll(*status, rules=rules)
    broken = [
        number for number, each in enumerate(status) if wished.get(f"image-{number}") is REJECT and each is not REJECTED
    ]
    for number in broken:
        newer = status[number + 1 :]
        assert newer.count(ACCEPTED) >= max(min(newest, len(newer)), least)


def test_a_rule_that_comes_before_the_accepting_one_rejects_all_the_same() -> None:
    """Make before break is for what comes after: a rule that is written first says what is never wanted."""
    rules = [rule("broken", REJECT, "golden-a-0"), *BUILDS]
    assert roll(ACCEPTED, PENDING, PENDING, rules=rules)["image-0"] is REJECT


def test_what_nobody_knows_the_age_of_is_neither_young_nor_in_the_way() -> None:
    """It counts as the oldest, is not of max_age, and stays where a newer one might be older."""
    offered = {"image-0": Offer(ObservedImage("image-0", "golden-a-0", OWNER), ACCEPTED)}
    offered |= {f"image-{number}": build(number, ACCEPTED) for number in (1, 2)}
    assert asked(BUILDS, offered).wishes.keys() == {"image-1", "image-2"}
    assert asked([rule("young", max_age=900 * DAY)], offered).wishes.keys() == {"image-1", "image-2"}


def test_of_images_made_at_once_the_greater_id_is_the_newer() -> None:
    """So that one is chosen, and always the same."""
    offered = {
        each: Offer(ObservedImage(each, f"golden-{each}", OWNER, created_at=EPOCH), PENDING) for each in ("b", "c", "a")
    }
    assert asked([rule(newest=Newest(1))], offered).wishes.keys() == {"c"}


def test_neither_a_group_nor_a_tie_goes_across_owners() -> None:
    """Two owners may call their images alike: each has its newest."""
    offered = {
        each: Offer(ObservedImage(each, "golden-a-1", owner, created_at=EPOCH), PENDING)
        for each, owner in (("a", OWNER), ("b", OWNER), ("c", "stranger"), ("d", "another stranger"))
    }
    of_strangers = [rule("strangers", REJECT, owner=ANYONE, newest=Newest(1)), rule(newest=Newest(1))]
    assert asked(of_strangers, offered).wishes.keys() == {"b", "c", "d"}


def test_a_rule_may_say_what_a_group_is() -> None:
    """By a pattern, that what does not fit it is of no group, and so is not among the newest of any."""
    names = {"a": "golden-ubuntu-24-7", "b": "golden-ubuntu-24-8", "c": "golden-debian-9", "d": "golden-x"}
    offered = {
        each: Offer(ObservedImage(each, name, OWNER, created_at=EPOCH + number), PENDING)
        for number, (each, name) in enumerate(names.items())
    }
    grouped = rule(newest=Newest(1, NameGroups("golden-{name}-*")))
    assert asked([grouped], offered).wishes.keys() == {"b", "c"}


@pytest.mark.parametrize(
    ("status", "days", "is_wished"), [(PENDING, 6, False), (PENDING, 7, True), (REJECTED, 0, True)]
)
def test_a_rule_waits_for_what_is_pending(*, status: MemberStatus, days: int, is_wished: bool) -> None:
    """It matches what has been pending for so long, and what is as it wishes, so that it stays desired."""
    offered = {"image-0": build(0, status)}
    decided = asked([rule("late", REJECT, pending_for=7 * DAY)], offered, pending_since={"image-0": EPOCH - days * DAY})
    assert bool(decided.wishes) is is_wished


def test_a_rule_that_asks_for_the_kind_says_of_which_images_it_is_not_known() -> None:
    """Only of those that are as it says in all else; they are taken to be no full-ECS images meanwhile."""
    offered = {"image-0": build(0, PENDING), "image-1": build(1, PENDING, "other")}
    decided = asked([rule(image="golden-*", full_ecs=True)], offered)
    assert (decided.unclear, decided.wishes) == (frozenset({"image-0"}), {})
    assert asked([rule(image="golden-*", full_ecs=False)], offered).wishes.keys() == {"image-0"}


def test_what_is_read_of_images_is_what_any_rule_asks_for() -> None:
    """And nothing where no rule goes by more than owner, name and kind."""
    assert asked_facts([rule(), rule(full_ecs=True, pending_for=DAY)]) == frozenset()
    asking = [rule(tags=frozenset({"a=b"})), rule(os_type="Linux"), rule(max_age=DAY), rule(newest=Newest(1))]
    assert asked_facts(asking) == {"tags", "os_type", "created_at"}
