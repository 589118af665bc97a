"""What was learned of limits, for people and as JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from worker.core.calls import CallGroup, LimitKey
from worker.core.clock import is_ahead
from worker.core.learned_limit import LearnedLimit, in_force
from worker.core.limits import Rate
from worker.core.timing import timestamp
from worker.render.ages import ago
from worker.render.names import plain


@dataclass(frozen=True, slots=True)
class KnownLimit:
    """What is known of one limit of a whole account: what is configured, was learned, and is in force by now."""

    key: LimitKey
    configured: Rate
    learned: LearnedLimit
    rate: Rate

    @property
    def origin(self) -> str:
        """Where it is from, for people."""
        return f"{'the cloud said' if self.learned.is_stated else 'it let through'} {self.learned.rate}"


def known_limits(
    learned: Iterable[tuple[LimitKey, LearnedLimit]], configured: Mapping[CallGroup, Rate], burst: Rate, now: float
) -> tuple[KnownLimit, ...]:
    """Return the limits that are not yet what is configured again, by account and group; times since the epoch."""
    found = []
    for key, each in sorted(learned, key=lambda known: known[0]):
        rate = configured.get(key.group, burst)
        step = None if is_ahead(each.at, now) else in_force(each, rate, now)
        if step is not None:
            found.append(KnownLimit(key, rate, each, step.rate))
    return tuple(found)


def known_limits_json(limits: Iterable[KnownLimit]) -> list[dict[str, Any]]:
    """Return what is known of limits as JSON."""
    return [
        {
            "account": each.key.account,
            "group": each.key.group.value,
            "configured": str(each.configured),
            "learned": str(each.learned.rate),
            "in_force": str(each.rate),
            "stated": each.learned.is_stated,
            "learned_at": timestamp(each.learned.at),
        }
        for each in limits
    ]


def print_limits(limits: Collection[KnownLimit], now: float, console: Console) -> None:
    """Print the limits that are below what is configured, if there are any."""
    if not limits:
        return
    console.print(plain("Limits below what is configured, since the cloud has throttled calls", style="bold"))
    for each in limits:
        told = f"{each.rate} of {each.configured} ({each.origin}, {ago(each.learned.at, now)})"
        console.print(plain(f"  account {each.key.account}, {each.key.group.value}: {told}"))
    console.print()
