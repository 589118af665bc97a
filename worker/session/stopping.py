"""Signals that ask the process to stop or to read its files again, and the passes that stop with it."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.core.stopping import ended, leaving, stopping
from worker.reconcile.deadlines import Deadlines
from worker.render.output import say
from worker.telemetry.standard_error import drain

_LAST_WORDS = 0.3
"""Seconds that a reader of the log is waited for when the process ends at once."""


class Stopper:
    """Whether the process was asked to stop; what is under way then has `grace` seconds.

    `reload_asked` is set by who wants the files to be read again, and cleared by who reads them. `tell` is told at each
    signal but the last for how many seconds what was sent is still followed, and what to say to people; `last_words`
    are said when the process ends at once. `reports` tells whether it prints a report when it is left to end.
    """

    def __init__(self, grace: float) -> None:
        self.asked = asyncio.Event()
        self.reload_asked = asyncio.Event()
        self.grace = grace
        self.tell: Callable[[float, str], None] = lambda _, text: say(text)
        self.reports = True
        self.last_words: Callable[[], None] = lambda: say(ended(reports=self.reports))
        self._has_begun = False
        self._signals = 0
        self._ends_at = self._follow_until = math.inf
        self._deadlines: list[Deadlines] = []

    @contextmanager
    def deadlines(self, next_is_due: asyncio.Event | None = None) -> Iterator[Deadlines]:
        """Give deadlines that move up when the process is asked to stop, for as long as they are used."""
        deadlines = Deadlines(next_is_due)
        self._has_begun = True
        self._deadlines.append(deadlines)
        if self.asked.is_set():
            deadlines.stop(max(0.0, self._follow_until - asyncio.get_running_loop().time()))
        try:
            yield deadlines
        finally:
            self._deadlines.remove(deadlines)

    def ends_at(self) -> float:
        """Return until when (`time.monotonic`) there is time to wait: never, before anybody asked to stop.

        There is none after that where nothing has begun yet. Any thread may ask for it.
        """
        return self._ends_at

    def stop(self) -> None:
        """Ask the process to stop with grace; the second time, to wait for nothing more; the third time, end it."""
        self._signals += 1
        if self._signals > 2:
            self.last_words()
            drain(_LAST_WORDS)
            os._exit(1)
        awaited = Counter(each for deadlines in self._deadlines for each in deadlines.awaited.values())
        grace = self.grace if self._signals == 1 else 0.0
        self.asked.set()
        self._ends_at = time.monotonic() + (grace if self._has_begun else 0.0)
        self._follow_until = asyncio.get_running_loop().time() + grace
        for deadlines in self._deadlines:
            deadlines.stop(grace)
        seconds = max((deadlines.to_follow.left for deadlines in self._deadlines), default=0.0)
        first = self._signals == 1
        self.tell(seconds, stopping(seconds, awaited) if first else leaving(awaited, reports=self.reports))


@contextmanager
def stopped_by_signals(grace: float) -> Iterator[Stopper]:
    """Have SIGTERM and SIGINT stop the passes with grace, a second one at once, and a third one end the process.

    SIGHUP asks to read the files again; who does not do so lives on. After the body nothing is left that a signal could
    stop, and they are ignored.
    """
    loop = asyncio.get_running_loop()
    stopper = Stopper(grace)
    actions = {
        signal.SIGTERM: stopper.stop,
        signal.SIGINT: stopper.stop,
        signal.SIGHUP: stopper.reload_asked.set,
    }
    for number, action in actions.items():
        loop.add_signal_handler(number, action)
    try:
        yield stopper
    finally:
        for number in actions:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
