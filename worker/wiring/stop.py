"""Signals that ask the process to stop or to read its files again, and the passes that stop with it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from worker.reconcile.halt import Halt


class Stopper:
    """Whether the process was asked to stop; it halts what is under way with `grace` seconds.

    `reload_asked` is set by who wants the files to be read again, and cleared by who reads them.
    """

    def __init__(self, grace: float) -> None:
        self.asked = asyncio.Event()
        self.reload_asked = asyncio.Event()
        self.grace = grace
        self._halts: list[Halt] = []

    @contextmanager
    def halting(self, next_is_due: asyncio.Event | None = None) -> Iterator[Halt]:
        """Give a halt that goes with those who ask the process to stop, for as long as it is used."""
        halt = Halt(next_is_due)
        self._halts.append(halt)
        if self.asked.is_set():
            halt.stop(self.grace)
        try:
            yield halt
        finally:
            self._halts.remove(halt)

    def stop(self) -> None:
        """Ask the process to stop with grace; the second time, end it at once."""
        if self.asked.is_set():
            os._exit(1)
        self.asked.set()
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
