"""On which line of a document a key stands."""

from __future__ import annotations

import pytest

from worker.simulator.places import Places

TEXT = """# of two users
seed = 7
user = [
  "a = b",
]

[projects."eu-west.101"]   # a name with a dot
id = "x"
[[fault]]
what = "reset"
  times = 2
[[fault]]
what = "hang"
[ limits ]
'members_put' = "1/s"
deep.er = 1
[jobs]
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("seed", 2),
        ("user", 3),
        ("user[1].name", 3),
        ("projects.eu-west.101", 7),
        ("projects.eu-west.101.id", 8),
        ("fault", 9),
        ("fault[0]", 9),
        ("fault[0].times", 11),
        ("fault[0].missing", 9),
        ("fault[1].what", 13),
        ("limits.members_put", 15),
        ("limits.deep.er", 16),
        ("jobs.seconds", 17),
        ("nothing", None),
        ("fault[2].what", 9),
    ],
)
def test_a_place_has_the_line_of_what_is_nearest(place: str, line: int | None) -> None:
    """A key has its own line, what is missing that of its table, and what is nowhere none."""
    shown = f"f.toml:{line}: {place}" if line else f"f.toml: {place}"
    assert Places(TEXT).named("f.toml", place) == shown
