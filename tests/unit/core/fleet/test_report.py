"""The report adds up, and its result and exit status are the contract's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import EPOCH, flights, manifest_of, quarantines, readings, shares, statuses, wishes

from worker.core.batch import Change, InFlight
from worker.core.calls import CallCounts
from worker.core.fleet.plan import Plan, make_plan
from worker.core.fleet.report import (
    Exit,
    Result,
    RunReport,
    exit_of_plan,
    exit_of_report,
    left_out,
    not_sent,
    result_of,
)
from worker.core.manifest.model import Project, Wish
from worker.core.operation import Operation
from worker.core.project.drift import VaultPolicy
from worker.core.project.plan import Known, ProjectPlan, Terms, plan_project
from worker.core.project.wishes import Wishes
from worker.core.quarantine import Quarantined
from worker.core.reading import CUT_SHORT, Reading
from worker.core.share import MemberStatus, Share
from worker.core.status import FINAL, ShareStatus, Status

read = st.dictionaries(st.sampled_from(("p", "q", "r")), readings)
SHARE = Share("p", "image")
LEFT = ShareStatus(SHARE, Status.ABSENT, Operation.ACCEPT, reason="why")
WAITING = replace(LEFT, may_be_absent=True)
DUE = Change(SHARE, MemberStatus.PENDING, Operation.ACCEPT)
outcomes = st.lists(
    st.builds(
        ShareStatus,
        shares,
        st.sampled_from(FINAL),
        st.sampled_from(Operation),
        statuses,
        statuses,
        st.just("why"),
        may_be_absent=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda outcome: outcome.share,
)


def planned(*projects: ProjectPlan) -> Plan:
    """Return the plan of these projects."""
    return make_plan(projects, {})


def of_project(**facts: object) -> ProjectPlan:
    """Return the plan of a project of which nothing is wished, except for the facts given."""
    return replace(ProjectPlan(Project("p", "P"), Wishes({}), {}, 0, 0), **facts)  # type: ignore[arg-type]


def outcome(kind: Status, *, may_be_absent: bool = False) -> ShareStatus:
    """Return an outcome of this kind."""
    return ShareStatus(
        SHARE, kind, Operation.ACCEPT, MemberStatus.PENDING, None, "why", job_id=None, may_be_absent=may_be_absent
    )


def report(**facts: object) -> RunReport:
    """Return the report of a pass that converged, except for the facts given."""
    return replace(
        RunReport("run-1", EPOCH, EPOCH, Result.CONVERGED, 1, 1, 0, (), (), CallCounts(), "sha256:0"),
        **facts,  # type: ignore[arg-type]
    )


@given(wishes, read, flights, quarantines)
def test_a_pass_that_sends_nothing_accounts_for_every_share(
    wished: Mapping[str, Mapping[str, Wish]],
    found: Mapping[str, Reading],
    in_flight: list[InFlight],
    quarantined: Mapping[Share, Quarantined],
) -> None:
    """Converged, left out, due and in flight are together the desired shares, each with its own word."""
    manifest = manifest_of(wished)
    terms = Terms(manifest, frozenset(), VaultPolicy.WHEN_NEEDED)
    plan = planned(
        *(
            plan_project(
                manifest.projects[project_id],
                found.get(project_id, Reading({}, "down")),
                terms,
                Known(
                    EPOCH,
                    tuple(each for each in in_flight if each.batch.project_id == project_id),
                    {share.image_id: each for share, each in quarantined.items() if share.project_id == project_id},
                ),
            )
            for project_id in wished
        )
    )
    ended = (*left_out(plan), *not_sent(plan, "refused"))
    assert plan.converged + len({each.share for each in ended}) == plan.desired
    counts = report(outcomes=ended).counts()
    assert counts == {
        **{status: len(plan.of(status)) for status in FINAL},
        Status.UNSETTLED: len(plan.of(Status.IN_FLIGHT)),
        Status.NOT_SENT: len(plan.changes),
    }
    assert all(each.after is each.before for each in ended)


def test_what_is_left_out_keeps_its_wish_reading_and_reason() -> None:
    """The report says of a share what the plan said, and whether its absence is allowed."""
    left = replace(WAITING, before=MemberStatus.REJECTED, after=MemberStatus.REJECTED)
    assert left_out(planned(of_project(statuses=(left,)))) == (left,)


def test_what_nobody_can_name_is_counted_as_unknown() -> None:
    """Shares that rules wished of a project that cannot be read now are part of the report's sum."""
    counts = report(outcomes=(replace(LEFT, status=Status.UNKNOWN),), unlisted=4).counts()
    assert counts[Status.UNKNOWN] == 5


