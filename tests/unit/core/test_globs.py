"""Globs over names: what they match, and what can be proved of them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.globs import Glob, normal

NFC, NFD = "ünlü-1", unicodedata.normalize("NFD", "ünlü-1")
patterns = st.text("ab*?[]!-", min_size=1, max_size=6)
names = st.text("ab-[]", min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("pattern", "name", "does"),
    [
        ("golden-*", "golden-", True),
        ("golden-*", "golden-ubuntu-1", True),
        ("golden-*", "Golden-ubuntu-1", False),
        ("golden-*", "my-golden-1", False),
        ("golden", "golden-1", False),
        ("golden-?", "golden-12", False),
        ("golden-[0-9]", "golden-7", True),
        ("golden-[!0-9]", "golden-7", False),
        ("*-1", "a\nb-1", True),
        ("a*b*c", "a-b-b-c", True),
        ("[ab", "[ab", True),
        ("[ab*", "[abc", True),
        (NFC, normal(NFD), True),
        (NFD, normal(NFC), True),
        ("?nl?-1", normal(NFD), True),
        ("[ü]nl*", normal(NFD), True),
    ],
)
def test_a_glob_is_about_the_whole_name(*, pattern: str, name: str, does: bool) -> None:
    """In the same case, and however its characters are put together."""
    assert Glob(pattern).matches(name) is does


@given(patterns, names)
def test_what_begins_otherwise_is_never_matched(pattern: str, name: str) -> None:
    """Rules are found by how a name begins, and by a part of it, and none is missed."""
    glob = Glob(pattern)
    if glob.matches(name):
        assert name.startswith(glob.prefix)
        assert glob.part in name


@given(patterns, names)
def test_what_is_proved_of_a_glob_is_so(pattern: str, name: str) -> None:
    """One that matches all names matches each, and one that matches none matches none."""
    glob = Glob(pattern)
    if glob.matches_all:
        assert glob.matches(name)
    if glob.matches_none:
        assert not glob.matches(name)


@pytest.mark.parametrize(("pattern", "is_all"), [("*", True), ("**", True), ("?*", True), ("??*", False), ("?", False)])
def test_a_glob_of_stars_alone_matches_all(*, pattern: str, is_all: bool) -> None:
    """So does one with a single question mark beside them, for no name is empty."""
    assert Glob(pattern).matches_all is is_all


def test_a_range_that_ends_before_it_begins_matches_nothing() -> None:
    """Wherever in the pattern it is."""
    assert Glob("golden-[9-0]*").matches_none
    assert not Glob("golden-(?!)*").matches_none


@given(patterns, patterns, names)
def test_a_glob_that_covers_another_matches_all_that_it_matches(wide: str, narrow: str, name: str) -> None:
    """Whatever their stars, marks and brackets stand for."""
    if Glob(wide).covers(Glob(narrow)) and Glob(narrow).matches(name):
        assert Glob(wide).matches(name)


@pytest.mark.parametrize(
    ("wide", "narrow", "does"),
    [
        ("*", "golden-*", True),
        ("golden-*", "golden-a-*", True),
        ("golden-*", "golden-?", True),
        ("*-1", "golden-?-1", True),
        ("golden-?", "golden-[ab]", True),
        ("golden-[ab]", "golden-a", True),
        ("golden-[ab]", "golden-c", False),
        ("golden-a-*", "golden-*", False),
        ("golden-?", "golden-*", False),
        ("golden-[ab]", "golden-?", False),
        ("golden-[ab]", "golden-[a]", False),
    ],
)
def test_it_is_seen_where_a_glob_covers_another(*, wide: str, narrow: str, does: bool) -> None:
    """Of two brackets only that they are the same."""
    assert Glob(wide).covers(Glob(narrow)) is does
