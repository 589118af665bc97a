"""What a process says that is told to stop: what it still waits for, and what another signal would do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from worker.core.facts import many
from worker.core.timing import format_duration


class Awaited(StrEnum):
    """What is awaited of a batch that was sent: the answer to its PUT, the end of its job, or how its images read."""

    ANSWER = "answer"
    JOB = "job"
    READING = "reading"


def stopping(seconds: float, awaited: Mapping[Awaited, int]) -> str:
    """Say at the first signal what is awaited, of how many batches, and for how many seconds at most."""
    count = sum(awaited.values())
    if not count:
        return "Stopping: nothing more is sent, and nothing that was sent is still open"
    if seconds <= 0:
        return (
            f"Stopping: nothing more is sent, and {_what(awaited)} {'is' if count == 1 else 'are'} left to the next run"
        )
    up_to = re.sub(r"(?<=\d)(?=[a-z])", " ", format_duration(seconds))
    them = "it" if count == 1 else "them"
    return (
        f"Stopping: nothing more is sent; waiting up to {up_to} for {_what(awaited)}, "
        f"press again to leave {them} to the next run"
    )


def leaving(awaited: Mapping[Awaited, int], *, reports: bool = True) -> str:
    """Say at the second signal what is left to the next run; `reports` tells whether a report comes at the end."""
    what = f"Leaving {_what(awaited)} to the next run" if sum(awaited.values()) else "Waiting for nothing more"
    return f"{what}; press again to end {_how(reports=reports)}"


def ended(*, reports: bool = True) -> str:
    """Say at the third signal that the process ends; `reports` tells whether a report would have come."""
    return f"Ended {_how(reports=reports)}: what was sent is in the journal, for the next run"


def _how(*, reports: bool) -> str:
    return "without a report" if reports else "at once"


def _what(awaited: Mapping[Awaited, int]) -> str:
    jobs, answers, readings = (awaited.get(each, 0) for each in (Awaited.JOB, Awaited.ANSWER, Awaited.READING))
    named = (
        many(jobs, "job") if jobs else "",
        f"the answer{'' if answers == 1 else 's'} to {many(answers, 'PUT')}" if answers else "",
        f"{readings:,} batch{'' if readings == 1 else 'es'} to be read again" if readings else "",
    )
    *most, last = filter(None, named)
    return f"{', '.join(most)} and {last}" if most else last
