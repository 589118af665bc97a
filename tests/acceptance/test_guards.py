"""What needs a person's word: a refused plan, a quarantined share, a job that never ends."""

from __future__ import annotations

from pathlib import Path

from commands import fleet, manifest, share, stage

from worker.simulator.effects.calls import Poison
from worker.simulator.effects.jobs import Stuck
from worker.simulator.faults import Fault
from worker.simulator.model import Answer
from worker.simulator.naming import image_id, project_id

ONE = {"guards.max_reject": "1"}


async def test_an_approved_plan_passes_once(tmp_path: Path) -> None:
    """After `approve DIGEST` another plan is refused, that very plan passes, and the next time it is refused again."""
    world = fleet(2, status=Answer.ACCEPTED)
    async with stage(tmp_path, world, text=manifest(world, share(world, "rejected"))) as here:
        refused = await here.run("run", "--json", settings=ONE)
        assert (refused.status, refused.document["result"], refused.document["not_sent"]) == (3, "refused", 4)
        digest = refused.document["digest"]
        approved = await here.run("approve", digest, "--json")
        assert approved.status == 0
        assert approved.document["digest"] == digest
        assert "@" in approved.document["approved_by"]
        world.share(image_id("golden-001"), project_id("ledger"), Answer.PENDING)
        assert (await here.run("run", settings=ONE)).status == 3
        assert here.puts() == 0
        world.share(image_id("golden-001"), project_id("ledger"), Answer.ACCEPTED)
        done = await here.run("run", "--json", settings=ONE)
        assert (done.status, done.document["changed"]) == (0, 4)
        assert here.all_are("rejected")
        for key in world.projects:
            for image in world.images:
                world.share(image, key, Answer.ACCEPTED)
        again = await here.run("run", "--json", settings=ONE)
        assert (again.status, again.document["digest"]) == (3, digest)
        assert here.all_are("accepted")


async def test_rejects_of_a_day_add_up(tmp_path: Path) -> None:
    """One reject at a time stays below the guard; the one that exceeds it over the day is refused."""
    world = fleet(3, ["payments"], status=Answer.ACCEPTED)
    async with stage(tmp_path, world) as here:
        statuses = []
        for count in (1, 2):
            names = [f"golden-00{number}" for number in range(1, count + 1)]
            here.write("manifest.toml", manifest(world, share(world, "rejected", images=names)))
            statuses.append((await here.run("run", settings=ONE)).status)
        assert statuses == [0, 3]
        assert here.read() == {
            "payments": {"golden-001": "rejected", "golden-002": "accepted", "golden-003": "accepted"}
        }


async def test_aiming_at_a_part_does_not_change_what_the_guard_counts_against(tmp_path: Path) -> None:
    """One of ten managed shares is 10 %, though only that one is aimed at."""
    world = fleet(5, status=Answer.ACCEPTED)
    async with stage(tmp_path, world, text=manifest(world, share(world, "rejected"))) as here:
        aim = ("run", "--json", "--image", "golden-001", "--project", "payments")
        done = await here.run(*aim, settings={"guards.max_reject": "10%"})
        assert (done.status, done.document["changed"]) == (0, 1)


async def test_a_released_share_is_tried_again_at_once(tmp_path: Path) -> None:
    """`release` by names frees from quarantine: the next run sends it, and it converges now that the cause is gone."""
    world = fleet(2)
    fault = Fault(Poison(), image=(image_id("golden-002"),), project=("payments",))
    async with stage(tmp_path, world, [fault]) as here:
        assert (await here.run("run")).status == 1
        here.cloud.set_faults(())
        freed = await here.run("release", "golden-002", "payments", "--json")
        assert (freed.status, freed.document["freed_from"]) == (0, ["quarantine"])
        assert (await here.run("run")).status == 0
        assert here.all_are("accepted")


async def test_a_job_that_never_ends_is_given_up_by_release(tmp_path: Path) -> None:
    """A stuck job blocks its share in every pass until that is released by id; then it is sent anew."""
    world = fleet(1, ["payments"])
    async with stage(tmp_path, world, [Fault(Stuck(), times=1)]) as here:
        patience = {"polling.deadline": "300ms"}
        assert (await here.run("run", settings=patience)).status == 1
        blocked = await here.run("run", "--json", settings=patience)
        assert (blocked.status, blocked.document["unsettled"], here.puts()) == (1, 1, 1)
        freed = await here.run("release", image_id("golden-001"), project_id("payments"), "--json")
        assert freed.document["freed_from"] == [f"job {job_id}" for job_id in world.jobs]
        assert (await here.run("run")).status == 0
        assert here.all_are("accepted")


async def test_to_release_what_is_free_is_no_error(tmp_path: Path) -> None:
    """A share that is held by nothing is said to be free."""
    async with stage(tmp_path) as here:
        assert (await here.run("run")).status == 0
        done = await here.run("release", "golden-001", "payments")
        assert done.status == 0
        assert "neither quarantined nor in flight" in done.out
