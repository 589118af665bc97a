"""A forecast counts what a run would call, and how long its limits make that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import IMAGES, PROJECTS, batches

from worker.core.batch import Batch
from worker.core.calls import CallGroup
from worker.core.fleet.forecast import POLLS_PER_JOB, TYPICAL_JOB, Forecast, Speed, forecast
from worker.core.limits import Rate
from worker.core.operation import Operation

RATES = {
    CallGroup.MEMBERS_PUT: Rate(200, 300.0),
    CallGroup.JOB_GET: Rate(1400, 60.0),
    CallGroup.JOB_PROGRESS: Rate(200, 300.0),
    CallGroup.IMAGES_LIST: Rate(1400, 60.0),
}
LEGACY = Speed(RATES, Rate(100, 1.0), 500, CallGroup.JOB_GET)
PROGRESS = Speed(RATES, Rate(100, 1.0), 500, CallGroup.JOB_PROGRESS)
NOTHING: dict[str, int] = {}
several = st.lists(batches, max_size=12)
lists_made = st.integers(0, 5000)
offered = st.dictionaries(st.sampled_from(PROJECTS), st.integers(0, len(IMAGES)))


def of_projects(count: int) -> list[Batch]:
    """Return one batch for each of that many projects."""
    return [Batch(f"p{number:05}", Operation.ACCEPT, None, ("image",)) for number in range(count)]


def test_nothing_to_do_costs_nothing() -> None:
    """No batch and no reading: no call and no time."""
    assert forecast((), NOTHING, 0, {}, LEGACY) == Forecast(0, 0.0)


def test_a_small_run_is_one_job_long() -> None:
    """Far below every limit only the job takes time; put, polls and a reading are called."""
    assert forecast(of_projects(1), NOTHING, 3, {}, LEGACY) == Forecast(3 + 1 + POLLS_PER_JOB + 1, TYPICAL_JOB)


@pytest.mark.parametrize(("puts", "windows"), [(201, 1), (400, 1), (401, 2), (2000, 9)])
def test_the_puts_wait_for_their_windows(puts: int, windows: int) -> None:
    """Two hundred go at once, each further two hundred a window later."""
    assert forecast(of_projects(puts), NOTHING, 0, {}, LEGACY).seconds == windows * 300.0 + TYPICAL_JOB


def test_below_the_windows_the_burst_is_what_takes_time() -> None:
    """Two hundred jobs are eight hundred calls, at a hundred in any second."""
    assert forecast(of_projects(200), NOTHING, 0, {}, LEGACY).seconds == 7.0 + TYPICAL_JOB


def test_the_slower_job_query_makes_a_run_longer() -> None:
    """With two polls for each job the recommended query is the bottleneck at half as many jobs."""
    assert forecast(of_projects(100), NOTHING, 0, {}, PROGRESS).seconds < 300.0
    assert forecast(of_projects(101), NOTHING, 0, {}, PROGRESS).seconds == 300.0 + TYPICAL_JOB


def test_accounts_have_limits_of_their_own() -> None:
    """Four hundred projects of two accounts are as quick as two hundred of one."""
    batch_list = of_projects(400)
    account_of = {batch.project_id: f"account {number % 2}" for number, batch in enumerate(batch_list)}
    two, one = forecast(batch_list, NOTHING, 0, account_of, LEGACY), forecast(batch_list, NOTHING, 0, {}, LEGACY)
    assert two.calls == one.calls
    assert two.seconds < 300.0 < one.seconds


def test_a_large_project_takes_more_pages_to_read_again() -> None:
    """Each project is read again once, with one page for each full page of its images, and one more."""
    twice = [
        Batch("p", Operation.ACCEPT, None, ("image-0",)),
        Batch("p", Operation.REJECT, None, ("image-1",)),
    ]
    assert forecast(twice, {"p": 1200}, 0, {}, LEGACY).calls == 2 * (1 + POLLS_PER_JOB) + 3


@given(several, batches, offered, lists_made)
def test_one_batch_more_is_never_cheaper(some: list[Batch], more: Batch, offers: dict[str, int], lists: int) -> None:
    """Calls grow by the put, its polls and perhaps a reading; time does not shrink."""
    before, after = (forecast(each, offers, lists, {}, LEGACY) for each in (some, [*some, more]))
    assert 1 + POLLS_PER_JOB <= after.calls - before.calls <= 2 + POLLS_PER_JOB + len(IMAGES) // LEGACY.page_size
    assert after.seconds >= before.seconds


@given(several, offered, lists_made, st.integers(1, 400), st.integers(1, 400))
def test_a_tighter_limit_is_never_quicker(
    some: list[Batch], offers: dict[str, int], lists: int, one: int, other: int
) -> None:
    """Calls do not depend on the limits; seconds do not grow when a limit does."""
    speeds = (
        replace(LEGACY, rates={**RATES, CallGroup.MEMBERS_PUT: Rate(count, 300.0)}) for count in sorted([one, other])
    )
    tight, wide = (forecast(some, offers, lists, {}, speed) for speed in speeds)
    assert tight.calls == wide.calls
    assert tight.seconds >= wide.seconds
