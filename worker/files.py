"""Reading files that people name: never one that would make the reader wait."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

MAX_SIZE = 64 * 1024**2
"""Bytes of a file that are read: what people write for a fleet of any size is far below."""


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises OSError, also for what is no regular file: a pipe may never end, nor even be opened, and a device is not
    what somebody wrote. Raises ValueError for what cannot be the name of a file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_file(path: Path) -> bytes:
    """Return what is in a regular file; raise OSError or ValueError as above, and OSError for more than `MAX_SIZE`."""
    with open_file(path) as file:
        content = file.read(MAX_SIZE + 1)
    if len(content) > MAX_SIZE:
        raise OSError(errno.EFBIG, f"it has more than {MAX_SIZE // 1024**2} MB", str(path))
    return content
