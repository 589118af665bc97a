"""How long jobs last, as far as it is known, for people and as JSON; and when they are asked about by that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.core.batch import Batch
from worker.core.facts import many
from worker.core.polling.durations import Durations, Kind, kind_of
from worker.core.polling.pace import Pace
from worker.core.timing import PollPolicy, format_duration, timestamp


@dataclass(frozen=True, slots=True)
class KnownDurations:
    """What is known of how long the jobs of each kind last; `accounts` has that of each project, by id."""

    kinds: Mapping[Kind, Durations] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)

    def next_poll(self, batch: Batch, age: float, policy: PollPolicy) -> float:
        """Return the age at which the job of a batch is asked about next that is `age` seconds old."""
        kind = kind_of(self.accounts.get(batch.project_id, ""), batch)
        pace = Pace(policy, self.kinds.get(kind, Durations()) if policy.learn else Durations())
        return pace.age_at(math.floor(pace.polls(age)) + 1)

    def lines(self, now: float) -> Iterator[str]:
        """Yield a line for each kind, as it is at `now`."""
        for kind, known in sorted(self.kinds.items()):
            aged = known.aged(now)
            half, most = (format_duration(aged.quantile(part)) for part in (0.5, 0.99))
            vault = "with a vault" if kind.takes_vault else "without a vault"
            size = f"up to {many(kind.size, 'image')}" if kind.size else "more images"
            counted = many(math.ceil(aged.jobs), "job")
            yield f"account {kind.account}, {vault}, {size}: half end within {half}, 99 % within {most} ({counted})"

    def json(self, now: float) -> list[dict[str, Any]]:
        """Return it as JSON, as it is at `now`; `max_images` is null where a batch has more than the other kinds."""
        return [
            {
                "account": kind.account,
                "vault": kind.takes_vault,
                "max_images": kind.size or None,
                "jobs": round(aged.jobs, 1),
                "median_seconds": round(aged.quantile(0.5), 3),
                "p99_seconds": round(aged.quantile(0.99), 3),
                "learned_at": timestamp(known.at),
            }
            for kind, known in sorted(self.kinds.items())
            for aged in [known.aged(now)]
        ]
