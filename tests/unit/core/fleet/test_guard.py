"""A plan that changes too much is refused with its numbers; one change is always possible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.allowance import Allowance
from worker.core.batch import Change
from worker.core.fleet.guard import GuardPolicy, refusals, tally
from worker.core.operation import Operation
from worker.core.share import MemberStatus, Share

ACCEPTED, PENDING, REJECTED = MemberStatus.ACCEPTED, MemberStatus.PENDING, MemberStatus.REJECTED
ACCEPT, REJECT = Operation.ACCEPT, Operation.REJECT


def policy(max_reject: str = "1000000", max_change: str = "1000000") -> GuardPolicy:
    """Return a policy with these limits, as the config writes them; none that bites unless given."""
    return GuardPolicy(Allowance.parse(max_reject), Allowance.parse(max_change))


def changing(
    count: int, project: str = "p", before: MemberStatus = ACCEPTED, operation: Operation = REJECT
) -> list[Change]:
    """Return that many changes of one project; rejections of accepted images unless told otherwise."""
    return [Change(Share(project, f"image-{number}"), before, operation) for number in range(count)]


def is_refused(
    planned: list[Change], managed: dict[str, int], allowed: GuardPolicy, recent: dict[str, int] | None = None
) -> bool:
    """Tell whether the guards refuse these changes."""
    return bool(refusals(tally(planned), managed, recent or {}, allowed, {}))


@given(st.integers(1, 10_000), st.integers(1, 500), st.data())
def test_the_boundary_is_exact_and_one_is_always_possible(hundredths: int, managed: int, data: st.DataObject) -> None:
    """The percentage of the managed shares, rounded up, passes; one more does not."""
    limit = -(-managed * hundredths // 10_000)
    allowed = policy(max_reject=f"{hundredths / 100:.2f}%")
    assert not is_refused(changing(data.draw(st.integers(0, limit))), {"p": managed}, allowed)
    assert not is_refused(changing(1), {"p": managed}, allowed)
    assert is_refused(changing(limit + 1), {"p": managed}, allowed)


@given(st.integers(0, 20), st.integers(1, 40))
def test_a_count_is_the_same_for_a_project_of_any_size(limit: int, managed: int) -> None:
    """That many pass and one more does not, however many shares are managed."""
    assert not is_refused(changing(limit), {"p": managed}, policy(str(limit)))
    assert is_refused(changing(limit + 1), {"p": managed}, policy(str(limit)))


def test_each_project_is_guarded_and_so_is_the_fleet() -> None:
    """A project may not empty itself although the fleet is large, nor the fleet by a little from each project."""
    managed = {"p": 10, "q": 1000}
    (reason,) = refusals(tally(changing(2)), managed, {}, policy("10%"), {"p": "payments"})
    assert str(reason) == (
        "max_reject: in project payments the plan would reject 2 of 10 managed shares (20%); 10% allows 1"
    )
    each_one = [change for number in range(20) for change in changing(1, f"p{number}")]
    small = {f"p{number}": 5 for number in range(20)}
    (reason,) = refusals(tally(each_one), small, {}, policy("10%"), {})
    assert str(reason) == "max_reject: in the fleet the plan would reject 20 of 100 managed shares (20%); 10% allows 10"


def test_the_rejections_of_the_last_day_count_too() -> None:
    """A limit is not to be got round by a little in every pass; the refusal says what came before."""
    managed = {"p": 100}
    assert not is_refused(changing(4), managed, policy("10%"), {"p": 6})
    reasons = refusals(tally(changing(5)), managed, {"p": 6}, policy("10%"), {})
    assert [str(reason).partition(" the plan ")[0] for reason in reasons] == [
        "max_reject: in the fleet",
        "max_reject: in project p",
    ]
    assert all("reject 5 of 100 managed shares on top of 6 in the last 24 hours (11%)" in str(each) for each in reasons)


def test_a_pass_that_rejects_nothing_is_not_refused_for_earlier_ones() -> None:
    """What the last day held blocks neither accepts, nor another project."""
    accepts = changing(5, before=PENDING, operation=ACCEPT)
    assert not is_refused(accepts, {"p": 100}, policy("1%"), {"p": 99})
    managed = {"p": 10, "q": 10_000}
    assert not is_refused(changing(1, "q"), managed, policy("1%"), {"p": 10})


@pytest.mark.parametrize(
    ("before", "operation", "counts"),
    [
        (ACCEPTED, REJECT, True),
        (PENDING, REJECT, False),
        (PENDING, ACCEPT, False),
        (REJECTED, ACCEPT, False),
    ],
)
def test_only_taking_away_what_was_accepted_is_a_rejection(
    *, before: MemberStatus, operation: Operation, counts: bool
) -> None:
    """To turn down what nobody has taken yet takes nothing away."""
    planned = changing(2, before=before, operation=operation)
    assert is_refused(planned, {"p": 10}, policy(max_reject="10%")) is counts
    assert is_refused(planned, {"p": 10}, policy(max_change="10%"))


def test_both_guards_speak() -> None:
    """A plan that breaks both limits is refused with the reasons of both."""
    reasons = refusals(tally(changing(2)), {"p": 2}, {}, policy("0", "1"), {})
    assert [reason.guard for reason in reasons] == [
        "max_reject",
        "max_reject",
        "max_change",
        "max_change",
    ]


def test_zero_means_never() -> None:
    """A limit of nothing, as a percentage or a count, refuses the first."""
    for nothing in ("0%", "0"):
        assert is_refused(changing(1), {"p": 1000}, policy(nothing))
        assert not is_refused([], {"p": 1000}, policy(nothing))


def test_a_project_that_the_manifest_no_longer_counts_is_all_the_same_refused() -> None:
    """Where nothing is managed, nothing may be rejected, and nothing is divided by it."""
    (fleet, project) = refusals(tally(changing(1)), {}, {}, policy("100%"), {})
    assert "reject 1 of 0 managed shares (100%)" in str(fleet)
    assert "project p" in str(project)


@given(st.integers(1, 30), st.integers(1, 60), st.integers(0, 30), st.integers(0, 30))
def test_more_rejections_are_never_easier(planned: int, managed: int, recent: int, more: int) -> None:
    """What is refused stays refused when there is more of it, planned or in the last day."""
    allowed = policy("10%")
    if is_refused(changing(planned), {"p": managed}, allowed, {"p": recent}):
        assert is_refused(changing(planned + more), {"p": managed}, allowed, {"p": recent})
        assert is_refused(changing(planned), {"p": managed}, allowed, {"p": recent + more})
