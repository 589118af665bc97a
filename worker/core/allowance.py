"""How much of something is allowed: a percentage of the whole, or a plain count."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

_ALLOWANCE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*%|([0-9]{1,12})")


@dataclass(frozen=True, slots=True)
class Allowance:
    """A share of a whole (`relative`: `amount` is out of 100), or `amount` things whatever the whole is.

    The amount is exact: 7 % of 100 must be 7, where binary fractions make it a little more and round up to 8.
    """

    amount: Fraction
    relative: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a percentage of at most 100 such as `10%` or `2.5%`, or a count such as `50`; raise ValueError."""
        match = _ALLOWANCE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is neither a percentage nor a count: write 10% or 50")
        percentage, count = match.groups()
        if percentage is None:
            return cls(Fraction(count), relative=False)
        if Fraction(percentage) > 100:
            raise ValueError(f"{text!r} is more than everything: write 0% to 100%")
        return cls(Fraction(percentage), relative=True)

    def __str__(self) -> str:
        return f"{float(self.amount):.15g}" + ("%" if self.relative else "")

    def of(self, total: int) -> int:
        """Return how many of `total` are allowed; a percentage above zero always allows one of something."""
        return -(-total * self.amount // 100) if self.relative else int(self.amount)
