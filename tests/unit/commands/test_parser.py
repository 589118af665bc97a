"""The command line: what is meant by a word that nobody knows, and help that says all of a verb."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from worker.commands.parser import DISTRIBUTION, VERBS, UsageError, help_of, option_names, parse, parsers

ROOT = Path(__file__).parents[3]
WIDTHS = (78, 98)


def wrong(line: str) -> str:
    """Return what is said of a command line that is wrong."""
    with pytest.raises(UsageError) as caught:
        parse(shlex.split(line))
    return caught.value.message


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("plann", "plan"),
        ("--config x stauts", "status"),
        ("plan --projct a", "--project"),
        ("plan --projct=a", "--project"),
        ("--jsn plan", "--json"),
        ("run --dead-line 10m", "--deadline"),
        ("run --log-format jsn", "json"),
        ("check --schema manifets", "manifest"),
        ("help realease", "release"),
    ],
)
def test_what_is_nearly_a_word_of_the_command_line_is_told_with_the_word(line: str, meant: str) -> None:
    """Verbs, options before and after the verb, and choices."""
    assert wrong(line).endswith(f"did you mean '{meant}'?")


@pytest.mark.parametrize("line", ["frobnicate", "plan --zzz", "plan zzz", "plan --project a zzz"])
def test_what_is_like_nothing_is_told_without_a_guess(line: str) -> None:
    """And named all the same."""
    assert "did you mean" not in wrong(line)
    assert re.search("frobnicate|zzz", wrong(line))


@pytest.mark.parametrize("verb", [None, *(verb.name for verb in VERBS)])
def test_the_beginning_of_an_option_is_not_taken_for_it(verb: str | None) -> None:
    """Every option of every verb, each but its last character: an option that comes later would change its meaning."""
    parser, of_verbs = parsers()
    names = [name for name in option_names(of_verbs[verb] if verb else parser) if len(name) > 4]
    assert names
    for name in names:
        line = [name[:-1], "plan"] if verb is None else [verb, name[:-1], *(["sha256:0"] if verb == "approve" else [])]
        with pytest.raises(UsageError) as caught:
            parse(line)
        assert f"did you mean '{name}'?" in caught.value.message


def test_the_value_of_an_option_that_nobody_knows_is_not_repeated() -> None:
    """It may be a secret."""
    assert "hidden" not in wrong("plan --secret-kye=hidden") + wrong("plan --secret-kye hidden")


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_help_of_a_verb_has_a_sentence_an_example_and_its_exit_statuses(verb: object) -> None:
    """And the examples are command lines of that verb, which can be read."""
    (declared,) = (each for each in VERBS if each is verb)
    text = " ".join(help_of(declared.name).split())
    assert f"{declared.help[:1].upper()}{declared.help[1:]}. {declared.about}" in text
    assert declared.about.endswith(".")
    for example in declared.example:
        assert f"{DISTRIBUTION} {example}" in text
        assert parse(shlex.split(re.split("[|>]", example)[0])).verb == declared.name
    for status, meaning in {**declared.exits, 2: "usage", 70: "a bug"}.items():
        assert f" {status} {meaning}" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_of_help_is_wider_than_asked_for(width: int) -> None:
    """What can be broken is: usage, sentences and statuses; a word and an example stay whole."""
    for verb in (None, *VERBS):
        lines = help_of(verb and verb.name, width).splitlines()
        whole = [f"  {DISTRIBUTION} {example}" for example in (verb.example if verb else ())]
        assert [line for line in lines if len(line) > width and line not in whole and " " in line.strip()] == []


def test_the_exit_statuses_of_the_readme_are_those_of_the_help() -> None:
    """Each is told of in both."""
    readme = re.findall(r"^\| (\d+) \| ", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert re.findall(r"^  (\d+) +\S", help_of(None).partition("exit status:")[2], re.MULTILINE) == readme
