"""Plans of small invented fleets, and what a pass tells of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from strategies import EPOCH

from worker.core.batch import Change, InFlight
from worker.core.events import Event, Planned, ProjectPlanned
from worker.core.fleet.plan import Plan, make_plan
from worker.core.fleet.refusal import Refusal
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.operation import Operation
from worker.core.project.drift import VaultPolicy
from worker.core.project.plan import Known, ProjectPlan, Terms, digest_of, plan_project
from worker.core.project.wishes import Wishes
from worker.core.quarantine import Quarantined
from worker.core.reading import ObservedImage, Offer, Reading
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus

REFUSAL = Refusal("max_reject", "", "", 5, 0, 9, "10%", 1, 3)
"""A guard's word on a plan that would reject too much of the fleet."""
NOTHING_OFFERED = Reading({})
_NOBODY: Mapping[Share, Quarantined] = MappingProxyType({})


def reading(offers: Mapping[str, MemberStatus]) -> Reading:
    """Return a reading of a project that has answered to images, by id, like this."""
    return Reading({image: Offer(ObservedImage(image, image, "owner"), said) for image, said in offers.items()})


def planned(
    manifest: Manifest,
    readings: Mapping[str, Reading] = MappingProxyType({}),
    in_flight: Sequence[InFlight] = (),
    quarantined: Mapping[Share, Quarantined] = _NOBODY,
    now: float = EPOCH,
) -> Planned:
    """Tell of the plan for a manifest at `now`; a project without a reading was read, and is offered nothing."""
    terms = Terms(manifest, frozenset(), VaultPolicy.WHEN_NEEDED)
    plans = [
        plan_project(
            project,
            readings.get(project_id, NOTHING_OFFERED),
            terms,
            known_of(project_id, in_flight, quarantined, now),
        )
        for project_id, project in manifest.projects.items()
    ]
    managed = {each.project.id: each.managed for each in plans}
    return Planned(make_plan(plans, managed, manifest.image_names), manifest.image_names, 0, 0, ())


def tell(listener: Callable[[Event], None], *told: Event) -> None:
    """Tell a listener of events; of a plan as a pass does, one project after the other, and then of the whole."""
    for event in told:
        for project in event.plan.projects if isinstance(event, Planned) else ():
            listener(ProjectPlanned(project))
        listener(event)


def known_of(
    project_id: str, in_flight: Sequence[InFlight], quarantined: Mapping[Share, Quarantined], now: float
) -> Known:
    """Return what is known of one project at `now` before it is read."""
    return Known(
        now,
        tuple(each for each in in_flight if each.batch.project_id == project_id),
        {share.image_id: each for share, each in quarantined.items() if share.project_id == project_id},
    )


def plan_of(
    wishes: Mapping[str, Iterable[str]],
    changes: Sequence[Change] = (),
    statuses: Sequence[ShareStatus] = (),
    projects: Mapping[str, Project] = MappingProxyType({}),
    **facts: object,
) -> Plan:
    """Return the plan for images to accept, by project: what is no change and has no status is as desired.

    `facts` take the place of what the plan would say.
    """
    plans = [
        _project_plan(
            projects.get(project_id, Project(project_id, f"name of {project_id}")),
            dict.fromkeys(images, Wish(Operation.ACCEPT)),
            tuple(each for each in changes if each.share.project_id == project_id),
            tuple(each for each in statuses if each.share.project_id == project_id),
        )
        for project_id, images in wishes.items()
    ]
    plan = make_plan(plans, {each.project.id: each.managed for each in plans})
    return replace(plan, **facts)  # type: ignore[arg-type]


def _project_plan(
    project: Project, wishes: Mapping[str, Wish], changes: tuple[Change, ...], statuses: tuple[ShareStatus, ...]
) -> ProjectPlan:
    count = len(wishes)
    converged = count - len(changes) - len(statuses)
    digest = digest_of(changes)
    return ProjectPlan(project, Wishes(wishes), wishes, count, converged, changes, statuses, digest=digest)
