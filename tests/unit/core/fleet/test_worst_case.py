"""What guards allow before all is read, they allow whatever is read after it."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from worker.core.allowance import Allowance
from worker.core.batch import Change
from worker.core.fleet.guard import GuardPolicy, WorstCase, refusals, tally
from worker.core.manifest.model import Wish
from worker.core.operation import Operation
from worker.core.project.wishes import Wishes
from worker.core.share import MemberStatus, Share

ACCEPTED, PENDING = MemberStatus.ACCEPTED, MemberStatus.PENDING
PROJECTS = ("p", "q", "r")
IMAGES = tuple(f"image-{number}" for number in range(8))
policies = st.builds(
    GuardPolicy,
    st.sampled_from(["0", "1", "3", "10%", "25%", "50%", "100%"]).map(Allowance.parse),
    st.sampled_from(["1", "4", "40%", "100%"]).map(Allowance.parse),
)
fleets = st.dictionaries(
    st.sampled_from(PROJECTS),
    st.dictionaries(st.sampled_from(IMAGES), st.sampled_from(Operation).map(Wish), min_size=1),
    min_size=1,
)
counts = st.dictionaries(st.sampled_from(PROJECTS), st.integers(0, 3))


def of(wished: Mapping[str, Mapping[str, Wish]], *open_ones: str) -> dict[str, Wishes]:
    """Return what is wished of each project; of `open_ones` rules may wish for more."""
    return {project_id: Wishes(wishes, project_id not in open_ones) for project_id, wishes in wished.items()}


def drawn_changes(data: st.DataObject, project_id: str, wishes: Mapping[str, Wish]) -> list[Change]:
    """Draw what the plan of a project may come to."""
    images = data.draw(st.lists(st.sampled_from(sorted(wishes)), unique=True))
    return [
        Change(Share(project_id, image), data.draw(st.sampled_from([ACCEPTED, PENDING])), wishes[image].operation)
        for image in images
    ]


@given(fleets, counts, policies, st.data())
def test_what_is_allowed_early_is_allowed_in_the_end(
    wished: Mapping[str, Mapping[str, Wish]], recent: Mapping[str, int], policy: GuardPolicy, data: st.DataObject
) -> None:
    """In whatever order projects are read, and whatever is found; once all are, it says what the guards say."""
    managed = {project_id: len(wishes) for project_id, wishes in wished.items()}
    worst = WorstCase(of(wished), managed, recent, policy)
    verdicts = [worst.is_allowed]
    every: list[Change] = []
    read: set[str] = set()
    for project_id in data.draw(st.permutations(sorted(wished))):
        changes = drawn_changes(data, project_id, wished[project_id])
        every += changes
        read.add(project_id)
        worst.take(project_id, changes, managed[project_id])
        verdicts.append(worst.is_allowed)
        assert worst.read_rejects == tally(every).rejects
        assert worst.may_reject_more is any(worst.most.rejects[each] for each in wished if each not in read)
    assert verdicts == sorted(verdicts)
    assert worst.is_allowed is not bool(refusals(tally(every), managed, recent, policy, {}))
    assert {project: count for project, count in worst.most.changes.items() if count} == tally(every).changes
    assert {project: count for project, count in worst.most.rejects.items() if count} == tally(every).rejects


def test_what_rules_may_wish_for_is_not_known_before_it_is_read() -> None:
    """However generous the guards are; then its managed shares count as they were found."""
    policy = GuardPolicy(Allowance.parse("50%"), Allowance.parse("100%"))
    worst = WorstCase(of({"p": {}, "q": {"image-0": Wish(Operation.ACCEPT)}}, "p"), {"p": 0, "q": 1}, {}, policy)
    worst.take("q", [], 1)
    assert not worst.is_allowed
    rejects = [Change(Share("p", image), ACCEPTED, Operation.REJECT) for image in IMAGES[:3]]
    worst.take("p", rejects, 6)
    assert worst.is_allowed
    assert worst.managed == {"p": 6, "q": 1}
    assert worst.most.rejects == {"p": 3, "q": 0}


def test_a_reject_that_the_fleet_could_not_bear_waits_for_its_reading() -> None:
    """As long as the unread project may reject an accepted image; a pending one that is rejected counts for nothing."""
    policy = GuardPolicy(Allowance.parse("10%"), Allowance.parse("100%"))
    wished = {"p": dict.fromkeys(IMAGES, Wish(Operation.REJECT)), "q": dict.fromkeys(IMAGES, Wish(Operation.ACCEPT))}
    managed = dict.fromkeys(wished, len(IMAGES))
    worst = WorstCase(of(wished), managed, {}, policy)
    worst.take("q", [Change(Share("q", "image-0"), PENDING, Operation.ACCEPT)], len(IMAGES))
    assert not worst.is_allowed
    worst.take("p", [Change(Share("p", image), PENDING, Operation.REJECT) for image in IMAGES], len(IMAGES))
    assert worst.is_allowed
