"""The final word for a share: each row of the table, and how long a reading is worth repeating."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import TIMINGS
from strategies import EPOCH, batches, statuses

from worker.core.batch import Batch, End, Failure
from worker.core.job import Job, Settlement
from worker.core.operation import Operation
from worker.core.outcome import (
    BatchEnd,
    Seen,
    Unreadable,
    end_of_job,
    is_due_again,
    is_worth_another_try,
    judge,
    read_since,
    reads_as_desired,
    worth_reading_again,
)
from worker.core.share import MemberStatus, Share
from worker.core.status import Status
from worker.errors import Scope

ACCEPTED, PENDING, REJECTED = MemberStatus.ACCEPTED, MemberStatus.PENDING, MemberStatus.REJECTED
BATCH = Batch("p", Operation.ACCEPT, None, ("a", "b"))
JOB = Job(7, "job-1", BATCH, EPOCH)
VERIFY, UNKNOWN, DEADLINE = TIMINGS.verify, TIMINGS.unknown, TIMINGS.deadline
UNTIL = EPOCH + 120.0
UNANSWERED = BatchEnd(BATCH, End.UNANSWERED, "the answer was lost: reset", UNTIL, 7)
ends = st.builds(BatchEnd, batches, st.sampled_from(End), st.just("why"), st.just(UNTIL), st.just(7), st.just("job-1"))


def ended_as(state: End, **more: object) -> BatchEnd:
    """Return the end of the batch whose job was settled like this, at EPOCH."""
    settlement = Settlement(JOB, state, 3, EPOCH, **more)  # type: ignore[arg-type]
    return end_of_job(settlement, TIMINGS, EPOCH, EPOCH)


@pytest.mark.parametrize(
    ("ended", "hopeful_until", "due_from", "kind", "reason"),
    [
        (
            ended_as(End.SUCCEEDED),
            EPOCH + VERIFY,
            None,
            Status.FAILED,
            "job job-1 says SUCCESS, yet the image still reads pending",
        ),
        (
            ended_as(End.SUCCEEDED, results={"a": False}),
            EPOCH + VERIFY,
            None,
            Status.FAILED,
            "job job-1 says that this image failed",
        ),
        (ended_as(End.PARTIAL), None, None, Status.FAILED, "job job-1 ended as partial"),
        (ended_as(End.FAILED), None, None, Status.FAILED, "job job-1 ended as failed"),
        (ended_as(End.FAILED, reason="no room"), None, None, Status.FAILED, "no room"),
        (BatchEnd(BATCH, End.REFUSED, "HTTP 400"), None, None, Status.FAILED, "HTTP 400"),
        (BatchEnd(BATCH, End.REFUSED), None, None, Status.FAILED, "ended as refused"),
        (
            ended_as(End.LOST),
            EPOCH + UNKNOWN,
            EPOCH + UNKNOWN,
            Status.FAILED,
            "the cloud no longer knows job job-1, and the image still reads pending",
        ),
        (UNANSWERED, UNTIL, UNTIL, Status.FAILED, "the answer was lost: reset"),
        (ended_as(End.UNSETTLED, reason="slow"), EPOCH + DEADLINE, None, Status.UNSETTLED, "slow"),
        (BatchEnd(BATCH, End.NOT_SENT, "stopped"), None, None, Status.NOT_SENT, "stopped"),
    ],
    ids=lambda value: value.how if isinstance(value, BatchEnd) else "",
)
def test_the_table_holds_row_by_row(
    ended: BatchEnd, hopeful_until: float | None, due_from: float | None, kind: Status, reason: str
) -> None:
    """A share that does not read as desired: how long it is read again, whether it is due, what it is called."""
    seen = {"a": PENDING, "b": PENDING}
    early, late = (hopeful_until or EPOCH) - 0.001, hopeful_until or EPOCH
    assert worth_reading_again(ended, seen, early) is (hopeful_until is not None)
    assert not worth_reading_again(ended, seen, late)
    assert is_due_again(ended, late) is (due_from is not None)
    outcome = judge(ended, "a", PENDING, PENDING, late)
    assert (outcome.status, outcome.reason) == (kind, reason)
    assert (outcome.share, outcome.desired, outcome.before, outcome.after) == (
        Share("p", "a"),
        ACCEPTED,
        PENDING,
        PENDING,
    )


@pytest.mark.parametrize("ended", [UNANSWERED, ended_as(End.LOST)])
def test_what_nobody_knows_is_not_due_while_it_may_be_alive(ended: BatchEnd) -> None:
    """A lost answer and a lost job are unsettled until the moment at which they cannot be alive any more."""
    assert not is_due_again(ended, UNTIL - 0.001)
    assert judge(ended, "a", PENDING, PENDING, UNTIL - 0.001).status is Status.UNSETTLED


@given(ends, statuses)
def test_what_reads_as_desired_is_changed_however_it_ended(ended: BatchEnd, before: MemberStatus) -> None:
    """The reading has the last word, and needs no reason."""
    image = ended.batch.images[0]
    outcome = judge(ended, image, before, ended.batch.operation.goal, EPOCH)
    assert (outcome.status, outcome.after, outcome.reason) == (Status.CHANGED, ended.batch.operation.goal, "")
    assert outcome.job_id == "job-1"


@given(ends)
def test_what_is_in_no_list_is_absent_and_what_cannot_be_read_unknown(ended: BatchEnd) -> None:
    """Both without a status after; but what the cloud refused has failed, whether it can be read again or not."""
    absent = judge(ended, ended.batch.images[0], PENDING, None, EPOCH)
    unknown = judge(ended, ended.batch.images[0], PENDING, Unreadable("HTTP 503: down"), EPOCH)
    assert (absent.status, absent.after) == (Status.ABSENT, None)
    assert "no longer offered" in absent.reason
    assert unknown.after is None
    if ended.how is End.REFUSED:
        assert (unknown.status, unknown.reason) == (Status.FAILED, "why")
    else:
        assert unknown.status is Status.UNKNOWN
        assert unknown.reason.endswith("HTTP 503: down")


@pytest.mark.parametrize(
    ("how", "whole"),
    [
        (End.SUCCEEDED, False),
        (End.PARTIAL, False),
        (End.FAILED, True),
        (End.LOST, False),
        (End.UNSETTLED, False),
    ],
)
def test_a_settlement_becomes_the_end_of_its_batch(*, how: End, whole: bool) -> None:
    """Only a job that failed for all of its images failed as a whole; a failure has the cloud's own code and scope."""
    ended = ended_as(how, reason="why", code="IMG.0046", scope=Scope.IMAGE, results={"a": True})
    assert (ended.how, ended.batch, ended.key, ended.job_id) == (how, BATCH, 7, "job-1")
    assert ended.failure == (Failure(Scope.IMAGE, "IMG.0046", "why") if how in {End.FAILED, End.PARTIAL} else None)
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
    ended = replace(ended_as(End.SUCCEEDED), results={"a": True, "b": False})
    assert not worth_reading_again(ended, {"a": ACCEPTED, "b": PENDING}, EPOCH)
    assert worth_reading_again(ended, {"a": PENDING, "b": PENDING}, EPOCH)


