"""What fails as a whole is divided, against a simulated cloud: PUTs are counted, and what came of each share.

That the bounds hold wherever bad images lie is a property of the division alone, tested there; here a few places of
each kind are tried with all that is around it, many with `SOAK=1`.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rehearse import (
    Worker,
    accepted,
    arrivals,
    fleet,
    image,
    kinds,
    manifest_of,
    quick,
    rehearsal,
    sent_while_alive,
    working,
)

from worker.cloud.limits.throttle import Throttle
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.calls import CallGroup
from worker.core.events import BatchSizeLearned
from worker.core.share import Share
from worker.core.status import Status
from worker.simulator import effects
from worker.simulator.effects.effect import Effect
from worker.simulator.faults import Fault
from worker.simulator.ledger import Arrival
from worker.simulator.naming import project_id
from worker.simulator.options import Group, Options
from worker.simulator.server import Simulator

PUT = Group.MEMBERS_PUT
WHOLE = 100
ANYWHERE = 20 if os.environ.get("SOAK") else 1
A_BAD_IMAGE: Mapping[str, Effect] = {
    "refused for an image": effects.Poison("IMG.0144"),
    "refused without a code": effects.Poison(""),
    "its job failed for an image": effects.Failed("IMG.0144", "The image does not exist."),
    "its job failed without a word": effects.Failed("", ""),
}
KEY = SizeKey("default", "")
STYLES = ["413", "IMG.0001", "unsaid"]
FLEET = {f"project-{number}": size for number, size in enumerate((100, 100, 60, 200, 100, 37, 150, 100))}


def places(count: int) -> list[tuple[int, ...]]:
    """Return where so many bad images of a hundred may lie: together at either end and in the middle, and anywhere."""
    chance = random.Random(count)
    starts = (0, (WHOLE - count) // 2, WHOLE - count)
    together = [tuple(range(start, start + count)) for start in starts]
    anywhere = [tuple(sorted(chance.sample(range(WHOLE), count))) for _ in range(ANYWHERE)]
    return [*together, *anywhere]


CASES = [(how, bad) for how in A_BAD_IMAGE for count in (1, 2, 3, 5, 9) for bad in places(count)]


def poisoned(effect: Effect, bad: Collection[int], **more: Any) -> Fault:
    """Return a fault that strikes the PUTs with one of these images."""
    return Fault(effect, image=tuple(map(image, bad)), **more)


@pytest.mark.parametrize(("how", "bad"), CASES, ids=[f"{how}: {','.join(map(str, bad))}" for how, bad in CASES])
async def test_all_others_converge_wherever_a_few_bad_images_lie(how: str, bad: tuple[int, ...]) -> None:
    """One pass: all others are changed, the bad ones fail alone, for fifteen PUTs each at most."""
    async with rehearsal(fleet({"p": WHOLE}), faults=[poisoned(A_BAD_IMAGE[how], bad)]) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: WHOLE - len(bad), Status.FAILED: len(bad)}
        assert accepted(worker.cloud, "p") == WHOLE - len(bad)
        assert len(arrivals(worker.cloud, PUT)) <= 15 * len(bad)
        failed = {each.share.image_id for each in report.outcomes if each.status is Status.FAILED}
        assert failed == {image(number) for number in bad} == {share.image_id for share in await held(worker)}


@pytest.mark.parametrize("how", A_BAD_IMAGE)
async def test_where_every_image_fails_the_division_stops(how: str) -> None:
    """A hundred bad images of a hundred cost seventeen PUTs, all are held, most of them as one."""
    async with rehearsal(fleet({"p": WHOLE}), faults=[poisoned(A_BAD_IMAGE[how], range(WHOLE))]) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.FAILED: WHOLE}
        assert len(arrivals(worker.cloud, PUT)) <= 17
        together = {each.failed_batch_size for each in (await worker.journal.quarantine.held()).values()}
        assert min(together) == 1
        assert max(together) > WHOLE / 2


@pytest.mark.parametrize(("names", "most"), [("all", 2), ("first", 6)])
@pytest.mark.parametrize("code", ["IMG.0144", ""])
async def test_images_that_a_refusal_names_are_taken_out_at_once(code: str, names: Any, most: int) -> None:
    """Five bad images that the refusals name cost one PUT more, or one for each where they are named one by one."""
    bad = places(5)[-1]
    async with rehearsal(fleet({"p": WHOLE}), faults=[poisoned(effects.Poison(code, names), bad)]) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: WHOLE - 5, Status.FAILED: 5}
        assert len(arrivals(worker.cloud, PUT)) <= most
        assert (await worker.journal.batch_sizes.known()).values == ((KEY, BatchSize(WHOLE - 5)),)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("maximum", [10, 37, 99])
async def test_a_maximum_is_found_by_the_batches_that_are_due(tmp_path: Path, maximum: int, style: Any) -> None:
    """All shares of the account's projects are done in one pass, for few refusals; the next process has none."""
    world, options = fleet(FLEET), Options(max_images=maximum, too_many=style)
    async with Simulator(world, options=options) as cloud:
        journal = {"url": f"sqlite:///{tmp_path}/journal.db"}
        async with working(cloud, manifest_of(world), quick(cloud, journal=journal)) as worker:
            report = await worker.run()
            assert kinds(report) == {Status.CHANGED: sum(FLEET.values())}
            assert len(refused(arrivals(cloud, PUT))) <= 8
            (found,) = (await worker.journal.batch_sizes.known()).values
            assert found[0] == KEY
            assert found[1].maximum == maximum
            learned = [event for event in worker.events if isinstance(event, BatchSizeLearned)]
            assert (learned[-1].key, learned[-1].size) == found
        for project in world.projects.values():
            for number in range(FLEET[project]):
                world.share(image(number), project_id(project))
        before = len(arrivals(cloud, PUT))
        async with working(cloud, manifest_of(world), quick(cloud, journal=journal)) as worker:
            assert kinds(await worker.run()) == {Status.CHANGED: sum(FLEET.values())}
            again = arrivals(cloud, PUT)[before:]
        assert refused(again) == []
        assert max(len(put.images) for put in again) == maximum
        assert sent_while_alive(cloud) == []


