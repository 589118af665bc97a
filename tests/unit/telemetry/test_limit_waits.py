"""What limit a pass waits for is told where it takes long, and once."""

from __future__ import annotations

from strategies import EPOCH

from worker.core.events import Event, PassWaits
from worker.core.fleet.forecast import Forecast
from worker.telemetry.limit_waits import LimitWaits


class Pass:
    """A pass under way, of which a test says what it waits for; `told` is what was said of it."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.forecast: Forecast | None = None
        self.told: list[Event] = []
        self._waits = LimitWaits(lambda: self.forecast, lambda: self.now, self.told.append)

    def look(self, after: float, cause: str = "", until: float | None = None) -> list[Event]:
        """Look after so many seconds since the epoch of the test, and return all that was told by then."""
        self.now = EPOCH + after
        if cause:
            self.forecast = Forecast(9, 90.0, cause, None if until is None else EPOCH + until, self.now)
        self._waits.look()
        return self.told


def waits(cause: str, until: float) -> PassWaits:
    """Return what is told of a limit that lets go then."""
    return PassWaits(cause, EPOCH + until, 90.0, is_all=True)


def test_a_limit_is_told_once_until_it_lets_go() -> None:
    """Also where its end moves meanwhile; another limit is told too, and the same one again when it still waits."""
    puts, lists = "the PUT limit", "the limit of image lists"
    it = Pass()
    assert it.look(0, puts, 60) == [waits(puts, 60)]
    assert it.look(10, puts, 70) == [waits(puts, 60)]
    assert it.look(20, lists, 40) == [waits(puts, 60), waits(lists, 40)]
    assert it.look(61, puts, 120) == [waits(puts, 60), waits(lists, 40), waits(puts, 120)]


def test_what_is_over_in_a_moment_and_what_is_no_limit_is_not_told() -> None:
    """Neither a wait of some seconds, nor jobs, nor a time when no pass is under way."""
    it = Pass()
    assert it.look(0) == []
    assert it.look(0, "the PUT limit", 4) == []
    assert it.look(0, "jobs of the cloud") == []
