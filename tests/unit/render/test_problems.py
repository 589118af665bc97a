"""Problems as a good compiler shows them."""

from __future__ import annotations

import json

import pytest
from builders import NAMES, document, share
from hypothesis import given
from hypothesis import strategies as st

from worker.core.manifest.parse import parse_manifest
from worker.errors import ManifestError, Problem
from worker.render.problems import problems_json, problems_text


def excerpt(line: bytes, column: int) -> list[str]:
    """Return the source line and the carets of a problem in a document with this one line."""
    text = problems_text([Problem("m.toml", 1, column, "a", "wrong")], {"m.toml": line}, color=False)
    return [part.partition("| ")[2] for part in text.splitlines()[1:3]]


def test_a_problem_is_shown_with_its_line_path_and_help() -> None:
    """Place and message come first, then where to look, then what to do."""
    text = NAMES + share(images='["ubunut"]', status='"x"')
    with pytest.raises(ManifestError) as caught:
        parse_manifest([document(text)])
    shown = problems_text(caught.value.problems, {"manifest.toml": text.encode()}, color=False)
    assert (
        shown
        == """\
manifest.toml:15:11: error: unknown image "ubunut"
 15 | images = ["ubunut"]
    |           ^^^^^^^^
    = in: share[0].images[0]
    = help: did you mean "ubuntu"?

manifest.toml:16:1: error: status is "accepted" or "rejected", not "x"
 16 | status = "x"
    | ^^^^^^
    = in: share[0].status

2 problems"""
    )


def test_a_problem_without_a_source_shows_its_value() -> None:
    """A config's lines may hold secrets and are not shown; a variable has no line."""
    problems = [
        Problem("config.toml", 3, 1, "log.level", "level must be one of these", '"loud"', "be quiet"),
        Problem("environment", 0, 0, "IMS_WORKER_X", 'not "y"', '"y"'),
        Problem("c.toml", 0, 0, "", "cannot be read"),
    ]
    assert (
        problems_text(problems, {}, color=False)
        == """\
config.toml:3:1: error: level must be one of these
   = in: log.level
   = value: "loud"
   = help: be quiet

environment: error: not "y"
   = in: IMS_WORKER_X
   = value: "y"

c.toml: error: cannot be read

3 problems"""
    )


@pytest.mark.parametrize(
    ("line", "column", "shown", "carets"),
    [
        (b'a = "x \\" y"', 5, 'a = "x \\" y"', "    ^^^^^^^^"),
        (b"a.b = 'x y'\r", 7, "a.b = 'x y'", "      ^^^^^"),
        (b"[[share]]", 3, "[[share]]", "  ^^^^^"),
        (b'\ta = "\x1b[31m"', 6, '\\ta = "\\x1b[31m"', "      ^^^^^^^^^^"),
        ('"漢字é" = 1'.encode(), 1, '"漢字é" = 1', "^^^^^^^"),
        ("漢字 = 1".encode(), 6, "漢字 = 1", "       ^"),
        (b"a = \xff", 5, "a = \ufffd", "    ^"),
        (b"a =", 4, "a =", "   ^"),
        (b"a =", 400, "a =", "   ^"),
        (b"", 1, "", "^"),
    ],
)
def test_carets_stand_under_what_is_wrong(line: bytes, column: int, shown: str, carets: str) -> None:
    """Strings are marked as a whole, wide characters take two columns, and what a terminal obeys is escaped."""
    assert excerpt(line, column) == [shown, carets]


def test_a_long_line_is_shortened_around_the_place() -> None:
    """A manifest in one line of a megabyte shows the part in question."""
    line, carets = excerpt(b'"x", ' * 200_000, 500_001)
    assert line.startswith("...")
    assert line.endswith("...")
    assert line[carets.index("^") :].startswith('"x"')
    assert len(line) < 120


def test_a_flood_of_problems_is_cut() -> None:
    """The first hundred are shown, and how many there are in all is said."""
    text = problems_text([Problem("m.toml", 1, 1, "", f"number {n}") for n in range(12_345)], {}, color=False)
    assert text.count("error:") == 100
    assert text.endswith("number 99\n\nand 12,245 more\n\n12,345 problems")


def test_a_single_problem_is_not_called_problems() -> None:
    """The summary is a sentence for one as well."""
    assert problems_text([Problem("m.toml", 1, 1, "", "x")], {}, color=False).endswith("\n\n1 problem")


def test_a_line_that_is_not_there_is_left_out() -> None:
    """A document may have changed since it was read."""
    text = problems_text([Problem("m.toml", 9, 1, "", "x")], {"m.toml": b"a = 1"}, color=False)
    assert text == "m.toml:9:1: error: x\n\n1 problem"


@given(st.text(max_size=30), st.text(max_size=30), st.binary(max_size=40), st.integers(0, 50))
def test_nothing_in_a_problem_commands_the_terminal(text: str, name: str, source: bytes, column: int) -> None:
    """Every line of the output is printable, whatever the texts and documents hold."""
    problem = Problem(name, 1, column, text, text, text, text)
    for line in problems_text([problem], {name: source}, color=False).split("\n"):
        assert line.isprintable()


def test_colour_changes_no_word() -> None:
    """Colours are only added, and only when they are asked for."""
    problems = [Problem("m.toml", 1, 1, "a", "wrong", "1", "right")]
    plain, coloured = (problems_text(problems, {"m.toml": b"a = 1"}, color=color) for color in (False, True))
    assert "\x1b[" not in plain
    assert "\x1b[1;31merror\x1b[0m" in coloured
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[1;31m", "\x1b[36m"):
        coloured = coloured.replace(code, "")
    assert coloured == plain


def test_problems_are_json() -> None:
    """Scripts get every field of every problem."""
    found = problems_json([Problem("m.toml", 1, 2, "a.b", "wrong", "1", "right")] * 101)
    assert len(json.loads(json.dumps(found))) == 101
    assert found[0] == {
        "file": "m.toml",
        "line": 1,
        "column": 2,
        "path": "a.b",
        "message": "wrong",
        "value": "1",
        "hint": "right",
    }
