"""Watch the files that the daemon works by, and tell when what is in them has changed.

Folders are watched, not files: an editor replaces a file, and a ConfigMap swaps a symbolic link beside it. Any stir in
a folder is only a reason to look; what counts is the content.
"""

from __future__ import annotations

import asyncio
import glob
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from watchfiles import awatch

from worker.files import read_file

_SETTLE_MS = 300
_LOOK_AGAIN_MS = 10_000
_BLIND_LOOK = 3.0

Fingerprint: TypeAlias = Mapping[str, str]
"""What was in some files at one time: of each, by name, a digest."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The files to watch: some by name, others by absolute patterns, as `glob` reads them."""

    files: tuple[Path, ...]
    patterns: tuple[str, ...] = ()

    def found(self) -> tuple[Path, ...]:
        """Return the files as they are now, by name; those that are named need not exist."""
        matches = {Path(match) for pattern in self.patterns for match in glob.glob(pattern, recursive=True)}  # noqa: PTH207 - Path.glob knows no absolute patterns
        return tuple(sorted({*self.files, *matches}))

    def folders(self) -> tuple[Path, ...]:
        """Return the folders where a change of these files shows: also those that symbolic links lead to."""
        near = {file.parent for file in self.found()} | {Path(os.path.realpath(file)).parent for file in self.found()}
        for pattern in self.patterns:
            above = Path(pattern).parent
            while glob.has_magic(str(above)):
                near.update(Path(match) for match in glob.glob(str(above), recursive=True))  # noqa: PTH207 - as above
                above = above.parent
            near.add(above)
        return tuple(sorted(folder for folder in near if folder.is_dir()))

    def fingerprint(self) -> Fingerprint:
        """Return of each file, by name, a digest of what is in it; one that cannot be read counts as such."""
        return {str(file): _digest(file) for file in self.found()}


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(read_file(file)).hexdigest()
    except (OSError, ValueError):
        return "unreadable"


async def changes(
    sources: Callable[[], Sources], read_as: Callable[[], Fingerprint], on_blind: Callable[[str], None]
) -> AsyncIterator[Fingerprint]:
    """Yield the fingerprint of the sources at each look at which it is not the one that they were last read as.

    `sources` tells what they are by now, and `read_as` the fingerprint of what was read. Where a file system tells
    nothing of changes, they are seen at the next look, some seconds later; so too where the system refuses to watch,
    and `on_blind` is told why, once until it can again. Cancelled, nothing is left behind.
    """
    blind = ""
    while True:
        folders = await asyncio.to_thread(sources().folders)
        async with aclosing(_stirs(folders)) as stirs:
            async for why in stirs:
                if why and not blind:
                    on_blind(why)
                blind = why
                found = await asyncio.to_thread(sources().fingerprint)
                if found != read_as():
                    yield found
                if await asyncio.to_thread(sources().folders) != folders:
                    break


async def _stirs(folders: tuple[Path, ...]) -> AsyncGenerator[str, None]:
    """Yield when something has happened in the folders and all is quiet again, and now and then anyhow.

    What is yielded is empty, or says why the folders cannot be watched; that is the last, and comes after a while.
    """
    stirs = awatch(
        *folders,
        watch_filter=None,
        debounce=_SETTLE_MS,
        step=_SETTLE_MS // 3,
        rust_timeout=_LOOK_AGAIN_MS,
        yield_on_timeout=True,
        recursive=False,
    )
    why = ""
    try:
        async with aclosing(stirs):
            async for _ in stirs:
                yield ""
    except FileNotFoundError:
        pass  # A folder has just gone: its successor is looked for.
    except (OSError, RuntimeError, MemoryError) as error:
        # The library has no type of its own for what the system refuses: instances, watches, files, threads.
        why = str(error) or type(error).__name__
    await asyncio.sleep(_BLIND_LOOK)
    yield why
