"""The report adds up, and its result and exit status are the contract's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import EPOCH, desired_states, flights, observed_states, quarantines, shares, statuses, wishable

from worker.core.calls import CallCounts
from worker.core.drift import LeftOut, VaultPolicy, find_drift
from worker.core.outcome import Outcome, OutcomeKind
from worker.core.plan import Plan, make_plan
from worker.core.report import (
    Exit,
    Result,
    RunReport,
    exit_of_plan,
    exit_of_report,
    left_out,
    not_sent,
    result_of,
)
from worker.core.state import Change, DesiredState, InFlight, MemberStatus, ObservedState, Quarantined, Share

SHARE = Share("p", "image")
EMPTY = Plan(
    desired=0,
    converged=0,
    changes=(),
    absent=(),
    unknown=(),
    blocked=(),
    in_flight=(),
    quarantined=(),
    unmanaged=0,
    waiting=(),
    probes={},
    digest="sha256:0",
)
LEFT = LeftOut(SHARE, MemberStatus.ACCEPTED, None, "why")
WAITING = replace(LEFT, waits=True)
DUE = Change(SHARE, MemberStatus.PENDING, MemberStatus.ACCEPTED)
outcomes = st.lists(
    st.builds(
        Outcome,
        shares,
        wishable,
        statuses,
        statuses,
        st.sampled_from(OutcomeKind),
        st.just("why"),
        st.none(),
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda outcome: outcome.share,
)


def outcome(kind: OutcomeKind, *, waits: bool = False) -> Outcome:
    """Return an outcome of this kind."""
    return Outcome(SHARE, MemberStatus.ACCEPTED, MemberStatus.PENDING, None, kind, "why", None, waits)


def report(**facts: object) -> RunReport:
    """Return the report of a pass that converged, except for the facts given."""
    return replace(
        RunReport("run-1", EPOCH, EPOCH, Result.CONVERGED, 1, 1, 0, (), (), CallCounts(), "sha256:0"),
        **facts,  # type: ignore[arg-type]
    )


@given(desired_states, observed_states, flights, quarantines)
def test_a_pass_that_sends_nothing_accounts_for_every_share(
    desired: DesiredState, observed: ObservedState, in_flight: list[InFlight], wards: dict[Share, Quarantined]
) -> None:
    """Converged, left out, due and in flight are together the desired shares, each with its own word."""
    drift = find_drift(desired, observed, VaultPolicy.WHEN_NEEDED)
    plan = make_plan(desired, observed, drift, in_flight, wards, EPOCH)
    found = (*left_out(plan), *not_sent(plan, "refused"))
    assert plan.converged + len({each.share for each in found}) == plan.desired
    counts = report(outcomes=found).counts()
    assert counts == {
        OutcomeKind.CHANGED: 0,
        OutcomeKind.FAILED: 0,
        OutcomeKind.UNSETTLED: len(plan.in_flight),
        OutcomeKind.ABSENT: len(plan.absent),
        OutcomeKind.UNKNOWN: len(plan.unknown),
        OutcomeKind.BLOCKED: len(plan.blocked),
        OutcomeKind.QUARANTINED: len(plan.quarantined),
        OutcomeKind.NOT_SENT: len(plan.changes),
    }
    assert all(each.after is each.before for each in found)


def test_what_is_left_out_keeps_its_wish_reading_and_reason() -> None:
    """The report says of a share what the plan said, and whether its absence is allowed."""
    left = replace(WAITING, before=MemberStatus.REJECTED)
    assert left_out(replace(EMPTY, absent=(left,))) == (
        Outcome(
            SHARE,
            MemberStatus.ACCEPTED,
            MemberStatus.REJECTED,
            MemberStatus.REJECTED,
            OutcomeKind.ABSENT,
            "why",
            None,
            True,
        ),
    )


@given(outcomes)
def test_the_counts_are_the_outcomes(found: list[Outcome]) -> None:
    """Each kind is counted, zero where there is none, and the sum is the number of shares listed."""
    counts = report(outcomes=tuple(found)).counts()
    assert set(counts) == set(OutcomeKind)
    assert sum(counts.values()) == len(found)
    assert counts == {kind: report(outcomes=tuple(found)).count(kind) for kind in OutcomeKind}


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.CHANGED])
def test_a_share_that_did_not_converge_fails_a_pass_or_makes_it_partial(kind: OutcomeKind) -> None:
    """Alone it is a failure; beside a share that changed the pass is partial."""
    assert result_of([outcome(kind)]) is Result.FAILED
    assert result_of([outcome(kind), outcome(OutcomeKind.CHANGED)]) is Result.PARTIAL


def test_a_pass_converges_when_all_that_was_due_changed() -> None:
    """Nothing due is converged too, and so is an absence that its wish allows; another wait is no excuse."""
    assert result_of([]) is Result.CONVERGED
    assert result_of([outcome(OutcomeKind.CHANGED)]) is Result.CONVERGED
    assert result_of([outcome(OutcomeKind.ABSENT, waits=True)]) is Result.CONVERGED
    assert result_of([outcome(OutcomeKind.UNKNOWN, waits=True)]) is Result.FAILED


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({}, Exit.CONVERGED),
        ({"result": Result.PARTIAL}, Exit.INCOMPLETE),
        ({"result": Result.FAILED}, Exit.INCOMPLETE),
        ({"result": Result.REFUSED}, Exit.REFUSED),
        ({"journal_error": "disk full"}, Exit.JOURNAL),
        ({"result": Result.REFUSED, "journal_error": "disk full"}, Exit.JOURNAL),
        ({"result": Result.FAILED, "unreachable": True}, Exit.CLOUD),
        ({"result": Result.REFUSED, "unreachable": True}, Exit.CLOUD),
        ({"result": Result.FAILED, "unreachable": True, "journal_error": "disk full"}, Exit.JOURNAL),
        ({"unreachable": True, "journal_error": "taken over", "taken_over": True}, Exit.LOCKED),
        ({"result": Result.CONVERGED, "bugs": ("a bug",)}, Exit.BUG),
        ({"result": Result.REFUSED, "unreachable": True, "journal_error": "full", "bugs": ("a bug",)}, Exit.BUG),
    ],
)
def test_the_exit_status_of_a_run_is_its_gravest_meaning(facts: dict[str, object], status: Exit) -> None:
    """A bug before another worker before the journal before the cloud before a guard before what is incomplete."""
    assert exit_of_report(report(**facts)) is status


@pytest.mark.parametrize(
    ("plan", "status"),
    [
        (EMPTY, Exit.CONVERGED),
        (replace(EMPTY, changes=(DUE,)), Exit.CONVERGED),
        (replace(EMPTY, in_flight=(LEFT,)), Exit.CONVERGED),
        (replace(EMPTY, absent=(WAITING,)), Exit.CONVERGED),
        (replace(EMPTY, absent=(WAITING, LEFT)), Exit.INCOMPLETE),
        (replace(EMPTY, unknown=(LEFT,)), Exit.INCOMPLETE),
        (replace(EMPTY, blocked=(LEFT,)), Exit.INCOMPLETE),
        (replace(EMPTY, quarantined=(LEFT,)), Exit.INCOMPLETE),
    ],
)
def test_the_exit_status_of_a_plan_tells_what_a_run_could_not_mend(plan: Plan, status: Exit) -> None:
    """What is merely due, or on its way, is no failure."""
    assert exit_of_plan(plan, refused=False, unreachable=False, fail_on_drift=False) is status


@pytest.mark.parametrize(
    ("refused", "unreachable", "fail_on_drift", "status"),
    [
        (False, False, True, Exit.DRIFT),
        (True, False, True, Exit.REFUSED),
        (True, False, False, Exit.REFUSED),
        (False, True, True, Exit.CLOUD),
        (True, True, True, Exit.CLOUD),
    ],
)
def test_the_exit_status_of_a_plan_is_its_gravest_meaning(
    *, refused: bool, unreachable: bool, fail_on_drift: bool, status: Exit
) -> None:
    """Of 70, 4, 3, 6 and 1 the first that holds wins, for a plan with changes and an unknown share."""
    plan = replace(EMPTY, changes=(DUE,), unknown=(LEFT,))
    facts = {"refused": refused, "unreachable": unreachable, "fail_on_drift": fail_on_drift}
    assert exit_of_plan(plan, **facts) is status
    assert exit_of_plan(plan, **facts, broken=True) is Exit.BUG


def test_without_changes_there_is_no_drift_to_fail_on() -> None:
    """`--fail-on-drift` is about changes alone; what is left out has its usual status."""
    assert exit_of_plan(EMPTY, refused=False, unreachable=False, fail_on_drift=True) is Exit.CONVERGED
    absent = replace(EMPTY, absent=(LEFT,))
    assert exit_of_plan(absent, refused=False, unreachable=False, fail_on_drift=True) is Exit.INCOMPLETE


def test_the_exit_table_is_the_contract() -> None:
    """Scripts and clusters hold on to these numbers."""
    assert {status.name: int(status) for status in Exit} == {
        "CONVERGED": 0,
        "INCOMPLETE": 1,
        "USAGE": 2,
        "REFUSED": 3,
        "CLOUD": 4,
        "LOCKED": 5,
        "DRIFT": 6,
        "JOURNAL": 7,
        "BUG": 70,
    }
