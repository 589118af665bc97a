"""What is said when a process is told to stop: no more is awaited than there is, and no less."""

from __future__ import annotations

from collections import Counter

import pytest

from worker.core.stopping import Awaited, ended, leaving, stopping

PRESS = "press again to leave them to the next run"
SENT = "Stopping: nothing more is sent"


@pytest.mark.parametrize(
    ("seconds", "awaited", "said"),
    [
        (25.0, {Awaited.JOB: 3}, f"{SENT}; waiting up to 25 s for 3 jobs, {PRESS}"),
        (0.2, {Awaited.JOB: 1}, f"{SENT}; waiting up to 200 ms for 1 job, press again to leave it to the next run"),
        (90.0, {Awaited.JOB: 1200}, f"{SENT}; waiting up to 1 m 30 s for 1,200 jobs, {PRESS}"),
        (25.0, {Awaited.ANSWER: 2}, f"{SENT}; waiting up to 25 s for the answers to 2 PUTs, {PRESS}"),
        (
            25.0,
            {Awaited.READING: 1, Awaited.ANSWER: 1, Awaited.JOB: 2},
            f"{SENT}; waiting up to 25 s for 2 jobs, the answer to 1 PUT and 1 batch to be read again, {PRESS}",
        ),
        (0.0, {Awaited.JOB: 2}, f"{SENT}, and 2 jobs are left to the next run"),
        (0.0, {Awaited.ANSWER: 1}, f"{SENT}, and the answer to 1 PUT is left to the next run"),
        (25.0, {}, f"{SENT}, and nothing that was sent is still open"),
    ],
)
def test_the_first_signal_says_what_is_waited_for_and_how_long(
    seconds: float, awaited: dict[Awaited, int], said: str
) -> None:
    """Each kind of what was sent is counted; where there is nothing, or no time, that is said."""
    assert stopping(seconds, awaited) == said


def test_the_second_signal_says_what_is_left_to_the_next_run() -> None:
    """And what a third one would do."""
    third = "press again to end without a report"
    assert leaving(Counter({Awaited.JOB: 3})) == f"Leaving 3 jobs to the next run; {third}"
    assert leaving({Awaited.READING: 2, Awaited.ANSWER: 1}) == (
        f"Leaving the answer to 1 PUT and 2 batches to be read again to the next run; {third}"
    )
    assert leaving({}) == f"Waiting for nothing more; {third}"
    assert ended() == "Ended without a report: what was sent is in the journal, for the next run"


def test_a_process_that_prints_no_report_speaks_of_none() -> None:
    """The daemon ends at once, and there is no report that it could end without."""
    assert leaving({Awaited.JOB: 1}, reports=False) == "Leaving 1 job to the next run; press again to end at once"
    assert ended(reports=False) == "Ended at once: what was sent is in the journal, for the next run"
