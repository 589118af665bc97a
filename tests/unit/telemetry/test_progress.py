"""Live progress: what a person who watches a pass sees."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from itertools import chain

import pytest
from consoles import HOSTILE, assert_harmless
from doubles import FakeCloud, FakeJournal, Fate
from passes import ACCEPT, TIMINGS, context, images, request
from plans import plan_of, tell
from rich.console import Console
from strategies import EPOCH

from worker.core import daemon_events, events
from worker.core.batch import Batch, Change, InFlight
from worker.core.calls import CallGroup
from worker.core.fleet.forecast import Forecast, Rest
from worker.core.fleet.refusal import MAX_REJECT, Refusal
from worker.core.job import Job
from worker.core.manifest.model import Project
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus, Status
from worker.errors import BadRequest, Scope
from worker.reconcile.run import run_once
from worker.telemetry.progress import Gauges, LiveProgress

FRAME = re.compile(r"(Reading projects|Settling images)[ ━╸╺]+(\d+)/(\d+) (\d+) jobs? in flight(, \d+ PUT left)?")


class Watch:
    """A terminal with live progress on it; `frames` are stage, completed, total, jobs and the rest of each picture."""

    def __init__(self, left: dict[CallGroup, int]) -> None:
        self._out = io.StringIO()
        console = Console(file=self._out, width=160, force_terminal=True, color_system=None)
        self.rests: list[Rest] = []
        self.told = Forecast(0, 0.0)
        self.now = EPOCH
        self.progress = LiveProgress(console, Gauges(lambda: left, self._foretell, lambda: self.now, TIMINGS))
        self.seen: list[tuple[str, str, str, str, str]] = []

    def __call__(self, event: events.Event) -> None:
        """Take an event, and look at the terminal."""
        self.progress(event)
        self.look()

    def _foretell(self, rest: Rest) -> Forecast:
        self.rests.append(rest)
        return self.told

    def drawn(self) -> list[str]:
        """Return the lines on the terminal now."""
        self._out.seek(0)
        self._out.truncate()
        self.progress._progress.refresh()
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._out.getvalue()).splitlines()

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
    gauges = Gauges(dict, lambda rest: Forecast(0, 0.0), lambda: EPOCH, TIMINGS)
    with LiveProgress(Console(file=out, width=160, force_terminal=True, color_system=None), gauges) as progress:
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
    await journal.batches.accept(
        await journal.batches.intend(batch, "run-0", context(cloud, journal).now(), 0), "job-of-old", 0.0
    )
    with watch.progress:
        await run_once(request({"p": dict.fromkeys(images(4), ACCEPT)}), context(cloud, journal, emit=watch))
    assert watch.seen[-1] == ("Settling images", "4", "4", "0", "")
    assert all(int(jobs) >= 0 for _, _, _, jobs, _ in watch.seen)


def test_a_job_of_an_earlier_pass_counts_from_the_beginning_and_has_a_line() -> None:
    """Below the bar, with its project and images, its age, and when it is given up; what it names is only shown."""
    watch = Watch({})
    plan = plan_of({"p": ["i-0"]}, projects={"p": Project("p", HOSTILE)})
    sent = InFlight(1, Batch("p", ACCEPT.operation, None, ("i-0",)), EPOCH - 11_520.0, "job-1")
    projects = tuple(replace(each, in_flight=(sent,)) for each in plan.projects)
    told = events.Planned(replace(plan, projects=projects), {"i-0": "ubuntu"}, 0, 1, ())
    with watch.progress:
        tell(watch.progress, events.PassStarted("run-1", 1), told)
        watch.progress.look()
        assert watch.look()[3] == "1"
        line = watch.drawn()[-1]
    assert_harmless(line)
    assert "job job-1, 1 image to accept (ubuntu), sent 3h 12m ago, given up in 20h 48m" in line


def test_the_windows_are_asked_once_for_a_redraw() -> None:
    """Ten thousand shares in a second cost ten looks at the windows, and the last look is never old."""
    clock = [0.0]
    asked: list[float] = []

    def left() -> dict[CallGroup, int]:
        asked.append(clock[0])
        return {CallGroup.MEMBERS_PUT: 200 - len(asked)}

    console = Console(file=io.StringIO(), force_terminal=True, get_time=lambda: clock[0])
    progress = LiveProgress(console, Gauges(left, lambda rest: Forecast(0, 0.0), lambda: EPOCH, TIMINGS))
    progress(events.PassStarted("run-1", 1))
    for number in range(10_000):
        clock[0] = number / 10_000
        progress(events.ShareJudged(ShareStatus(Share("p", str(number)), Status.CHANGED, ACCEPT.operation, None, None)))
    assert 9 <= len(asked) <= 11
    assert progress._progress.tasks[0].fields["detail"].endswith(f" {200 - len(asked)} PUT left in the window")


def test_what_is_waited_for_stands_below_and_no_time_stands_still() -> None:
    """Without an event, each look tells how long it takes from then on, and what is over is not said any more."""
    watch = Watch({CallGroup.MEMBERS_PUT: 0})
    watch.told = Forecast(9, 550.0, "the PUT limit", EPOCH + 290, EPOCH)
    with watch.progress:
        watch.progress(events.PassStarted("run-1", 2))
        seen = []
        for watch.now in (EPOCH, EPOCH + 60.5, EPOCH + 300, EPOCH + 600):
            watch.progress.look()
            seen.append(watch.drawn()[-1].strip())
    assert seen[:3] == [
        "waiting for the PUT limit until 08:05 UTC; about 10 min to go",
        "waiting for the PUT limit until 08:05 UTC; about 9 min to go",
        "about 5 min to go",
    ]
    assert "to go" not in seen[3]


@pytest.mark.looptime
async def test_what_is_foretold_is_what_is_left_of_the_pass() -> None:
    """What is due is counted down as it is sent, jobs are followed to their end, and in the end nothing is left."""
    cloud, watch = FakeCloud(), Watch({})
    for project in "pq":
        cloud.offer(project, images(10))
    wishes = {project: dict.fromkeys(images(10), ACCEPT) for project in "pq"}
    with watch.progress:

        def tell(event: events.Event) -> None:
            watch(event)
            watch.progress.look()

        await run_once(request(wishes, max_images=4), context(cloud, FakeJournal(), emit=tell))
    assert max(rest.unread for rest in watch.rests) == 2
    due = [sum(chain.from_iterable(rest.due.values())) for rest in watch.rests if not rest.unread]
    assert max(due) == 20
    last = watch.rests[-1]
    assert (last.due, last.jobs, last.unread) == ({}, {}, 0)
    assert any(rest.jobs for rest in watch.rests)
    assert last.took is not None


def judged(image: str, status: Status) -> events.ShareJudged:
    """Return where an image stands in the end."""
    return events.ShareJudged(ShareStatus(Share("p", image), status, ACCEPT.operation))


def planned(*image_ids: str, refusals: tuple[Refusal, ...] = ()) -> events.Planned:
    """Return that these images of a project are to be accepted."""
    changes = [Change(Share("p", image), MemberStatus.PENDING, ACCEPT.operation) for image in image_ids]
    return events.Planned(plan_of({"p": image_ids}, changes), {}, 1, 0, refusals)


def test_only_what_settled_counts_as_settled() -> None:
    """What was not sent, or has not ended, is judged and is not settled."""
    watch = Watch({})
    with watch.progress:
        tell(watch.progress, events.PassStarted("run-1", 1), planned(*"abcd"))
        for image, status in zip(
            "abcd", (Status.CHANGED, Status.FAILED, Status.NOT_SENT, Status.UNSETTLED), strict=True
        ):
            watch.progress(judged(image, status))
        assert watch.look()[:3] == ("Settling images", "2", "4")


def test_in_the_end_no_picture_of_a_pass_under_way_is_left() -> None:
    """The last thing that is drawn is nothing: neither a bar nor what is waited for, nor a time to go."""
    watch = Watch({})
    watch.told = Forecast(9, 550.0, "the PUT limit", EPOCH + 290, EPOCH)
    with watch.progress:
        tell(watch.progress, events.PassStarted("run-1", 1), planned("a"))
        assert "about 10 min to go" in watch.drawn()[-1]
    assert watch.progress._progress.tasks == []
    assert watch.progress._progress.below == ()


def test_a_worker_that_stops_says_no_time_to_go() -> None:
    """It follows what it sent for its grace, which its message says; a job that is late keeps its line."""
    watch = Watch({})
    watch.told = Forecast(9, 550.0, "the PUT limit", EPOCH + 290, EPOCH)
    job = Job(1, "job-1", Batch("p", ACCEPT.operation, None, ("a",)), EPOCH - 100)
    with watch.progress:
        tell(watch.progress, events.PassStarted("run-1", 1), planned("a"), events.BatchSubmitted(job))
        tell(watch.progress, daemon_events.Stopping(25.0, "Stopping"))
        assert "job-1" in watch.drawn()[-1]
        watch.progress.look()
        assert "to go" not in "".join(watch.drawn())


@pytest.mark.parametrize(
    "refused", [planned("a", refusals=(Refusal(MAX_REJECT, "p", "P", 1, 0, 4, "0", 0, 1),)), planned()]
)
def test_nothing_settles_where_nothing_is_sent(refused: events.Planned) -> None:
    """After a refusal, or where all is as desired, there is neither a bar nor a time to go."""
    watch = Watch({})
    watch.told = Forecast(9, 1.0)
    with watch.progress:
        tell(watch.progress, events.PassStarted("run-1", 1), refused)
        assert "".join(watch.drawn()).strip() == ""


def test_events_before_a_pass_draw_nothing() -> None:
    """A daemon that stands by has no bar, and an event out of place does no harm."""
    watch = Watch({})
    with watch.progress:
        watch.progress(daemon_events.StandingBy("held by another"))
        watch.progress(events.ProjectObserved("p", 3))
        watch.progress(events.PassStarted("run-1", 2))
        assert watch.look() == ("Reading projects", "0", "2", "0", "")
