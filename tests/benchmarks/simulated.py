"""A simulated cloud in a process of its own, for the benchmarks: it must not take the time of what is measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def simulated(*options: str) -> Iterator[str]:
    """Serve a cloud with these options of `simulate`; yield its address, and end it."""
    command = (sys.executable, "-m", "worker", "simulate", "--listen", "127.0.0.1:0", *options)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or not (url := process.stdout.readline().strip()):
                raise SystemExit("the simulated cloud did not start")
            yield url
        finally:
            process.terminate()
