"""Reading TOML, and what keeps a document from being it."""

from __future__ import annotations

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from worker.core.documents import Document
from worker.core.toml import read_table
from worker.errors import Excerpt, Problem


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        (b"a = 1\nb = \n", 2, 5, "not TOML: invalid value"),
        (b"a = 1\na = 2\n", 2, 1, 'key "a" is given twice, first in line 1'),
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
    (problem,) = read_table(Document("m.toml", source))
    assert isinstance(problem, Problem)
    assert (problem.file, problem.line, problem.column, problem.message) == ("m.toml", line, column, message)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_a_problem(source: bytes) -> None:
    """No bytes make the reader fail in another way."""
    assert isinstance(read_table(Document("m.toml", source)), dict | tuple)


TWICE = [
    ("[a]\nb = 1\nc = 2\nb = 3\n", [(4, "a.b", 'key "b" is given twice, first in line 2')]),
    (
        "[a]\n[b]\n[a]\n[b]\n",
        [(3, "a", "table [a] is given twice"), (4, "b", "table [b] is given twice, first in line 2")],
    ),
    ("a = 1\n[a]\n", [(2, "a", "table [a] is given twice, first in line 1")]),
    ("a = 1\n[a.b]\n", [(2, "a", 'key "a" is given twice, first in line 1')]),
    ("a = 1\na.b = 2\n", [(2, "a", 'key "a" is given twice, first in line 1')]),
    ("a.b = 1\na.b.c = 2\n", [(2, "a.b", 'key "b" is given twice, first in line 1')]),
    ("[a.b]\n[a]\nb.c = 1\n", [(3, "a.b", 'key "b" is given twice, first in line 1')]),
    ("[a]\nb.c = 1\n[a.b]\n", [(3, "a.b", "table [a.b] is given twice, first in line 2")]),
    ("a = {b = 1, b = 2}\n", [(1, "a.b", 'key "b" is given twice, first in line 1')]),
    ("a = {b = 1}\n[a.c]\n", [(2, "a", 'key "a" is given twice, first in line 1')]),
    ("a = []\n[[a]]\n", [(2, "a", "table [a] is given twice, first in line 1")]),
    ("[a]\n[[a]]\n", [(2, "a", "table [a] is given twice, first in line 1")]),
    ("[[a]]\n[a]\n", [(2, "a", "table [a] is given twice, first in line 1")]),
    ("[[a]]\nb = 1\n[[a]]\nb = 1\nb = 2\n", [(5, "a[1].b", 'key "b" is given twice, first in line 4')]),
    ("x = [{b = 1}, {b = 1, 'b' = 2}]\n", [(1, "x[1].b", 'key "b" is given twice, first in line 1')]),
]


@pytest.mark.parametrize(("text", "expected"), TWICE)
def test_what_is_given_twice_is_named_with_both_lines(text: str, expected: list[tuple[int, str, str]]) -> None:
    """A key or a table that stands there again, each time, wherever and however it is written."""
    with pytest.raises(tomli.TOMLDecodeError):
        tomli.loads(text)
    problems = read_table(Document("m.toml", text.encode()))
    assert isinstance(problems, tuple)
    assert [(each.line, each.path) for each in problems] == [(line, path) for line, path, _ in expected]
    for problem, (_, _, message) in zip(problems, expected, strict=True):
        assert problem.message.startswith(message)
        assert problem.hint == ("put both together" if message.startswith("table") else "keep one of them")


@pytest.mark.parametrize(
    "text",
    [
        "[a.b]\n[a]\nc = 1\n[a.d]\n",
        "[a.b]\n[a]\n[a.b.c]\n",
        "[a]\nb.c = 1\nb.d = 2\n[a.b.e]\n",
        "[[a]]\nb = 1\n[a.c]\n[[a]]\nb = 2\n[a.c]\n",
        "[[a]]\n[[a.b]]\n[[a.b]]\n[[a]]\n[[a.b]]\n",
        "[a.b.c]\n[a]\nb.x = 1\n",
    ],
)
def test_what_only_looks_as_if_it_stood_there_twice_is_let_be(text: str) -> None:
    """Beside a true duplicate nothing is named that the parser takes."""
    assert tomli.loads(text)
    problems = read_table(Document("m.toml", f"{text}[z]\n[z]\n".encode()))
    assert [problem.path for problem in problems if isinstance(problem, Problem)] == ["z"]


@pytest.mark.parametrize(
    ("may_hold_secrets", "excerpt"), [(False, ("", "k", " = 's3cret'")), (True, ("", "k", " = ***"))]
)
def test_a_key_given_twice_shows_no_secret(*, may_hold_secrets: bool, excerpt: tuple[str, str, str]) -> None:
    """Of a config no value is shown, since nobody knows what it is."""
    document = Document("c.toml", b"k = 's3cret'\nk = 's3cret'\n", may_hold_secrets=may_hold_secrets)
    (problem,) = read_table(document)
    assert isinstance(problem, Problem)
    assert problem.excerpt == Excerpt(*excerpt)


@pytest.mark.parametrize(
    ("source", "excerpt"),
    [
        (b'a = "x\ny"', ('a = "x', "", "")),
        (b"a = [1 2]\r\n", ("a = [1 ", "2", "]")),
        (b'a = 1\nb = "\xff"', ('b = "', '\ufffd"', "")),
        (b"a = " + b"9" * 5000, ("a = ", "9" * 400, "9" * 400)),
    ],
)
def test_what_is_not_toml_is_shown_where_no_secret_can_stand(source: bytes, excerpt: tuple[str, str, str]) -> None:
    """The line with what the parser did not expect; of a config nothing, since the parser stops anywhere."""
    (problem,) = read_table(Document("m.toml", source))
    assert isinstance(problem, Problem)
    assert problem.excerpt == Excerpt(*excerpt)
    (problem,) = read_table(Document("m.toml", source, may_hold_secrets=True))
    assert isinstance(problem, Problem)
    assert problem.excerpt is None
