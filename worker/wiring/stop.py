"""Signals that ask the process to stop or to read its files again, and the passes that stop with it."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from worker.reconcile.deadlines import Deadlines
from worker.telemetry.standard_error import drain

_LAST_WORDS = 0.3
"""Seconds that a reader of the log is waited for at the second signal, and one of a result at the first."""


class Stopper:
    """Whether the process was asked to stop; it halts what is under way with `grace` seconds.

    `reload_asked` is set by who wants the files to be read again, and cleared by who reads them.
    """

    def __init__(self, grace: float) -> None:
        self.asked = asyncio.Event()
        self.reload_asked = asyncio.Event()
        self.grace = grace
        self._asked_at = math.inf
        self._halts: list[Deadlines] = []

    @contextmanager
    def halting(self, next_is_due: asyncio.Event | None = None) -> Iterator[Deadlines]:
        """Give a halt that goes with those who ask the process to stop, for as long as it is used."""
        halt = Deadlines(next_is_due)
        self._halts.append(halt)
        if self.asked.is_set():
            halt.stop(self.grace)
        try:
            yield halt
        finally:
            self._halts.remove(halt)

    def ends_at(self) -> float:
        """Return when (`time.monotonic`) the grace ends: never, before anybody asked. Any thread may ask for it."""
        return self._asked_at + self.grace

    def stop(self) -> None:
        """Ask the process to stop with grace; the second time, end it at once."""
        if self.asked.is_set():
            drain(_LAST_WORDS)
            os._exit(1)
        self.asked.set()
        self._asked_at = time.monotonic()
        for halt in self._halts:
            halt.stop(self.grace)


@contextmanager
def stopped_by_signals(grace: float) -> Iterator[Stopper]:
    """Have SIGTERM and SIGINT stop the passes with grace; a second one ends the process at once.

    SIGHUP asks to read the files again; who does not do so lives on.
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


@contextmanager
def printing() -> Iterator[None]:
    """Have SIGTERM and SIGINT end what the body prints where nobody reads it: it gets KeyboardInterrupt a moment later.

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
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
