"""What guards refuse is said once, in images, with the projects where it is worst."""

from __future__ import annotations

from dataclasses import replace

from worker.core.allowance import Allowance
from worker.core.batch import Change
from worker.core.fleet.guard import GuardPolicy, refusals, tally
from worker.core.fleet.refusal import Refusal, told_refusals, worst_projects
from worker.core.operation import Operation
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus, Status

NAMES = {f"i-{number}": f"golden-{number:03}" for number in range(8)}
PROJECTS = {f"p-{number:03}": f"team-{number:03}" for number in range(300)}


def rejecting(projects: dict[str, int]) -> tuple[Change, ...]:
    """Return the changes that reject so many accepted images in each of these projects."""
    return tuple(
        Change(Share(project, f"i-{number}"), MemberStatus.ACCEPTED, Operation.REJECT)
        for project, count in projects.items()
        for number in range(count)
    )


def refused(
    changes: tuple[Change, ...],
    managed: dict[str, int],
    max_reject: str = "10%",
    max_change: str = "100%",
    recent: dict[str, int] | None = None,
) -> tuple[Refusal, ...]:
    """Return what the guards refuse of these changes."""
    policy = GuardPolicy(Allowance.parse(max_reject), Allowance.parse(max_change))
    return refusals(tally(changes), managed, recent or {}, policy, PROJECTS)


def held(changes: tuple[Change, ...]) -> tuple[ShareStatus, ...]:
    """Return the shares that are not changed."""
    return tuple(change.as_status(Status.NOT_SENT) for change in changes)


def test_a_fleet_that_would_lose_an_image_everywhere_is_one_sentence() -> None:
    """Eight images in 297 of 300 projects are one fact, with the limit; then the three worst projects, and a count."""
    sizes = dict.fromkeys(PROJECTS, 8) | {"p-000": 6, "p-001": 0, "p-002": 0, "p-003": 0}
    changes = rejecting({project: size for project, size in sizes.items() if size})
    found = refused(changes, dict.fromkeys(PROJECTS, 40))
    (told,) = told_refusals(found, held(changes), NAMES)
    assert told == (
        "would reject 8 images (golden-000 …) in 297 of 300 projects, 2,374 of 12,000 shares; "
        "max_reject = 10 % allows 1,200"
    )
    assert worst_projects(found) == (
        tuple(f"team-{number:03}: 8 of 40 shares; max_reject = 10 % allows 4" for number in (4, 5, 6)),
        294,
    )


def test_one_project_that_exceeds_its_limit_is_named_and_not_listed_again() -> None:
    """The sentence has all there is to say; what other projects change is not part of it."""
    changes = rejecting({"p-000": 3, "p-001": 1})
    found = refused(changes, {"p-000": 10, "p-001": 1_000}, recent={"p-000": 1})
    (told,) = told_refusals(found, held(changes), NAMES)
    assert told == (
        "would reject 3 images (golden-000 …) in team-000, 3 of 10 shares, on top of 1 in the last 24 hours; "
        "max_reject = 10 % allows 1"
    )
    assert worst_projects(found) == ((), 0)


def test_some_projects_that_exceed_theirs_are_summed_up_and_the_worst_comes_first() -> None:
    """The limit is of each of them, and the fleet's is not exceeded."""
    changes = rejecting({"p-000": 2, "p-001": 4, "p-002": 1})
    found = refused(changes, {"p-000": 10, "p-001": 10, "p-002": 1_000}, recent={"p-001": 2})
    (told,) = told_refusals(found, held(changes), NAMES)
    assert told == (
        "would reject 4 images (golden-000 …) in 2 of 3 projects, 6 of 20 shares, on top of 2 in the last 24 hours "
        "there; max_reject allows 10 % of each"
    )
    assert worst_projects(found) == (
        (
            "team-001: 4 of 10 shares, on top of 2 in the last 24 hours; max_reject = 10 % allows 1",
            "team-000: 2 of 10 shares; max_reject = 10 % allows 1",
        ),
        0,
    )


def test_each_guard_has_its_sentence_and_counts_what_it_guards() -> None:
    """Accepts are no rejections, and count as changes; a project is worst once, by the first guard it exceeds."""
    accepts = tuple(
        replace(change, before=MemberStatus.PENDING, operation=Operation.ACCEPT) for change in rejecting({"p-001": 2})
    )
    changes = (*rejecting({"p-000": 1}), *accepts)
    found = refused(changes, {"p-000": 2, "p-001": 2}, "0", "1")
    assert told_refusals(found, held(changes), {}) == (
        "would reject 1 image (i-0) in 1 of 2 projects, 1 of 4 shares; max_reject = 0 allows 0",
        "would change 2 images (i-0 …) in 2 of 2 projects, 3 of 4 shares; max_change = 1 allows 1",
    )
    assert worst_projects(found)[0] == (
        "team-001: 2 of 2 shares; max_change = 1 allows 1",
        "team-000: 1 of 2 shares; max_reject = 0 allows 0",
    )


def test_nothing_refused_is_nothing_to_say() -> None:
    """Neither a sentence nor a project."""
    assert told_refusals((), (), {}) == ()
    assert worst_projects(()) == ((), 0)


def test_what_nobody_manages_any_more_is_all_of_it() -> None:
    """A rejection in a project that the manifest no longer counts exceeds every limit, and divides by nothing."""
    changes = rejecting({"p-000": 1})
    assert {refusal.ratio for refusal in refused(changes, {})} == {1.0}
    assert told_refusals(refused(changes, {}), (), {})[0].startswith("would reject 0 images in 0 of 0 projects, ")