@pytest.mark.parametrize("how", [End.PARTIAL, End.FAILED])
def test_what_a_job_that_failed_says_was_done_is_waited_for(how: End) -> None:
    """The lists may lag behind it as behind any other; what it did not speak of, or denied, is not waited for."""
    ended = replace(ended_as(how), results={"a": True})
    assert worth_reading_again(ended, {"a": PENDING, "b": PENDING}, EPOCH)
    assert not worth_reading_again(ended, {"a": ACCEPTED, "b": PENDING}, EPOCH)
    assert not worth_reading_again(ended, {"a": PENDING, "b": PENDING}, ended.until)
    assert judge(ended, "a", PENDING, PENDING, EPOCH).status is Status.UNSETTLED
    late = judge(ended, "a", PENDING, PENDING, ended.until)
    assert (late.status, late.reason) == (
        Status.FAILED,
        "job job-1 says that it was done, yet the image still reads pending",
    )
    assert judge(ended, "b", PENDING, PENDING, EPOCH).status is Status.FAILED


def test_a_reading_that_failed_takes_nothing_back() -> None:
    """What was read as desired before stays so; of the others nobody knows; a newer good reading always counts."""
    down = Unreadable("down")
    before = {"a": ACCEPTED, "b": PENDING, "c": ACCEPTED, "d": None}
    assert read_since(before, {"a": down, "b": down, "c": PENDING}, Operation.ACCEPT) == {
        "a": ACCEPTED,
        "b": down,
        "c": PENDING,
        "d": None,
    }


