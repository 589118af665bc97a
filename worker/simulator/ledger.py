"""Who called when: sliding windows that refuse, and a memory that tests and the status page read.

All is measured at arrival, since that is what the cloud does.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from worker.simulator.options import Group, Limits

_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call: when it arrived (seconds since the epoch) and what was answered (status 0: nothing).

    `access_key` is the user or agency for a call that asks for a token, `project_id` then the project it is to be for;
    `path` says which call of its group it was, where the group has several.
    """

    at: float
    account: str
    access_key: str
    group: Group
    project_id: str
    images: tuple[str, ...]
    status: int
    path: str = ""


class Windows:
    """Admits calls as long as no sliding window of an account and call group would hold too many of them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._admitted: dict[tuple[str, Group], deque[float]] = defaultdict(deque)

    def admit(self, account: str, group: Group, at: float) -> bool:
        """Tell whether the call may go on, and count it if so; a refused call takes no room."""
        rate = self._limits.of(group)
        admitted = self._admitted[account, group]
        while admitted and admitted[0] <= at - rate.seconds:
            admitted.popleft()
        if len(admitted) >= rate.count:
            return False
        admitted.append(at)
        return True


class Ledger:
    """The last calls in `arrivals` (in the order of their answers), counts of all of them, and the peak at one time."""

    def __init__(self) -> None:
        self.arrivals: deque[Arrival] = deque(maxlen=_KEPT)
        self.counts: Counter[tuple[Group, int]] = Counter()
        self.peak = 0
        self._open = 0

    def opened(self) -> None:
        """Count a request that has begun."""
        self._open += 1
        self.peak = max(self.peak, self._open)

    def closed(self) -> None:
        """Count a request that has ended."""
        self._open -= 1

    def note(self, arrival: Arrival) -> None:
        """Remember an answered call."""
        self.arrivals.append(arrival)
        self.counts[arrival.group, arrival.status] += 1

    def count(self, group: Group, status: int | None = None) -> int:
        """Return how many calls of a group there were, or how many were answered with a status."""
        return sum(
            number for (found, answer), number in self.counts.items() if found is group and status in {None, answer}
        )

    def busiest(self, group: Group, seconds: float, account: str | None = None) -> int:
        """Return the most calls of a group that arrived within any `seconds`, throttled ones included."""
        return most_within(
            (call.at for call in self.arrivals if call.group is group and account in {None, call.account}), seconds
        )


def most_within(times: Iterable[float], seconds: float) -> int:
    """Return the most of these times that lie within any half-open span of `seconds`."""
    window: deque[float] = deque()
    most = 0
    for at in sorted(times):
        window.append(at)
        while window[0] <= at - seconds:
            window.popleft()
        most = max(most, len(window))
    return most
