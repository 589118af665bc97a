"""The status page as one document, and its tables of statuses; what it shows is tested in a browser."""

from __future__ import annotations

import gzip
import re
from importlib.resources import files

import msgspec
import pytest

from worker.core.status import STANDING, Status
from worker.telemetry.page.joined import SCRIPTS, STYLES, joined_page
from worker.telemetry.page.statuses import HELP, colour_of, status_script, status_styles

PARTS = files("worker.telemetry.page")
LIGHT, DARK = (PARTS / "colours.css").read_text().split("@media (prefers-color-scheme: dark)")


def test_the_page_is_one_small_file_without_an_outside_address() -> None:
    """One script, one style, nothing that the policy would refuse, no address of anybody else, no markup from data."""
    source = joined_page().decode()
    assert len(gzip.compress(source.encode())) < 24_000
    assert (source.count("<script"), source.count("<style")) == (1, 1)
    assert not re.findall(
        r"https?:|//\w|style=|\son\w+=\"|javascript:|innerHTML|insertAdjacent|document\.write|eval\(", source
    )


def test_every_script_and_style_is_in_the_page_and_none_is_long() -> None:
    """A file that the list forgets would be linted and never served."""
    found = {part.name: part.read_text() for part in PARTS.iterdir() if part.name.endswith((".js", ".css"))}
    assert sorted(found) == sorted((*SCRIPTS, *STYLES))
    page = joined_page().decode()
    assert [name for name, text in found.items() if text not in page] == []
    assert [name for name, text in found.items() if text.count("\n") > 300] == []


def test_the_script_knows_every_status_that_a_share_may_have() -> None:
    """Each has a letter of its own, a sign, words, and what it means or what to do about it."""
    (declared,) = re.findall(r"^const STATUSES = (.*);$", status_script(), re.DOTALL | re.MULTILINE)
    known = msgspec.json.decode(declared)
    assert set(known) == {status.value for status in STANDING} == set(HELP)
    assert {name: each["letter"] for name, each in known.items()} == {each.value: each.letter for each in STANDING}
    assert len({each["letter"] for each in known.values()} | {"."}) == len(STANDING) + 1
    assert all(each["sign"] and each["words"] and each["help"] for each in known.values())


@pytest.mark.parametrize("status", STANDING)
def test_every_status_has_its_colours(status: Status) -> None:
    """What bears its letter has the two colours of its name; the light scheme defines them, the dark one may differ."""
    colour = colour_of(status)
    assert f"[data-is={status.letter}] {{ background: var({colour}); color: var({colour}-ink); }}" in status_styles()
    for name in (colour, f"{colour}-ink"):
        assert len(re.findall(rf"^ +{name}: \S.*;$", LIGHT, re.MULTILINE)) == 1, name
        assert len(re.findall(rf"^ +{name}: \S.*;$", DARK, re.MULTILINE)) <= 1, name
