"""Signals that ask the process to stop, and the passes that stop with it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from worker.reconcile.halt import Halt


class Stopper:
    """Whether the process was asked to stop; it halts the passes under way with some seconds of grace."""

    def __init__(self, grace: float) -> None:
        self.asked = asyncio.Event()
        self._grace = grace
        self._halts: list[Halt] = []

    def halt(self) -> Halt:
        """Return the halt of the next pass, which goes with those who ask the process to stop."""
        halt = Halt()
        self._halts = [halt]
        if self.asked.is_set():
            halt.stop(self._grace)
        return halt

    def stop(self) -> None:
        """Ask the process to stop with grace; the second time, end it at once."""
        if self.asked.is_set():
            os._exit(1)
        self.asked.set()
        for halt in self._halts:
            halt.stop(self._grace)


@contextmanager
def stopped_by_signals(grace: float) -> Iterator[Stopper]:
    """Have SIGTERM and SIGINT stop the passes with grace; a second one ends the process at once.

    SIGHUP asks to read the files again, which every pass of the daemon does: it must not end it.
    """
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    stopper = Stopper(grace)
    for number in signals:
        loop.add_signal_handler(number, _pass_over if number is signal.SIGHUP else stopper.stop)
    try:
        yield stopper
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _pass_over() -> None:
    """Do nothing about a signal."""
