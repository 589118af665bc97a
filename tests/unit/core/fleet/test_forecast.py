"""A forecast counts what is to be called, by what the limits let through, and says what makes it wait."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import EPOCH, IMAGES, PROJECTS, batches

from worker.core.batch import Batch
from worker.core.calls import CallGroup
from worker.core.fleet.forecast import (
    LISTS_PER_PROJECT,
    POLLS_PER_JOB,
    TYPICAL_JOB,
    AccountRoom,
    Expected,
    Forecast,
    Load,
    Rest,
    Shape,
    forecast,
    load_of_rest,
    load_of_run,
)
from worker.core.limits import MARGIN, Rate, Room, Window
from worker.core.operation import Operation

NOW = 1000.0
"""The clock of the windows; the wall clock says EPOCH."""
PUT, JOB, LIST = CallGroup.MEMBERS_PUT, CallGroup.JOB_GET, CallGroup.IMAGES_LIST
RATES = {PUT: Rate(200, 300.0), JOB: Rate(1400, 60.0), CallGroup.JOB_PROGRESS: Rate(200, 300.0), LIST: Rate(1400, 60.0)}
SHAPE = Shape(page_size=500, max_images=100, poll_group=JOB)
PROGRESS = Shape(page_size=500, max_images=100, poll_group=CallGroup.JOB_PROGRESS)
NO_OFFERS: dict[str, int] = {}
SPAN = 300.0 + MARGIN
several = st.lists(batches, max_size=12)
lists_made = st.integers(0, 5000)
offered = st.dictionaries(st.sampled_from(PROJECTS), st.integers(0, len(IMAGES)), min_size=1)


def window(rate: Rate, ages: Iterable[float] = ()) -> Window:
    """Return a window with calls that were answered so many seconds ago."""
    made = Window(rate)
    made.remember(NOW, ages)
    return made


def rooms(
    made: Mapping[CallGroup, Iterable[float]] | None = None,
    accounts: Iterable[str] = ("",),
    rates: Mapping[CallGroup, Rate] | None = None,
    paused_for: float = -math.inf,
) -> dict[str, AccountRoom]:
    """Return what accounts let through, with calls in the window that were answered so many seconds ago."""
    found = {
        group: Room(NOW, (window(rate, (made or {}).get(group, ())),), NOW + paused_for)
        for group, rate in {**RATES, **(rates or {})}.items()
    }
    return dict.fromkeys(accounts, AccountRoom(found, Room(NOW, (Window(Rate(100, 1.0)),))))


def of_projects(count: int) -> list[Batch]:
    """Return one batch for each of that many projects."""
    return [Batch(f"p{number:05}", Operation.ACCEPT, None, ("image",)) for number in range(count)]


def load(
    batch_list: Iterable[Batch],
    offers: Mapping[str, int] = NO_OFFERS,
    lists: int = 0,
    accounts: Mapping[str, str] | None = None,
    shape: Shape = SHAPE,
) -> Load:
    """Return what a run with these batches has to call."""
    return load_of_run(Expected(offers, batch_list, {}, lists), accounts or {}, shape, EPOCH)


def seconds(batch_list: Iterable[Batch], shape: Shape = SHAPE, made: Iterable[float] = ()) -> float:
    """Return how long a run with these batches takes, with PUTs in the window that were answered so long ago."""
    found = forecast(load(batch_list, shape=shape), rooms({PUT: made}), EPOCH).seconds
    assert found is not None
    return found


def test_nothing_to_do_costs_nothing() -> None:
    """No batch and no reading: no call and no time."""
    assert forecast(load(()), rooms(), EPOCH) == Forecast(0, 0.0, made_at=EPOCH)


def test_a_small_run_is_one_job_long() -> None:
    """Far below every limit only the job takes time; lists, put, polls and a reading are called."""
    found = forecast(load(of_projects(1), {"p00000": 7}, 3), rooms(), EPOCH)
    assert found == Forecast(3 + 1 + POLLS_PER_JOB + 1, TYPICAL_JOB, made_at=EPOCH)


@pytest.mark.parametrize(("puts", "windows"), [(201, 1), (400, 1), (401, 2), (2000, 9)])
def test_the_puts_wait_for_their_windows(puts: int, windows: int) -> None:
    """Two hundred go at once, each further two hundred a window later."""
    assert seconds(of_projects(puts)) == pytest.approx(windows * SPAN + TYPICAL_JOB)


def test_the_calls_that_are_in_the_window_already_count_and_are_named() -> None:
    """A run right after one that used up the PUT limit waits four minutes, and says for what and until when."""
    found = forecast(load(of_projects(3)), rooms({PUT: [60.0] * 200}), EPOCH)
    assert found.seconds == pytest.approx(240 + MARGIN + TYPICAL_JOB)
    assert (found.cause, found.until) == ("the PUT limit", pytest.approx(EPOCH + 240 + MARGIN))
    assert found.sentence(EPOCH) == "waiting for the PUT limit until 08:05 UTC; about 5 min to go"


def test_what_the_window_still_has_room_for_goes_at_once() -> None:
    """Fifty of two hundred are free: fifty batches wait for nothing, and the next waits for the oldest call."""
    made = [200.0, *[100.0] * 149]
    assert forecast(load(of_projects(10)), rooms({PUT: made}), EPOCH).seconds == TYPICAL_JOB
    assert seconds(of_projects(50), made=made) < 5
    assert seconds(of_projects(51), made=made) == pytest.approx(100 + MARGIN + TYPICAL_JOB)
    found = forecast(load(of_projects(60)), rooms({PUT: made}), EPOCH)
    assert found.until == pytest.approx(EPOCH + 200 + MARGIN)
    assert found.seconds == pytest.approx(200 + MARGIN + TYPICAL_JOB)


def test_lists_and_polls_in_the_window_count_as_well() -> None:
    """Whichever group is slowest is the cause: what has been read, or asked about, is in its window too."""
    found = forecast(load(of_projects(1), {"p00000": 7}, 3), rooms({LIST: [10.0] * 1400}), EPOCH)
    assert (found.cause, found.seconds) == ("the limit of image lists", pytest.approx(50 + MARGIN + TYPICAL_JOB))
    found = forecast(load(of_projects(1)), rooms({JOB: [20.0] * 1400}), EPOCH)
    assert (found.cause, found.seconds) == ("the limit of job queries", pytest.approx(40 + MARGIN + TYPICAL_JOB))


def test_a_limit_that_the_cloud_taught_counts() -> None:
    """Of the configured rate and the learned one the stricter is what a run waits for."""
    learned = window(RATES[PUT]), window(Rate(10, 300.0), [0.0] * 10)
    room = {"": AccountRoom({**rooms()[""].groups, PUT: Room(NOW, learned)}, rooms()[""].together)}
    assert forecast(load(of_projects(1)), room, EPOCH).seconds == pytest.approx(SPAN + TYPICAL_JOB)


def test_a_pause_counts() -> None:
    """After a throttle answer nothing leaves until the pause is over, whatever the windows have room for."""
    found = forecast(load(of_projects(1)), rooms(paused_for=25.0), EPOCH)
    assert found.seconds == pytest.approx(25 + TYPICAL_JOB)
    assert found.until == pytest.approx(EPOCH + 25)


def test_below_the_windows_the_burst_is_what_takes_time() -> None:
    """Two hundred jobs are eight hundred calls, at a hundred in any second."""
    found = forecast(load(of_projects(200)), rooms(), EPOCH)
    assert found.seconds == pytest.approx(7 * (1 + MARGIN) + TYPICAL_JOB)
    assert found.cause == "the limit of all calls together"


def test_a_wait_of_a_moment_has_no_name() -> None:
    """A hundred and four calls wait for less than a second: nobody need know what for."""
    found = forecast(load(of_projects(20)), rooms({LIST: [59.5] * 1400}), EPOCH)
    assert (found.cause, found.until) == ("", None)
    assert found.seconds == pytest.approx(0.5 + MARGIN + TYPICAL_JOB)


def test_the_slower_job_query_makes_a_run_longer() -> None:
    """With two polls for each job the recommended query is the bottleneck at half as many jobs."""
    assert seconds(of_projects(100), PROGRESS) < 300.0
    assert seconds(of_projects(101), PROGRESS) == pytest.approx(SPAN + TYPICAL_JOB)


def test_accounts_have_limits_of_their_own() -> None:
    """Four hundred projects of two accounts are as quick as two hundred of one, and an unknown one has no limits."""
    batch_list = of_projects(400)
    accounts = {batch.project_id: f"account {number % 2}" for number, batch in enumerate(batch_list)}
    two = forecast(load(batch_list, accounts=accounts), rooms(accounts=("account 0", "account 1")), EPOCH)
    one = forecast(load(batch_list), rooms(), EPOCH)
    assert two.calls == one.calls
    assert two.seconds is not None
    assert one.seconds is not None
    assert two.seconds < 300.0 < one.seconds
    assert forecast(load(batch_list), {}, EPOCH).seconds == TYPICAL_JOB


def test_a_large_project_takes_more_pages_to_read_again() -> None:
    """Each project is read again once, with one page for each full page of its images, and one more."""
    twice = [Batch("p", Operation.ACCEPT, None, ("image-0",)), Batch("p", Operation.REJECT, None, ("image-1",))]
    assert forecast(load(twice, {"p": 1200}), rooms(), EPOCH).calls == 2 * (1 + POLLS_PER_JOB) + 3


def test_jobs_that_earlier_passes_left_are_asked_about_and_read_again() -> None:
    """They take no PUT, and what is left of a job's time."""
    found = load_of_run(Expected({"p": 7}, (), {"p": (EPOCH - 1, EPOCH - 0.5), "q": ()}, 3), {}, SHAPE, EPOCH)
    assert found == Load({"": {LIST: 3 + 1, JOB: 2 * POLLS_PER_JOB}}, TYPICAL_JOB - 0.5, reading={"": 3})


