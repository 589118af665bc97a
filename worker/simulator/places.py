"""On which line of a TOML document a key stands, found by its headers and the keys at the beginning of its lines.

What stands inside a table or list on one line has the line that this begins on.
"""

from __future__ import annotations

import re
from collections import Counter

_KEY = r"""(?:"[^"]*"|'[^']*'|[\w-]+)"""
_KEYS = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_LINE = re.compile(rf"\s*(?:\[\[\s*(?P<item>{_KEYS})\s*\]\]|\[\s*(?P<table>{_KEYS})\s*\]|(?P<key>{_KEYS})\s*=)")


class Places:
    """The lines of one document by the places that errors name, such as `fault[2].on`."""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, int] = {}
        items: Counter[str] = Counter()
        table = ""
        for number, line in enumerate(text.splitlines(), 1):
            found = _LINE.match(line)
            if found is None:
                continue
            if item := found["item"]:
                name = _plain(item)
                table = f"{name}[{items[name]}]"
                items[name] += 1
                self._lines.setdefault(table, number)
            elif found["table"]:
                table = _plain(found["table"])
                self._lines.setdefault(table, number)
            else:
                key = _plain(found["key"])
                self._lines.setdefault(f"{table}.{key}" if table else key, number)

    def named(self, file: str, place: str) -> str:
        """Return file, line and place, as errors begin; the line is that of the nearest thing around the place."""
        around = place
        while around:
            for shown in (around, f"{around}[0]"):
                if shown in self._lines:
                    return f"{file}:{self._lines[shown]}: {place}"
            around = around[: max(around.rfind("."), around.rfind("["), 0)]
        return f"{file}: {place}"


def _plain(keys: str) -> str:
    return ".".join(key.strip("\"'") for key in re.findall(_KEY, keys))
