"""The client against a cloud on loopback: every way through, within its limits, whatever goes wrong there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from virtual import wall

from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.config import AccountCredential, CloudConfig
from worker.cloud.ims import Ims
from worker.cloud.regions import Endpoints, Service
from worker.cloud.request import Connections
from worker.core.batch import Batch, End
from worker.core.calls import CallGroup, CallRecord
from worker.core.job import JobApi, JobReply
from worker.core.limits import Rate
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.polling.price import PollLimit
from worker.core.share import MemberStatus
from worker.core.timing import RetryPolicy
from worker.errors import AuthFailed, BadRequest, NotFound, Scope, TransientCloudError, UnexpectedReply
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.jobs import JobRules
from worker.simulator.model import Account, Answer, Image, Vault
from worker.simulator.options import Group, Limits, Options
from worker.simulator.options import Rate as Limit
from worker.simulator.server import Simulator
from worker.simulator.world import World

pytestmark = pytest.mark.usefixtures("virtual_time")

OWNER = "0" * 32
PROJECT = Project("edc89b490d7d4392898e19b2deb34797", "payments")
IMAGES = tuple(f"{n:08x}-1bc3-4c3f-893e-3e471fd16e64" for n in range(7))
VAULT = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000"
KEYS = SigningKeys("AKEXAMPLE0000000000A", "SKexample/0000000000000000000000000000AB")


def world() -> World:
    """Return a cloud that offers seven images to the project, the last a full-ECS one, and checks signatures."""
    made = World(wall, JobRules(seconds=(0.0, 0.0)))
    made.add(Account(KEYS.access_key, KEYS.secret_key))
    made.add_project(OWNER)
    made.add_project(PROJECT.id)
    made.add(Vault(VAULT, PROJECT.id))
    for image_id in IMAGES:
        made.add(Image(image_id, f"image {image_id[:8]}", OWNER, full_ecs=image_id == IMAGES[-1]))
        made.share(image_id, PROJECT.id)
    return made


@dataclass(frozen=True, slots=True)
class Scene:
    """A cloud, a client, and what the client told of its calls."""

    cloud: Simulator
    ims: Ims
    records: list[CallRecord]

    async def listed(self, status: MemberStatus = MemberStatus.PENDING, *, full_ecs: bool | None = None) -> set[str]:
        """Return the ids that the project's list has."""
        return {image.id async for page in self.ims.list_shared(PROJECT, status, full_ecs=full_ecs) for image in page}

    async def update(self, *images: str, vault_id: str | None = None) -> str:
        """Accept some images; return the job id."""
        batch = Batch(PROJECT.id, Operation.ACCEPT, vault_id, images)
        return await self.ims.update_members(PROJECT, batch, _no_journal)


async def _no_journal() -> None:
    return


@asynccontextmanager
async def scene(
    *faults: Fault, options: Options | None = None, cloud_limits: Limits | None = None, **changes: Any
) -> AsyncIterator[Scene]:
    """Open a cloud with these faults, and a client to it with this config."""
    records: list[CallRecord] = []
    async with Simulator(world(), faults=faults, options=options, limits=cloud_limits) as cloud:
        config = CloudConfig(
            credentials={"default": AccountCredential("default", StaticKeys(KEYS))},
            limits=dict.fromkeys(CallGroup, Rate(1000, 60)),
            burst=Rate(1000, 1),
            learn=True,
            retry=RetryPolicy(4, 0.01, 0.02),
            endpoints=Endpoints(given={Service.IMS: cloud.url}),
            page_size=3,
            job_api=JobApi.AUTO,
            connections=Connections(connect_timeout=2, read_timeout=0.5, max_connections=8, ca_file=""),
            clock=wall,
            observer=records.append,
        )
        async with Ims.open(replace(config, **changes)) as ims:
            yield Scene(cloud, ims, records)


async def test_the_whole_way() -> None:
    """Images are listed, accepted with a signed request, followed to the end, and listed as accepted."""
    async with scene() as it:
        assert await it.listed() == set(IMAGES)
        job_id = await it.update(*IMAGES[:2])
        reply = await it.ims.get_job(PROJECT, job_id)
        assert replace(reply, lasted=None) == JobReply(End.SUCCEEDED, dict.fromkeys(IMAGES[:2], True))
        assert reply.lasted is not None
        assert await it.listed(MemberStatus.ACCEPTED) == set(IMAGES[:2])