@given(outcomes)
def test_the_counts_are_the_outcomes(found: list[ShareStatus]) -> None:
    """Each kind is counted, zero where there is none, and the sum is the number of shares listed."""
    counts = report(outcomes=tuple(found)).counts()
    assert tuple(counts) == FINAL
    assert sum(counts.values()) == len(found)
    assert counts == {kind: report(outcomes=tuple(found)).count(kind) for kind in FINAL}


def word(*kinds: Status, unread: str = "", all_unread: str = "", refused: bool = False) -> Result:
    """Return the result of a pass with shares that ended so; one project or all were not read for such a reason."""
    others = of_project(project=Project("q", "Q"), failure=unread or all_unread)
    plan = planned(of_project(failure=all_unread), others)
    return result_of(plan, [outcome(kind) for kind in kinds], refused=refused)


WAITS = (Status.UNSETTLED, Status.ABSENT, Status.BLOCKED, Status.QUARANTINED, Status.NOT_SENT)


@pytest.mark.parametrize("kind", WAITS)
def test_a_pass_in_which_nothing_went_wrong_and_something_waits_is_incomplete(kind: Status) -> None:
    """No failure where nothing was sent, not partial where something was: the same state has the same word."""
    assert kind.waits
    assert word(kind) is Result.INCOMPLETE
    assert word(kind, Status.CHANGED) is Result.INCOMPLETE
    assert word(*WAITS) is Result.INCOMPLETE


def test_failed_is_only_what_was_sent_and_failed_where_nothing_converged() -> None:
    """Whatever waits beside it, or could not be read; with one share that converged it is partial."""
    assert word(Status.FAILED) is Result.FAILED
    assert word(Status.FAILED, *WAITS, Status.UNKNOWN, unread="HTTP 503") is Result.FAILED
    assert word(Status.FAILED, Status.CHANGED) is Result.PARTIAL


def test_a_pass_with_a_project_that_could_not_be_read_is_partial() -> None:
    """Also where nobody knows of a share there, and where nothing was sent; beside what waits too."""
    assert (
        word(Status.UNKNOWN) is word(Status.UNKNOWN, Status.CHANGED) is word(Status.UNKNOWN, *WAITS) is Result.PARTIAL
    )
    assert word(unread="HTTP 503") is word(Status.CHANGED, unread="HTTP 503") is Result.PARTIAL


def test_a_pass_that_could_read_no_project_failed_and_one_that_a_guard_refused_is_refused() -> None:
    """Neither goes by what its shares are."""
    assert word(Status.UNKNOWN, all_unread="HTTP 503") is Result.FAILED
    assert word(Status.NOT_SENT, Status.UNKNOWN, refused=True) is Result.REFUSED


def test_a_pass_that_was_told_to_stop_before_projects_were_read_is_incomplete() -> None:
    """Nobody tried to read them: it is neither failed nor partial, unless one really could not be read."""
    assert word(Status.UNKNOWN, all_unread=CUT_SHORT) is word(unread=CUT_SHORT) is Result.INCOMPLETE
    assert word(Status.CHANGED, all_unread=CUT_SHORT) is Result.INCOMPLETE
    assert word(Status.UNKNOWN, unread="HTTP 503", all_unread=CUT_SHORT) is Result.PARTIAL
    assert word(Status.UNKNOWN, unread=CUT_SHORT) is Result.PARTIAL
    cut = planned(of_project(failure=CUT_SHORT))
    assert exit_of_plan(cut, refused=False, fail_on_drift=False) is Exit.INCOMPLETE


