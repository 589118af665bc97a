"""Plan and limits → the calls a run would make and the seconds it would take.

A sliding window lets its whole count through at once, so `n` calls under `count` per `window` need
`(ceil(n / count) - 1) * window` seconds. The run takes as long as the slowest call group, plus one job in a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from worker.core.batch import Batch
from worker.core.calls import CallGroup
from worker.core.limits import Rate

TYPICAL_JOB = 2.0
POLLS_PER_JOB = 2


@dataclass(frozen=True, slots=True)
class Speed:
    """What bounds a run: the rates of an account, the rate across all its calls, and images per list page."""

    rates: Mapping[CallGroup, Rate]
    burst: Rate
    page_size: int
    poll_group: CallGroup


@dataclass(frozen=True, slots=True)
class Forecast:
    """The calls that a run would make in all, reading before and after included, and the seconds it would take."""

    calls: int
    seconds: float


def forecast(
    batches: Iterable[Batch],
    offers: Mapping[str, int],
    lists_made: int,
    account_of: Mapping[str, str],
    speed: Speed,
) -> Forecast:
    """Foretell a run that starts now.

    `offers` counts the images that each project is offered, by id; `lists_made` is what reading the state cost this
    time; `account_of` has the account of each project by id, since each account has limits of its own.
    """
    puts: Counter[str] = Counter()
    rereads: Counter[str] = Counter()
    projects: set[str] = set()
    for batch in batches:
        account = account_of.get(batch.project_id, "")
        puts[account] += 1
        if batch.project_id not in projects:
            projects.add(batch.project_id)
            rereads[account] += 1 + offers.get(batch.project_id, 0) // speed.page_size
    seconds = 0.0
    for account, count in puts.items():
        calls = {
            CallGroup.MEMBERS_PUT: count,
            speed.poll_group: count * POLLS_PER_JOB,
            CallGroup.IMAGES_LIST: rereads[account],
        }
        waits = [_seconds(made, rate) for group, made in calls.items() if (rate := speed.rates.get(group))]
        seconds = max(seconds, *waits, _seconds(sum(calls.values()), speed.burst))
    total = lists_made + puts.total() * (1 + POLLS_PER_JOB) + rereads.total()
    return Forecast(total, seconds + _seconds(lists_made, speed.burst) + (TYPICAL_JOB if puts else 0.0))


def _seconds(calls: int, rate: Rate) -> float:
    return max(0, ceil(calls / rate.count) - 1) * rate.window
