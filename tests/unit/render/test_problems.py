"""Problems as a good compiler shows them."""

from __future__ import annotations

import json

import pytest
from builders import NAMES, document, share
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from worker.core.manifest.parse import parse_manifest
from worker.errors import Excerpt, ManifestError, Problem
from worker.render.problems import problems_json, problems_text


def shown(before: str, marked: str, after: str = "", line: int = 1) -> list[str]:
    """Return the source line and the carets of a problem with this excerpt."""
    problem = Problem("m.toml", line, 1, "a", "wrong", excerpt=Excerpt(before, marked, after))
    return problems_text([problem], color=False).splitlines()[1:3]


def columns(text: str) -> int:
    """Count the columns that a terminal gives a text, as it does by the width of its characters."""
    return cell_len(text)


def test_a_problem_is_shown_with_its_line_path_and_help() -> None:
    """Place and message come first, then where to look, then what to do."""
    text = NAMES + share(images='["ubunut"]', status='"x"')
    with pytest.raises(ManifestError) as caught:
        parse_manifest([document(text)])
    found = problems_text(caught.value.problems, color=False)
    assert (
        found
        == """\
manifest.toml:15:11: error: unknown image "ubunut"
 15 | images = ["ubunut"]
    |           ^^^^^^^^
    = in: share[0].images[0]
    = help: did you mean "ubuntu"?

manifest.toml:16:10: error: status is "accepted" or "rejected", not "x"
 16 | status = "x"
    |          ^^^
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
        problems_text(problems, color=False)
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
    ("excerpt", "text", "carets"),
    [
        (("a = ", '"x \\" y"', " # so"), 'a = "x \\" y" # so', "    ^^^^^^^^"),
        (("\ta = ", '"\x1b[31m"', ""), '\\ta = "\\x1b[31m"', "      ^^^^^^^^^^"),
        (("\u202ea = ", '"\u2066b"', ""), '\\u202ea = "\\u2066b"', "          ^^^^^^^^^"),
        (("", '"漢字é"', " = 1"), '"漢字é" = 1', "^^^^^^^"),
        (("漢字 = ", "1", ""), "漢字 = 1", "       ^"),
        (("é = ", "'❤\ufe0f'", ""), "é = '❤\ufe0f'", "    ^^^"),
        (("e\u0301 = ", "1", ""), "e\u0301 = 1", "    ^"),
        (("a =", "", ""), "a =", "   ^"),
        (("", "", ""), "", "^"),
    ],
)
def test_carets_stand_under_what_is_wrong(excerpt: tuple[str, str, str], text: str, carets: str) -> None:
    """Wide characters take two columns, combining ones none, and what a terminal obeys is escaped."""
    assert shown(*excerpt) == [f" 1 | {text}", f"   | {carets}"]


WIDE = st.text(st.characters() | st.sampled_from("漢é\u0301\t\u202e\x1b🎉\ufe0f"), max_size=120)


@given(WIDE, WIDE, WIDE, st.integers(1, 10_000_000))
def test_an_excerpt_fits_the_terminal(before: str, marked: str, after: str, line: int) -> None:
    """However long or odd a line is, it takes at most 80 columns, and the carets are below what is wrong."""
    text, carets = shown(before, marked, after, line)
    assert columns(text) <= 80
    assert columns(carets) <= 80
    start = carets.index("^")
    assert carets == f" {' ' * len(str(line))} |{' ' * (start - len(str(line)) - 3)}{'^' * (len(carets) - start)}"


def test_a_long_line_is_shortened_around_the_value() -> None:
    """As much as fits of what stands before and after it, from where it is nearest."""
    text, carets = shown("a" * 100 + " = [", '"x"', "]" + "b" * 100)
    assert text == f' 1 | ...{"a" * 29} = ["x"]{"b" * 32}...'
    assert text[carets.index("^") :].startswith('"x"')
    assert len(text) == 80
    text, carets = shown("a = ", '"x"', ", " * 100)
    assert (text.startswith(' 1 | a = "x", , '), text.endswith("..."), len(text)) == (True, True, 80)
    text, carets = shown(", " * 100, '"x"', "]")
    assert (text.startswith(" 1 | ..., "), text.endswith('"x"]'), len(text)) == (True, True, 80)
    text, carets = shown("images = [", '"' + "x" * 200 + '"', "]")
    assert (text.endswith("x..."), len(text), len(carets)) == (True, 80, 80)


def test_a_flood_of_problems_is_cut() -> None:
    """The first hundred are shown, and how many there are in all is said."""
    text = problems_text([Problem("m.toml", 1, 1, "", f"number {n}") for n in range(12_345)], color=False)
    assert text.count("error:") == 100
    assert text.endswith("number 99\n\nand 12,245 more\n\n12,345 problems")


def test_a_single_problem_is_not_called_problems() -> None:
    """The summary is a sentence for one as well."""
    assert problems_text([Problem("m.toml", 1, 1, "", "x")], color=False).endswith("\n\n1 problem")


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=40))
def test_nothing_in_a_problem_commands_the_terminal(text: str, name: str, line: str) -> None:
    """Every line of the output is printable, whatever the texts and documents hold."""
    problem = Problem(name, 1, 1, text, text, text, text, Excerpt(line, text, line))
    for each in problems_text([problem], color=False).split("\n"):
        assert each.isprintable()


def test_colour_changes_no_word() -> None:
    """Colours are only added, and only when they are asked for."""
    problems = [Problem("m.toml", 1, 1, "a", "wrong", "1", "right", Excerpt("a = ", "1", ""))]
    plain, coloured = (problems_text(problems, color=color) for color in (False, True))
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
