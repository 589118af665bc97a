"""The projects that a credential was told of: as they are listed now, and those that are no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

GONE_AT_MOST = 10_000
"""Projects that are found no more of which a list keeps the names, the latest first."""


class Listed(NamedTuple):
    """A project as the cloud lists it."""

    id: str
    name: str


class Gone(NamedTuple):
    """A project that was listed once, and since when it is no more, in seconds since the epoch."""

    id: str
    name: str
    since: float


@dataclass(frozen=True, slots=True)
class ProjectList:
    """The enabled projects that a credential was told of, and when (seconds since the epoch); None: it never was.

    `gone` are those of earlier lists that are not in it. With a `failure`, which says why it could not be listed again,
    it only stands in.
    """

    at: float | None = None
    projects: tuple[Listed, ...] = ()
    gone: tuple[Gone, ...] = ()
    failure: str = ""


Lists: TypeAlias = Mapping[str, ProjectList]
"""By the name of the credential."""


def renewed(last: ProjectList | None, projects: Iterable[Listed], now: float, keep: float) -> ProjectList:
    """Return the list of a credential as it reads at `now`; what is gone is kept for `keep` seconds."""
    listed = tuple(sorted(set(projects)))
    ids = {each.id for each in listed}
    before = last or ProjectList()
    gone = [each for each in before.gone if each.since > now - keep]
    gone += [Gone(each.id, each.name, now) for each in before.projects]
    lost = {each.id: each for each in gone if each.id not in ids}
    newest = sorted(lost.values(), key=lambda each: (-each.since, each.id))[:GONE_AT_MOST]
    return ProjectList(now, listed, tuple(newest))
