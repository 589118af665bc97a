"""The exit statuses of a command."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command's exit status means."""

    CONVERGED = 0
    INCOMPLETE = 1
    USAGE = 2
    REFUSED = 3
    CLOUD = 4
    LOCKED = 5
    DRIFT = 6
    JOURNAL = 7
    BUG = 70
