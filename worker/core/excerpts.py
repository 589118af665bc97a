"""What of a document is shown beside a problem: the line and what is wrong in it, or where secrets may stand, less."""

from __future__ import annotations

import re

from worker.core.places import Place, Span
from worker.errors import Excerpt

_TOKEN = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|[^\s=,\[\]{}#]+|.""")
_REACH = 400
"""Bytes of a line that are kept on either side of what is wrong: more than a terminal shows."""
_HIDDEN = "***"


class Lines:
    """Lines and columns in a document, from 1 and in characters; quick for spans asked for in the order they stand."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._line_start = self._counted_to = self._count = 0

    def span(self, start: int, end: int) -> Span:
        """Return the span between two bytes."""
        return Span(self._source.count(b"\n", 0, start), start - self._source.rfind(b"\n", 0, start) - 1, start, end)

    def place(self, span: Span) -> tuple[int, int]:
        """Return the line and the column at which a span begins."""
        line_start = span.start - span.column
        if line_start != self._line_start or span.start < self._counted_to:
            self._line_start = self._counted_to = line_start
            self._count = 0
        self._count += len(self._source[self._counted_to : span.start].decode(errors="replace"))
        self._counted_to = span.start
        return span.row + 1, self._count + 1

    def around(self, span: Span) -> Excerpt:
        """Return the line of a span, with the span marked as far as it is on this line."""
        line_start, line_end = span.start - span.column, self._line_end(span.start)
        end = min(span.end, line_end)
        return Excerpt(
            self._text(max(line_start, span.start - _REACH), span.start),
            self._text(span.start, min(end, span.start + _REACH)),
            self._text(end, min(line_end, end + _REACH)),
        )

    def token(self, line: int, column: int) -> Excerpt:
        """Return a line with what begins at a column marked."""
        text = self._source.split(b"\n", line)[line - 1].decode(errors="replace").rstrip("\r")
        at = min(column - 1, len(text))
        match = _TOKEN.match(text, at, at + _REACH)
        end = match.end() if match else at
        return Excerpt(text[max(0, at - _REACH) : at], text[at:end], text[end : end + _REACH])

    def pair(self, place: Place, value: str, *, of_key: bool = True) -> Excerpt:
        """Return nothing but what is at a place, its key or its value marked; the value is hidden where it is empty."""
        key, whole = place.key, place.whole_key
        before, after = self._text(whole.start, key.start), self._text(key.end, whole.end)
        if self._source[whole.start - 1 : whole.start] == b"[" and place.value is None:
            return Excerpt(f"[{before}", self._text(key.start, key.end), f"{after}]")
        if of_key or place.value is None:
            return Excerpt(before, self._text(key.start, key.end), f"{after} = {_HIDDEN}")
        shown = self.around(place.value).marked if value and place.is_plain else _HIDDEN
        return Excerpt("" if key == place.value else f"{self._text(whole.start, whole.end)} = ", shown, "")

    def _line_end(self, start: int) -> int:
        end = self._source.find(b"\n", start)
        return len(self._source) if end < 0 else end

    def _text(self, start: int, end: int) -> str:
        return self._source[start:end].decode(errors="replace").rstrip("\r")
