"""Text from outside, as it is shown."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.text import json_bytes, json_text, visible, visible_lines

anything = st.text(st.characters(categories=None))
"""Texts with any code point in them, lone surrogates too."""
documents = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=6,
)


@given(anything)
def test_visible_text_has_no_character_that_a_terminal_obeys(text: str) -> None:
    """Whatever stands in a name, showing it is safe in any encoding, and printable text stays as it is."""
    assert visible(text).isprintable()
    assert not text.isprintable() or visible(text) == text
    visible(text).encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31m\r\n", "a\\x1b[31m\\r\\n"),
        ("\u202e\u2066\u200b\u2028\ufeff", "\\u202e\\u2066\\u200b\\u2028\\ufeff"),
        (b"f\xffile".decode(errors="surrogateescape"), "f\\xffile"),
        ("\ud800\udfff", "\\ud800\\udfff"),
        ("\U000e0001", "\\U000e0001"),
        ("größe ♥ 日本", "größe ♥ 日本"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    """Control characters, what turns text around or has no width, ends of lines, and bytes that are no UTF-8."""
    assert visible(text) == shown


def test_lines_stay_lines() -> None:
    """Only what ends them is left as it is."""
    assert visible_lines("one\n\x1btwo\r\n") == "one\n\\x1btwo\\r\n"


@given(documents)
def test_json_is_taken_by_the_strictest_reader(document: object) -> None:
    """Whatever is in it: JSON in ASCII, or in UTF-8, without half a surrogate pair."""
    text, encoded = json_text(document), json_bytes(document)
    assert text.isascii()
    assert msgspec.json.decode(text) == msgspec.json.decode(encoded) == json.loads(encoded)


def test_json_keeps_what_it_can() -> None:
    """A document of proper text is read back as it was, emoji too; bytes that are no text are escaped."""
    document = {"größe\n": ["♥", "😀", 1, None, {"a": "\u202e"}]}
    assert json.loads(json_text(document, 2)) == json.loads(json_bytes(document)) == document
    odd = {"file": "a\udcff", "😀": ["\ud800"]}
    assert json.loads(json_text(odd)) == json.loads(json_bytes(odd)) == {"file": "a\\xff", "😀": ["\\ud800"]}
