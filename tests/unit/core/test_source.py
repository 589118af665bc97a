"""Who wishes a share: written for people, and read again from what was written."""

from __future__ import annotations

import pytest

from worker.core.source import Source, source_of


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (Source("a/manifest.toml", 12, "share[3]"), "a/manifest.toml:12: share[3]"),
        (Source("manifest.toml", 0, "share[3]"), "manifest.toml: share[3]"),
        (Source("manifest.toml", 7, rule='all "new": ones'), 'manifest.toml:7: rule "all "new": ones"'),
        (Source("what an older worker wrote"), "what an older worker wrote"),
    ],
)
def test_a_source_is_read_again_as_it_was_written(source: Source, text: str) -> None:
    """With its line, which makes no other source of it."""
    assert str(source) == text
    found = source_of(text)
    assert found == source
    assert found is not None
    assert found.line == source.line


def test_nothing_is_no_source() -> None:
    """A row that names nobody."""
    assert source_of("") is None