async def test_a_job_that_failed_once_by_chance_teaches_no_size() -> None:
    """Both halves pass, and yet the next batch has all its images: a PUT that was taken is not too large."""
    faults = [Fault(effects.Failed("", ""), times=1)]
    async with rehearsal(fleet({"p": WHOLE, "q": WHOLE}), faults=faults) as worker:
        assert kinds(await worker.run()) == {Status.CHANGED: 2 * WHOLE}
        assert (await worker.journal.batch_sizes.known()).values == ((KEY, BatchSize(WHOLE)),)


async def test_a_bad_image_and_a_maximum_are_told_apart() -> None:
    """A cloud that takes 37 at once and refuses one image of each project: that image fails, and 37 is learned."""
    faults = [poisoned(effects.Poison(""), [70])]
    options = Options(max_images=37, too_many="unsaid")
    async with rehearsal(fleet(dict.fromkeys("abcdef", WHOLE)), faults=faults, options=options) as worker:
        assert kinds(await worker.run()) == {Status.CHANGED: 6 * (WHOLE - 1), Status.FAILED: 6}
        (found,) = (await worker.journal.batch_sizes.known()).values
        assert found[1].maximum == 37


@pytest.mark.parametrize("status", [403, 400])
async def test_a_project_that_refuses_everything_holds_nobody_up(status: int) -> None:
    """Its batch ends the trial; the others leave whole, and it leaves nothing to be tried in parts."""
    code = "IMG.0067" if status == 400 else "IMG.0026"
    faults = [Fault(effects.Refuse(status, code=code), (PUT,), project=("a",))]
    async with rehearsal(fleet(dict.fromkeys("abc", WHOLE)), faults=faults) as worker:
        assert kinds(await worker.run()) == {Status.CHANGED: 2 * WHOLE, Status.FAILED: WHOLE}
        assert [len(put.images) for put in arrivals(worker.cloud, PUT)] == [WHOLE] * 3
        assert await worker.journal.quarantine.held() == {}


async def test_what_is_refused_for_a_right_in_the_middle_of_a_division_holds_nobody() -> None:
    """The shares that are left failed for the missing right, and are due again in the next pass."""
    faults = [
        Fault(effects.Poison(""), image=(image(0),), times=1),
        Fault(effects.Refuse(403, code="IMG.0026"), (PUT,)),
    ]
    async with rehearsal(fleet({"p": WHOLE}), faults=faults) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.FAILED: WHOLE}
        assert {"IMG.0026" in each.reason for each in report.outcomes} == {True}
        assert await worker.journal.quarantine.held() == {}


@pytest.fixture
def puts_in_turn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool]]:
    """Return the PUTs as they leave the throttle: whether it is of a part, and whether whole batches wait meanwhile."""
    left: list[tuple[bool, bool]] = []
    waiting = 0
    slot = Throttle.slot

    @asynccontextmanager
    async def watched(
        self: Throttle, group: CallGroup, host: str, key: str, *, is_part: bool = False
    ) -> AsyncIterator[None]:
        nonlocal waiting
        is_whole_put = group is CallGroup.MEMBERS_PUT and not is_part
        waiting += is_whole_put
        async with slot(self, group, host, key, is_part=is_part):
            waiting -= is_whole_put
            if group is CallGroup.MEMBERS_PUT:
                left.append((is_part, waiting > 0))
            yield

    monkeypatch.setattr(Throttle, "slot", watched)
    return left


@pytest.mark.waits
async def test_whole_batches_of_others_go_before_parts(puts_in_turn: list[tuple[bool, bool]]) -> None:
    """While whole batches wait, of eight calls in a window two at most are parts; afterwards parts have all of it."""
    sizes = {"bad": WHOLE, **{f"good-{number}": 10 for number in range(24)}}
    world = fleet(sizes)
    bad = [3, 17, 31, 44, 58, 63, 77, 85, 99]
    faults = [poisoned(effects.Poison("IMG.0144"), bad, project=("bad",))]
    async with rehearsal(world, faults=faults, limits={"members_put": "8/1s"}, batch={"max_images": WHOLE}) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: sum(sizes.values()) - len(bad), Status.FAILED: len(bad)}
    # How soon a whole batch is there to wait is for the machine to say.
    meanwhile = [is_part for is_part, others_wait in puts_in_turn if others_wait]
    assert meanwhile.count(False) >= 8
    assert meanwhile.count(True) <= len(meanwhile) // 4 + 2, meanwhile
    assert [is_part for is_part, _ in puts_in_turn].count(True) > len(bad)


def refused(puts: Collection[Arrival]) -> list[Arrival]:
    """Return the PUTs that were refused."""
    return [put for put in puts if put.status != 200]


async def held(worker: Worker) -> Collection[Share]:
    """Return the shares that are held in quarantine."""
    return (await worker.journal.quarantine.held()).keys()
