"""Reading the keys of a TOML table: each reader notes what is wrong, and returns what is usable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from worker.core.documents import At, Finding, Speller, kind_of, shown

_T = TypeVar("_T")


class Fields:
    """What is wrong so far with the tables that were read.

    `complete` is false once a part of them could not be read: then what seems to be missing may be in there.
    """

    def __init__(self, *, complete: bool = True) -> None:
        self.complete = complete
        self.findings: list[Finding] = []
        self.speller = Speller()

    def keys(self, table: dict[str, Any], at: At, known: Sequence[str], required: Sequence[str]) -> None:
        """Note each key that is not known and each that is missing; values of unknown keys are not repeated."""
        for key in table:
            if key not in known:
                hint = self.speller.hint(key, known) or f"known here: {', '.join(known)}"
                self.findings.append(Finding(at.child(key), f"unknown key {shown(key)}", hint=hint))
        for key in required:
            if key not in table:
                self.findings.append(Finding(at.child(key), f"{key} is missing"))

    def wrong(self, at: At, message: str, value: object, hint: str = "") -> None:
        """Note something wrong with a value."""
        self.findings.append(Finding(at, message, shown(value), hint))

    def clash(self, at: At, message: str, other: At) -> None:
        """Note that two places contradict each other; the message leads to the other one."""
        self.findings.append(Finding(at, message, other=other))

    def section(self, table: dict[str, Any], at: At, key: str) -> Iterator[tuple[str, Any, At]]:
        """Return name, value and place of everything in the table under a key; nothing when there is none."""
        value = table.get(key, {})
        if isinstance(value, dict):
            return ((name, item, at.child(key, name)) for name, item in value.items())
        self.complete = False
        self.wrong(at.child(key), f"{key} is a table, not {kind_of(value)}", value, f"write [{key}]")
        return iter(())

    def choice(self, table: dict[str, Any], at: At, key: str, choices: Mapping[str, _T]) -> _T | None:
        """Return what the word under a key stands for; None when it is missing or none of the choices."""
        value = table.get(key)
        if isinstance(value, str) and value in choices:
            return choices[value]
        if key in table:
            hint = self.speller.hint(value, choices) if isinstance(value, str) else ""
            known = " or ".join(shown(choice) for choice in choices)
            self.wrong(at.child(key), f"{key} is {known}, not {shown(value)}", value, hint)
        return None

    def listed(self, table: dict[str, Any], at: At, key: str) -> list[Any]:
        """Return the list under a key, which must not be empty; an empty one when it is missing or wrong."""
        items = table.get(key)
        if isinstance(items, list) and items:
            return items
        if key in table:
            what = f"{key} is a list, not {kind_of(items)}" if items != [] else f"{key} is empty"
            self.wrong(at.child(key), what, items)
        return []

    def text(self, table: dict[str, Any], at: At, key: str) -> str:
        """Return the string under a key, which must not be empty; an empty one when it is missing or wrong."""
        value = table.get(key)
        if isinstance(value, str) and value:
            return value
        if key in table:
            what = f"{key} is a string, not {kind_of(value)}" if value != "" else f"{key} is empty"
            self.wrong(at.child(key), what, value)
        return ""
