"""Who has failed too often in a row, and is not listened to for a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from worker.simulator.identity.rules import IdentityRules


class Lockouts:
    """Counts failures in a row by name, and blocks a name that has had as many as the rules allow."""

    def __init__(self, now: Callable[[], float], rules: IdentityRules) -> None:
        self._now = now
        self._rules = rules
        self._failures: Counter[str] = Counter()
        self._until: dict[str, float] = {}

    def blocked(self, name: str) -> bool:
        """Tell whether the name is blocked now; what it tries meanwhile does not count."""
        return self._now() < self._until.get(name, 0.0)

    def note(self, name: str, *, failed: bool) -> None:
        """Count a failure, or forget those before a success."""
        if not failed:
            self._failures.pop(name, None)
            return
        self._failures[name] += 1
        if self._rules.block_after and self._failures[name] >= self._rules.block_after:
            self._until[name] = self._now() + self._rules.block_for
            del self._failures[name]
