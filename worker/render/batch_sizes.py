"""How many images a PUT may have, as learned, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from worker.core.batch_size import BatchSize, SizeKey
from worker.core.timing import timestamp
from worker.render.ages import ago
from worker.render.names import plain


def learned_sizes(sizes: Mapping[SizeKey, BatchSize]) -> list[tuple[SizeKey, BatchSize]]:
    """Return the maxima that were learned, by account and region; of most clouds there is none to learn."""
    return sorted((key, size) for key, size in sizes.items() if size.maximum is not None)


def print_batch_sizes(sizes: Mapping[SizeKey, BatchSize], now: float, console: Console) -> None:
    """Print the maxima that were learned, if there are any."""
    learned = learned_sizes(sizes)
    if not learned:
        return
    console.print(plain("Images that the cloud takes in one PUT", style="bold"))
    for key, size in learned:
        since = f", learned {ago(size.learned_at, now)}" if size.learned_at is not None else ""
        sought = f" or more, fewer than {size.refused}" if size.is_sought else " at most"
        where = f"account {key.account}, region {key.region or 'by its endpoint'}"
        console.print(plain(f"  {where}: {size.maximum}{sought}{since}"))
    console.print()


def batch_sizes_json(sizes: Mapping[SizeKey, BatchSize]) -> list[dict[str, Any]]:
    """Return the maxima that were learned as JSON; `refused` is the smallest number of images that was too many."""
    return [
        {
            "account": key.account,
            "region": key.region,
            "max_images": size.maximum,
            "refused": size.refused,
            "learned_at": None if size.learned_at is None else timestamp(size.learned_at),
        }
        for key, size in learned_sizes(sizes)
    ]
