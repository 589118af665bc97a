"""How long something takes, and what makes it wait, for people and as JSON."""

from __future__ import annotations

from typing import Any

from worker.core.facts import many
from worker.core.fleet.forecast import Forecast
from worker.core.timing import roughly, timestamp


def forecast_json(forecast: Forecast) -> dict[str, Any]:
    """Return a forecast as JSON; null is what nobody knows, or what there is none of.

    With `at_least` the seconds are the least that it takes.
    """
    return {
        "calls": forecast.calls,
        "seconds": None if forecast.seconds is None else round(forecast.seconds, 3),
        "at_least": not forecast.is_all,
        "cause": forecast.cause or None,
        "until": None if forecast.until is None else timestamp(forecast.until),
    }


def forecast_text(forecast: Forecast) -> str:
    """Say of what does not run yet how many calls it takes, about how long, and what most of that is waited for."""
    calls = f"about {many(forecast.calls, 'call')}"
    if forecast.seconds is None:
        return f"{calls}, nobody knows how long because of {forecast.cause}"
    takes = f", {'about' if forecast.is_all else 'at least'} {roughly(forecast.seconds)}" if forecast.seconds else ""
    return f"{calls}{takes}" + (f", above all because of {forecast.cause}" if forecast.cause else "")
