"""How a job that has ended ended, from its word and those about its images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.job import JobReply, JobState, final_state

ended = st.sampled_from([JobState.SUCCEEDED, JobState.FAILED])
results = st.dictionaries(st.text(max_size=3), st.booleans(), max_size=5)


@pytest.mark.parametrize(
    ("said", "images", "final"),
    [
        (JobState.SUCCEEDED, {}, JobState.SUCCEEDED),
        (JobState.SUCCEEDED, {"a": True}, JobState.SUCCEEDED),
        (JobState.SUCCEEDED, {"a": True, "b": False}, JobState.PARTIAL),
        (JobState.SUCCEEDED, {"a": False}, JobState.FAILED),
        (JobState.FAILED, {}, JobState.FAILED),
        (JobState.FAILED, {"a": False}, JobState.FAILED),
        (JobState.FAILED, {"a": True, "b": False}, JobState.PARTIAL),
        (JobState.FAILED, {"a": True}, JobState.FAILED),
    ],
)
def test_images_that_fared_differently_make_a_job_partial(
    said: JobState, images: dict[str, bool], final: JobState
) -> None:
    """What is said of the images outweighs the word for the whole, as far as it goes."""
    assert final_state(JobReply(said, images)) is final


@given(ended, results)
def test_a_job_that_has_ended_has_a_final_state(said: JobState, images: dict[str, bool]) -> None:
    """It is never called a success when an image of it failed."""
    final = final_state(JobReply(said, images))
    assert final in {JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED}
    assert final is not JobState.SUCCEEDED or False not in images.values()
