"""Name groups: of which group a name is."""

from __future__ import annotations

import pytest

from worker.core.globs import Glob, normal
from worker.core.manifest.groups import NameGroups


@pytest.mark.parametrize(
    ("pattern", "name", "group"),
    [
        ("", "golden-ubuntu-24", "golden-ubuntu"),
        ("", "golden", "golden"),
        ("", "golden-", "golden"),
        ("golden-{name}-*", "golden-ubuntu-24-1", "ubuntu"),
        ("golden-{name}-*", "golden-ubuntu-", None),
        ("golden-{name}-*", "golden--24", None),
        ("golden-{name}-*", "my-golden-ubuntu-24", None),
        ("*-{name}", "golden-ubuntu", "ubuntu"),
        ("golden-{name}", "golden-ubuntu-24", None),
        ("a.c-{name}", "abc-ubuntu", None),
        ("gölden-{name}-*", normal("gölden-ünlü-1"), "ünlü"),
        ("{name}-*", f"a-{'b' * 300}", None),
    ],
)
def test_a_name_is_of_one_group_or_of_none(pattern: str, name: str, group: str | None) -> None:
    """By its last hyphen, or as the pattern says; a name that is longer than any can be is of none."""
    assert NameGroups(pattern).of(name) == group


@pytest.mark.parametrize(
    ("pattern", "glob", "may_be"),
    [
        ("", "golden-*", True),
        ("golden-{name}-*", "golden-*", True),
        ("golden-{name}-*", "golden-ubuntu-*", True),
        ("golden-{name}-*", "g*", True),
        ("golden-{name}-*", "silver-*", False),
    ],
)
def test_a_pattern_of_groups_may_fit_no_name_that_a_glob_matches(*, pattern: str, glob: str, may_be: bool) -> None:
    """Where both begin with something else, which is all that is looked at."""
    assert NameGroups(pattern).may_be_of(Glob(glob)) is may_be
