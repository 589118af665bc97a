"""Every fault that the simulated cloud knows, in a whole pass: the right word in the report, and nothing sent in vain.

Each pass is for two projects, `struck` and `calm`, each with six pending images and a credential of its own. The fault
befalls the first; the second must come out unharmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import pytest
from rehearse import accepted, arrivals, fleet, image, kinds, manifest_of, of_project, rehearsal

from worker.core.batch import End
from worker.core.calls import CallGroup
from worker.core.exit import Exit
from worker.core.fleet.report import exit_of_report
from worker.core.limits import Rate
from worker.core.status import Status
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.ledger import Arrival
from worker.simulator.model import Account, Answer
from worker.simulator.naming import project_id
from worker.simulator.options import Group, Options
from worker.simulator.options import Rate as Limit
from worker.simulator.server import Simulator
from worker.simulator.world import World

pytestmark = pytest.mark.usefixtures("virtual_time")

LIST, PUT, QUERY = (Group.IMAGES_LIST,), (Group.MEMBERS_PUT,), (Group.JOB_GET,)
KEY = {"kind": "static", "access_key": "AKSTRUCK", "secret_key": "secret-of-the-struck"}
CHANGED, FAILED, UNKNOWN = {Status.CHANGED: 6}, {Status.FAILED: 6}, {Status.UNKNOWN: 6}
UNSETTLED = {Status.UNSETTLED: 6}
ONE_FAILED = {Status.CHANGED: 5, Status.FAILED: 1}
TWO_FAILED = {Status.CHANGED: 4, Status.FAILED: 2}
"""Half of six images fail, and of these, when they are sent once more, the half of three."""
FIRST = (image(0),)
UNKNOWN_FOR = 0.5
LIMIT = Limit(500, 1)


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, and what a pass makes of it: how the struck shares end, what became of them, and for how many PUT.

    `accepted` is what the cloud says in the end, if it is not what the report calls changed; `open` is how many batches
    stay in flight; `says` stands in the reason of each share that was not changed.
    """

    fault: Fault
    ends: Mapping[Status, int]
    puts: int = 1
    accepted: int | None = None
    open: int = 0
    says: str = ""
    options: Options = field(default_factory=Options)

    @property
    def done(self) -> int:
        """How many images of the struck project are accepted in the end."""
        return self.ends.get(Status.CHANGED, 0) if self.accepted is None else self.accepted


