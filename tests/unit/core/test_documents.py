"""Reading documents, and the words for what is wrong with them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.documents import (
    At,
    Document,
    Finding,
    Speller,
    kind_of,
    path_text,
    problems_of,
    read_table,
    shown,
)
from worker.errors import Problem


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        (b"a = 1\nb = \n", 2, 5, "not TOML: invalid value"),
        (b"a = 1\na = 2\n", 2, 6, "not TOML: cannot overwrite a value"),
        (b"\xef\xbb\xbfa = 1\n", 1, 1, "a byte order mark"),
        (b'a = 1\n\xc3\xa9 = "\xff"\n', 2, 6, "not UTF-8"),
        ("a = 1".encode("utf-16"), 1, 1, "not UTF-8"),
        (b"a = 1\nbb = " + b"9" * 5000, 2, 6, "a number with thousands of digits"),
        (b"a = " + b"[" * 3000 + b"]" * 3000, 0, 0, "lists, tables or keys are nested too deeply"),
        (b".".join([b"a"] * 3000) + b" = 1", 0, 0, "lists, tables or keys are nested too deeply"),
    ],
)
def test_what_is_not_toml_is_one_problem(source: bytes, line: int, column: int, message: str) -> None:
    """A document that cannot be parsed says where and why."""
    problem = read_table(Document("m.toml", source))
    assert isinstance(problem, Problem)
    assert (problem.file, problem.line, problem.column, problem.message) == ("m.toml", line, column, message)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_a_problem(source: bytes) -> None:
    """No bytes make the reader fail in another way."""
    assert isinstance(read_table(Document("m.toml", source)), dict | Problem)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb\x1b[31m\u202e", '"a\\nb\\x1b[31m\\u202e"'),
        ("x" * 61, '"' + "x" * 57 + '..."'),
        (True, "true"),
        (12, "12"),
        (2**128, "a huge number"),
        (1.5, "1.5"),
        ([1], "a list"),
        ({}, "a table"),
        (date(1979, 5, 27), "1979-05-27"),
    ],
)
def test_values_are_shown_shortly_and_safely(value: object, text: str) -> None:
    """A value is recognizable, and neither floods nor commands a terminal."""
    assert shown(value) == text


def test_each_kind_of_value_has_a_name() -> None:
    """Messages name what was found where something else was expected."""
    values = ("", True, 1, 1.0, [], {}, date(1979, 5, 27))
    assert [kind_of(value) for value in values] == [
        "a string",
        "true or false",
        "a number",
        "a number",
        "a list",
        "a table",
        "a date or time",
    ]


def test_a_path_is_written_as_people_write_it() -> None:
    """Bare keys stand as they are, others in quotes, positions in brackets."""
    assert path_text(("share", 3, "images", 2)) == "share[3].images[2]"
    assert path_text(("projects", "my prod\n", "id")) == 'projects."my prod\\n".id'
    assert path_text(()) == ""


def test_findings_get_their_places_where_the_document_is_known() -> None:
    """A finding in a document has its line; one about a variable has none; one about two places names both."""
    found = problems_of(
        [
            Finding(At("m.toml", ("b",)), "wrong", "1", "do better"),
            Finding(At("environment", ("X",)), "as bad"),
            Finding(At("m.toml", ("a",)), "not like that at", other=At("n.toml", ("c", 0))),
        ],
        {"m.toml": b"a = 1\nb = 2\n", "n.toml": b"c = [\n1]"},
    )
    assert found == (
        Problem("m.toml", 2, 1, "b", "wrong", "1", "do better"),
        Problem("environment", 0, 0, "X", "as bad"),
        Problem("m.toml", 1, 1, "a", "not like that at n.toml:2:1 (c[0])"),
    )


def test_a_suggestion_is_made_for_what_is_nearly_right() -> None:
    """A slip of the finger is recognized, a different word is not."""
    speller = Speller()
    assert speller.hint("golden-ubunut", ["silver", "golden-ubuntu"]) == 'did you mean "golden-ubuntu"?'
    assert speller.hint("bronze", ["silver", "golden-ubuntu"]) == ""


def test_suggestions_end_before_they_take_long() -> None:
    """A document full of unknown names costs a bounded number of comparisons."""
    speller = Speller(budget=5)
    known = ["one", "two", "three"]
    assert [speller.hint("thre", known) for _ in range(2)] == ['did you mean "three"?', ""]
