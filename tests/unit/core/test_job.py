"""How a job that has ended ended, from its word and those about its images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.batch import End
from worker.core.job import JobReply, end_of

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