def test_every_status_that_is_trouble_went_wrong_or_waits() -> None:
    """What went wrong is red, what waits is amber: there is no third kind, and what is on its way is neither."""
    assert {status for status in Status if status.waits} == set(WAITS)
    assert {status for status in Status if status.is_trouble and not status.waits} == {Status.FAILED, Status.UNKNOWN}


def test_a_pass_converges_when_all_that_was_due_changed() -> None:
    """Nothing due is converged too, and so is an absence that its wish allows; another wait is no excuse."""
    fine = planned(of_project())
    assert word() is word(Status.CHANGED) is Result.CONVERGED
    allowed = outcome(Status.ABSENT, may_be_absent=True)
    assert result_of(fine, [allowed], refused=False) is Result.CONVERGED
    unread = outcome(Status.UNKNOWN, may_be_absent=True)
    assert result_of(fine, [unread], refused=False) is Result.PARTIAL


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({}, Exit.CONVERGED),
        ({"result": Result.INCOMPLETE}, Exit.INCOMPLETE),
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
        (of_project(), Exit.CONVERGED),
        (of_project(changes=(DUE,)), Exit.CONVERGED),
        (of_project(statuses=(replace(LEFT, status=Status.IN_FLIGHT),)), Exit.CONVERGED),
        (of_project(statuses=(WAITING,)), Exit.CONVERGED),
        (of_project(statuses=(WAITING, LEFT)), Exit.INCOMPLETE),
        (of_project(statuses=(replace(LEFT, status=Status.UNKNOWN),)), Exit.INCOMPLETE),
        (of_project(statuses=(replace(LEFT, status=Status.BLOCKED),)), Exit.INCOMPLETE),
        (of_project(statuses=(replace(LEFT, status=Status.QUARANTINED),)), Exit.INCOMPLETE),
    ],
)
def test_the_exit_status_of_a_plan_tells_what_a_run_could_not_mend(plan: ProjectPlan, status: Exit) -> None:
    """What is merely due, or on its way, is no failure."""
    assert exit_of_plan(planned(plan), refused=False, fail_on_drift=False) is status


def test_a_plan_with_a_project_that_was_not_read_is_incomplete_although_nothing_is_known_to_be_wished_there() -> None:
    """What rules wish of a project that was never read has no number, and is not nothing."""
    unread = of_project(project=Project("q", "Q"), failure="HTTP 503")
    assert exit_of_plan(planned(of_project(), unread), refused=False, fail_on_drift=False) is Exit.INCOMPLETE


@pytest.mark.parametrize(
    ("refused", "unread", "fail_on_drift", "status"),
    [
        (False, False, True, Exit.DRIFT),
        (True, False, True, Exit.REFUSED),
        (True, False, False, Exit.REFUSED),
        (False, True, True, Exit.CLOUD),
        (True, True, True, Exit.CLOUD),
    ],
)
def test_the_exit_status_of_a_plan_is_its_gravest_meaning(
    *, refused: bool, unread: bool, fail_on_drift: bool, status: Exit
) -> None:
    """Of 70, 4, 3, 6 and 1 the first that holds wins, for a plan with changes and an unknown share."""
    failure = "HTTP 503" if unread else ""
    plan = planned(of_project(changes=(DUE,), statuses=(replace(LEFT, status=Status.UNKNOWN),), failure=failure))
    assert exit_of_plan(plan, refused=refused, fail_on_drift=fail_on_drift) is status
    assert exit_of_plan(plan, refused=refused, fail_on_drift=fail_on_drift, broken=True) is Exit.BUG


def test_without_changes_there_is_no_drift_to_fail_on() -> None:
    """`--fail-on-drift` is about changes alone; what is left out has its usual status."""
    assert exit_of_plan(planned(of_project()), refused=False, fail_on_drift=True) is Exit.CONVERGED
    absent = planned(of_project(statuses=(LEFT,)))
    assert exit_of_plan(absent, refused=False, fail_on_drift=True) is Exit.INCOMPLETE


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
