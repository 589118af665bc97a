"""The bytes of a TOML document → its table, or what keeps it from being one."""

from __future__ import annotations

import re
from typing import Any

import tomli

from worker.core.documents import Document, path_text, quote
from worker.core.duplicates import find_duplicates
from worker.core.excerpts import Lines
from worker.core.text import visible
from worker.errors import Problem

_HUGE_NUMBER = re.compile(r"[0-9](?:_?[0-9]){4299,}")
_TWICE = re.compile("Cannot (?:declare|overwrite|mutate|redefine)|Duplicate")
"""How the parser begins to say that something is given twice."""
_SHOWN = 60


def read_table(document: Document) -> dict[str, Any] | tuple[Problem, ...]:
    """Parse a document, or return what keeps it from being TOML: the first thing, or all that it gives twice."""
    try:
        text = document.source.decode()
    except UnicodeDecodeError as error:
        return (_not_utf8(document, error),)
    if text.startswith("\ufeff"):
        return (_at(document, 1, 1, "a byte order mark", hint="save the file as UTF-8 without one"),)
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        twice = _given_twice(document) if _TWICE.match(error.msg) else ()
        message = f"not TOML: {visible(error.msg[:1].lower() + error.msg[1:])}"
        return twice or (_at(document, error.lineno, error.colno, message),)
    except ValueError:  # of int(), which reads no more digits than this
        return (_huge_number(document, text),)
    except RecursionError:
        return (Problem.about(document.name, "lists, tables or keys are nested too deeply"),)


def _at(document: Document, line: int, column: int, message: str, *, value: str = "", hint: str = "") -> Problem:
    excerpt = None if document.may_hold_secrets else Lines(document.source).token(line, column)
    return Problem(document.name, line, column, "", message, value, hint, excerpt)


def _not_utf8(document: Document, error: UnicodeDecodeError) -> Problem:
    lines = Lines(document.source)
    line, column = lines.place(lines.span(error.start, error.end))
    value = "".join(f"\\x{byte:02x}" for byte in document.source[error.start : error.end])
    return _at(document, line, column, "not UTF-8", value=value, hint="save the file as UTF-8")


def _huge_number(document: Document, text: str) -> Problem:
    match = _HUGE_NUMBER.search(text)
    start = match.start() if match else 0
    line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
    value = visible(text[start : start + _SHOWN])
    return _at(document, line, column, "a number with thousands of digits", value=value)


def _given_twice(document: Document) -> tuple[Problem, ...]:
    lines = Lines(document.source)
    problems = []
    for path, second, first, is_table in find_duplicates(document.source):
        what = f"table [{path_text(path)}]" if is_table else f"key {quote(path[-1])}"
        line, column = lines.place(second.key)
        message = f"{what} is given twice, first in line {first.key.row + 1}"
        hint = "put both together" if is_table else "keep one of them"
        excerpt = lines.pair(second, "") if document.may_hold_secrets else lines.around(second.key)
        problems.append(Problem(document.name, line, column, path_text(path), message, hint=hint, excerpt=excerpt))
    return tuple(problems)
