"""Files that people name: reading never one that would make the reader wait, and writing one whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

MAX_SIZE = 64 * 1024**2
"""Bytes of a file that are read: what people write for a fleet of any size is far below."""

_PIECE = 1 << 18
_NAMED = 100
"""Characters of a file's name that stand in that of the file which will take its place."""


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
    content = bytearray()
    with open_file(path) as file:
        # Piece by piece, since room is made at once for as much as is asked for, and most files are small.
        while piece := file.read(_PIECE):
            content += piece
            if len(content) > MAX_SIZE:
                raise OSError(errno.EFBIG, f"it has more than {MAX_SIZE // 1024**2} MB", str(path))
    return bytes(content)


def write_file(path: Path, text: str) -> None:
    """Write a file, in place of what is there; after an error, or a crash, what was there is there still.

    Behind a link it is the file that the link leads to. What is no regular file, such as a pipe, is written as it
    stands. Raises OSError.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_text(text)
        return
    fresh = target.with_name(f".{target.name[:_NAMED]}.{os.getpid()}.new")
    try:
        fresh.write_text(text)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def unreadable(path: Path) -> str:
    """Say why a file cannot be read; nothing if it can."""
    try:
        open_file(path).close()
    except (OSError, ValueError) as error:
        return cannot_be_read(error)
    return ""


def is_exposed(path: Path) -> bool:
    """Tell whether others than a file's owner and group may read it, and whoever runs this could change that."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH) and not os.statvfs(path).f_flag & os.ST_RDONLY
    except (OSError, ValueError):
        return False


def cannot_be_read(error: OSError | ValueError) -> str:
    """Say why a file cannot be read, without repeating its name."""
    reason = (error.strerror or "unknown reason").lower() if isinstance(error, OSError) else "not a file name"
    return f"cannot be read: {reason}"
