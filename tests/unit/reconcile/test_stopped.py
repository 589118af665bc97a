"""What a person sees after Ctrl-C: the sentence, and the report of what is known, at any size of the fleet."""

from __future__ import annotations

import asyncio

import pytest
from doubles import FakeCloud, FakeJournal, Fate
from golden_texts import assert_golden_texts
from passes import ACCEPT, assert_adds_up, context, images, manifest, request
from rich.console import Console

from worker.core.events import Event, JobSettled
from worker.core.status import Status
from worker.reconcile.run import run_once
from worker.render.names import Names, plain
from worker.render.report import print_report
from worker.session.stopping import Stopper

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize(("projects", "each"), [(3, 60), (300, 40)])
async def test_stopped_twice_it_says_what_it_left_and_what_it_knows(projects: int, each: int) -> None:
    """The first project's job has ended; of all others it is said that they are in flight, and nothing else."""
    wishes = {f"project-{number:03}": dict.fromkeys(images(each), ACCEPT) for number in range(projects)}
    cloud = FakeCloud(lambda batch: Fate(seconds=2.0 if batch.project_id == "project-000" else 4000.0))
    for project_id in wishes:
        cloud.offer(project_id, images(each))
    said: list[str] = []
    stopper = Stopper(25.0)
    stopper.tell = lambda _, text: said.append(text)

    def stop(event: Event) -> None:
        if isinstance(event, JobSettled) and not stopper.asked.is_set():
            # Its project is read again at once.
            asyncio.get_running_loop().call_later(10.0, stopper.stop)
            asyncio.get_running_loop().call_later(15.0, stopper.stop)

    with stopper.deadlines() as deadlines:
        journal = FakeJournal()
        report = await run_once(request(wishes), context(cloud, journal, deadlines=deadlines, emit=stop))
    assert_adds_up(report)
    assert (report.count(Status.CHANGED), report.count(Status.UNSETTLED)) == (each, each * (projects - 1))
    assert len(await journal.batches.in_flight()) == projects - 1

    def show(console: Console) -> None:
        for line in said:
            console.print(plain(line))
        print_report(report, Names(manifest(wishes).projects, {}), console)

    assert_golden_texts(f"stopped-{projects}x{each}", show)