async def test_a_vault_travels_with_its_batch() -> None:
    """A full-ECS image is accepted into the vault that the batch names, and fails without one."""
    async with scene() as it:
        failed = await it.ims.get_job(PROJECT, await it.update(IMAGES[-1]))
        assert (failed.end, failed.scope) == (End.FAILED, Scope.VAULT)
        await it.ims.get_job(PROJECT, await it.update(IMAGES[-1], vault_id=VAULT))
        assert it.cloud.world.status(IMAGES[-1], PROJECT.id) is Answer.ACCEPTED


@pytest.mark.parametrize("page_info", ["object", "array", "absent"])
@pytest.mark.parametrize("page_cap", [0, 2])
async def test_every_kind_of_paging_is_read_to_the_end(page_info: Any, page_cap: int) -> None:
    """With and without `page_info`, and with pages smaller than asked for, no image is missed."""
    async with scene(options=Options(page_info=page_info, page_cap=page_cap)) as it:
        assert await it.listed() == set(IMAGES)


async def test_a_server_that_ignores_the_marker_is_noticed() -> None:
    """The first page again and again is not taken for the whole list."""
    async with scene(options=Options(marker="ignored", page_info="absent")) as it:
        with pytest.raises(UnexpectedReply, match="the marker is ignored"):
            await it.listed()


@pytest.mark.parametrize("attribute", ["absent", "boolean", "string"])
async def test_full_ecs_images_are_found(attribute: Any) -> None:
    """The filter finds them, and the attribute where the list has it."""
    async with scene(options=Options(whole_attribute=attribute)) as it:
        assert await it.listed(full_ecs=True) == {IMAGES[-1]}


@pytest.mark.parametrize("legacy", ["absent", "forbidden"])
async def test_the_newer_job_query_takes_over(legacy: Any) -> None:
    """Where the older one is gone or forbidden, one call finds that out; then its limit is that of the newer one."""
    older, newer = Rate(1000, 60), Rate(200, 300)
    limits = {**dict.fromkeys(CallGroup, older), CallGroup.JOB_PROGRESS: newer}
    async with scene(options=Options(legacy=legacy), limits=limits) as it:
        job_id = await it.update(IMAGES[0])
        assert it.ims.job_limit(PROJECT) == PollLimit("default", older)
        for _ in range(3):
            assert (await it.ims.get_job(PROJECT, job_id)).end is End.SUCCEEDED
        assert it.ims.job_limit(PROJECT) == PollLimit("default", newer)
        assert (it.ims.counts().made[CallGroup.JOB_GET], it.ims.counts().made[CallGroup.JOB_PROGRESS]) == (1, 3)


@pytest.mark.parametrize("style", ["IMG.0023", "404"])
async def test_an_unknown_job_is_not_found(style: Any) -> None:
    """Either answer of the cloud for a job it does not know is read as such."""
    async with scene(options=Options(job_missing=style)) as it:
        with pytest.raises(NotFound):
            await it.ims.get_job(PROJECT, "f" * 32)


@pytest.mark.parametrize(
    "effect",
    [
        effects.Refuse(status=500),
        effects.Refuse(status=503, body="html"),
        effects.Reset(),
        effects.Reset(after_work=True),
        effects.Hang(),
        effects.Page(),
        effects.Truncated(),
        effects.Refuse(status=421, body="html"),
        effects.Refuse(status=425),
    ],
    ids=["500", "503", "reset", "reset-after", "hang", "page", "cut", "421", "425"],
)
async def test_reads_survive_what_passes(effect: effects.Effect) -> None:
    """A failure of one call in the middle of a list costs a repeat, and the list is complete."""
    async with scene(Fault(effect, on=(Group.IMAGES_LIST,), skip=1, times=1)) as it:
        assert await it.listed() == set(IMAGES)
        assert it.ims.counts().retried == 1


async def test_a_redirect_ends_a_read() -> None:
    """It makes the project unreadable without repeats: the endpoint is another one."""
    async with scene(Fault(effects.Redirect(), on=(Group.IMAGES_LIST,))) as it:
        with pytest.raises(UnexpectedReply):
            await it.listed()
        assert it.ims.counts().made == {CallGroup.IMAGES_LIST: 1}