CASES = {
    # A read that fails is repeated; a project that cannot be read is left alone.
    "500 to a list": Case(Fault(effects.Refuse(500), LIST, times=1), CHANGED),
    "503 to every list": Case(Fault(effects.Refuse(503, "html"), LIST), UNKNOWN, puts=0, says="503"),
    "403 to a list": Case(Fault(effects.Refuse(403, code="IMG.0026"), LIST), UNKNOWN, puts=0, says="IMG.0026"),
    "404 to a list": Case(Fault(effects.Refuse(404, "glance"), LIST), UNKNOWN, puts=0, says="404"),
    "reset at a list": Case(Fault(effects.Reset(), LIST, times=1), CHANGED),
    "reset after a list": Case(Fault(effects.Reset(after_work=True), LIST, skip=1, times=1), CHANGED),
    "reset at every list": Case(Fault(effects.Reset(), LIST), UNKNOWN, puts=0, says="broke"),
    "hang at a list": Case(Fault(effects.Hang(), LIST, times=1), CHANGED),
    "hang at every list": Case(Fault(effects.Hang(), LIST), UNKNOWN, puts=0, says="no answer in time"),
    "slow lists": Case(Fault(effects.Delay(0.1), LIST), CHANGED),
    "throttled list": Case(Fault(effects.Throttle(limit=LIMIT), LIST, times=1), CHANGED),
    "page for a list": Case(Fault(effects.Page(), LIST), UNKNOWN, puts=0, says="not JSON"),
    "page for a list, once": Case(Fault(effects.Page(), LIST, times=1), CHANGED),
    "list cut short": Case(Fault(effects.Truncated(), LIST, times=1), CHANGED),
    "421 to a list": Case(Fault(effects.Refuse(421, "html"), LIST, times=1), CHANGED),
    "425 to a list": Case(Fault(effects.Refuse(425, "html"), LIST, times=1), CHANGED),
    "list broken off": Case(Fault(effects.Truncated(announced=True), LIST, times=1), CHANGED),
    **{
        f"{status} at a marker": Case(
            Fault(effects.Refuse(status, "html"), LIST, skip=1, times=1), CHANGED, options=Options(page_cap=2)
        )
        for status in (400, 403, 404)
    },
    "403 at every marker": Case(
        Fault(effects.Refuse(403, "html"), LIST, skip=1), UNKNOWN, puts=0, says="403", options=Options(page_cap=2)
    ),
    "gigantic list": Case(Fault(effects.Gigantic(65), LIST, times=1), UNKNOWN, puts=0, says="larger than 16 MB"),
    "list in drops": Case(Fault(effects.Drip(0.1), LIST, times=1), CHANGED),
    "every list in drops": Case(Fault(effects.Drip(0.1), LIST), UNKNOWN, puts=0, says="in vain for long"),
    "mistyped list": Case(Fault(effects.Mistyped(), LIST), UNKNOWN, puts=0, says="not what the API promises"),
    # A PUT whose answer is lost is not sent again before it can no longer be alive.
    "421 to a PUT": Case(Fault(effects.Refuse(421, "html"), PUT, times=1), CHANGED, puts=2),
    "425 after a PUT": Case(Fault(effects.Refuse(425, "html", after_work=True), PUT), CHANGED),
    "500 to a PUT": Case(Fault(effects.Refuse(500), PUT, times=1), CHANGED, puts=2),
    "502 after a PUT": Case(Fault(effects.Refuse(502, "gateway", after_work=True), PUT), CHANGED),
    "reset at a PUT": Case(Fault(effects.Reset(), PUT, times=1), CHANGED, puts=2),
    "reset after a PUT": Case(Fault(effects.Reset(after_work=True), PUT), CHANGED),
    "hang at a PUT": Case(Fault(effects.Hang(), PUT, times=1), CHANGED, puts=2),
    "hang after a PUT": Case(Fault(effects.Hang(after_work=True), PUT), CHANGED),
    "slow PUT": Case(Fault(effects.Delay(0.1), PUT), CHANGED),
    "PUT done after the time-out": Case(Fault(effects.Delay(0.35), PUT, times=1), CHANGED),
    "page for a PUT": Case(Fault(effects.Page(), PUT, times=1), CHANGED, puts=2),
    "answer to a PUT cut short": Case(Fault(effects.Truncated(), PUT), CHANGED),
    "answer to a PUT broken off": Case(Fault(effects.Truncated(announced=True), PUT), CHANGED),
    "gigantic answer to a PUT": Case(Fault(effects.Gigantic(2), PUT), CHANGED),
    "answer to a PUT in drops": Case(Fault(effects.Drip(0.1), PUT, times=1), CHANGED),
    "mistyped answer to a PUT": Case(Fault(effects.Mistyped("job-id-number"), PUT), CHANGED),
    # A refusal is believed at once, and its batch divided where parts of it may fare better: one bad image of six is
    # found for at most 7 PUTs, and where everything fails it is over after at most 9.
    "403 to a PUT": Case(Fault(effects.Refuse(403, code="IMG.0026"), PUT), FAILED, says="IMG.0026"),
    "IMG.0001": Case(Fault(effects.Refuse(400, code="IMG.0001"), PUT), FAILED, puts=8, says="IMG.0001"),
    "IMG.0061 as 400": Case(Fault(effects.Refuse(400, code="IMG.0061"), PUT, times=2), CHANGED, puts=3),
    "413 to six images": Case(Fault(effects.Refuse(413, "gateway"), PUT, times=1), CHANGED, puts=3),
    "poison": Case(Fault(effects.Poison(), image=FIRST), ONE_FAILED, puts=6, says="IMG.0144"),
    "poison without a code": Case(Fault(effects.Poison(code=""), image=FIRST), ONE_FAILED, puts=6, says="HTTP 400"),
    "poisoned vault": Case(Fault(effects.Poison("IMG.0184"), image=FIRST), FAILED, says="IMG.0184"),
    "throttled PUT": Case(Fault(effects.Throttle(limit=LIMIT), PUT, times=2), CHANGED, puts=3),
    "IMG.0060 as 400": Case(Fault(effects.Throttle("ims"), PUT, times=2), CHANGED, puts=3),
    "throttled for a second": Case(Fault(effects.Throttle(limit=LIMIT, retry_after=1), PUT, times=1), CHANGED, puts=2),
    # A job is believed when it fails, and not when it says that all is well; what may pass is sent once more, and what
    # failed as a whole in two parts.
    "partial job": Case(Fault(effects.Partial(), PUT), TWO_FAILED, puts=2, says="IMG.0112"),
    "partial job that says SUCCESS": Case(
        Fault(effects.Partial("SUCCESS"), PUT), TWO_FAILED, puts=2, says="ended as partial"
    ),
    "job partial in passing": Case(Fault(effects.Partial(), PUT, times=1), CHANGED, puts=2),
    "job partial by one image": Case(Fault(effects.Partial(), image=FIRST), ONE_FAILED, puts=2, says="IMG.0112"),
    "job partial by its vault": Case(
        Fault(effects.Partial(code="IMG.0182"), PUT), {Status.CHANGED: 3, Status.FAILED: 3}, says="IMG.0182"
    ),
    "partial job without results": Case(
        Fault(effects.Partial(), PUT, times=1), CHANGED, puts=2, options=Options(legacy="absent")
    ),
    "job failed in passing": Case(Fault(effects.Failed(), PUT, times=1), CHANGED, puts=3),
    "failed job": Case(Fault(effects.Failed(), PUT), FAILED, puts=8, says="IMG.0112"),
    "job failed by one image": Case(
        Fault(effects.Failed("IMG.0144"), image=FIRST), ONE_FAILED, puts=6, says="IMG.0144"
    ),
    "job failed by its vault": Case(Fault(effects.Failed("IMG.0182")), FAILED, says="IMG.0182"),
    "hollow SUCCESS": Case(Fault(effects.Hollow()), FAILED, says="says SUCCESS, yet the image still reads pending"),
    "stuck job": Case(Fault(effects.Stuck()), UNSETTLED, open=1, says="still running past its deadline"),
    # A job that cannot be asked about is settled by what the lists say.
    "500 to a query": Case(Fault(effects.Refuse(500), QUERY, times=1), CHANGED),
    "500 to every query": Case(Fault(effects.Refuse(500), QUERY), CHANGED),
    "reset at a query": Case(Fault(effects.Reset(), QUERY, times=1), CHANGED),
    "reset after a query": Case(Fault(effects.Reset(after_work=True), QUERY, times=1), CHANGED),
    "hang at a query": Case(Fault(effects.Hang(), QUERY, times=1), CHANGED),
    "slow queries": Case(Fault(effects.Delay(0.1), QUERY), CHANGED),
    "throttled query": Case(Fault(effects.Throttle(limit=LIMIT), QUERY, times=1), CHANGED),
    "job lost as 400": Case(Fault(effects.Lost()), CHANGED),
    "job lost as 404": Case(Fault(effects.Lost(polls=1, style="404")), CHANGED),
    "page for a query": Case(Fault(effects.Page(), QUERY, times=1), CHANGED),
    "query cut short": Case(Fault(effects.Truncated(), QUERY, times=1), CHANGED),
    "query broken off": Case(Fault(effects.Truncated(announced=True), QUERY, times=1), CHANGED),
    "gigantic answer to a query": Case(Fault(effects.Gigantic(2), QUERY, times=1), CHANGED),
    "mistyped answer to a query": Case(Fault(effects.Mistyped("status-number"), QUERY, times=1), CHANGED),
    # A credential that is refused is not used again.
    "expired at once": Case(Fault(effects.Expired()), UNKNOWN, puts=0, says="token has expired"),
    "expired before the PUT": Case(Fault(effects.Expired(), PUT), FAILED, says="token has expired"),
    "expired after the PUT": Case(
        Fault(effects.Expired(), QUERY), UNKNOWN, accepted=6, open=1, says="token has expired"
    ),
    "clock skew": Case(Fault(effects.Skew(3600)), UNKNOWN, puts=0, says="60 minutes behind"),
    # A redirect is no answer.
    "redirected list": Case(Fault(effects.Redirect(), LIST), UNKNOWN, puts=0, says="192.0.2.1"),
    "redirected PUT": Case(Fault(effects.Redirect(), PUT, times=1), CHANGED, puts=2),
    "redirected query": Case(Fault(effects.Redirect(status="302"), QUERY, times=1), CHANGED),
}
ANY_SHAPE = ("list", "null", "empty")
SHAPES = {
    Group.IMAGES_LIST: (
        *(*ANY_SHAPE, "images-object", "images-null", "images-text", "id-number", "id-path", "id-missing"),
        *("owner-missing", "name-null", "page-info-text", "next-marker-number"),
    ),
    Group.MEMBERS_PUT: (*ANY_SHAPE, "job-id-number", "job-id-empty"),
    Group.JOB_GET: (*ANY_SHAPE, "status-number", "status-unheard-of", "entities-list", "results-text", "times-odd"),
}
HARMLESS = {"owner-missing", "name-null", "page-info-text"}


