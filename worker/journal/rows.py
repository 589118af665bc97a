"""Rows become values. A journal outlives workers and people edit it, so nothing in it is taken on trust.

SQLite keeps whatever it is given, whatever its columns are declared as. A row that cannot be read is named by its table
and key: who needs it raises that, and what needs others goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, RowMapping, Table, Text, cast
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from worker.core.documents import quote
from worker.core.fleet.shards import SHARDS_AT_MOST, Shard
from worker.errors import JournalError

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_TEXT_AT_MOST = 4_000_000
_COUNT_AT_MOST = 2**53
_PAIRS_AT_MOST = 10_000
YEAR_10000 = 253_402_300_800.0
_NAMED = 3
WAY_OUT = (
    "correct the row or delete it; or move the journal away: the next pass makes a new one, and the cloud tells what "
    "is true"
)
_Amount = Annotated[float, msgspec.Meta(ge=0, le=_COUNT_AT_MOST)]
_Amounts = Annotated[list[tuple[_Amount, _Amount]], msgspec.Meta(max_length=_PAIRS_AT_MOST)]
_Counts = dict[str, Annotated[int, msgspec.Meta(ge=0, le=_COUNT_AT_MOST)]]


class OddRowsError(JournalError):
    """Rows that are needed cannot be read. Who knows which journal it is puts that before the message."""


class _OddValueError(Exception):
    """A value of a row is not what its column is for."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The rows of a query that could be read, as values; and of each other its table, its key and what is wrong."""

    values: tuple[T, ...]
    odd: tuple[str, ...] = ()

    def needed(self) -> tuple[T, ...]:
        """Return the values, for which all rows are needed; raise OddRowsError if some could not be read."""
        if self.odd:
            more = f", and {len(self.odd) - _NAMED} more like it" if len(self.odd) > _NAMED else ""
            raise OddRowsError(f"has what cannot be read: {'; '.join(self.odd[:_NAMED])}{more}; {WAY_OUT}")
        return self.values


class Cells:
    """The values of one row, by column. Each reader raises what `read` collects for a value that is something else."""

    def __init__(self, row: RowMapping) -> None:
        self._row = row

    def text(self, column: str) -> str:
        """Return a text; it may hold what a terminal would obey."""
        value = self._row[column]
        if isinstance(value, str) and len(value) <= _TEXT_AT_MOST:
            return value
        raise self._odd(column, "a text")

    def word(self, column: str, kind: type[E]) -> E:
        """Return one of the words of an enumeration."""
        value = self._row[column]
        if isinstance(value, str):
            with suppress(ValueError):
                return kind(value)
        raise self._odd(column, f"one of {', '.join(kind)}")

    def count(self, column: str, least: int = 0, at_most: int = _COUNT_AT_MOST) -> int:
        """Return a whole number that is neither too small nor too large."""
        value = self._row[column]
        if isinstance(value, int) and least <= value <= at_most:
            return value
        if isinstance(value, int) and value > at_most:
            raise self._odd(column, f"a whole number up to {at_most}")
        raise self._odd(column, f"a whole number from {least} on")

    def stamp(self, column: str, least: float = 0.0) -> float:
        """Return a time in seconds since the epoch, of a year that can be written, that is not before `least`."""
        value = self._row[column]
        if isinstance(value, int | float) and least <= value < YEAR_10000:
            return float(value)
        after = f" from {least:.0f} on" if least else ""
        raise self._odd(column, f"a time in seconds since the epoch{after}")

    def optional(self, reader: Callable[[str], T], column: str) -> T | None:
        """Return what a reader reads in a column, or None where there is nothing in it."""
        return None if self._row[column] is None else reader(column)

    def texts(self, column: str) -> tuple[str, ...]:
        """Return a list of texts that is not empty, from a column that `as_text` made readable."""
        texts = self.json(column, list[str], "a list of texts")
        if not texts:
            raise self._odd(column, "a list of texts")
        return tuple(texts)

    def counts(self, column: str) -> dict[str, int]:
        """Return counts by their names, from a column that `as_text` made readable."""
        return self.json(column, _Counts, "counts by their names")

    def amounts(self, column: str) -> list[tuple[float, float]]:
        """Return pairs of numbers from nothing on, from a column that `as_text` made readable."""
        return self.json(column, _Amounts, "a list of pairs of numbers")

    def shard(self) -> Shard:
        """Return the shard that the row is about."""
        shard = Shard(self.count("shard_index"), self.count("shard_count", 1))
        if shard.count <= SHARDS_AT_MOST and shard.index < shard.count:
            return shard
        raise self._odd("shard_index", f"one of {self._row['shard_count']} shards")

    def json(self, column: str, kind: type[T], what: str) -> T:
        """Return what is of a kind, and is called `what`, from a column that `as_text` made readable."""
        try:
            return msgspec.json.decode(self.text(column), type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise self._odd(column, what) from None

    def _odd(self, column: str, what: str) -> _OddValueError:
        return _OddValueError(f"{column} is {_named(self._row[column])}, not {what}")


def read(rows: Iterable[RowMapping], table: Table, make: Callable[[Cells], T]) -> Found[T]:
    """Make a value of each row of a query, which has the key of its table."""
    values, odd = [], []
    for row in rows:
        try:
            values.append(make(Cells(row)))
        except _OddValueError as error:
            key = ", ".join(f"{column.name} {_named(row[column.name])}" for column in table.primary_key)
            odd.append(f"table {table.name}, row with {key}: {error}" if key else f"table {table.name}: {error}")
    return Found(tuple(values), tuple(odd))


def as_text(column: Column[Any]) -> ColumnElement[Any]:
    """Return a column of JSON as the text that it is, so that nobody reads it before it is known to be some."""
    return cast(column, Text).label(column.name)


class _Nothing(FunctionElement[Any]):
    """What stands where a column has no value."""

    inherit_cache = True


@compiles(_Nothing)
def _null(_nothing: _Nothing, _compiler: Any, **_options: Any) -> str:
    return "NULL"


@compiles(_Nothing, "sqlite")
def _null_of_sqlite(_nothing: _Nothing, _compiler: Any, **_options: Any) -> str:
    return "+NULL"


def is_missing(column: Column[Any]) -> ColumnElement[bool]:
    """Tell whether a column has no value, though its table asks for one: tools that copy tables drop such rules.

    SQLite takes the table's word for `IS NULL`, and then reads the whole table where that is one of several ways.
    """
    return column.op("IS", is_comparison=True)(_Nothing())


def _named(value: object) -> str:
    """Write a value of a row in a few printable characters."""
    match value:
        case None:
            return "missing"
        case bytes():
            return "binary data"
        case float() if not math.isfinite(value):
            return "no finite number"
        case _:
            return quote(value)
