"""How many images a PUT may have, as learned, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.core.batch_size import BatchSize, SizeKey
from worker.core.timing import timestamp


def learned_sizes(sizes: Mapping[SizeKey, BatchSize]) -> list[tuple[SizeKey, BatchSize]]:
    """Return the maxima that were learned, by account and region; of most clouds there is none to learn."""
    return sorted((key, size) for key, size in sizes.items() if size.maximum is not None)


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
