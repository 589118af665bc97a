"""Live progress on a terminal: images settled, jobs in flight, calls left in the window, and the time to go."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from worker.core import events
from worker.core.calls import CallGroup
from worker.core.status import Status

_REDRAWS = 10
"""Times a second that the terminal is drawn anew."""


class LiveProgress:
    """A listener that draws a pass on `console` while it lasts. `left` tells the calls left in each window now.

    What `left` costs may grow with the fleet, and so do the events: it is asked at most once for each redraw.
    """

    def __init__(self, console: Console, left: Callable[[], Mapping[CallGroup, int]]) -> None:
        self._left = left
        self._calls_left = ""
        self._asked_at = -math.inf
        self._in_flight = 0
        self._progress = Progress(
            SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
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
        self._progress.stop()

    def __call__(self, event: events.Event) -> None:
        """Take one event of the pass into the drawing."""
        match event:
            case events.PassStarted(_, projects):
                self._stage("Reading projects", projects)
            case events.ProjectObserved():
                self._advance()
            case events.Planned(plan):
                self._stage("Settling images", len(plan.changes) + len(plan.of(Status.IN_FLIGHT)))
            case events.BatchSubmitted():
                self._in_flight += 1
                self._advance(0)
            case events.JobSettled():
                self._in_flight = max(0, self._in_flight - 1)
                self._advance(0)
            case events.ShareJudged():
                self._advance()
            case _:
                pass

    def _stage(self, description: str, total: int) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(description, total=total, detail=self._detail())

    def _advance(self, by: int = 1) -> None:
        if self._task is not None:
            self._progress.update(self._task, advance=by, detail=self._detail())

    def _detail(self) -> str:
        now = self._progress.get_time()
        if now - self._asked_at >= 1 / _REDRAWS:
            self._asked_at, left = now, self._left()
            puts = left.get(CallGroup.MEMBERS_PUT)
            self._calls_left = "" if puts is None else f", {puts} PUT left in the window"
        return f"{self._in_flight} jobs in flight{self._calls_left}"
