"""The final word for a share: each row of the table, and how long a reading is worth repeating."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import EPOCH, batches, statuses

from worker.core.batch import Failure
from worker.core.job import Job, JobState, Settlement
from worker.core.outcome import (
    End,
    Ended,
    Hope,
    OutcomeKind,
    Seen,
    Unreadable,
    is_due_again,
    is_worth_another_try,
    judge,
    reads_as_desired,
    settled,
    worth_reading_again,
)
from worker.core.state import Batch, MemberStatus, Share
from worker.errors import Scope

ACCEPTED, PENDING, REJECTED = MemberStatus.ACCEPTED, MemberStatus.PENDING, MemberStatus.REJECTED
BATCH = Batch("p", ACCEPTED, None, ("a", "b"))
JOB = Job(7, "job-1", BATCH, EPOCH)
VERIFY, UNKNOWN, DEADLINE = 10.0, 120.0, 900.0
UNTIL = EPOCH + 120.0
UNANSWERED = Ended(BATCH, End.UNANSWERED, "the answer was lost: reset", UNTIL, 7)
ends = st.builds(Ended, batches, st.sampled_from(End), st.just("why"), st.just(UNTIL), st.just(7), st.just("job-1"))


def ended_as(state: JobState, **more: object) -> Ended:
    """Return the end of the batch whose job was settled like this, at EPOCH."""
    settlement = Settlement(JOB, state, 3, EPOCH, **more)  # type: ignore[arg-type]
    return settled(settlement, Hope(VERIFY, UNKNOWN, DEADLINE), EPOCH, EPOCH)


@pytest.mark.parametrize(
    ("ended", "hopeful_until", "due_from", "kind", "reason"),
    [
        (
            ended_as(JobState.SUCCEEDED),
            EPOCH + VERIFY,
            None,
            OutcomeKind.FAILED,
            "job job-1 says SUCCESS, yet the image still reads pending",
        ),
        (
            ended_as(JobState.SUCCEEDED, results={"a": False}),
            EPOCH + VERIFY,
            None,
            OutcomeKind.FAILED,
            "job job-1 says that this image failed",
        ),
        (ended_as(JobState.PARTIAL), None, None, OutcomeKind.FAILED, "job job-1 ended as partial"),
        (ended_as(JobState.FAILED), None, None, OutcomeKind.FAILED, "job job-1 ended as failed"),
        (ended_as(JobState.FAILED, reason="no room"), None, None, OutcomeKind.FAILED, "no room"),
        (Ended(BATCH, End.REFUSED, "HTTP 400"), None, None, OutcomeKind.FAILED, "HTTP 400"),
        (Ended(BATCH, End.REFUSED), None, None, OutcomeKind.FAILED, "ended as refused"),
        (
            ended_as(JobState.LOST),
            EPOCH + UNKNOWN,
            EPOCH + UNKNOWN,
            OutcomeKind.FAILED,
            "the cloud no longer knows job job-1, and the image still reads pending",
        ),
        (UNANSWERED, UNTIL, UNTIL, OutcomeKind.FAILED, "the answer was lost: reset"),
        (ended_as(JobState.UNSETTLED, reason="slow"), EPOCH + DEADLINE, None, OutcomeKind.UNSETTLED, "slow"),
        (Ended(BATCH, End.NOT_SENT, "stopped"), None, None, OutcomeKind.NOT_SENT, "stopped"),
    ],
    ids=lambda value: value.how if isinstance(value, Ended) else "",
)
def test_the_table_holds_row_by_row(
    ended: Ended, hopeful_until: float | None, due_from: float | None, kind: OutcomeKind, reason: str
) -> None:
    """A share that does not read as desired: how long it is read again, whether it is due, what it is called."""
    seen = {"a": PENDING, "b": PENDING}
    early, late = (hopeful_until or EPOCH) - 0.001, hopeful_until or EPOCH
    assert worth_reading_again(ended, seen, early) is (hopeful_until is not None)
    assert not worth_reading_again(ended, seen, late)
    assert is_due_again(ended, late) is (due_from is not None)
    outcome = judge(ended, "a", PENDING, PENDING, late)
    assert (outcome.kind, outcome.reason) == (kind, reason)
    assert (outcome.share, outcome.desired, outcome.before, outcome.after) == (
        Share("p", "a"),
        ACCEPTED,
        PENDING,
        PENDING,
    )


@pytest.mark.parametrize("ended", [UNANSWERED, ended_as(JobState.LOST)])
def test_what_nobody_knows_is_not_due_while_it_may_be_alive(ended: Ended) -> None:
    """A lost answer and a lost job are unsettled until the moment at which they cannot be alive any more."""
    assert not is_due_again(ended, UNTIL - 0.001)
    assert judge(ended, "a", PENDING, PENDING, UNTIL - 0.001).kind is OutcomeKind.UNSETTLED


@given(ends, statuses)
def test_what_reads_as_desired_is_changed_however_it_ended(ended: Ended, before: MemberStatus) -> None:
    """The reading has the last word, and needs no reason."""
    image = ended.batch.images[0]
    outcome = judge(ended, image, before, ended.batch.status, EPOCH)
    assert (outcome.kind, outcome.after, outcome.reason) == (OutcomeKind.CHANGED, ended.batch.status, "")
    assert outcome.job_id == "job-1"


@given(ends)
def test_what_is_in_no_list_is_absent_and_what_cannot_be_read_unknown(ended: Ended) -> None:
    """Both without a status after; but what the cloud refused has failed, whether it can be read again or not."""
    absent = judge(ended, ended.batch.images[0], PENDING, None, EPOCH)
    unknown = judge(ended, ended.batch.images[0], PENDING, Unreadable("HTTP 503: down"), EPOCH)
    assert (absent.kind, absent.after) == (OutcomeKind.ABSENT, None)
    assert "no longer offered" in absent.reason
    assert unknown.after is None
    if ended.how is End.REFUSED:
        assert (unknown.kind, unknown.reason) == (OutcomeKind.FAILED, "why")
    else:
        assert unknown.kind is OutcomeKind.UNKNOWN
        assert unknown.reason.endswith("HTTP 503: down")


@pytest.mark.parametrize(
    ("state", "how", "whole"),
    [
        (JobState.SUCCEEDED, End.SUCCEEDED, False),
        (JobState.PARTIAL, End.FAILED, False),
        (JobState.FAILED, End.FAILED, True),
        (JobState.LOST, End.LOST, False),
        (JobState.UNSETTLED, End.UNSETTLED, False),
    ],
)
def test_a_settlement_becomes_the_end_of_its_batch(*, state: JobState, how: End, whole: bool) -> None:
    """Only a job that failed for all of its images failed as a whole; a failure has the cloud's own code and scope."""
    ended = ended_as(state, reason="why", code="IMG.0046", scope=Scope.IMAGE, results={"a": True})
    assert (ended.how, ended.batch, ended.key, ended.job_id) == (how, BATCH, 7, "job-1")
    assert ended.failure == (Failure(Scope.IMAGE, "IMG.0046", "why") if how is End.FAILED else None)
    assert ended.as_a_whole is whole
    assert ended.results == {"a": True}


