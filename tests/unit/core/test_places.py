"""Where in a TOML document something is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from worker.core.excerpts import Lines
from worker.core.places import Path, locate

DOCUMENT = """\
x.y."z w" = 1 # a comment
"\\u00e9é".k = {q = 1, r.s = [1, # another
 "two", '''x
y''', [3]]}
[a.b]
k = 1
[[share]]
images = []
[share.sub]
z = 1979-05-27
[[share]]
"é" . q = 2
[[share.deep]]
v = 1
[[share.deep]]
v = 2
[a]
later = true
[multi]
line = {
  one = 1, # TOML 1.1
  two = 2,
}
"""

PLACES: dict[Path, tuple[int, int]] = {
    (): (1, 1),
    ("x",): (1, 1),
    ("x", "y"): (1, 3),
    ("x", "y", "z w"): (1, 5),
    ("éé",): (2, 1),
    ("éé", "k"): (2, 11),
    ("éé", "k", "q"): (2, 16),
    ("éé", "k", "r"): (2, 23),
    ("éé", "k", "r", "s"): (2, 25),
    ("éé", "k", "r", "s", 0): (2, 30),
    ("éé", "k", "r", "s", 1): (3, 2),
    ("éé", "k", "r", "s", 2): (3, 9),
    ("éé", "k", "r", "s", 3): (4, 7),
    ("éé", "k", "r", "s", 3, 0): (4, 8),
    ("a",): (5, 2),
    ("a", "b"): (5, 4),
    ("a", "b", "k"): (6, 1),
    ("share",): (7, 3),
    ("share", 0): (7, 3),
    ("share", 0, "images"): (8, 1),
    ("share", 0, "sub"): (9, 8),
    ("share", 0, "sub", "z"): (10, 1),
    ("share", 1): (11, 3),
    ("share", 1, "é"): (12, 1),
    ("share", 1, "é", "q"): (12, 7),
    ("share", 1, "deep"): (13, 9),
    ("share", 1, "deep", 0): (13, 9),
    ("share", 1, "deep", 0, "v"): (14, 1),
    ("share", 1, "deep", 1): (15, 9),
    ("share", 1, "deep", 1, "v"): (16, 1),
    ("a", "later"): (18, 1),
    ("multi",): (19, 2),
    ("multi", "line"): (20, 1),
    ("multi", "line", "one"): (21, 3),
    ("multi", "line", "two"): (22, 3),
}


def keys(source: bytes, paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Return line and column of the key of each path."""
    return {path: Lines(source).place(place.key) for path, place in locate(source, paths).items()}


def paths_in(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of a value and of everything in it."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield from paths_in(item, (*path, step))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_everything_in_a_document_is_found(newline: str) -> None:
    """Dotted, quoted and nested keys, inline tables, list items and arrays of tables all have their places."""
    assert keys(DOCUMENT.replace("\n", newline).encode(), PLACES) == PLACES


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("x", "y", "z w"), "1"),
        (("éé", "k", "r", "s", 1), '"two"'),
        (("éé", "k", "r", "s", 3), "[3]"),
        (("share", 0, "images"), "[]"),
        (("share", 0, "sub", "z"), "1979-05-27"),
        (("multi", "line", "two"), "2"),
        (("a",), None),
        (("share", 1), None),
        (("a", "b", "missing"), None),
        (("share", 0, "images", 7), None),
    ],
)
def test_a_value_is_told_from_its_key(path: Path, text: str | None) -> None:
    """What stands under a header, and what is not written, has no value; a list item is its own."""
    source = DOCUMENT.encode()
    span = locate(source, [path])[path].value
    assert (source[span.start : span.end].decode() if span else None) == text


def test_the_table_of_places_is_complete() -> None:
    """The table above leaves out nothing that the parser finds in its document."""
    assert set(paths_in(tomli.loads(DOCUMENT))) == set(PLACES)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("a", "missing"), (5, 2)),
        (("share", 1, "missing", "deeper"), (11, 3)),
        (("share", 9, "images"), (7, 3)),
        (("nowhere", 3), (1, 1)),
    ],
)
def test_what_is_not_written_is_placed_at_the_nearest_table_around_it(path: Path, place: tuple[int, int]) -> None:
    """A missing key is shown where it should be added."""
    assert keys(DOCUMENT.encode(), [path]) == {path: place}


@given(st.binary(max_size=200) | st.text("[]{}=.,\"'#\n ab1\\", max_size=60).map(str.encode))
def test_no_document_is_too_broken_to_be_looked_at(source: bytes) -> None:
    """A grammar that is older than the parser may misunderstand a document, and still places everything."""
    line, column = keys(source, [("a", "b", 0)])["a", "b", 0]
    assert line >= 1
    assert column >= 1


def test_keys_that_only_the_second_parser_takes_are_kept_as_they_are_written() -> None:
    """Its grammar is not quite the parser's, and may see a key where there is none, or nothing at all."""
    source = b'"\\ud800".a = 1\nb = 2\n'
    assert keys(source, [('"\\ud800"', "a"), ("b",)]) == {('"\\ud800"', "a"): (1, 10), ("b",): (2, 1)}
    assert keys(b"b]==,", [("b",)]) == {("b",): (1, 1)}
