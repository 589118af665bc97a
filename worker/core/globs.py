"""Globs over names: `*`, `?` and `[…]`, over the whole name, case kept.

A character may be written in several ways that look the same, so both sides are compared in one form (NFC).
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from dataclasses import dataclass, field

_NEVER = "(?!)"
_STAR = "*"
_SPECIAL = re.compile(r"[*?\[]")
_WILD = re.compile(r"[*?]")
_TOKEN = re.compile(r"\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def normal(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern of names, which are given in their normal form.

    Whatever it matches begins with `prefix` and has `part` in it: most names are told apart by these, and sooner.
    """

    pattern: str
    prefix: str = field(init=False, compare=False)
    part: str = field(init=False, compare=False)
    _is_prefix: bool = field(init=False, compare=False, repr=False)
    _form: re.Pattern[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        pattern = normal(self.pattern)
        object.__setattr__(self, "pattern", pattern)
        special = _SPECIAL.search(pattern)
        # A bracket that is never closed is only a character, and so are stars that come after it; the form knows.
        prefix = pattern[: special.start()] if special else pattern
        object.__setattr__(self, "prefix", prefix)
        object.__setattr__(self, "part", max(_WILD.split(pattern.partition("[")[0]), key=len))
        object.__setattr__(self, "_is_prefix", pattern == f"{prefix}*")
        object.__setattr__(self, "_form", re.compile(fnmatch.translate(pattern)))

    def matches(self, name: str) -> bool:
        """Tell whether a name, in its normal form, is one of those."""
        return name.startswith(self.prefix) if self._is_prefix else self._form.match(name) is not None

    @property
    def matches_all(self) -> bool:
        """Whether there is no name that it does not match; names are never empty."""
        return "*" in self.pattern and self.pattern.replace("*", "") in {"", "?"}

    @property
    def matches_none(self) -> bool:
        """Whether there is no name that it matches: it has a range whose end comes before its beginning."""
        return _NEVER in fnmatch.translate(self.pattern)

    def covers(self, other: Glob) -> bool:
        """Tell whether it certainly matches every name that another matches."""
        return self == other or _covers(_tokens(self.pattern), _tokens(other.pattern))


def _tokens(pattern: str) -> list[str]:
    return _TOKEN.findall(pattern)


def _covers(wide: list[str], narrow: list[str]) -> bool:
    """Tell whether each token of one pattern, or a star of it, takes what the tokens of another may stand for."""
    reached = [True] + [False] * len(wide)
    for index, known in enumerate(wide):
        reached[index + 1] = reached[index] and known == _STAR
    for asked in narrow:
        following = [False] * (len(wide) + 1)
        for index, known in enumerate(wide):
            if known == _STAR:
                following[index + 1] = reached[index] or reached[index + 1] or following[index]
            elif asked != _STAR:
                following[index + 1] = reached[index] and _takes(known, asked)
        reached = following
    return reached[-1]


def _takes(wide: str, narrow: str) -> bool:
    if wide in {narrow, "?"}:
        return True
    is_class = len(wide) > 1
    return is_class and len(narrow) == 1 and narrow != "?" and Glob(wide).matches(narrow)