def a_world() -> World:
    """Return the cloud with both projects and their credentials."""
    world = fleet({"struck": 6, "calm": 6})
    world.add(Account(KEY["access_key"], KEY["secret_key"]))
    return world


def test_every_effect_has_a_case() -> None:
    """An effect, or a shape of an answer, that is new in the simulator needs a pass here."""
    assert {type(case.fault.effect) for case in CASES.values()} == set(effects.EFFECTS.values())
    assert {shape for shapes in SHAPES.values() for shape in shapes} == set(effects.bodies.SHAPES)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_fault_ends_in_the_right_report(case: Case) -> None:
    """The struck shares end as they must, for as many PUT as needed; the calm project converges as if nothing were."""
    world = a_world()
    manifest = manifest_of(world, credentials={"struck": "struck"})
    fault = replace(case.fault, project=("struck",))
    keys = {"struck": KEY}
    async with rehearsal(world, manifest, faults=[fault], options=case.options, credentials=keys) as worker:
        report = await worker.run()
        assert kinds(report, "struck") == case.ends
        assert kinds(report, "calm") == CHANGED
        assert (accepted(worker.cloud, "struck"), accepted(worker.cloud, "calm")) == (case.done, 6)
        puts = arrivals(worker.cloud, Group.MEMBERS_PUT, "struck")
        assert (len(puts), len(arrivals(worker.cloud, Group.MEMBERS_PUT, "calm"))) == (case.puts, 1)
        assert_patient(puts)
        reasons = {each.reason for each in of_project(report, "struck") if each.status is not Status.CHANGED}
        assert all(case.says in reason and "Traceback" not in reason for reason in reasons)
        assert len(await worker.journal.batches.in_flight()) == case.open
        assert exit_of_report(report) is (Exit.CONVERGED if case.ends == CHANGED else Exit.INCOMPLETE)


