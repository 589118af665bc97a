"""Strict reading of the simulator's TOML documents."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import pytest

from worker.simulator.document import Document, DocumentError
from worker.simulator.options import Rate


class Colour(StrEnum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Thing:
    """One field of each kind."""

    name: str
    size: int = 1
    weight: float = 1.0
    on: bool = False
    colour: Colour = Colour.RED
    mode: Literal["fast", "slow"] = "fast"
    tags: tuple[str, ...] = ()
    span: tuple[float, float] = (0.0, 1.0)
    rate: Rate = Rate(1, 1)  # noqa: RUF009 - a frozen value

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size is at least 1")


def read(text: str) -> Thing | None:
    """Read a document that is one Thing."""
    document = Document(text, "file.toml")
    thing = document.strict(Thing, document.root, "thing")
    document.finish()
    return thing


def test_each_kind_of_value_is_read() -> None:
    """Every kind of field takes its value, and a lone value stands for a list of one or both ends of a pair."""
    text = """
    name = "n"
    size = 2
    weight = 3
    on = true
    colour = "blue"
    mode = "slow"
    tags = "one"
    span = 2
    rate = "200/5m"
    """
    assert read(text) == Thing("n", 2, 3.0, True, Colour.BLUE, "slow", ("one",), (2.0, 2.0), Rate(200, 300))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 1", "file.toml: thing.name: expected text, not 1"),
        ('name = "n"\nsize = true', "thing.size: expected a whole number, not True"),
        ('name = "n"\nsize = 0', "thing: size is at least 1"),
        ('name = "n"\nweight = "x"', "thing.weight: expected a number"),
        ('name = "n"\ncolour = "green"', "thing.colour: expected one of red, blue, not 'green'"),
        ('name = "n"\nmode = 1', "thing.mode: expected one of fast, slow"),
        ('name = "n"\ntags = [1]', "thing.tags: expected text"),
        ('name = "n"\nspan = [1, 2, 3]', "thing.span: expected one value or 2"),
        ('name = "n"\nrate = "fast"', "thing.rate: expected a rate such as 200/5m"),
        ('name = "n"\ncolor = "red"', "thing.color: unknown key, allowed are colour, mode, name"),
        ("size = 2", "thing.name: missing"),
        ("name = ", "file.toml: not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(text: str, said: str) -> None:
    """An error names the file, the key, and the allowed values or keys."""
    with pytest.raises(DocumentError) as error:
        read(text)
    assert said in str(error.value)


def test_all_problems_come_at_once() -> None:
    """Two wrong values and an unknown key are three problems of one error."""
    with pytest.raises(DocumentError) as error:
        read('name = 1\nsize = "x"\nfoo = 1')
    assert len(error.value.problems) == 3


@pytest.mark.parametrize("text", ["a = 1", "[a]\nb = 1"])
def test_an_array_of_tables_must_be_one(text: str) -> None:
    """A value or a plain table where `[[a]]` is meant is a problem."""
    document = Document(text, "f")
    assert document.tables("a") == []
    with pytest.raises(DocumentError, match=r"f:1: a: write it as \[\[a\]\]"):
        document.finish()


@pytest.mark.parametrize("text", ["a = 1", "a = [1]", "[[a]]"])
def test_a_table_must_be_one(text: str) -> None:
    """A value or an array where `[a]` or `[a.NAME]` is meant is a problem."""
    document = Document(text, "f")
    assert document.named("a") == document.table("a") == {}
    with pytest.raises(DocumentError) as error:
        document.finish()
    assert error.value.problems == ("f:1: a: write it as [a.NAME]", "f:1: a: write it as [a]")
