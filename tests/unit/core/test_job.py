"""How a job that has ended ended, from its word and those about its images."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import TIMINGS
from strategies import EPOCH

from worker.core.batch import Batch, End, InFlight
from worker.core.job import Job, JobReply, Settlement, Underway, end_of, underway
from worker.core.operation import Operation

ended = st.sampled_from([End.SUCCEEDED, End.FAILED])
results = st.dictionaries(st.text(max_size=3), st.booleans(), max_size=5)


@pytest.mark.parametrize(
    ("said", "images", "final"),
    [
        (End.SUCCEEDED, {}, End.SUCCEEDED),
        (End.SUCCEEDED, {"a": True}, End.SUCCEEDED),
        (End.SUCCEEDED, {"a": True, "b": False}, End.PARTIAL),
        (End.SUCCEEDED, {"a": False}, End.FAILED),
        (End.FAILED, {}, End.FAILED),
        (End.FAILED, {"a": False}, End.FAILED),
        (End.FAILED, {"a": True, "b": False}, End.PARTIAL),
        (End.FAILED, {"a": True}, End.FAILED),
    ],
)
def test_images_that_fared_differently_make_a_job_partial(said: End, images: dict[str, bool], final: End) -> None:
    """What is said of the images outweighs the word for the whole, as far as it goes."""
    assert end_of(JobReply(said, images)) is final


@given(ended, results)
def test_a_job_that_has_ended_has_a_end_of(said: End, images: dict[str, bool]) -> None:
    """It is never called a success when an image of it failed."""
    final = end_of(JobReply(said, images))
    assert final in {End.SUCCEEDED, End.PARTIAL, End.FAILED}
    assert final is not End.SUCCEEDED or False not in images.values()


@given(results)
def test_a_job_that_runs_has_no_end(images: dict[str, bool]) -> None:
    """Whatever is said of its images so far."""
    assert end_of(JobReply(None, images)) is None


BATCH = Batch("p", Operation.ACCEPT, None, ("i-0",))


def test_what_is_in_flight_is_told_the_oldest_first_with_its_age_and_its_end() -> None:
    """A job is given up after `abandon`, a PUT whose answer was lost after `unknown`, each from when it was sent."""
    sent = (InFlight(1, BATCH, EPOCH, "job-1"), InFlight(2, BATCH, EPOCH - 30.0), InFlight(3, BATCH, EPOCH, "job-3"))
    lost, first, second = underway(sent, EPOCH + 60.0, TIMINGS)
    assert (lost.job_id, lost.age, lost.left) == (None, 90.0, TIMINGS.unknown - 90.0)
    assert (first.job_id, second.job_id, first.left) == ("job-1", "job-3", TIMINGS.abandon - 60.0)
    assert first.told("payments", ["ubuntu"]) == (
        "payments: job job-1, 1 image to accept (ubuntu), sent 1m ago, given up in 23h 59m"
    )


@given(st.floats(-1e6, 1e6), st.booleans())
def test_what_is_told_of_its_end_is_when_it_is_given_up(age: float, is_job: bool) -> None:  # noqa: FBT001
    """It may be alive exactly as long as there is time left; by a clock that was put back, at most its own span."""
    sent = InFlight(1, BATCH, EPOCH, "job-1" if is_job else None)
    (work,) = underway((sent,), EPOCH + age, TIMINGS)
    assert work.left is not None
    assert (work.left > 0) is sent.may_be_alive(EPOCH + age, TIMINGS)
    assert work.left <= (TIMINGS.abandon if is_job else TIMINGS.unknown)
    assert ("before the clock was put back" in work.told("p", ["i"])) is (age < -1)


def test_a_settlement_tells_what_has_not_ended() -> None:
    """That of a job which has is the end of it."""
    job = Job(1, "job-1", BATCH, EPOCH)
    settled = Settlement(job, End.UNSETTLED, 3, EPOCH + 60.0, given_up_at=EPOCH + 3_660.0)
    assert settled.underway == Underway(BATCH, "job-1", 60.0, 3_600.0)
    unsaid = replace(settled, given_up_at=None).underway
    assert unsaid is not None
    assert unsaid.told("p", ["i"]).endswith("sent 1m ago, not ended")
    assert replace(settled, end=End.FAILED).underway is None
