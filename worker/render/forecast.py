"""How long something takes, and what makes it wait, for people and as JSON."""

from __future__ import annotations

from typing import Any

from worker.core.fleet.forecast import Forecast
from worker.core.timing import format_duration, timestamp


def forecast_json(forecast: Forecast) -> dict[str, Any]:
    """Return a forecast as JSON; null is what nobody knows, or what there is none of."""
    return {
        "calls": forecast.calls,
        "seconds": None if forecast.seconds is None else round(forecast.seconds, 3),
        "cause": forecast.cause or None,
        "until": None if forecast.until is None else timestamp(forecast.until),
    }


def forecast_text(forecast: Forecast) -> str:
    """Say how many calls it takes, and how long: of what a limit holds up, for what it waits."""
    takes = "" if forecast.seconds is None else f", {format_duration(forecast.seconds)}"
    waits = f"; {forecast.sentence(forecast.made_at)}" if forecast.cause else ""
    return f"about {forecast.calls:,} calls{takes}{waits}"