@pytest.mark.parametrize(
    ("effect", "accepted"),
    [
        (effects.Reset(), 0),
        (effects.Reset(after_work=True), 1),
        (effects.Hang(after_work=True), 1),
        (effects.Refuse(status=502, after_work=True), 1),
    ],
    ids=["reset", "reset-after", "hang-after", "502-after"],
)
async def test_a_lost_answer_to_a_write_is_left_open(effect: effects.Effect, accepted: int) -> None:
    """Whether or not the work was done, one PUT arrives and the error says that nobody knows."""
    async with scene(Fault(effect, on=(Group.MEMBERS_PUT,))) as it:
        with pytest.raises(TransientCloudError) as caught:
            await it.update(IMAGES[0])
        assert not caught.value.nothing_done
        assert len(it.cloud.world.jobs) == accepted
        assert [arrival.group for arrival in it.cloud.ledger.arrivals] == [Group.MEMBERS_PUT]


async def test_a_poisoned_batch_is_refused_with_its_cause() -> None:
    """A refusal for the sake of one image says so, and one without a code says nothing."""
    poison = Fault(effects.Poison(), image=(IMAGES[1],))
    async with scene(poison) as it:
        with pytest.raises(BadRequest) as caught:
            await it.update(*IMAGES[:3])
        assert caught.value.scope is Scope.IMAGE
        it.cloud.set_faults([replace(poison, effect=effects.Poison(code=""))])
        with pytest.raises(BadRequest) as caught:
            await it.update(*IMAGES[:3])
        assert caught.value.scope is Scope.UNSAID


async def test_a_bad_key_costs_one_request() -> None:
    """Forty projects on a key that is refused make one call, so that the key is not blocked."""
    wrong = {"default": AccountCredential("default", StaticKeys(replace(KEYS, secret_key="wrong")))}
    async with scene(credentials=wrong) as it:
        calls = (it.ims.get_job(replace(PROJECT, id=f"{n:032x}"), "f" * 32) for n in range(40))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, AuthFailed) for result in results)
        assert len(it.cloud.ledger.arrivals) == 1


async def test_a_clock_that_is_off_is_named() -> None:
    """A refused signature says by how much this machine's clock differs from the cloud's."""
    async with scene(Fault(effects.Skew(seconds=3600))) as it:
        with pytest.raises(AuthFailed, match="this machine's clock is 60 minutes behind the cloud's"):
            await it.listed()


async def test_the_limits_are_kept() -> None:
    """With the cloud's own limit configured it never has to throttle, however many calls wait."""
    mine = {**dict.fromkeys(CallGroup, Rate(1000, 60)), CallGroup.JOB_GET: Rate(10, 0.25)}
    async with scene(cloud_limits=Limits(job_get=Limit(10, 0.25)), limits=mine) as it:
        job_id = await it.update(IMAGES[0])
        await asyncio.gather(*(it.ims.get_job(PROJECT, job_id) for _ in range(45)))
        assert it.ims.counts().throttled == 0
        assert it.cloud.ledger.counts[Group.JOB_GET, 200] == 45


async def test_a_throttle_teaches_the_limit() -> None:
    """A client that knows no limit is throttled, learns the rate from the answer, and gets everything done."""
    async with scene(cloud_limits=Limits(job_get=Limit(5, 1))) as it:
        job_id = await it.update(IMAGES[0])
        replies = await asyncio.gather(*(it.ims.get_job(PROJECT, job_id) for _ in range(12)))
        assert {reply.end for reply in replies} == {End.SUCCEEDED}
        assert it.ims.counts().throttled > 0
        assert it.ims.clients.standing()["default"][CallGroup.JOB_GET].rate == Rate(5, 1)


async def test_calls_are_told() -> None:
    """The observer gets a record of each attempt, failed ones with their reason."""
    async with scene(Fault(effects.Refuse(status=500), times=1)) as it:
        await it.listed()
        first, second, *_ = it.records
        assert (first.status, first.attempt, second.status, second.attempt) == (500, 1, 200, 2)
        assert first.error.startswith("HTTP 500 IMG.0061: Simulated failure. [request ")
