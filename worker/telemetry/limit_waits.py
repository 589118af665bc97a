"""What limit a pass waits for, for who reads its log: told where it begins to take long, and not at each look."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from worker.core.events import Listener, PassWaits
from worker.core.fleet.forecast import Forecast

_LOOK_EVERY = 5.0
_WORTH_TELLING = 5.0
"""Seconds: what is over by the next look need not be told."""


class LimitWaits:
    """Looks at a pass now and then, and tells `events` of a limit that holds it up, once until that lets go.

    `foretell` says how long the pass under way takes, where one is, and `now` the time in seconds since the epoch.
    """

    def __init__(self, foretell: Callable[[], Forecast | None], now: Callable[[], float], events: Listener) -> None:
        self._foretell = foretell
        self._now = now
        self._events = events
        self._told_until: dict[str, float] = {}

    async def watch(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            self.look()

    def look(self) -> None:
        """Tell of the limit that is waited for, unless that was told and it has not let go since."""
        found, now = self._foretell(), self._now()
        if found is None or found.until is None or found.until - now < _WORTH_TELLING:
            return
        if now >= self._told_until.get(found.cause, -math.inf):
            self._told_until[found.cause] = found.until
            self._events(PassWaits(found.cause, found.until, found.left(now), found.is_all))
