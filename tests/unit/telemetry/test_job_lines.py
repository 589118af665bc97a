"""Jobs in flight are counted, and those that are late have a line each."""

from __future__ import annotations

from dataclasses import replace

from passes import TIMINGS
from plans import plan_of, tell
from strategies import EPOCH

from worker.core import events
from worker.core.batch import Batch, End, InFlight
from worker.core.job import Job, Settlement
from worker.core.operation import Operation
from worker.telemetry.job_lines import JobLines

BATCH = Batch("p", Operation.ACCEPT, None, ("i-0", "i-1"))
PLAN = plan_of({"p": ["i-0", "i-1"]})


def planned(*in_flight: InFlight) -> events.Planned:
    """Return the plan of a project that has these batches in flight, with the names of its images."""
    projects = tuple(replace(each, in_flight=in_flight) for each in PLAN.projects)
    return events.Planned(replace(PLAN, projects=projects), {"i-0": "ubuntu", "i-1": "debian"}, 0, 0, ())


def submitted(key: int, at: float = EPOCH) -> events.BatchSubmitted:
    """Return the event of a job of this pass."""
    return events.BatchSubmitted(Job(key, f"job-{key}", BATCH, at))


def test_a_job_of_an_earlier_pass_counts_and_has_its_line_at_once() -> None:
    """With its project and images, its age, and when it is given up; a PUT without a job is not waited for."""
    lines = JobLines(TIMINGS)
    tell(lines, planned(InFlight(1, BATCH, EPOCH - 11_520.0, "job-1"), InFlight(2, BATCH, EPOCH - 30.0)))
    assert lines.count == 1
    assert lines.late(EPOCH) == (
        "name of p: job job-1, 2 images to accept (debian, ubuntu), sent 3h 12m ago, given up in 20h 48m",
    )
    lines(events.JobSettled(Settlement(Job(1, "job-1", BATCH, EPOCH), End.SUCCEEDED, 1, EPOCH)))
    assert (lines.count, lines.late(EPOCH)) == (0, ())


def test_a_job_of_this_pass_has_its_line_when_it_is_late() -> None:
    """Those that end as jobs do are counted, and no more than that; the next pass begins with none."""
    lines = JobLines(TIMINGS)
    tell(lines, planned(), submitted(1), submitted(2, EPOCH + 30.0))
    assert lines.count == 2
    assert lines.late(EPOCH + 59.0) == ()
    (line,) = lines.late(EPOCH + 60.0)
    assert "job job-1, " in line
    lines(events.PassStarted("run-2", 1))
    assert (lines.count, lines.late(EPOCH + 600.0)) == (0, ())


def test_of_many_late_jobs_the_oldest_are_told() -> None:
    """And how many there are more; what is sent while others are still read has its ids for names."""
    lines = JobLines(TIMINGS)
    tell(lines, *(submitted(key, EPOCH - key) for key in range(12)))
    told = lines.late(EPOCH + 100.0)
    oldest = [f"p: job job-{key}" for key in (11, 10, 9, 8, 7)]
    assert [line.split(", ")[0] for line in told] == [*oldest, "and 7 more jobs"]
