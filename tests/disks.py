"""Disks that are full."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def fill(file: Path) -> None:
    """Write to a file until its disk is full."""
    with file.open("wb", buffering=0) as ballast, suppress(OSError):
        while ballast.write(bytes(4096)):
            pass
