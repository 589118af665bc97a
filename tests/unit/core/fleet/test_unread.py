"""What could not be read is told once for each reason."""

from __future__ import annotations

import pytest

from worker.core.fleet.unread import Unread, told_unread
from worker.core.reading import CUT_SHORT


def unread(count: int, reason: str = "HTTP 503", prefix: str = "team") -> tuple[Unread, ...]:
    """Return so many projects that could not be read for a reason, each with a request of its own."""
    return tuple(
        Unread(f"{prefix}-{number}", f"{prefix}-{number}", f"{reason} [request {prefix}{number}]")
        for number in range(count)
    )


@pytest.mark.parametrize(
    ("found", "projects", "lines"),
    [
        ((), 3, ()),
        ((), 0, ()),
        (unread(1), 1, ("Project team-0 could not be read: HTTP 503 [request team0]",)),
        (unread(60), 60, ("None of 60 projects could be read: HTTP 503",)),
        (unread(5), 1_000, ("5 of 1,000 projects could not be read (team-0, team-1, team-2 and 2 more): HTTP 503",)),
        (
            (*unread(2), *unread(3, "is refused", "other")),
            6,
            (
                "3 of 6 projects could not be read (other-0, other-1, other-2): is refused",
                "2 of 6 projects could not be read (team-0, team-1): HTTP 503",
            ),
        ),
        (
            (*unread(1), *unread(2, "is refused", "other")),
            3,
            (
                "None of 3 projects could be read",
                "2 projects (other-0, other-1): is refused",
                "1 project (team-0): HTTP 503 [request team0]",
            ),
        ),
    ],
)
def test_what_could_not_be_read_is_a_line_for_each_reason(
    found: tuple[Unread, ...], projects: int, lines: tuple[str, ...]
) -> None:
    """With how many of how many, and the first by name; that it is all of them is said first."""
    assert told_unread(found, projects) == lines


STOPPED = "the pass was told to stop first"


@pytest.mark.parametrize(
    ("failed", "cut_short", "projects", "lines"),
    [
        (0, 60, 60, (f"60 projects were not read: {STOPPED}",)),
        (0, 1, 1, (f"Project cut-0 was not read: {STOPPED}",)),
        (0, 1, 3, (f"1 of 3 projects was not read (cut-0): {STOPPED}",)),
        (0, 5, 9, (f"5 of 9 projects were not read (cut-0, cut-1, cut-2 and 2 more): {STOPPED}",)),
        (
            2,
            1,
            3,
            (
                "2 of 3 projects could not be read (team-0, team-1): HTTP 503",
                f"1 of 3 projects was not read (cut-0): {STOPPED}",
            ),
        ),
    ],
)
def test_of_what_was_not_tried_nobody_says_that_it_could_not_be_read(
    failed: int, cut_short: int, projects: int, lines: tuple[str, ...]
) -> None:
    """The pass was told to stop first; what really could not be read is told beside it as ever."""
    cut = tuple(Unread(f"cut-{number}", f"cut-{number}", CUT_SHORT) for number in range(cut_short))
    assert told_unread((*unread(failed), *cut), projects) == lines
