"""Live progress on a terminal: images settled, jobs in flight, calls left in the window, and the time to go."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from worker.core import daemon_events, events
from worker.core.calls import CallGroup
from worker.core.facts import many
from worker.core.fleet.forecast import Forecast, Rest
from worker.core.status import Status
from worker.core.text import visible
from worker.core.timing import Timings
from worker.telemetry.job_lines import JobLines
from worker.telemetry.to_go import ToGo

_REDRAWS = 10
"""Times a second that the terminal is drawn anew."""
_NOT_SETTLED = frozenset({Status.NOT_SENT, Status.UNSETTLED})


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is asked for while a pass is drawn.

    `left` tells the calls left in each window now, `foretell` how long what is left of the pass takes, and `now` is the
    wall clock in seconds since the epoch. `timings` tell when a job that does not end is given up.
    """

    left: Callable[[], Mapping[CallGroup, int]]
    foretell: Callable[[Rest], Forecast]
    now: Callable[[], float]
    timings: Timings


class _Drawing(Progress):
    """The bar of a stage, and below it the lines that say what is waited for."""

    below: tuple[str, ...] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is drawn, from the top down."""
        yield from super().get_renderables()
        yield from (Text(f"  {visible(line)}", style="yellow") for line in self.below)


class LiveProgress:
    """A listener that draws a pass on `console` while it lasts, and with `gauges` tells what it waits for.

    What these cost may grow with the fleet, and so do the events: the calls left are asked for at most once for each
    redraw, and how long it takes where a stage begins, and by `look`: it is to be called now and then, so that no time
    stands still.
    """

    def __init__(self, console: Console, gauges: Gauges) -> None:
        self._gauges = gauges
        self._to_go = ToGo(resumes=True)
        self._jobs = JobLines(gauges.timings)
        self._calls_left = ""
        self._asked_at = -math.inf
        self._judged = 0
        self._is_read = False
        self._is_stopping = False
        self._progress = _Drawing(
            SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            refresh_per_second=_REDRAWS,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The last picture is of a pass under way, and there is none any more.
        self._clear()
        self._progress.stop()

    def __call__(self, event: events.Event) -> None:
        """Take one event of the pass into the drawing."""
        self._to_go(event)
        self._jobs(event)
        match event:
            case events.PassStarted(_, projects):
                self._judged, self._is_read, self._is_stopping = 0, False, False
                self._stage("Reading projects", projects)
            case events.ProjectObserved():
                self._advance()
            case events.Planned(plan, refusals=refusals):
                self._is_read = True
                to_settle = len(plan.of(Status.IN_FLIGHT)) + (0 if refusals else len(plan.changes))
                if to_settle or self._jobs.count:
                    # Some may have been sent, and have ended, while others were still being read.
                    self._stage("Settling images", to_settle)
                    self._advance(self._judged)
                else:
                    self._clear()
            case daemon_events.Stopping():
                self._is_stopping = True
                self.look()
                # What is said of it stands above a picture that knows of it.
                self._progress.refresh()
            case events.ProjectPlanned() | events.BatchSubmitted() | events.JobSettled():
                self._advance(0)
            case events.ShareJudged(status) if status.status not in _NOT_SETTLED:
                self._judged += 1
                self._advance(int(self._is_read))
            case _:
                pass

    def look(self) -> None:
        """Draw what the windows let through by now, and how long that takes."""
        self._progress.below = self._waits()
        self._asked_at = -math.inf
        self._advance(0)

    def _clear(self) -> None:
        self._progress.below = ()
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None

    def _stage(self, description: str, total: int) -> None:
        self._clear()
        self._progress.below = self._waits()
        self._task = self._progress.add_task(description, total=total, detail=self._detail())

    def _advance(self, by: int = 1) -> None:
        if self._task is not None:
            self._progress.update(self._task, advance=by, detail=self._detail())

    def _detail(self) -> str:
        now = self._progress.get_time()
        if now - self._asked_at >= 1 / _REDRAWS:
            self._asked_at, puts = now, self._gauges.left().get(CallGroup.MEMBERS_PUT)
            self._calls_left = "" if puts is None else f", {puts} PUT left in the window"
        return f"{many(self._jobs.count, 'job')} in flight{self._calls_left}"

    def _waits(self) -> tuple[str, ...]:
        now = self._gauges.now()
        rest = None if self._is_stopping else self._to_go.rest()
        sentence = "" if rest is None else self._gauges.foretell(rest).sentence(now)
        return (*filter(None, (sentence,)), *self._jobs.late(now))
