"""Problems in documents, as a good compiler shows them, and as JSON."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from worker.core.text import visible
from worker.errors import Problem

_TOKEN = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|[^\s=,\[\]{}#]+|.""")
_BEFORE, _AFTER = 40, 70
_BOLD, _RED, _CYAN = "1", "1;31", "36"


def problems_text(problems: Sequence[Problem], sources: Mapping[str, bytes], *, color: bool, limit: int = 100) -> str:
    """Write problems for people: place, message, source line, path and way out of each; at most `limit` of them.

    `sources` has the documents whose lines may be shown, by name. A config is best left out of it, since a secret
    may stand in any of its lines.
    """
    shown = problems[:limit]
    lines = {
        file: sources[file].split(b"\n") for file in {problem.file for problem in shown if problem.file in sources}
    }
    blocks = ["\n".join(_block(problem, lines.get(problem.file, []), _Paint(color=color))) for problem in shown]
    blocks.append(_summary(problems, len(shown)))
    return "\n\n".join(blocks)


def problems_json(problems: Sequence[Problem]) -> list[dict[str, str | int]]:
    """Return problems as JSON values, all of them."""
    return [
        {
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "path": problem.path,
            "message": problem.message,
            "value": problem.value,
            "hint": problem.hint,
        }
        for problem in problems
    ]


class _Paint:
    """Colours text for a terminal, or leaves it alone."""

    def __init__(self, *, color: bool) -> None:
        self.color = color

    def __call__(self, style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.color else text


def _block(problem: Problem, lines: Sequence[bytes], paint: _Paint) -> Iterator[str]:
    place = visible(problem.file) + (f":{problem.line}:{problem.column}" if problem.line else "")
    head = f"{paint(_BOLD, place)}: " if place else ""
    yield f"{head}{paint(_RED, 'error')}: {paint(_BOLD, visible(problem.message))}"
    margin = " " * len(str(problem.line))
    if 0 < problem.line <= len(lines):
        text, mark = _excerpt(lines[problem.line - 1].decode(errors="replace").rstrip("\r"), problem.column)
        yield f" {paint(_CYAN, f'{problem.line} |')} {text}"
        yield f" {paint(_CYAN, f'{margin} |')} {paint(_RED, mark)}"
    value = "" if lines else problem.value
    for name, note in (("in", problem.path), ("value", value), ("help", problem.hint)):
        if note:
            yield f" {paint(_CYAN, f'{margin} =')} {paint(_BOLD, name)}: {visible(note)}"


def _excerpt(line: str, column: int) -> tuple[str, str]:
    """Return the part of a line around a column, and carets under what begins there."""
    at = min(column - 1, len(line))
    start, end = max(0, at - _BEFORE), min(len(line), at + _AFTER)
    match = _TOKEN.match(line, at, end)
    before = ("..." if start else "") + visible(line[start:at])
    token = visible(match[0]) if match else ""
    after = visible(line[at + len(match[0]) if match else at : end]) + ("..." if end < len(line) else "")
    return f"{before}{token}{after}", " " * _width(before) + "^" * max(1, _width(token))


def _width(text: str) -> int:
    """Count the columns of a terminal that printable text takes."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def _summary(problems: Sequence[Problem], shown: int) -> str:
    more = f"and {len(problems) - shown:,} more\n\n" if len(problems) > shown else ""
    return f"{more}{len(problems):,} problem{'' if len(problems) == 1 else 's'}"