@pytest.mark.parametrize("group", SHAPES)
async def test_no_shape_of_an_answer_leads_astray(group: Group) -> None:
    """A list that is not one makes its project unknown; any other answer costs patience at most, and never a PUT."""
    shapes = SHAPES[group]
    faults = [Fault(effects.Mistyped(shape), (group,), project=(shape,)) for shape in shapes]
    async with rehearsal(fleet({"calm": 6, **dict.fromkeys(shapes, 6)}), faults=faults) as worker:
        report = await worker.run()
        unreadable = {*shapes} - HARMLESS if group is Group.IMAGES_LIST else set()
        assert {shape for shape in shapes if kinds(report, shape) == UNKNOWN} == unreadable
        assert {shape for shape in shapes if kinds(report, shape) == CHANGED} == {*shapes} - unreadable
        assert kinds(report, "calm") == CHANGED
        puts = {shape: len(arrivals(worker.cloud, Group.MEMBERS_PUT, shape)) for shape in shapes}
        assert puts == {shape: int(shape not in unreadable) for shape in shapes}


@pytest.mark.parametrize("effect", [effects.Expired(), effects.Skew(3600)], ids=["expired", "clock"])
async def test_a_refused_credential_costs_one_call(effect: effects.Effect) -> None:
    """From the moment its key is refused nothing leaves for six projects, which are unknown; a seventh goes on."""
    names = [f"struck-{number}" for number in range(6)]
    world = fleet({"calm": 6, **dict.fromkeys(names, 6)})
    world.add(Account(KEY["access_key"], KEY["secret_key"]))
    manifest = manifest_of(world, credentials=dict.fromkeys(names, "struck"))
    fault = Fault(effect, access_key=(KEY["access_key"],), skip=4)
    async with rehearsal(world, manifest, faults=[fault], credentials={"struck": KEY}) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: 6, Status.UNKNOWN: 36}
        statuses = [call.status for call in worker.cloud.ledger.arrivals if call.access_key == KEY["access_key"]]
        # Calls that were under way together are refused together; none leaves after that.
        assert statuses[:5] == [200, 200, 200, 200, 401]
        assert len(statuses) < 4 + len(names) + 1


