"""The vendor's own SDK as a client of the simulator: a second opinion on paths, signatures and shapes."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.simulator.faults import parse_faults
from worker.simulator.jobs import JobRules
from worker.simulator.model import Account, Image
from worker.simulator.server import Simulator
from worker.simulator.world import World

PROJECT, OWNER = "edc89b490d7d4392898e19b2deb34797", "b" * 32
IMAGES = ("d164b5df-1bc3-4c3f-893e-3e471fd16e64", "0b680482-acaa-4045-b14c-9a8c7dfe9c70")


@pytest.fixture
def world() -> World:
    """Return a world with one account, whose project is offered two images; jobs end at once."""
    world = World(rules=JobRules(seconds=(0.0, 0.0)))
    world.add_project(PROJECT)
    world.add(Account("AKEXAMPLE", "SKEXAMPLE", projects=(PROJECT,)))
    for image_id in IMAGES:
        world.add(Image(image_id, image_id[:8], OWNER))
        world.share(image_id, PROJECT)
    return world


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that calls the blocking SDK in a thread; it writes into its home when it is imported."""
    monkeypatch.setenv("HOME", str(tmp_path))

    async def call(simulator: Simulator, work: Callable[[Any, Any], Any], *secret: str) -> Any:
        def in_thread() -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                from huaweicloudsdkcore.auth.credentials import BasicCredentials  # noqa: PLC0415 - writes at import
                from huaweicloudsdkims import v2 as sdk  # noqa: PLC0415 - as above

                client = (
                    sdk.ImsClient.new_builder()
                    .with_credentials(BasicCredentials("AKEXAMPLE", *(secret or ("SKEXAMPLE",)), PROJECT))
                    .with_endpoint(simulator.url)
                    .build()
                )
                return work(client, sdk)

        return await asyncio.to_thread(in_thread)

    return call


def accept_both(client: Any, sdk: Any) -> str:
    """Accept both images and return the job's id."""
    body = sdk.BatchUpdateMembersRequestBody(images=list(IMAGES), project_id=PROJECT, status="accepted")
    return client.batch_update_members(sdk.BatchUpdateMembersRequest(body=body)).job_id  # type: ignore[no-any-return]


def listed(client: Any, sdk: Any) -> dict[str, set[str]]:
    """Return the ids that the list has for each status."""
    return {
        status: {
            image.id
            for image in client.list_images(
                sdk.ListImagesRequest(imagetype="shared", visibility="shared", member_status=status, limit=1000)
            ).images
        }
        for status in ("pending", "accepted", "rejected")
    }


async def test_the_sdk_accepts_and_sees_the_result(world: World, run: Callable[..., Any]) -> None:
    """The vendor's client is let in by its signature, starts a job, reads it by both queries, and lists the outcome."""

    def work(client: Any, sdk: Any) -> tuple[Any, ...]:
        before = listed(client, sdk)
        job_id = accept_both(client, sdk)
        legacy = client.show_job(sdk.ShowJobRequest(job_id=job_id))
        progress = client.show_job_progress(sdk.ShowJobProgressRequest(job_id=job_id))
        return before, legacy, progress, listed(client, sdk)

    async with Simulator(world) as cloud:
        before, legacy, progress, after = await run(cloud, work)
    assert before == {"pending": set(IMAGES), "accepted": set(), "rejected": set()}
    assert (legacy.status, legacy.job_type) == ("SUCCESS", "imsUpdateImageMembersJob")
    assert {(result.image_id, result.status) for result in legacy.entities.results} == {
        (image_id, "success") for image_id in IMAGES
    }
    assert (progress.status, progress.entities.process_percent) == ("SUCCESS", 1.0)
    assert after == {"pending": set(), "accepted": set(IMAGES), "rejected": set()}


async def test_the_sdk_reads_our_errors(world: World, run: Callable[..., Any]) -> None:
    """Codes of IMS and of the gateway reach the vendor's exceptions as they should."""

    def work(client: Any, sdk: Any) -> Any:
        with pytest.raises(Exception) as error:  # noqa: PT011 - its type is known in the thread only
            accept_both(client, sdk)
        return error.value

    ims = parse_faults(f'[[fault]]\nwhat = "poison"\nimage = "{IMAGES[0]}"\ncode = "IMG.0066"')
    gateway = parse_faults('[[fault]]\nwhat = "status"\nstatus = 403\nbody = "gateway"\ncode = "APIGW.0310"')
    async with Simulator(world, faults=ims) as cloud:
        refused = await run(cloud, work)
        cloud.set_faults(gateway)
        frozen = await run(cloud, work)
        cloud.set_faults(())
        unknown = await run(cloud, work, "WRONG")
    assert (refused.status_code, refused.error_code) == (400, "IMG.0066")
    assert (frozen.status_code, frozen.error_code) == (403, "APIGW.0310")
    assert (unknown.status_code, unknown.error_code) == (401, "APIGW.0301")
    assert world.jobs == {}
