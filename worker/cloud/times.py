"""How long a job lasted by the times of its reply, which come in two forms; some clouds have whole seconds only.

Either time may be missing, empty or nonsense. Source: API reference of IMS, the two job queries, and older samples.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple

from worker.core.polling.durations import Lasted

_TIMES: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d"), "%Y-%m-%d %H:%M:%S"),
    (re.compile(r"\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d"), "%d-%b-%Y %H:%M:%S"),
)
_FRACTION: Final = re.compile(r"[.:](\d{1,9})")
_ZONE: Final = re.compile(r"Z|[+-]\d\d:?\d\d|")
_LONGEST: Final = 30 * 86400.0
"""Seconds that a job may have lasted by the cloud's own times; what says more is nonsense."""
_MAX_LENGTH: Final = 80


def lasted(begun: object, ended: object) -> Lasted | None:
    """Return how long a job lasted, where both of its times are given in one zone and make sense."""
    begin, end = _time(begun), _time(ended)
    if begin is None or end is None or begin.zone != end.zone:
        return None
    seconds = (end.whole - begin.whole).total_seconds() + end.fraction - begin.fraction
    # Rounded to whole seconds, each may be off by almost one.
    within = 0.0 if begin.fraction or end.fraction else 1.0
    return Lasted(seconds, within) if 0 <= seconds <= _LONGEST else None


class _Time(NamedTuple):
    whole: datetime
    fraction: float
    zone: str


def _time(value: object) -> _Time | None:
    text = value.strip()[:_MAX_LENGTH] if isinstance(value, str) else ""
    for form, written in _TIMES:
        if found := form.match(text):
            fraction = _FRACTION.match(text, found.end())
            zone = _ZONE.fullmatch(text, fraction.end() if fraction else found.end())
            if zone is None:
                return None
            try:
                whole = datetime.strptime(found[0].replace("T", " "), written)  # noqa: DTZ007 - zones are compared
            except ValueError:
                return None
            return _Time(whole, float(f"0.{fraction[1]}") if fraction else 0.0, zone[0])
    return None