async def test_no_credential_follows_a_redirect() -> None:
    """The host that a redirect names hears nothing, whichever call it answers and with whichever status."""
    statuses: tuple[Literal["301", "302", "307", "308"], ...] = ("301", "302", "307", "308")
    async with Simulator(World()) as elsewhere:
        faults = [
            Fault(effects.Redirect(elsewhere.url, status), group, project=(f"{group[0]} {status}",), times=1)
            for status in statuses
            for group in (LIST, PUT, QUERY)
        ]
        async with rehearsal(fleet({fault.project[0]: 1 for fault in faults}), faults=faults) as worker:
            assert kinds(await worker.run()) == {Status.CHANGED: 8, Status.UNKNOWN: 4}
        assert elsewhere.ledger.peak == 0


async def test_a_throttle_teaches_the_limit_and_pauses_only_its_group() -> None:
    """While job queries pause after a 429, batches go on being sent; the rate that the body names is kept."""
    throttle = Fault(effects.Throttle(limit=Limit(50, 4)), QUERY, times=1)
    slow, single = {"members_put": "1/60ms", "job_get": "900/4s"}, {"max_images": 1}
    async with rehearsal(fleet({"struck": 6}), faults=[throttle], limits=slow, batch=single) as worker:
        report = await worker.run()
        assert kinds(report) == CHANGED
        assert report.calls.throttled == 1
        assert worker.ims.clients.standing()["default"][CallGroup.JOB_GET].rate == Rate(50, 4)
        refused, answered = arrivals(worker.cloud, Group.JOB_GET)[:2]
        assert answered.at - refused.at >= 0.25
        meanwhile = [put for put in arrivals(worker.cloud, Group.MEMBERS_PUT) if refused.at < put.at < answered.at]
        assert len(meanwhile) >= 2


async def test_a_put_that_is_throttled_for_ever_is_given_up() -> None:
    """Waits for a throttle are no attempts, yet they end with the deadline of a job: nothing sent, and a report."""
    async with rehearsal(fleet({"struck": 6}), faults=[Fault(effects.Throttle(limit=LIMIT), PUT)]) as worker:
        assert kinds(await worker.run()) == {Status.NOT_SENT: 6}
        assert await worker.journal.batches.in_flight() == ()


async def test_a_job_that_vanished_with_its_work_is_sent_again() -> None:
    """Nobody knows the job and the images read as before: the same pass sends them once more."""
    faults = [Fault(effects.Hollow(), times=1), Fault(effects.Lost(), QUERY, times=3)]
    async with rehearsal(fleet({"struck": 6}), faults=faults) as worker:
        report = await worker.run()
        assert kinds(report) == CHANGED
        assert len(arrivals(worker.cloud, Group.MEMBERS_PUT)) == 2
        assert [job.end for job in report.jobs] == [End.LOST, End.SUCCEEDED]


async def test_a_stuck_job_is_asked_about_by_the_next_pass_and_not_sent_again() -> None:
    """Two passes, one PUT; as soon as the job's work shows in the lists, the third pass finds it converged."""
    async with rehearsal(fleet({"struck": 6}), faults=[Fault(effects.Stuck())]) as worker:
        for _ in range(2):
            assert kinds(await worker.run()) == UNSETTLED
        for number in range(6):
            worker.cloud.world.share(image(number), project_id("struck"), Answer.ACCEPTED)
        assert (await worker.run()).converged == 6
        assert len(arrivals(worker.cloud, Group.MEMBERS_PUT)) == 1
        assert await worker.journal.batches.in_flight() == ()


async def test_what_failed_is_left_alone_by_the_next_pass() -> None:
    """A poisoned image costs its PUT once: the second pass reports it as quarantined and sends nothing."""
    async with rehearsal(fleet({"struck": 6}), faults=[Fault(effects.Poison(), image=FIRST)]) as worker:
        await worker.run()
        sent = len(arrivals(worker.cloud, Group.MEMBERS_PUT))
        assert kinds(await worker.run()) == {Status.QUARANTINED: 1}
        assert len(arrivals(worker.cloud, Group.MEMBERS_PUT)) == sent


def assert_patient(puts: list[Arrival]) -> None:
    """See that what followed a PUT without an answer came no sooner than `polling.unknown` after its intent.

    The intent is journalled a moment before the PUT arrives.
    """
    waits = [later.at - put.at for put, later in pairwise(puts) if not put.status or put.status >= 500]
    assert all(wait > UNKNOWN_FOR - 0.1 for wait in waits)
