"""What a plan does with each image: one line of each, whatever the number of projects."""

from __future__ import annotations

from consoles import piped

from worker.core.batch import Change
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus, Status
from worker.render.by_image import IMAGES_SHOWN, print_by_image
from worker.render.names import Names

PROJECTS = {f"p-{number:02}": Project(f"p-{number:02}", f"team-{number:02}") for number in range(30)}
NAMES = Names(PROJECTS, {"i-1": "golden", "i-2": "silver"}, {"v-1": "nightly"})


def accept(
    image: str, *projects: int, before: MemberStatus = MemberStatus.PENDING, vault: str | None = None
) -> list[Change]:
    """Return accepts of an image in these projects."""
    return [Change(Share(f"p-{number:02}", image), before, Operation.ACCEPT, vault) for number in projects]


def reject(image: str, *projects: int, before: MemberStatus = MemberStatus.ACCEPTED) -> list[Change]:
    """Return rejects of an image in these projects."""
    return [Change(Share(f"p-{number:02}", image), before, Operation.REJECT) for number in projects]


def absent(image: str, *projects: int) -> list[ShareStatus]:
    """Return shares of an image that are absent in these projects."""
    return [ShareStatus(Share(f"p-{number:02}", image), Status.ABSENT, Operation.ACCEPT) for number in projects]


def shown(changes: list[Change], left: list[ShareStatus], most: int = IMAGES_SHOWN) -> list[str]:
    """Return the lines that are shown to a pipe."""
    return piped(lambda console: print_by_image(changes, left, NAMES, console, most)).splitlines()


def test_an_image_is_one_line_with_the_first_of_its_projects() -> None:
    """However many there are, in the order of their names; what is left out follows in it."""
    (line,) = shown(accept("i-1", *reversed(range(26))), absent("i-1", 28, 27))
    given = "accept in 26 projects (team-00, team-01, team-02 and 23 more)"
    assert line == f"+ golden  {given}; absent in 2 projects (team-27, team-28)"


def test_what_is_taken_comes_first_then_what_is_given_then_what_stays() -> None:
    """And by name within each; the gravest that happens to an image decides."""
    changes = [*accept("i-2", 1), *accept("i-1", 1, 2), *reject("i-3", 4), *accept("i-3", 5)]
    lines = shown(changes, absent("i-0", 1))
    assert [line[:5] for line in lines] == ["- i-3", "+ gol", "+ sil", "~ i-0"]
    assert lines[0] == "- i-3  reject in team-04; accept in team-05"
    assert lines[3] == "~ i-0  absent in team-01"


def test_what_is_unusual_is_said() -> None:
    """A share that was rejected is accepted, one that is pending is rejected, and into which vault, by its name."""
    changes = [
        *accept("i-1", 1),
        *accept("i-1", 2, before=MemberStatus.REJECTED),
        *accept("i-1", 3, vault="v-1"),
        *accept("i-1", 4, vault="v-2"),
    ]
    (line,) = shown(changes, [])
    into_vaults = "accept in team-03, into vault nightly; accept in team-04, into vault v-2"
    assert line == f"+ golden  accept in team-01; {into_vaults}; accept in team-02, rejected before"
    assert shown(reject("i-1", 1, before=MemberStatus.PENDING), []) == ["- golden  reject in team-01, pending before"]


def test_of_many_images_the_first_are_shown_and_the_others_counted() -> None:
    """All of them where that is asked for."""
    changes = [change for number in range(10_000) for change in accept(f"i-{number:05}", 1)]
    lines = shown(changes, [])
    assert len(lines) == IMAGES_SHOWN + 1
    assert lines[-1] == "and 9,940 more images (--all shows every one)"
    assert len(shown(changes, [], most=20_000)) == 10_000


def test_nothing_is_shown_where_nothing_differs() -> None:
    """Not even a line's end."""
    assert shown([], []) == []


def test_hostile_names_are_shown_and_not_obeyed() -> None:
    """Neither as control sequences nor as markup."""
    hostile = Names({"p": Project("p", "\x1b[31m[bold]")}, {"i": "a\nb"})
    changes = [Change(Share("p", "i"), MemberStatus.PENDING, Operation.ACCEPT)]
    text = piped(lambda console: print_by_image(changes, [], hostile, console, 1))
    assert text == "+ a\\nb  accept in \\x1b[31m[bold]\n"