def test_the_vaults_of_a_project_are_looked_up_once() -> None:
    """Whatever number of batches names one."""
    some = [Batch(project, Operation.ACCEPT, vault, ("a",)) for project in "pq" for vault in ("v", "w", None)]
    assert load(some).calls[""][CallGroup.VAULTS_LIST] == 2
    assert CallGroup.VAULTS_LIST not in load([each for each in some if each.vault_id is None]).calls[""]


@given(offered, lists_made)
def test_lists_are_shared_out_to_the_accounts_and_none_is_lost(offers: dict[str, int], lists: int) -> None:
    """However projects divide into accounts, the lists are as many as were made."""
    accounts = {project_id: f"account of {project_id}" for project_id in offers}
    found = load((), offers, lists, accounts).calls
    assert sum(groups[LIST] for groups in found.values()) == lists


@given(several, batches, offered, lists_made)
def test_one_batch_more_is_never_cheaper(some: list[Batch], more: Batch, offers: dict[str, int], lists: int) -> None:
    """Calls grow by the put, its polls and perhaps a reading; time does not shrink."""
    before, after = (forecast(load(each, offers, lists), rooms(), EPOCH) for each in (some, [*some, more]))
    assert 1 + POLLS_PER_JOB <= after.calls - before.calls <= 2 + POLLS_PER_JOB + len(IMAGES) // SHAPE.page_size
    assert before.seconds is not None
    assert after.seconds is not None
    assert after.seconds >= before.seconds


