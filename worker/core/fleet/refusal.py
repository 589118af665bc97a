"""What guards refuse → the sentence that says it in images, and the projects where it is worst.

The same images are mostly refused in many projects at once: that is one fact, and is said once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.core.facts import many
from worker.core.operation import counts_as_reject
from worker.core.status import ShareStatus

MAX_REJECT, MAX_CHANGE = "max_reject", "max_change"
"""The guards, by their keys in the config."""
_WORST = 3


@dataclass(frozen=True, slots=True)
class Refusal:
    """One guard's limit that a plan exceeds: in a project, or in the whole fleet where `project_id` is empty.

    Of `managed` shares `planned` would change, after `recent` ones of the last 24 hours; `allowance`, as it is
    configured, lets `allowed` of them. The fleet has so many `projects`.
    """

    guard: str
    project_id: str
    project: str
    planned: int
    recent: int
    managed: int
    allowance: str
    allowed: int
    projects: int

    def __str__(self) -> str:
        where = f"project {self.project}" if self.project_id else "the fleet"
        before = f" on top of {self.recent} in the last 24 hours" if self.recent else ""
        return (
            f"{self.guard}: in {where} the plan would {_verb(self.guard)} {self.planned} of {self.managed} managed "
            f"shares{before} ({self.ratio:.0%}); {self.allowance} allows {self.allowed}"
        )

    @property
    def ratio(self) -> float:
        """The part of the shares that would have changed within the day."""
        return (self.planned + self.recent) / self.managed if self.managed else 1.0


def told_refusals(
    refusals: Sequence[Refusal], held: Iterable[ShareStatus], image_names: Mapping[str, str]
) -> tuple[str, ...]:
    """Say in images what each guard refuses. `held` are the shares that the plan would have changed."""
    shares = tuple(held)
    found: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        found.setdefault(refusal.guard, []).append(refusal)
    return tuple(_sentence(guard, those, shares, image_names) for guard, those in found.items())


def worst_projects(refusals: Sequence[Refusal]) -> tuple[tuple[str, ...], int]:
    """Return a line for each of the projects that exceed a limit most, and how many more there are.

    There is none where the limit of one project alone is exceeded: the sentence says all of it.
    """
    worst: dict[str, Refusal] = {}
    for refusal in refusals:
        if refusal.project_id:
            worst.setdefault(refusal.project_id, refusal)
    if len(worst) == len(refusals) == 1:
        return (), 0
    ranked = sorted(worst.values(), key=lambda each: (-each.ratio, -each.planned, each.project))
    return tuple(f"{each.project}: {_numbers(each)}" for each in ranked[:_WORST]), len(ranked[_WORST:])


def _sentence(guard: str, refusals: list[Refusal], held: Iterable[ShareStatus], image_names: Mapping[str, str]) -> str:
    fleet = next((each for each in refusals if not each.project_id), None)
    exceeded = {each.project_id for each in refusals}
    counted = [share for share in held if _counts(guard, share) and (fleet or share.share.project_id in exceeded)]
    images = sorted({image_names.get(each.share.image_id, each.share.image_id) for each in counted})
    named = f" ({images[0]}{' …' if len(images) > 1 else ''})" if images else ""
    what = f"would {_verb(guard)} {many(len(images), 'image')}{named} in"
    if len(refusals) == 1 and fleet is None:
        return f"{what} {refusals[0].project}, {_numbers(refusals[0])}"
    where = f"{len({each.share.project_id for each in counted}):,} of {many(refusals[0].projects, 'project')}"
    if fleet:
        return f"{what} {where}, {_numbers(fleet)}"
    sums = Counter[str]()
    for each in refusals:
        sums.update(planned=each.planned, recent=each.recent, managed=each.managed)
    shares = _shares(sums["planned"], sums["managed"], sums["recent"])
    return f"{what} {where}, {shares} there; {guard} allows {_spaced(refusals[0].allowance)} of each"


def _numbers(refusal: Refusal) -> str:
    shares = _shares(refusal.planned, refusal.managed, refusal.recent)
    return f"{shares}; {refusal.guard} = {_spaced(refusal.allowance)} allows {refusal.allowed:,}"


def _shares(planned: int, managed: int, recent: int) -> str:
    before = f", on top of {recent:,} in the last 24 hours" if recent else ""
    return f"{planned:,} of {many(managed, 'share')}{before}"


def _spaced(allowance: str) -> str:
    return allowance.replace("%", " %")


def _verb(guard: str) -> str:
    return "reject" if guard == MAX_REJECT else "change"


def _counts(guard: str, share: ShareStatus) -> bool:
    return guard != MAX_REJECT or counts_as_reject(share.desired, share.before, share.source)
