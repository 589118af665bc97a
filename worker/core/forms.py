"""A table that people wrote, as its declarative model reads it; and what is wrong with it, in words for people.

The model, which is pydantic's, says which keys there are and what may stand under each. What it finds is told here:
for the manifest and the config alike, at a path, with the way out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from worker.core.documents import At, Finding, Suggester, kind_of, path_text, quote
from worker.core.places import Path

_Model = TypeVar("_Model", bound=BaseModel)
_LIBRARY_WORDS = re.compile(r"^(?:Value error, |[A-Z][a-z]+ should (?=be |have ))")
_QUOTED = re.compile("'([^']*)'")
_BLOCKS = frozenset({"share", "rule", "discover"})
"""Keys of lists of tables, which are written as blocks."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a reader of documents calls things.

    `known` gives the keys that a table at a path may have. `nouns` has, by key, what an item under it is called. `show`
    writes the value at a path, or nothing where it must not be repeated.
    """

    known: Callable[[Path], Collection[str]]
    nouns: Mapping[str, str]
    show: Callable[[Path, object], str]
    suggester: Suggester = field(default_factory=Suggester)

    def item(self, path: Path) -> str:
        """Return what that is called which stands at a path in a list or under a name; empty for anything else."""
        if len(path) > 1 and (len(path) == 2 or isinstance(path[-1], int)):
            return self.nouns.get(str(path[-2]), "")
        return self.nouns.get(str(path[-1]), "") if len(path) > 2 else ""


class Form(NamedTuple, Generic[_Model]):
    """A table as its model reads it, the paths in it that are wrong, and what is wrong with them.

    What is wrong is not in the table: there holds what holds where nothing is written, and what must be written is
    missing. Where anything is wrong, the rest is as it was written.
    """

    table: _Model
    wrong: frozenset[Path] = frozenset()
    findings: tuple[Finding, ...] = ()


def read_form(model: type[_Model], table: object, at: At, words: Words) -> Form[_Model]:
    """Read a table at a place as a model wants it."""
    try:
        return Form(model.model_validate(table))
    except ValidationError as error:
        found = error.errors(include_url=False)
    wrong = frozenset(path_of(details) for details in found)
    findings = tuple(translate(details, path_of(details), at, words) for details in found)
    return Form(part(model, table, wrong), wrong, findings)


def part(model: type[_Model], value: object, wrong: Collection[Path], path: Path = ()) -> _Model:
    """Return the table at a path within one that was read, in which `wrong` is wrong, as its own model reads it."""
    if isinstance(value, model):
        return value
    table = value if isinstance(value, dict) else {}
    return model.model_construct(**{key: each for key, each in table.items() if (*path, key) not in wrong})


def path_of(details: ErrorDetails) -> Path:
    """Return the path of what the library found wrong; for the name of something it is that of the thing."""
    return tuple(step for step in details["loc"] if step != "[key]")


def translate(details: ErrorDetails, path: Path, at: At, words: Words) -> Finding:
    """Tell what the library found wrong at a path under `at` in our words."""
    where, value, context = at.child(*path), details["input"], details.get("ctx", {})
    key = path_text(tuple(step for step in where.path if isinstance(step, str))[-1:])
    message, hint = _of_type(details["type"], key, words.item(where.path), value)
    shown = words.show(where.path, value)
    match details["type"]:
        case _ if message:
            pass
        case "missing":
            return Finding(where, f"{key} is missing", of_key=True)
        case "extra_forbidden":
            known = words.known(where.path)
            hint = words.suggester.hint(str(path[-1]), known) or f"known here: {', '.join(known)}"
            return Finding(where, f"unknown key {quote(path[-1])}", hint=hint, of_key=True)
        case "name":
            name, hint = quote(path[-1]), 'a name is not empty, has no control characters, and is neither "*" nor an id'
            return Finding(where, f"{name} {details['msg']}", name, f"{hint} itself", of_key=True)
        case "id":
            message, hint = f"{shown} {details['msg']}", f"{context['noun']} ids are {context['shape']}"
        case "literal_error" | "enum":
            choices = _QUOTED.findall(context["expected"])
            these = _alternatives([quote(choice) for choice in choices] or [context["expected"]])
            message = f"{key} is {these}, not {shown or kind_of(value)}"
            hint = words.suggester.hint(value, choices) if isinstance(value, str) and shown else ""
        case _:
            said = _LIBRARY_WORDS.sub("", details["msg"])
            message = f"{key} must {said}" if said.startswith(("be ", "have ")) else f"{key} {said}"
    return Finding(where, message, shown, hint)


def _of_type(kind: str, key: str, item: str, value: object) -> tuple[str, str]:
    """Say that a value is of another type than belongs there, and the way out; nothing if something else is wrong."""
    match kind:
        case "model_type" | "dict_type" | "model_attributes_type":
            block = item.removesuffix(" block")
            hint = f"write [[{block}]]" if item != block else "" if item else f"write [{key}]"
            return f"{f'a {item}' if item else key} is a table, not {kind_of(value)}", hint
        case "list_type" | "tuple_type":
            return f"{key} is a list, not {kind_of(value)}", f"write [[{key}]]" if key in _BLOCKS else ""
        case "string_type":
            return f"{f'{item} names and ids are strings' if item else f'{key} is a string'}, not {kind_of(value)}", ""
        case "too_short" | "string_too_short":
            return f"{key} is empty", ""
        case _:
            return "", ""


def _alternatives(choices: list[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last
