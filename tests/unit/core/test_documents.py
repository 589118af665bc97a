"""Reading documents, and the words for what is wrong with them."""

from __future__ import annotations

from datetime import date

import pytest

from worker.core.documents import (
    At,
    Document,
    Finding,
    Suggester,
    kind_of,
    path_text,
    problems_of,
    quote,
)
from worker.core.places import Path
from worker.errors import Excerpt, Problem


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
    assert quote(value) == text


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
            Finding(At("environment", ("X",)), "as bad"),
            Finding(At("m.toml", ("b",)), "wrong", "1", "do better"),
            Finding(At("m.toml", ("b",)), "unheard of", of_key=True),
            Finding(At("m.toml", ("a",)), "not like that at", other=At("n.toml", ("c", 0))),
        ],
        [Document("m.toml", b"a = 1\nb = 2 # no\n"), Document("n.toml", b"c = [\n1]")],
    )
    assert found == (
        Problem("environment", 0, 0, "X", "as bad"),
        Problem("m.toml", 1, 5, "a", "not like that at n.toml:2:1 (c[0])"),
        Problem("m.toml", 2, 1, "b", "unheard of"),
        Problem("m.toml", 2, 5, "b", "wrong", "1", "do better"),
    )
    assert [problem.excerpt for problem in found] == [
        None,
        Excerpt("a = ", "1", ""),
        Excerpt("", "b", " = 2 # no"),
        Excerpt("b = ", "2", " # no"),
    ]


SECRET = "hunter2"
WITH_SECRETS = (
    f'x = {{ key = "{SECRET}", kind = "wrong" }} # {SECRET}\n'
    f'a.b = "good" # {SECRET}\n'
    f'list = ["{SECRET}", 3] # {SECRET}\n'
    f"[ top.header ] # {SECRET}\n"
    f'long = """one\n{SECRET}"""\n'
)


@pytest.mark.parametrize(
    ("path", "value", "of_key", "excerpt"),
    [
        (("x", "kind"), '"wrong"', False, Excerpt("kind = ", '"wrong"', "")),
        (("x", "kind"), '"wrong"', True, Excerpt("", "kind", " = ***")),
        (("x", "key"), "", False, Excerpt("key = ", "***", "")),
        (("x",), "a table", False, Excerpt("x = ", "***", "")),
        (("x", "missing"), "", True, Excerpt("", "x", " = ***")),
        (("a", "b"), "", True, Excerpt("a.", "b", " = ***")),
        (("a", "b"), '"good"', False, Excerpt("a.b = ", '"good"', "")),
        (("list",), "a list", False, Excerpt("list = ", "***", "")),
        (("list", 0), "", False, Excerpt("", "***", "")),
        (("list", 1), "3", False, Excerpt("", "3", "")),
        (("top", "header", "missing"), "", True, Excerpt("top.", "header", " = ***")),
        (("top", "header", "long"), "one", False, Excerpt("long = ", '"""one', "")),
        ((), "", False, Excerpt("", "", " = ***")),
    ],
)
def test_of_a_document_that_may_hold_secrets_keys_and_shown_values_are_quoted(
    *, path: Path, value: str, of_key: bool, excerpt: Excerpt
) -> None:
    """A line may hold a secret beside what is wrong, in a comment or behind another key; nothing of that is shown."""
    finding = Finding(At("c.toml", path), "wrong", value, of_key=of_key)
    (problem,) = problems_of([finding], [Document("c.toml", WITH_SECRETS.encode(), may_hold_secrets=True)])
    assert problem.excerpt == excerpt


def test_a_header_is_shown_as_one() -> None:
    """What is missing in a table is shown at its header."""
    document = Document("c.toml", b"[top.header]\n", may_hold_secrets=True)
    (problem,) = problems_of([Finding(At("c.toml", ("top", "header", "x")), "x is missing", of_key=True)], [document])
    assert problem.excerpt == Excerpt("[top.", "header", "]")


def test_many_findings_in_one_long_line_have_their_columns() -> None:
    """Columns are counted in characters, in whatever order the findings come."""
    items = [f'"é{number}"' for number in range(300)]
    source = f"a = [{', '.join(items)}]".encode()
    findings = [Finding(At("m.toml", ("a", index)), "no") for index in reversed(range(300))]
    found = problems_of(findings, [Document("m.toml", source)])
    assert [problem.column for problem in found] == [source.decode().index(item) + 1 for item in items]
    assert [problem.excerpt.marked for problem in found if problem.excerpt] == items[:100]


def test_a_suggestion_is_made_for_what_is_nearly_right() -> None:
    """A slip of the finger is recognized, a different word is not."""
    suggester = Suggester()
    assert suggester.hint("golden-ubunut", ["silver", "golden-ubuntu"]) == 'did you mean "golden-ubuntu"?'
    assert suggester.hint("bronze", ["silver", "golden-ubuntu"]) == ""


def test_suggestions_end_before_they_take_long() -> None:
    """A document full of unknown names costs a bounded number of comparisons."""
    suggester = Suggester(budget=5)
    known = ["one", "two", "three"]
    assert [suggester.hint("thre", known) for _ in range(2)] == ['did you mean "three"?', ""]
