"""Problems in documents, as a good compiler shows them, and as JSON."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from worker.core.documents import EXCERPTS
from worker.core.text import visible
from worker.errors import Excerpt, Problem

_COLUMNS = 80
_CUT = "..."
_BOLD, _RED, _CYAN = "1", "1;31", "36"


def problems_text(problems: Sequence[Problem], *, color: bool, limit: int = EXCERPTS) -> str:
    """Write problems for people: place, message, source line, path and way out of each; at most `limit` of them."""
    shown = problems[:limit]
    blocks = ["\n".join(_block(problem, _Paint(color=color))) for problem in shown]
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


def _block(problem: Problem, paint: _Paint) -> Iterator[str]:
    place = visible(problem.file) + (f":{problem.line}:{problem.column}" if problem.line else "")
    head = f"{paint(_BOLD, place)}: " if place else ""
    yield f"{head}{paint(_RED, 'error')}: {paint(_BOLD, visible(problem.message))}"
    margin = " " * len(str(problem.line))
    if problem.excerpt:
        text, mark = _marked(problem.excerpt, _COLUMNS - len(f" {margin} | "))
        yield f" {paint(_CYAN, f'{problem.line} |')} {text}"
        yield f" {paint(_CYAN, f'{margin} |')} {paint(_RED, mark)}"
    value = "" if problem.excerpt else problem.value
    for name, note in (("in", problem.path), ("value", value), ("help", problem.hint)):
        if note:
            yield f" {paint(_CYAN, f'{margin} =')} {paint(_BOLD, name)}: {visible(note)}"


def _marked(excerpt: Excerpt, room: int) -> tuple[str, str]:
    """Return a line, cut so that what is wrong in it fits into so many columns, and carets under that."""
    marked = _head(visible(excerpt.marked), room)
    before, after = visible(excerpt.before), visible(excerpt.after)
    free = room - max(1, _width(marked))
    before = _tail(before, max(free // 2, free - _width(after)))
    after = _head(after, free - _width(before))
    return f"{before}{marked}{after}", " " * _width(before) + "^" * max(1, _width(marked))


def _head(text: str, room: int) -> str:
    if _width(text) <= room:
        return text
    return _fitting(text, room - len(_CUT)) + _CUT if room >= len(_CUT) else ""


def _tail(text: str, room: int) -> str:
    if _width(text) <= room:
        return text
    return _CUT + _fitting(reversed(text), room - len(_CUT))[::-1] if room >= len(_CUT) else ""


def _fitting(text: Iterable[str], room: int) -> str:
    """Return the first characters that fit into so many columns."""
    found = ""
    for char in text:
        room -= _width(char)
        if room < 0:
            break
        found += char
    return found


def _width(text: str) -> int:
    """Count the columns of a terminal that printable text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) in {"Mn", "Me"} for char in text)


def _summary(problems: Sequence[Problem], shown: int) -> str:
    more = f"and {len(problems) - shown:,} more\n\n" if len(problems) > shown else ""
    return f"{more}{len(problems):,} problem{'' if len(problems) == 1 else 's'}"
