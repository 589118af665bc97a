"""Many facts with one reason are one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.core.facts import Fact, first_few, grouped, many


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())))
def test_nothing_is_lost_and_no_reason_comes_twice(facts: list[tuple[str, int]]) -> None:
    """Each reason is there once with all that it is the reason of, in the order in which they came."""
    found = grouped(facts)
    assert {fact.reason: list(fact.of) for fact in found} == {
        reason: [what for other, what in facts if other == reason] for reason, _ in facts
    }
    assert len(found) == len({reason for reason, _ in facts})
    assert [len(fact.of) for fact in found] == sorted((len(fact.of) for fact in found), reverse=True)


def test_the_id_of_a_request_makes_no_other_reason() -> None:
    """It stays where it is the only one: who opens a ticket wants it."""
    several = [("HTTP 403: no [request 1]; tried again", "p"), ("HTTP 403: no [request 2]; tried again", "q")]
    assert grouped([*several, ("HTTP 503 [request 3]", "r")]) == (
        Fact("HTTP 403: no; tried again", ("p", "q")),
        Fact("HTTP 503 [request 3]", ("r",)),
    )


def test_counts_are_read_at_a_glance() -> None:
    """With their noun, and a comma for each thousand."""
    assert [many(count, "share") for count in (0, 1, 2, 12_000)] == ["0 shares", "1 share", "2 shares", "12,000 shares"]


def test_of_many_names_the_first_are_told() -> None:
    """Three, and how many there are more."""
    assert first_few(["a"]) == "a"
    assert first_few(["a", "b", "c"]) == "a, b, c"
    assert first_few([str(number) for number in range(1_004)]) == "0, 1, 2 and 1,001 more"
