"""What is remembered of passes, and how the fleet is by the last pass of each shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.core.batch import InFlight
from worker.core.fleet.report import Result
from worker.core.fleet.shards import WHOLE, Shard
from worker.core.quarantine import Quarantined
from worker.core.reading import LastReading
from worker.core.share import Share
from worker.core.status import Status


@dataclass(frozen=True, slots=True)
class PassRecord:
    """One pass of the history, over a shard. Times in seconds since the epoch; `counts` as in the report.

    `unread` says what it did not read, and why: a line for each reason, as far as they are kept.
    """

    run_id: str
    started_at: float
    finished_at: float
    result: str
    counts: Mapping[str, int]
    shard: Shard = WHOLE
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PassMemory:
    """What a pass begins with, as it was at one moment: what is in flight, oldest first, and the shares that failed.

    `readings` are the last good ones, by project id.
    """

    in_flight: tuple[InFlight, ...]
    quarantined: Mapping[Share, Quarantined]
    readings: Mapping[str, LastReading]


@dataclass(frozen=True, slots=True)
class Fleet:
    """How a fleet of so many shards is, by the last pass of each.

    `missing` are the shards, by index, of which no pass is remembered. `counts` adds up those of the passes, which
    count what they selected. `finished_at` is when the oldest of them ended, in seconds since the epoch.
    """

    shards: int
    missing: tuple[int, ...]
    counts: Mapping[str, int]
    finished_at: float
    as_desired: bool

    def told(self) -> str:
        """Say how the fleet is; what could not be read, or was in no pass yet, is neither as desired nor not."""
        shares = {name: count for name, count in self.counts.items() if name != "desired"}
        unknown = shares.get(Status.UNKNOWN, 0)
        off = sum(count for name, count in shares.items() if name not in _KNOWN_TO_BE_FINE) - unknown
        if self.as_desired:
            return "as desired"
        if off:
            return "not as desired" + (f", {unknown:,} shares unknown" if unknown else "")
        if unknown:
            total = sum(shares.values())
            others = ", the others as desired" if unknown < total else ""
            return f"{unknown:,} of {total:,} shares unknown{others}"
        return "as desired as far as it is known"


_KNOWN_TO_BE_FINE = frozenset({Status.CONVERGED, Status.CHANGED})


def fleet_of(passes: Sequence[PassRecord]) -> Fleet | None:
    """Sum up the last passes of the shards of one fleet, one of each; None where there is none."""
    if not passes:
        return None
    shards = passes[0].shard.count
    missing = tuple(sorted(set(range(shards)) - {each.shard.index for each in passes}))
    counts: Counter[str] = Counter()
    for each in passes:
        counts.update(each.counts)
    return Fleet(
        shards=shards,
        missing=missing,
        counts=dict(counts),
        finished_at=min(each.finished_at for each in passes),
        as_desired=not missing and all(each.result == Result.CONVERGED for each in passes),
    )
