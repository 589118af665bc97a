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
from worker.errors import OutputError
from worker.reconcile.deadlines import Deadlines
from worker.streams import say, write_no_more
from worker.telemetry.standard_error import drain

_LAST_WORDS = 0.3
"""Seconds that a reader of the log is waited for when the process ends at once, and one of a result at any signal."""


class Stopper:
    """Whether the process was asked to stop; it halts what is under way with `grace` seconds.

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
        self._halts: list[Deadlines] = []

    @contextmanager
    def halting(self, next_is_due: asyncio.Event | None = None) -> Iterator[Deadlines]:
        """Give a halt that goes with those who ask the process to stop, for as long as it is used."""
        halt = Deadlines(next_is_due)
        self._has_begun = True
        self._halts.append(halt)
        if self.asked.is_set():
            halt.stop(max(0.0, self._follow_until - asyncio.get_running_loop().time()))
        try:
            yield halt
        finally:
            self._halts.remove(halt)

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
        awaited = Counter(each for halt in self._halts for each in halt.awaited.values())
        grace = self.grace if self._signals == 1 else 0.0
        self.asked.set()
        self._ends_at = time.monotonic() + (grace if self._has_begun else 0.0)
        self._follow_until = asyncio.get_running_loop().time() + grace
        for halt in self._halts:
            halt.stop(grace)
        seconds = max((halt.follow_for for halt in self._halts), default=0.0)
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


@contextmanager
def printing() -> Iterator[None]:
    """Have SIGTERM and SIGINT end what the body prints where nobody reads it: OutputError is raised a moment later.

    The event loop, which knows better ways to stop, waits for the body. What somebody reads is printed to its end.
    """
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}

    def wait_a_moment(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, _LAST_WORDS)

    signal.signal(signal.SIGTERM, wait_a_moment)
    signal.signal(signal.SIGINT, wait_a_moment)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        write_no_more()
        raise OutputError(
            "the result could not be written: nobody took it when the command was asked to stop"
        ) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
