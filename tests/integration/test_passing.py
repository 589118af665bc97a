"""At the simulated cloud: what heals goes in the next pass, what passes in this one, and what is gone costs little."""

from __future__ import annotations

import pytest
from rehearse import accepted, arrivals, fleet, image, kinds, rehearsal

from worker.core.events import BatchSubmitted, Event
from worker.core.fleet.selection import Selector
from worker.core.status import Status
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.run import run_once
from worker.session.passes import pass_context
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.naming import project_id
from worker.simulator.options import Group
from worker.wiring import pass_request

PUT = (Group.MEMBERS_PUT,)
ALL = {Status.CHANGED: 60}


@pytest.mark.parametrize(
    "effect",
    [
        effects.Refuse(403, code="IMG.0105"),
        effects.Refuse(403, code="APIGW.0310"),
        effects.Refuse(400, code="IMG.0182"),
        effects.Failed("IMG.0182"),
        effects.Failed("IMG.0161"),
    ],
    ids=lambda effect: f"{type(effect).__name__} {effect.code}",
)
async def test_what_heals_goes_with_the_next_pass(effect: effects.Effect) -> None:
    """A right is given, a project thawed, a vault enlarged: the same worker's next pass sends all in one PUT."""
    async with rehearsal(fleet({"p": 60}), faults=[Fault(effect, PUT)]) as worker:
        assert kinds(await worker.run()) == {Status.FAILED: 60}
        assert await worker.journal.quarantine.held() == {}
        worker.cloud.set_faults(())
        assert kinds(await worker.run()) == ALL
        assert [len(put.images) for put in arrivals(worker.cloud, Group.MEMBERS_PUT)] == [60, 60]


@pytest.mark.parametrize("code", ["", "IMG.0061", "IMG.0112"])
async def test_what_a_busy_service_left_undone_goes_within_the_pass(code: str) -> None:
    """Half of the images fail in passing: all are accepted in the end, for one PUT more, and nobody is held."""
    faults = [Fault(effects.Partial(code=code), PUT, times=1)]
    async with rehearsal(fleet({"p": 60}), faults=faults) as worker:
        assert kinds(await worker.run()) == ALL
        assert [len(put.images) for put in arrivals(worker.cloud, Group.MEMBERS_PUT)] == [60, 30]
        assert (accepted(worker.cloud, "p"), await worker.journal.quarantine.held()) == (60, {})


async def test_a_share_that_is_taken_back_after_the_put_is_read_as_gone_once() -> None:
    """At ten images a page: three lists, and that of the accepted once more, not until `polling.verify` is over."""
    world = fleet({"p": 60})

    def take_back(event: Event) -> None:
        if isinstance(event, BatchSubmitted):
            world.revoke(image(7), project_id("p"))

    async with rehearsal(world, batch={"page_size": 10}, polling={"verify": "30s"}) as worker:
        context = await pass_context(worker.inputs, worker.ims, worker.journal, take_back, Deadlines())
        report = await run_once(pass_request(worker.inputs, Selector()), context)
        assert kinds(report) == {Status.CHANGED: 59, Status.ABSENT: 1}
        pages = 60 // 10 + 1
        before, after = pages + 2, 2 * pages + 2
        assert len(arrivals(worker.cloud, Group.IMAGES_LIST)) <= before + after