@given(several, st.lists(st.floats(0, 300), max_size=400), st.integers(1, 400), st.integers(1, 400))
def test_a_tighter_limit_is_never_quicker(some: list[Batch], made: list[float], one: int, other: int) -> None:
    """Calls do not depend on the limits; seconds do not grow when a limit does."""
    tight, wide = (
        forecast(load(some), rooms({PUT: made}, rates={PUT: Rate(count, 300.0)}), EPOCH)
        for count in sorted([one, other])
    )
    assert tight.calls == wide.calls
    assert tight.seconds is not None
    assert wide.seconds is not None
    assert tight.seconds >= wide.seconds


def rest_of(rest: Rest, waiting: Mapping[CallGroup, int] | None = None) -> Load:
    """Return what is left to be called of a pass of one account."""
    return load_of_rest(rest, {"": waiting or {}}, {}, SHAPE, EPOCH)


def test_what_is_left_of_a_pass_is_what_is_due_and_what_is_followed() -> None:
    """Due images fill PUTs of their operation; each PUT is polled and read again, and so is each job in flight."""
    rest = Rest({"p": (250, 3)}, {"p": (EPOCH - 0.5,), "q": (EPOCH - 1,)}, {"p": 600})
    assert rest_of(rest) == Load({"": {PUT: 4, JOB: 4 * POLLS_PER_JOB + 2, LIST: 2 + 1}}, TYPICAL_JOB)


