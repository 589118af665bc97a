"""Keys and tables that a TOML document gives twice, which the quick parser only says of the second one."""

from __future__ import annotations

from typing import NamedTuple

from worker.core.places import Kind, Path, Place, walk

_MAY_FOLLOW: dict[Kind, set[Kind]] = {
    Kind.ABOVE: {Kind.ABOVE, Kind.TABLE, Kind.DOTTED, Kind.ARRAY},
    Kind.ARRAY: {Kind.ARRAY},
    Kind.DOTTED: {Kind.DOTTED, Kind.ABOVE},
    Kind.TABLE: {Kind.ABOVE},
    Kind.VALUE: set(),
}
"""What may have been written before where something is written now: a header may come after those below it, say."""


class Duplicate(NamedTuple):
    """A path that is written a second time, and where it was first."""

    path: Path
    second: Place
    first: Place
    is_table: bool


def find_duplicates(source: bytes) -> list[Duplicate]:
    """Return what a document gives twice, each time that it does so again."""
    first: dict[Path, tuple[Kind, Place]] = {}
    found = []

    def note(path: Path, kind: Kind, place: Place) -> None:
        before, earlier = first.setdefault(path, (kind, place))
        may_follow = _MAY_FOLLOW.get(kind)
        if may_follow is None or earlier is place:
            return
        if before not in may_follow:
            found.append(Duplicate(path, place, earlier, kind in {Kind.TABLE, Kind.ARRAY}))
        elif kind is Kind.TABLE:
            first[path] = kind, place

    walk(source, lambda _: True, note)
    return found
