"""Reads the TOML documents people write for the simulator into frozen dataclasses, strictly.

A dataclass is its own schema: its fields are the allowed keys, its annotations the allowed values, and what its
`__post_init__` raises as ValueError is a problem too. All problems of a document are reported at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from worker.simulator.places import Places

T = TypeVar("T")
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class DocumentError(Exception):
    """A document is wrong: each of `problems` names the file, the line, the key, and what would be right."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class Document:
    """One TOML document while it is read: hands out its parts and collects what is wrong with them."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self.places = Places(text)
        self._problems: list[str] = []
        try:
            self.root: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise DocumentError([f"{file}: not TOML: {error}"]) from error

    def problem(self, place: str, message: str) -> None:
        """Note that the value at `place` (such as `fault[2].on`) is wrong."""
        self._problems.append(f"{self.places.named(self._file, place)}: {message}")

    def finish(self) -> None:
        """Raise DocumentError if anything was wrong."""
        if self._problems:
            raise DocumentError(self._problems)

    def only(self, table: Mapping[str, Any], place: str, allowed: tuple[str, ...]) -> None:
        """Note every key of the table that is not allowed."""
        for key in table:
            if key not in allowed:
                where = f"{place}.{key}" if place else key
                self.problem(where, f"unknown key, allowed are {', '.join(sorted(allowed))}")

    def tables(self, key: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the tables of the array `[[key]]`, each with its place; none when there is no such array."""
        found = self.root.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            self.problem(key, f"write it as [[{key}]]")
            return []
        return [(f"{key}[{index}]", item) for index, item in enumerate(found)]

    def named(self, key: str) -> dict[str, dict[str, Any]]:
        """Return the tables `[key.NAME]` by their name."""
        found = self.root.get(key, {})
        if not isinstance(found, dict) or not all(isinstance(item, dict) for item in found.values()):
            self.problem(key, f"write it as [{key}.NAME]")
            return {}
        return found

    def table(self, key: str) -> dict[str, Any]:
        """Return the table `[key]`, empty when there is none."""
        found = self.root.get(key, {})
        if not isinstance(found, dict):
            self.problem(key, f"write it as [{key}]")
            return {}
        return found

    def chosen(self, place: str, patterns: tuple[str, ...], names: Mapping[str, str]) -> list[str]:
        """Return the ids whose id or name matches one of the patterns, and note each pattern that matches nothing."""
        chosen: dict[str, None] = {}
        for pattern in patterns:
            found = [key for key, name in names.items() if fnmatchcase(name, pattern) or fnmatchcase(key, pattern)]
            if not found:
                known = ", ".join(sorted(names.values())[:20]) or "none"
                self.problem(place, f"{pattern!r} matches nothing, known are {known}")
            chosen |= dict.fromkeys(found)
        return list(chosen)

    def build(self, kind: type[T], table: Mapping[str, Any], place: str, **given: Any) -> T | None:
        """Make a `kind` of the table's fields and of what is `given`; return None when something is wrong.

        Keys that are no fields are left alone, so that one table can serve two dataclasses (see `only`).
        """
        before = len(self._problems)
        hints = get_type_hints(kind)
        found = dict(given)
        for field in fields(kind):  # type: ignore[arg-type]
            where = f"{place}.{field.name}"
            if field.name in given:
                continue
            if field.name in table:
                try:
                    found[field.name] = _convert(table[field.name], hints[field.name])
                except ValueError as error:
                    shown = f", not {table[field.name]!r}" if field.repr else ""
                    self.problem(where, f"{error}{shown}")
            elif field.default is MISSING and field.default_factory is MISSING:
                self.problem(where, "missing")
        try:
            return kind(**found) if len(self._problems) == before else None
        except ValueError as error:
            self.problem(place, str(error))
            return None

    def strict(self, kind: type[T], table: Mapping[str, Any], place: str) -> T | None:
        """Build a `kind` of a table that may have its fields only."""
        self.only(table, place, tuple(field.name for field in fields(kind)))  # type: ignore[arg-type]
        return self.build(kind, table, place)


def _convert(value: Any, hint: Any) -> Any:
    """Return the value as its annotation asks; raise ValueError with what would be right.

    A lone value stands for a list of one, and for both ends of a pair.
    """
    if get_origin(hint) is tuple:
        return _convert_tuple(value, get_args(hint))
    if get_origin(hint) is Literal:
        return _choose(value, list(get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(_choose(value, [member.value for member in hint]))
    if hasattr(hint, "parse"):
        return hint.parse(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"expected {_WORDS[hint]}")
    return value


def _convert_tuple(value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    items = value if isinstance(value, list) else [value]
    if kinds[-1] is Ellipsis:
        return tuple(_convert(item, kinds[0]) for item in items)
    if len(items) == 1:
        items = items * len(kinds)
    if len(items) != len(kinds):
        raise ValueError(f"expected one value or {len(kinds)}")
    return tuple(_convert(item, kind) for item, kind in zip(items, kinds, strict=True))


def _choose(value: Any, allowed: list[str]) -> str:
    if value not in allowed:
        raise ValueError(f"expected one of {', '.join(allowed)}")
    return str(value)
