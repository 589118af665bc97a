"""How shares stood when their projects were last read, for people: the fleet, by image or project, or one image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from rich.console import Console

from worker.core.facts import first_few, many
from worker.core.fleet.last_read import ImageStanding, in_all, last_read_of, told_never
from worker.core.reading import LastReading
from worker.core.share import Share
from worker.core.status import Status
from worker.render.ages import ago
from worker.render.by_image import print_by_image
from worker.render.names import Names, plain
from worker.render.shares import print_statuses


def headline(readings: Mapping[str, LastReading], never: AbstractSet[str], now: float) -> tuple[str, str]:
    """Say whether the fleet is as desired, and how far; return that and its style. `never` are projects never read."""
    total = in_all(map(last_read_of, readings.values()))
    unread = told_never(never)
    if total is None:
        return f"Nothing is known of the fleet: {unread or 'no pass has read it yet'}", "bold yellow"
    when = f" when last read, {ago(total.at, now)} or later"
    rest = f"; {unread}" if unread else ""
    if total.converged < total.desired:
        differ = f"{total.desired - total.converged:,} of {many(total.desired, 'share')}"
        return f"Not as desired: {differ}{when}{rest}", "bold red"
    return f"As desired: {many(total.desired, 'share')}{when}{rest}", "bold yellow" if unread else "bold green"


def print_by_project(
    readings: Mapping[str, LastReading], names: Names, now: float, console: Console, most: int
) -> None:
    """Print a line for each project that is not as desired, the worst first, at `most` so many."""
    ordered = sorted(
        ((names.project(project_id), project_id) for project_id, reading in readings.items() if reading.statuses),
        key=lambda each: (-len(readings[each[1]].statuses), each),
    )
    for name, project_id in ordered[:most]:
        reading = readings[project_id]
        counts = Counter(status.status for status in reading.statuses)
        what = ", ".join(f"{counts[status]:,} {status.replace('_', ' ')}" for status in Status if counts[status])
        console.print(plain(f"  {name}, {ago(reading.at, now)}: {last_read_of(reading)}; {what}"))
    if rest := len(ordered[most:]):
        console.print(plain(f"  and {many(rest, 'project')} more (--all shows every one)", style="dim"))


def print_fleet_by_image(
    readings: Mapping[str, LastReading], but: AbstractSet[Share], names: Names, console: Console, most: int
) -> None:
    """Print a line for each image that is not as desired everywhere, `but` for some shares, at `most` so many."""
    statuses = (status for reading in readings.values() for status in reading.statuses)
    left = (status for status in statuses if status.share not in but)
    print_by_image((), left, names, console, most)


def print_image(standing: ImageStanding, names: Names, now: float, console: Console) -> None:
    """Print in how many projects an image is as desired, and where it is not and why."""
    name, wished = names.image(standing.image_id), many(standing.desired, "project")
    when = "" if standing.at is None else f" when last read, {ago(standing.at, now)} or later"
    style = "bold green" if standing.converged == standing.desired else "bold red"
    if not standing.desired:
        console.print(plain(f"{name} is wished for in no project", style="bold yellow"))
        return
    console.print(plain(f"{name}: as desired in {standing.converged:,} of {wished}{when}", style=style))
    for status in Status:
        if found := [each for each in standing.amiss if each.status is status]:
            print_statuses(status.replace("_", " ").capitalize(), found, "yellow", names, console)
    if standing.never:
        projects = sorted(map(names.project, standing.never))
        console.print(plain(f"Never read: {many(len(projects), 'project')} ({first_few(projects)})", style="yellow"))
