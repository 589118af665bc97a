"""What newer files say of a pass under way, for its batches that wait for their turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from worker.core.batch import Batch


def all_of(batch: Batch) -> tuple[str, ...]:
    """Return all images of a batch: where no files are read again, what was planned is wished."""
    return batch.images


class Newest:
    """What the newest files still wish of a batch, asked anew before each PUT.

    `still_wished` returns the images of a batch that are, in their order. `changed` is set when the files were read
    anew, and then is another event: who waits asks again.
    """

    def __init__(self, still_wished: Callable[[Batch], tuple[str, ...]] = all_of) -> None:
        self.still_wished = still_wished
        self.changed = asyncio.Event()

    def announce(self) -> None:
        """Have all who wait for their turn ask again."""
        self.changed.set()
        self.changed = asyncio.Event()
