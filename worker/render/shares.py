"""Shares that are not as desired, and work that has not ended, for people: one line for one fact, of many the first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.console import Console

from worker.core.facts import Fact, first_few, grouped, many
from worker.core.fleet.report import WAY_TO_WAIT, is_amiss
from worker.core.job import Underway
from worker.core.share import Share
from worker.core.status import ShareStatus, Status
from worker.core.timing import timestamp
from worker.render.names import Names, plain

LINES_SHOWN = 20
"""Of anything that there may be a line for each of; JSON has all."""


def print_statuses(title: str, statuses: Sequence[ShareStatus], style: str, names: Names, console: Console) -> None:
    """Print under a title why shares are not as desired. Print nothing where there is no share.

    Where shares are absent and their wishes do not allow it, say which setting does.
    """
    if statuses:
        console.print(plain(title, style=f"bold {style}"))
    print_by_reason(((_reason(each), each.share) for each in statuses), names, console)
    if any(each.status is Status.ABSENT and is_amiss(each) for each in statuses):
        console.print(plain(f"  {WAY_TO_WAIT}", style="dim"))


def print_by_reason(shares: Iterable[tuple[str, Share]], names: Names, console: Console) -> None:
    """Print a line for each reason, with the shares it is the reason of."""
    facts = grouped(shares)
    for fact in facts[:LINES_SHOWN]:
        console.print(plain(f"  {_told(fact, names)}"))
    if rest := sum(len(fact.of) for fact in facts[LINES_SHOWN:]):
        console.print(plain(f"  and {many(rest, 'more share')} for other reasons (--json shows all)", style="dim"))


def print_underway(title: str, works: Sequence[Underway], style: str, names: Names, console: Console) -> None:
    """Print under a title a line for each job that has not ended. Print nothing where there is none."""
    if works:
        console.print(plain(title, style=f"bold {style}"))
    for work in works[:LINES_SHOWN]:
        console.print(plain(f"  {names.told(work)}"))
    if rest := len(works[LINES_SHOWN:]):
        console.print(plain(f"  and {many(rest, 'more job')} (--json shows all)", style="dim"))


def _reason(share: ShareStatus) -> str:
    allowed = " (its wish allows that)" if share.may_be_absent else ""
    tried = "" if share.next_try is None else f"next try {timestamp(math.ceil(share.next_try), digits='seconds')}: "
    return f"{tried}{share.reason}{allowed}"


def _told(fact: Fact[Share], names: Names) -> str:
    """Name the project and the first of its images; of several projects name the first, and count the shares."""
    projects = sorted({names.project(each.project_id) for each in fact.of})
    images = first_few(sorted({names.image(each.image_id) for each in fact.of}))
    if len(projects) == 1:
        return f"{projects[0]}: {images}: {fact.reason}"
    where = f"{many(len(fact.of), 'share')} in {many(len(projects), 'project')} ({first_few(projects)})"
    return f"{where}: {images}: {fact.reason}"
