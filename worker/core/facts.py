"""Many facts with one reason → one line: the reason, how many they are, and the first few by name.

A fact is said once. What differs each time in the words of the cloud, as the id of a request does, makes no other fact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
_REQUEST = re.compile(r" \[request [^\]]*\]")
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """A reason, and all that it is the reason of, in the order in which they came."""

    reason: str
    of: tuple[T, ...]


def grouped(facts: Iterable[tuple[str, T]]) -> tuple[Fact[T], ...]:
    """Put together what has one reason: what there is most of first, then by the reason.

    Where reasons differ in nothing but the ids of requests, these are left out.
    """
    found: dict[str, tuple[set[str], list[T]]] = {}
    for reason, what in facts:
        reasons, those = found.setdefault(without_request(reason), (set(), []))
        reasons.add(reason)
        those.append(what)
    of_reason = (
        Fact(next(iter(reasons)) if len(reasons) == 1 else common, tuple(those))
        for common, (reasons, those) in found.items()
    )
    return tuple(sorted(of_reason, key=lambda fact: (-len(fact.of), fact.reason)))


def without_request(reason: str) -> str:
    """Return a reason without the id of the request, which makes no other reason."""
    return _REQUEST.sub("", reason)


def many(count: int, noun: str) -> str:
    """Return a count with its noun: `1 job`, `2 jobs`, `12,000 shares`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def first_few(names: Sequence[str]) -> str:
    """Return the first few of some names, and how many there are more: `a, b, c and 4 more`."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