def test_callers_in_the_queue_are_work_too() -> None:
    """Parts of a batch that failed are in no plan, and wait for their turn all the same."""
    assert rest_of(Rest({"p": (5,)}), {PUT: 7}).calls[""][PUT] == 7
    assert rest_of(Rest({"p": (900,)}), {PUT: 2}).calls[""][PUT] == 9


def test_while_projects_are_read_nobody_knows_all() -> None:
    """Who waits for a list has others to read; what a pass takes is said to be the least."""
    load = rest_of(Rest(unread=3), {LIST: 3})
    lists = {LIST: 3 * LISTS_PER_PROJECT}
    assert load == Load({"": {PUT: 0, JOB: 0, **lists}}, is_all=False, held={"": lists})
    told = forecast(load, rooms({LIST: [0.0] * 1400}), EPOCH)
    assert told.sentence(EPOCH) == "waiting for the limit of image lists until 08:01:01 UTC; at least 61 s to go"


@pytest.mark.parametrize("waiting", [{}, {LIST: 2}])
def test_a_list_that_hangs_leaves_no_time_that_stands_still(waiting: Mapping[CallGroup, int]) -> None:
    """While no limit holds the reading up, nobody knows when the lists are answered, whatever is due by now."""
    rest = Rest({f"p{number:05}": (1,) for number in range(60)}, unread=2)
    found = forecast(rest_of(rest, waiting), rooms(), EPOCH)
    assert (found.seconds, found.sentence(EPOCH)) == (None, "waiting for lists of images")


@pytest.mark.parametrize(
    ("took", "age", "left"),
    [
        (None, -3.0, 2.0),
        (None, 0.5, 1.5),
        (None, 2.0, None),
        (60.0, 15.0, 45.0),
        (60.0, 100.0, None),
        (60.0, 130.0, None),
    ],
)
def test_a_job_takes_as_long_as_others_did_and_of_one_that_takes_longer_nobody_knows(
    took: float | None, age: float, left: float | None
) -> None:
    """The youngest ends last, and the jobs are what is waited for, however many calls follow them."""
    rest = Rest(jobs={f"p{number:05}": (EPOCH - age, EPOCH - age - 1) for number in range(120)}, took=took)
    found = forecast(rest_of(rest), rooms({LIST: [0.0] * 1400, PUT: [0.0] * 200}), EPOCH)
    assert found.seconds == left
    assert (found.cause, found.until) == ("jobs of the cloud", None)
    assert ("to go" in found.sentence(EPOCH)) is (left is not None)


@pytest.mark.parametrize("due", [(), (1,)])
def test_one_job_that_is_stuck_keeps_a_pass_however_young_the_others_are(due: tuple[int, ...]) -> None:
    """It takes more than twice as long as others did: nobody knows when it ends, nor the pass."""
    rest = Rest({"q": due}, {"p": (EPOCH - 0.5, EPOCH - 500)})
    assert forecast(rest_of(rest), rooms(), EPOCH).sentence(EPOCH) == "waiting for jobs of the cloud"