@pytest.mark.parametrize(
    ("seen", "desired", "hopeful"),
    [
        ({"a": ACCEPTED, "b": ACCEPTED}, True, False),
        ({"a": ACCEPTED, "b": PENDING}, False, True),
        ({"a": ACCEPTED}, False, False),
        ({"a": PENDING}, False, True),
        ({"a": ACCEPTED, "b": Unreadable("a bug", is_final=True)}, False, False),
        ({"a": ACCEPTED, "b": Unreadable("down")}, False, True),
    ],
)
def test_a_batch_is_read_again_until_all_of_it_reads_as_desired(
    *, seen: dict[str, MemberStatus | Unreadable], desired: bool, hopeful: bool
) -> None:
    """One that could not be read may still turn up; one that is in no list has been taken back."""
    assert reads_as_desired(UNANSWERED, seen) is desired
    assert worth_reading_again(UNANSWERED, seen, EPOCH) is hopeful


def test_an_image_that_the_job_gave_up_is_not_waited_for() -> None:
    """Its job said that it failed, so no reading will show it; one that was not spoken of may still come."""
    ended = replace(ended_as(JobState.SUCCEEDED), results={"a": True, "b": False})
    assert not worth_reading_again(ended, {"a": ACCEPTED, "b": PENDING}, EPOCH)
    assert worth_reading_again(ended, {"a": PENDING, "b": PENDING}, EPOCH)


