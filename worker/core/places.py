"""Where in a TOML document something is written.

The parser that reads documents is quick and forgets where it found things. Only when something turns out to
be wrong is the document parsed once more, by one that remembers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import tomli
from tree_sitter import Node

Path = tuple[str | int, ...]
"""The keys and list positions (from 0) that lead to a value: `("share", 3, "images", 2)`."""


def locate(source: bytes, paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Return line and column of each path, both from 1, columns in characters.

    A key's place is where the key is written, a list item's where the item begins. What is not written, such as
    a key that is missing, has the place of the nearest table around it; the document itself begins at 1, 1.
    """
    asked = tuple(paths)
    walk = _Walk(source, {path[:length] for path in asked for length in range(len(path) + 1)})
    walk.document(_parse(source))
    return {path: walk.place(path) for path in asked}


def _parse(source: bytes) -> Node:
    import tree_sitter_toml  # noqa: PLC0415 - a document without problems needs no second parser
    from tree_sitter import Language, Parser  # noqa: PLC0415 - as above

    return Parser(Language(tree_sitter_toml.language())).parse(source).root_node


class _Walk:
    """Goes through a parsed document and notes the wanted paths; it descends only where one of them leads."""

    def __init__(self, source: bytes, wanted: set[Path]) -> None:
        self.source = source
        self.wanted = wanted
        self.nodes: dict[Path, Node] = {}
        self.lengths: dict[Path, int] = {}

    def place(self, path: Path) -> tuple[int, int]:
        while path and path not in self.nodes:
            path = path[:-1]
        if not path:
            return 1, 1
        node = self.nodes[path]
        row, before = node.start_point
        text = self.source[node.start_byte - before : node.start_byte]
        return row + 1, len(text.decode(errors="replace")) + 1

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
            self.note(path, at)
            if node.type == "table_array_element" and depth == len(keys):
                self.lengths[path] = self.lengths.get(path, 0) + 1
            if path in self.lengths:
                path = (*path, self.lengths[path] - 1)
                self.note(path, at)
        if path in self.wanted:
            for pair in pairs:
                self.pair(pair, path)

    def pair(self, node: Node, path: Path) -> None:
        key_node, *_, value = _content(node)
        for key, at in self.keys(key_node):
            path = (*path, key)
            self.note(path, at)
        if path in self.wanted:
            self.value(value, path)

    def value(self, node: Node, path: Path) -> None:
        if node.type == "inline_table":
            for pair in _content(node):
                self.pair(pair, path)
        elif node.type == "array":
            for index, item in enumerate(_content(node)):
                inner = (*path, index)
                self.note(inner, item)
                if inner in self.wanted:
                    self.value(item, inner)

    def note(self, path: Path, node: Node) -> None:
        if path in self.wanted:
            self.nodes.setdefault(path, node)

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


def _content(node: Node) -> Iterator[Node]:
    return (child for child in node.named_children if child.type not in {"comment", "ERROR"})
