"""Where in a TOML document something is written.

The parser that reads documents is quick and forgets where it found things. Only when something turns out to
be wrong is the document parsed once more, by one that remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from typing import NamedTuple

import tomli
from tree_sitter import Node

Path = tuple[str | int, ...]
"""The keys and list positions (from 0) that lead to a value: `("share", 3, "images", 2)`."""


class Span(NamedTuple):
    """A part of a document: its line and column, both from 0, and its beginning and end, all but the line in bytes."""

    row: int
    column: int
    start: int
    end: int


class Place(NamedTuple):
    """Where something is written: the last part of its key, the key as a whole, and its value.

    A list item has no key but itself. What stands under a header of its own, or is not written, has no value; then the
    key is that of the nearest table around it. `is_plain` tells that the value is neither a list nor a table.
    """

    key: Span
    whole_key: Span
    value: Span | None = None
    is_plain: bool = False


class Kind(Enum):
    """How something is written: as a value under its key, in a list, under a header; or only as the way to it."""

    VALUE = auto()
    ITEM = auto()
    TABLE = auto()
    ELEMENT = auto()
    ARRAY = auto()
    ABOVE = auto()
    DOTTED = auto()


_BEGINNING = Place(Span(0, 0, 0, 0), Span(0, 0, 0, 0))


def locate(source: bytes, paths: Iterable[Path]) -> dict[Path, Place]:
    """Return where each path is written first.

    What is not written, such as a key that is missing, has the place of the nearest table around it; the document
    itself is its beginning.
    """
    asked = tuple(paths)
    wanted = {path[:length] for path in asked for length in range(len(path) + 1)}
    found: dict[Path, Place] = {}

    def note(path: Path, _: Kind, place: Place) -> None:
        found.setdefault(path, place)

    walk(source, wanted.__contains__, note)
    return {path: _nearest(found, path) for path in asked}


def _nearest(found: dict[Path, Place], path: Path) -> Place:
    if path in found:
        return found[path]
    while path and path not in found:
        path = path[:-1]
    place = found.get(path, _BEGINNING)
    return Place(place.key, place.whole_key)


def walk(source: bytes, wants: Callable[[Path], bool], note: Callable[[Path, Kind, Place], None]) -> None:
    """Note what a document writes of what is wanted, in the order in which it does; below what is not, nothing is."""
    import tree_sitter_toml  # noqa: PLC0415 - a document without problems needs no second parser
    from tree_sitter import Language, Parser  # noqa: PLC0415 - as above

    root = Parser(Language(tree_sitter_toml.language())).parse(source).root_node
    _Walk(source, wants, note).document(root)


class _Walk:
    """Goes through a parsed document."""

    def __init__(self, source: bytes, wants: Callable[[Path], bool], note: Callable[[Path, Kind, Place], None]) -> None:
        self.source = source
        self.wants = wants
        self.note = note
        self.lengths: dict[Path, int] = {}

    def document(self, root: Node) -> None:
        for node in _content(root):
            if node.type == "pair":
                self.pair(node, ())
            elif node.type in {"table", "table_array_element"}:
                self.table(node)

    def table(self, node: Node) -> None:
        header, *pairs = _content(node)
        path: Path = ()
        keys = self.keys(header)
        for depth, (key, at) in enumerate(keys, 1):
            path = (*path, key)
            kind = Kind.ABOVE if depth < len(keys) else Kind.TABLE if node.type == "table" else Kind.ARRAY
            if self.wants(path):
                self.note(path, kind, Place(_span(at), _span(header)))
            if kind is Kind.ARRAY:
                self.lengths[path] = self.lengths.get(path, 0) + 1
            if path in self.lengths:
                path = (*path, self.lengths[path] - 1)
                if self.wants(path):
                    self.note(path, Kind.ELEMENT, Place(_span(at), _span(header)))
        if self.wants(path):
            for pair in pairs:
                self.pair(pair, path)

    def pair(self, node: Node, path: Path) -> None:
        header, *_, value = _content(node)
        keys = self.keys(header)
        for depth, (key, at) in enumerate(keys, 1):
            path = (*path, key)
            if not self.wants(path):
                return
            whole = _span(header)
            if depth < len(keys):
                self.note(path, Kind.DOTTED, Place(_span(at), whole))
            else:
                span = whole if len(keys) == 1 else _span(at)
                self.note(path, Kind.VALUE, Place(span, whole, _span(value), _is_plain(value)))
        self.value(value, path)

    def value(self, node: Node, path: Path) -> None:
        if node.type == "inline_table":
            for pair in _content(node):
                self.pair(pair, path)
        elif node.type == "array":
            for index, item in enumerate(_content(node)):
                inner = (*path, index)
                if self.wants(inner):
                    span = _span(item)
                    self.note(inner, Kind.ITEM, Place(span, span, span, _is_plain(item)))
                    self.value(item, inner)

    def keys(self, node: Node) -> list[tuple[str, Node]]:
        parts = []
        while node.type == "dotted_key":
            node, *_, last = _content(node)
            parts.append(last)
        parts.append(node)
        return [(self.name(part), part) for part in reversed(parts)]

    def name(self, node: Node) -> str:
        text = self.source[node.start_byte : node.end_byte].decode(errors="replace")
        try:
            return next(iter(tomli.loads(f"{text} = 0"))) if node.type == "quoted_key" else text
        except ValueError:  # the grammar is not the parser's, and may see a key where there is none
            return text


def _is_plain(node: Node) -> bool:
    return node.type not in {"inline_table", "array"}


def _span(node: Node) -> Span:
    row, column = node.start_point
    return Span(row, column, node.start_byte, node.end_byte)


def _content(node: Node) -> Iterator[Node]:
    return (child for child in node.named_children if child.type not in {"comment", "ERROR"})