@pytest.mark.parametrize(
    ("image", "read_at", "kind"),
    [("a", 99.0, OutcomeKind.UNSETTLED), ("a", 100.0, OutcomeKind.FAILED), ("b", 99.0, OutcomeKind.FAILED)],
)
def test_a_success_is_not_called_untrue_before_its_time(image: str, read_at: float, kind: OutcomeKind) -> None:
    """The lists may lag behind the job: a share that it did not deny is unsettled until the time to verify is over."""
    ended = Ended(BATCH, End.SUCCEEDED, "", 100.0, 1, "job", results={"b": False})
    assert judge(ended, image, PENDING, PENDING, read_at).kind is kind


def test_a_failure_tells_how_many_failed_with_it() -> None:
    """As one batch, whether it was refused or its job failed, and whether it can be read again or not."""
    for ended in (Ended(BATCH, End.REFUSED, "no"), ended_as(JobState.FAILED)):
        assert judge(ended, "a", PENDING, PENDING, EPOCH).together == 2
    assert judge(Ended(BATCH, End.REFUSED, "no"), "a", PENDING, Unreadable("HTTP 503: down"), EPOCH).together == 2


BLAMELESS = {Scope.REQUEST, Scope.PROJECT, Scope.VAULT, Scope.PERMISSION, Scope.CREDENTIAL, Scope.THROTTLE}


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("how", [End.REFUSED, End.FAILED, End.UNANSWERED])
@pytest.mark.parametrize("seen", [PENDING, Unreadable("HTTP 403: not yours")])
def test_blame_is_decided_by_what_the_failure_is_about(scope: Scope, how: End, seen: Seen) -> None:
    """Wherever it is said: in the answer to the PUT or in the job, whether the shares can be read again or not."""
    ended = Ended(BATCH, how, "no", failure=Failure(scope, "X.0001", "no"))
    outcome = judge(ended, "a", PENDING, seen, EPOCH)
    if outcome.kind is OutcomeKind.FAILED:
        assert outcome.blameless is (scope in BLAMELESS)


@pytest.mark.parametrize("state", [JobState.PARTIAL, JobState.FAILED])
@pytest.mark.parametrize("scope", Scope)
def test_a_job_that_failed_in_part_blames_no_more_than_one_that_failed_as_a_whole(
    scope: Scope, state: JobState
) -> None:
    """A vault that filled up half-way says nothing of the images that came too late."""
    ended = ended_as(state, code="X.0001", scope=scope, results={"a": False, "b": state is JobState.PARTIAL})
    assert judge(ended, "a", PENDING, PENDING, EPOCH).blameless is (scope in BLAMELESS)


@pytest.mark.parametrize("how", End)
def test_only_a_job_that_failed_is_worth_another_try_at_once(how: End) -> None:
    """A refusal was repeated as often as it may be, and a lost answer may be alive."""
    for scope, passes in ((Scope.UNSAID, True), (Scope.THROTTLE, True), (Scope.IMAGE, False), (Scope.VAULT, False)):
        ended = Ended(BATCH, how, "no", failure=Failure(scope, "", "no"))
        assert is_worth_another_try(ended) is (how is End.FAILED and passes)
    assert not is_worth_another_try(Ended(BATCH, how, "no"))
