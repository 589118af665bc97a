"""Who may stay connected, whoever comes and goes: in any order of what clients do."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.telemetry.connections import MAX_CONNECTIONS, Place, Room, room

STEPS = st.lists(
    st.tuples(st.sampled_from(["enter", "work", "rest", "leave"]), st.sampled_from("abc"), st.integers(0, 20)),
    max_size=60,
)


@given(STEPS)
def test_the_bounds_hold_and_nobody_at_work_is_cut_off(steps: list[tuple[str, str, int]]) -> None:
    """There are never more than allowed, of one address too, a place is closed once, and only an idle one."""
    space, closed, working = Room(4, 3, 2), [], set()
    for step, address, index in steps:
        if step == "enter":
            place = Place(address, lambda: None)
            place.close = lambda place=place: closed.append(place)
            space.enter(place)
        elif space.open:
            place = list(space.open)[index % len(space.open)]
            getattr(space, step)(place)
            (working.add if step == "work" else working.discard)(place)
        common = [each for each in space.open if not each.reserved]
        assert len(common) <= 4
        assert len(space.open) - len(common) <= 2
        assert all(sum(each.address == name for each in common) <= 3 for name in "abc")
        assert len(closed) == len(set(closed))
        assert not working & set(closed)
        assert {each for of_kind in space.idle.values() for each in of_kind} == set(space.open) - working
        assert all(space.idle.values())


def test_few_files_are_few_connections() -> None:
    """The work needs files too."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
        small = room()
        assert small.most + small.reserved <= 100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert room().most <= MAX_CONNECTIONS


def test_unbounded_files_are_bounded_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs memory all the same."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert room().most == MAX_CONNECTIONS
