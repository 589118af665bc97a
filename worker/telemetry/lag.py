"""How late the event loop wakes: whether the process lives, and whether something blocks it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

INTERVAL = 0.1
"""Seconds between two beats."""
MEMORY = 60.0
"""Seconds for which a lag is remembered."""


class LoopLag:
    """Beats on the event loop in which it is made, and measures how late each beat comes.

    `observe` takes the lag of each beat, in seconds. `on_beat` is called at the first beat, and then at the first one
    that comes `beat_every` seconds or more after the last call.
    """

    def __init__(self, observe: Callable[[float], None], on_beat: Callable[[], None], beat_every: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._observe = observe
        self._on_beat = on_beat
        self._beat_every = beat_every
        self._last_beat = self._loop.time()
        self._call_due = self._last_beat
        # Times and lags, each lag smaller than the one before it: the first is always the worst.
        self._peaks: deque[tuple[float, float]] = deque()

    async def watch(self) -> None:
        """Beat until cancelled."""
        while True:
            due = self._loop.time() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self._beat(due)

    def worst(self) -> float:
        """Return the longest lag of the last minute, in seconds."""
        self._forget()
        return self._peaks[0][1] if self._peaks else 0.0

    def beat_age(self) -> float:
        """Return how many seconds ago the loop last beat; before the first beat, since this was made."""
        return self._loop.time() - self._last_beat

    def _beat(self, due: float) -> None:
        self._last_beat = now = self._loop.time()
        lag = max(0.0, now - due)
        while self._peaks and self._peaks[-1][1] <= lag:
            self._peaks.pop()
        self._peaks.append((now, lag))
        self._forget()
        self._observe(lag)
        if now >= self._call_due:
            self._call_due = now + self._beat_every
            self._on_beat()

    def _forget(self) -> None:
        oldest = self._loop.time() - MEMORY
        while self._peaks and self._peaks[0][0] < oldest:
            self._peaks.popleft()
