"""How long ago something was, for people."""

from __future__ import annotations

from worker.core.clock import is_ahead
from worker.core.timing import format_duration


def ago(stamp: float, now: float) -> str:
    """Say how long ago something was; by a clock that was put back since, nobody knows that."""
    return "before the clock was put back" if is_ahead(stamp, now) else f"{format_duration(now - stamp)} ago"
