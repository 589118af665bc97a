"""Throttle answers in a row: of whom they are, and how long to pause after so many."""

from __future__ import annotations

from typing import Final

_FIRST_PAUSE: Final = 1 / 8


class ThrottleStreak:
    """The throttle answers in a row to one call group, and whether they are of many projects.

    Calls that were under way when a pause began say nothing about whether it was long enough.
    """

    def __init__(self) -> None:
        self.length = 0
        self.of_many = False
        self._project_id = ""
        self._since = 0.0

    def repeat(self, project_id: str, started: float, now: float) -> None:
        """Count a throttle answer to a call that left at `started`."""
        self.of_many |= self._project_id not in {"", project_id}
        self._project_id = project_id
        if started >= self._since:
            self.length += 1
            self._since = now

    def forget(self, started: float) -> None:
        """Begin anew after a success of a call that left at `started`."""
        if started >= self._since:
            self.length, self.of_many, self._project_id = 0, False, ""


def growing_pause(window: float, in_a_row: int, u: float) -> float:
    """Return the seconds to pause a group after so many throttle answers in a row, from half to all of a span.

    The span grows from an eighth of the window to the whole. `u` is uniform in [0, 1).
    """
    return window * min(_FIRST_PAUSE * 2.0 ** min(in_a_row - 1, 8), 1.0) * (1 + u) / 2
