"""What a pass finds of how long jobs last is kept, and the next process asks by it, over the wire as in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import rehearse

from worker.core.fleet.report import RunReport
from worker.core.operation import Operation
from worker.core.polling.durations import Durations, Kind
from worker.simulator.jobs import JobRules
from worker.simulator.server import Simulator

pytestmark = pytest.mark.usefixtures("virtual_time")
PROJECTS = dict.fromkeys((f"project-{number:02}" for number in range(12)), 3)


async def passes(tmp_path: Path, *, learns: bool) -> tuple[list[RunReport], tuple[tuple[Kind, Durations], ...]]:
    """Accept and then reject all, each in a process of its own, with jobs of 20 s; return what the journal has then."""
    reports = []
    async with Simulator(rehearse.fleet(PROJECTS, jobs=JobRules(seconds=(18.0, 22.0)))) as cloud:
        settings = rehearse.usual(
            cloud,
            journal={"url": f"sqlite:///{tmp_path / 'journal.db'}"},
            polling={"learn": learns},
            guards={"max_reject": "100%"},
        )
        for operation in (Operation.ACCEPT, Operation.REJECT):
            manifest = rehearse.manifest_of(cloud.world, operation)
            async with rehearse.working(cloud, manifest, settings) as worker:
                reports.append(await worker.run())
                found = (await worker.journal.durations.known()).needed()
    assert [report.result for report in reports] == ["converged", "converged"]
    return reports, found


def polls(report: RunReport) -> float:
    """Return how many polls a job of a pass took."""
    return sum(job.polls for job in report.jobs) / len(report.jobs)


async def test_the_next_process_asks_by_what_was_found(tmp_path: Path) -> None:
    """Of the cloud's own times: jobs of 18 to 22 s take far fewer polls, and their ends are noticed sooner."""
    (first, second), found = await passes(tmp_path, learns=True)
    ((kind, durations),) = found
    assert kind == Kind("default", takes_vault=False, size=10)
    assert durations.jobs == pytest.approx(24, rel=0.01)
    assert 17 < durations.quantile(0.5) < 23
    assert polls(second) < polls(first) - 2
    late = [sum(job.noticed_within or 0.0 for job in report.jobs) for report in (first, second)]
    assert late[1] < late[0]


async def test_without_learning_nothing_is_kept(tmp_path: Path) -> None:
    """Both passes ask by backoff."""
    (first, second), found = await passes(tmp_path, learns=False)
    assert found == ()
    assert polls(second) == pytest.approx(polls(first), abs=1)
