"""How long a run would take, and how long the pass under way has to go, by what the limits let through now."""

from __future__ import annotations

from collections.abc import Mapping

from worker.cloud.ims import Ims
from worker.core.calls import CallGroup
from worker.core.fleet.forecast import Expected, Forecast, Rest, forecast, load_of_rest, load_of_run
from worker.reconcile.run import Prepared
from worker.settings.inputs import Inputs
from worker.wiring import shape


def of_run(prepared: Prepared, inputs: Inputs, ims: Ims, now: float) -> Forecast:
    """Foretell what a run would call that begins at `now` (seconds since the epoch), and how long that takes."""
    plans = prepared.plan.projects
    expected = Expected(
        offers={plan.project.id: plan.offers for plan in plans},
        batches=prepared.batches,
        in_flight={plan.project.id: [sent.intent_at for sent in plan.in_flight] for plan in plans},
        lists_made=ims.counts().made.get(CallGroup.IMAGES_LIST, 0),
    )
    accounts = {plan.project.id: inputs.account_of(plan.project.id) for plan in plans}
    return forecast(load_of_run(expected, accounts, shape(inputs.settings), now), ims.clients.rooms(), now)


def to_go(rest: Rest, inputs: Inputs, ims: Ims, now: float) -> Forecast:
    """Foretell how long what is left of a pass takes from `now` on (seconds since the epoch)."""
    waiting: dict[str, Mapping[CallGroup, int]] = {
        account: {group: standing.waiting for group, standing in groups.items()}
        for account, groups in ims.clients.standing().items()
    }
    known = {*rest.due, *rest.jobs} & inputs.manifest.projects.keys()
    accounts = {project_id: inputs.account_of(project_id) for project_id in known}
    return forecast(load_of_rest(rest, waiting, accounts, shape(inputs.settings), now), ims.clients.rooms(), now)