@pytest.mark.parametrize("batch_list", [[], of_projects(1), of_projects(120)])
def test_a_plan_promises_no_time_over_a_job_that_is_stuck(batch_list: list[Batch]) -> None:
    """A run waits for what it resumes: as in a pass, of what is older than jobs become nobody knows when it ends."""
    expected = Expected({"p": 7}, batch_list, {"p": (EPOCH - 810, EPOCH - 1)}, 3)
    found = forecast(load_of_run(expected, {}, SHAPE, EPOCH), rooms(), EPOCH)
    assert (found.seconds, found.cause, found.is_all) == (None, "jobs of the cloud", False)


def test_job_queries_that_wait_for_their_limit_are_the_cause() -> None:
    """Where the queries wait for longer than jobs take, it is the limit that is waited for."""
    rest = Rest(jobs={"p": [EPOCH - 1] * 60})
    found = forecast(rest_of(rest, {JOB: 40}), rooms({JOB: [20.0] * 1400}), EPOCH)
    assert found.sentence(EPOCH) == "waiting for the limit of job queries until 08:00:41 UTC; about 42 s to go"


def test_what_is_sent_waits_for_what_is_read_first() -> None:
    """The lists wait for 50 s, and the PUTs for two windows from then on; the longer of both is the cause."""
    offers = {batch.project_id: 1 for batch in of_projects(401)}
    found = forecast(load(of_projects(401), offers, 1203), rooms({LIST: [10.0] * 1400}), EPOCH)
    assert found.seconds == pytest.approx(50 + MARGIN + 2 * SPAN + TYPICAL_JOB)
    assert (found.cause, found.until) == ("the PUT limit", pytest.approx(EPOCH + 50 + MARGIN + 2 * SPAN))


def test_calls_that_may_leave_by_the_time_all_is_read_are_not_waited_for_twice() -> None:
    """The PUT window is free again while the lists still wait: only these take time, and are the cause."""
    made = {LIST: [10.0] * 1400, PUT: [260.0] * 200}
    found = forecast(load(of_projects(1), {"p00000": 7}, 3), rooms(made), EPOCH)
    assert found.seconds == pytest.approx(50 + MARGIN + TYPICAL_JOB)
    assert (found.cause, found.until) == ("the limit of image lists", pytest.approx(EPOCH + 50 + MARGIN))


def test_an_overdue_job_beside_a_limit_leaves_the_least_that_it_takes() -> None:
    """The limit is what is known, and it is said to be the least."""
    rest = Rest(jobs={"p": (EPOCH - 500,)})
    found = forecast(rest_of(rest, {PUT: 1}), rooms({PUT: [0.0] * 200}), EPOCH)
    assert found.sentence(EPOCH) == "waiting for the PUT limit until 08:06 UTC; at least 6 min to go"


def test_the_time_to_go_shrinks_by_itself_and_never_below_nothing() -> None:
    """Between two looks it is the clock that counts, and what is over is not said any more."""
    told = Forecast(9, 550.0, "the PUT limit", EPOCH + 290, EPOCH)
    assert told.sentence(EPOCH) == "waiting for the PUT limit until 08:05 UTC; about 10 min to go"
    assert told.sentence(EPOCH + 150) == "waiting for the PUT limit until 08:05 UTC; about 7 min to go"
    assert told.sentence(EPOCH + 200) == "waiting for the PUT limit until 08:04:50 UTC; about 6 min to go"
    assert told.sentence(EPOCH + 300) == "about 5 min to go"
    assert [told.left(EPOCH + after) for after in (0, 200, 550, 900)] == [550.0, 350.0, 0.0, 0.0]
    assert told.sentence(EPOCH + 900) == ""
    assert Forecast(0, None).sentence(EPOCH) == ""
