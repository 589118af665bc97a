"""Live progress: what a person who watches a pass sees."""

from __future__ import annotations

import io
import re

import pytest
from doubles import FakeCloud, FakeJournal, Fate
from passes import ACCEPT, context, images, request
from rich.console import Console

from worker.core import events
from worker.core.batch import Batch
from worker.core.calls import CallGroup
from worker.core.share import Share
from worker.core.status import ShareStatus, Status
from worker.errors import BadRequest, Scope
from worker.reconcile.run import run_once
from worker.telemetry.progress import LiveProgress

FRAME = re.compile(r"(Reading projects|Settling images)[ ━╸╺]+(\d+)/(\d+) (\d+) jobs in flight(, \d+ PUT left)?")


class Watch:
    """A terminal with live progress on it; `frames` are stage, completed, total, jobs and the rest of each picture."""

    def __init__(self, left: dict[CallGroup, int]) -> None:
        self._out = io.StringIO()
        console = Console(file=self._out, width=160, force_terminal=True, color_system=None)
        self.progress = LiveProgress(console, lambda: left)
        self.seen: list[tuple[str, str, str, str, str]] = []

    def __call__(self, event: events.Event) -> None:
        """Take an event, and look at the terminal."""
        self.progress(event)
        self.look()

    def look(self) -> tuple[str, str, str, str, str]:
        """Return what is on the terminal now."""
        self._out.seek(0)
        self._out.truncate()
        self.progress._progress.refresh()
        found = FRAME.findall(self._out.getvalue())
        self.seen += found
        return found[-1]


@pytest.mark.parametrize(("encoding", "is_plain"), [("utf-8", False), ("ascii", True), ("iso-8859-1", True)])
def test_a_terminal_without_unicode_is_drawn_on_with_what_it_has(encoding: str, *, is_plain: bool) -> None:
    """The spinner and the bar are made of characters that it has."""
    out = io.TextIOWrapper(io.BytesIO(), encoding, errors="backslashreplace")
    with LiveProgress(Console(file=out, width=160, force_terminal=True, color_system=None), dict) as progress:
        progress(events.PassStarted("run", 3))
        progress._progress.refresh()
    out.flush()
    drawn = out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert "Reading projects" in drawn
    assert "\\u" not in drawn
    assert drawn.isascii() is is_plain


@pytest.mark.looptime
async def test_the_counts_of_a_pass_settle() -> None:
    """All projects are read and all images settled in the end, with no job in flight, whatever was split on the way."""
    bad = BadRequest("no", status=400, code="IMG.0144", scope=Scope.IMAGE)

    def fate(batch: Batch) -> Fate:
        return Fate(bad, begun=False) if "image-0003" in batch.images and len(batch.images) > 1 else Fate()

    cloud, watch = FakeCloud(fate), Watch({CallGroup.MEMBERS_PUT: 197})
    for project in "pq":
        cloud.offer(project, images(10))
    wishes = {project: dict.fromkeys(images(10), ACCEPT) for project in "pq"}
    with watch.progress:
        await run_once(request(wishes, max_images=4), context(cloud, FakeJournal(), emit=watch))
    assert ("Reading projects", "2", "2", "0", ", 197 PUT left") in watch.seen
    assert watch.seen[-1] == ("Settling images", "20", "20", "0", ", 197 PUT left")
    assert max(int(jobs) for _, _, _, jobs, _ in watch.seen) > 1
    settled = [int(done) for stage, done, _, _, _ in watch.seen if stage == "Settling images"]
    assert settled == sorted(settled)


@pytest.mark.looptime
async def test_what_an_earlier_pass_left_in_flight_settles_too() -> None:
    """It is part of the total from the beginning, and its end does not take a job away that was not counted."""
    cloud, journal, watch = FakeCloud(), FakeJournal(), Watch({})
    cloud.offer("p", images(4))
    batch = Batch("p", ACCEPT.operation, None, tuple(images(2)))
    await journal.accept(await journal.intend(batch, "run-0", context(cloud, journal).now(), 0), "job-of-old", 0.0)
    with watch.progress:
        await run_once(request({"p": dict.fromkeys(images(4), ACCEPT)}), context(cloud, journal, emit=watch))
    assert watch.seen[-1] == ("Settling images", "4", "4", "0", "")
    assert all(int(jobs) >= 0 for _, _, _, jobs, _ in watch.seen)


def test_the_windows_are_asked_once_for_a_redraw() -> None:
    """Ten thousand shares in a second cost ten looks at the windows, and the last look is never old."""
    clock = [0.0]
    asked: list[float] = []

    def left() -> dict[CallGroup, int]:
        asked.append(clock[0])
        return {CallGroup.MEMBERS_PUT: 200 - len(asked)}

    console = Console(file=io.StringIO(), force_terminal=True, get_time=lambda: clock[0])
    progress = LiveProgress(console, left)
    progress(events.PassStarted("run-1", 1))
    for number in range(10_000):
        clock[0] = number / 10_000
        progress(events.ShareJudged(ShareStatus(Share("p", str(number)), Status.CHANGED, ACCEPT.operation, None, None)))
    assert 9 <= len(asked) <= 11
    assert progress._progress.tasks[0].fields["detail"].endswith(f" {200 - len(asked)} PUT left in the window")


def test_events_before_a_pass_draw_nothing() -> None:
    """A daemon that stands by has no bar, and an event out of place does no harm."""
    watch = Watch({})
    with watch.progress:
        watch.progress(events.StandingBy("held by another"))
        watch.progress(events.ProjectObserved("p", 3))
        watch.progress(events.PassStarted("run-1", 2))
        assert watch.look() == ("Reading projects", "0", "2", "0", "")
