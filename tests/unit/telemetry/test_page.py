"""The file of the status page; what it shows is tested in a browser."""

from __future__ import annotations

import re

from browser import PAGE


def test_the_page_is_one_small_file_without_an_outside_address() -> None:
    """One script, one style, nothing that the policy would refuse, no address of anybody else, no markup from data."""
    source = PAGE.read_text()
    assert len(source.encode()) < 60_000
    assert (source.count("<script"), source.count("<style")) == (1, 1)
    assert not re.findall(
        r"https?:|//\w|style=|\son\w+=\"|javascript:|innerHTML|insertAdjacent|document\.write|eval\(", source
    )