@pytest.mark.parametrize(
    ("image", "read_at", "kind"),
    [("a", 99.0, Status.UNSETTLED), ("a", 100.0, Status.FAILED), ("b", 99.0, Status.FAILED)],
)
def test_a_success_is_not_called_untrue_before_its_time(image: str, read_at: float, kind: Status) -> None:
    """The lists may lag behind the job: a share that it did not deny is unsettled until the time to verify is over."""
    ended = BatchEnd(BATCH, End.SUCCEEDED, "", 100.0, 1, "job", results={"b": False})
    assert judge(ended, image, PENDING, PENDING, read_at).status is kind


def test_a_failure_tells_how_many_failed_with_it() -> None:
    """As one batch, whether it was refused or its job failed, and whether it can be read again or not."""
    for ended in (BatchEnd(BATCH, End.REFUSED, "no"), ended_as(End.FAILED)):
        assert judge(ended, "a", PENDING, PENDING, EPOCH).failed_batch_size == 2
    assert (
        judge(BatchEnd(BATCH, End.REFUSED, "no"), "a", PENDING, Unreadable("HTTP 503: down"), EPOCH).failed_batch_size
        == 2
    )


BLAMELESS = {Scope.REQUEST, Scope.PROJECT, Scope.VAULT, Scope.PERMISSION, Scope.CREDENTIAL, Scope.THROTTLE}


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("how", [End.REFUSED, End.FAILED, End.UNANSWERED])
@pytest.mark.parametrize("seen", [PENDING, Unreadable("HTTP 403: not yours")])
def test_blame_is_decided_by_what_the_failure_is_about(scope: Scope, how: End, seen: Seen) -> None:
    """Wherever it is said: in the answer to the PUT or in the job, whether the shares can be read again or not."""
    ended = BatchEnd(BATCH, how, "no", failure=Failure(scope, "X.0001", "no"))
    outcome = judge(ended, "a", PENDING, seen, EPOCH)
    if outcome.status is Status.FAILED:
        assert outcome.blames_image is not (scope in BLAMELESS)


@pytest.mark.parametrize("state", [End.PARTIAL, End.FAILED])
@pytest.mark.parametrize("scope", Scope)
def test_a_job_that_failed_in_part_blames_no_more_than_one_that_failed_as_a_whole(scope: Scope, state: End) -> None:
    """A vault that filled up half-way says nothing of the images that came too late."""
    ended = ended_as(state, code="X.0001", scope=scope, results={"a": False, "b": state is End.PARTIAL})
    assert judge(ended, "a", PENDING, PENDING, EPOCH).blames_image is (scope not in BLAMELESS)


@pytest.mark.parametrize("how", End)
def test_only_a_job_that_failed_is_worth_another_try_at_once(how: End) -> None:
    """A refusal was repeated as often as it may be, and a lost answer may be alive."""
    for scope, passes in ((Scope.UNSAID, True), (Scope.THROTTLE, True), (Scope.IMAGE, False), (Scope.VAULT, False)):
        ended = BatchEnd(BATCH, how, "no", failure=Failure(scope, "", "no"))
        assert is_worth_another_try(ended) is (how in {End.FAILED, End.PARTIAL} and passes)
    assert not is_worth_another_try(BatchEnd(BATCH, how, "no"))
