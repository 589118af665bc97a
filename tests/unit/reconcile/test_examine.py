"""How the doctor asks: nothing twice, nothing in vain, and for no longer than it may."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field

import pytest

from worker.core.doctor.seen import ProjectSeen, Question
from worker.core.job import JobApi
from worker.core.manifest.model import Project
from worker.core.reading import ObservedImage
from worker.core.share import MemberStatus
from worker.core.vault import Vault
from worker.errors import AuthFailed, Cause, CloudError, Forbidden, TransientCloudError
from worker.reconcile.examine import examine

pytestmark = pytest.mark.usefixtures("virtual_time")
A, B = Project("a", "a"), Project("b", "b")


@dataclass
class FakeCloud:
    """Answers as it is told to: by project the lists, one reading after the other, and what fails."""

    lists: dict[str, list[dict[MemberStatus, list[str]]]] = field(default_factory=dict)
    failures: dict[tuple[str, str], CloudError] = field(default_factory=dict)
    hangs: set[tuple[str, str]] = field(default_factory=set)
    limit: str = ""
    failed_last: str = ""
    made: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def list_shared(self, project: Project, status: MemberStatus) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield what this list has by now, a page for each image."""
        made = self.made[project.id, status.value]
        await self._call(project, status.value)
        await self._call(project, "images")
        readings = self.lists.get(project.id, [{}])
        for image in readings[min(made, len(readings) - 1)].get(status, []):
            yield (ObservedImage(image, image, "owner"),)

    async def job_query(self, project: Project) -> JobApi | None:
        """Return the older query."""
        await self._call(project, "jobs")
        return JobApi.LEGACY

    async def look_up_vaults(self, project: Project, vault_ids: Collection[str]) -> Mapping[str, Vault | None]:
        """Return that there is none."""
        await self._call(project, "vaults")
        return dict.fromkeys(vault_ids)

    def limit_waited_for(self, project: Project) -> str:
        """Return the limit."""
        return self.limit

    def last_failure(self, project: Project) -> str:
        """Return the failure."""
        return self.failed_last

    async def _call(self, project: Project, what: str) -> None:
        self.made[project.id, what] += 1
        if (project.id, what) in self.hangs:
            await asyncio.Event().wait()
        if error := self.failures.get((project.id, what)):
            raise error


async def looked(cloud: FakeCloud, *projects: Project, vaults: Collection[str] = ()) -> dict[str, ProjectSeen]:
    """Return what is seen of each project in ten seconds."""
    asked = await examine(cloud, dict.fromkeys(projects, vaults), 10.0, nobody)
    return {each.project.id: each for each in asked}


async def nobody(_project: Project) -> None:
    """Ask who it is, and not be told."""


async def test_each_question_is_asked_once_and_answered() -> None:
    """One list where nothing is pending, and the vaults only where there are to be some."""
    cloud = FakeCloud()
    seen = await looked(cloud, A, B)
    assert seen["a"].is_listed
    assert seen["a"].job_query is JobApi.LEGACY
    assert not seen["a"].failures
    assert cloud.made == Counter({(p, what): 1 for p in "ab" for what in ("pending", "images", "jobs")})
    seen = await looked(FakeCloud(), A, vaults=["v"])
    assert seen["a"].vaults["v"].cause is Cause.VAULT_MISSING  # type: ignore[union-attr]


async def test_who_is_refused_is_asked_nothing_else_and_who_may_not_list_is() -> None:
    """A 403 says nothing of jobs and vaults; a refused key would only be presented again."""
    refused = FakeCloud(failures={("a", "images"): AuthFailed("no", status=401)})
    seen = await looked(refused, A, vaults=["v"])
    assert (refused.made["a", "jobs"], refused.made["a", "vaults"]) == (0, 0)
    assert [*seen["a"].failures] == [Question.IMAGES]
    forbidden = FakeCloud(failures={("a", "images"): Forbidden("no", status=403)})
    seen = await looked(forbidden, A, vaults=["v"])
    assert (seen["a"].is_listed, seen["a"].job_query, [*seen["a"].vaults]) == (False, JobApi.LEGACY, ["v"])


async def test_an_image_in_two_lists_shows_an_administrator_unless_it_moved() -> None:
    """It is looked for again where it was: one that was answered meanwhile is not there any more."""
    pending, both = {MemberStatus.PENDING: ["x"]}, {MemberStatus.PENDING: ["x"], MemberStatus.ACCEPTED: ["x"]}
    moved = [{**both}, {MemberStatus.ACCEPTED: ["x"]}]
    for lists, sees_everything in (([pending], False), ([both], True), (moved, False)):
        cloud = FakeCloud({"a": lists})
        assert (await looked(cloud, A))["a"].sees_everything is sees_everything


@pytest.mark.parametrize(
    ("hangs", "limit", "last", "cause", "words"),
    [
        ("images", "", "", Cause.NO_ANSWER, "no answer in 10s"),
        ("images", "", "HTTP 503: later", Cause.NO_ANSWER, "no answer in 10s, the last was: HTTP 503: later"),
        ("images", "limits.x = 1/1m", "", Cause.THROTTLED, "no answer in 10s, as limits.x = 1/1m lets no call through"),
        ("vaults", "", "", Cause.NO_ANSWER, "no answer in 10s"),
    ],
)
async def test_what_has_no_answer_is_given_up_and_says_what_it_waited_for(
    hangs: str, limit: str, last: str, cause: Cause, words: str
) -> None:
    """When the time is over, of that question alone; what others answer is kept."""
    cloud = FakeCloud(hangs={("a", hangs)}, limit=limit, failed_last=last)
    seen = await looked(cloud, A, B, vaults=["v"])
    (failure,) = seen["a"].failures.values()
    assert (failure.cause, failure.message) == (cause, words)
    assert (seen["a"].job_query is None) is (hangs == "images")
    assert not seen["b"].failures


async def test_who_waits_for_what_another_has_met_fails_as_that() -> None:
    """In the same words, and for the same cause."""
    down = TransientCloudError("down", status=503)
    cloud = FakeCloud(failures={("a", "images"): down}, hangs={("b", "images")}, failed_last=str(down))
    seen = await looked(cloud, A, B)
    assert seen["b"].failures == seen["a"].failures


async def test_nobody_is_asked_about_no_project_and_a_bug_comes_through() -> None:
    """What is no failed call is not taken for one."""
    assert await examine(FakeCloud(), {}, 10.0, nobody) == []

    async def broken(_project: Project) -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        await examine(FakeCloud(), {A: ()}, 10.0, broken)


async def test_a_failure_that_passes_is_a_failure_all_the_same() -> None:
    """The client has tried again already."""
    cloud = FakeCloud(failures={("a", "jobs"): TransientCloudError("later", status=503)})
    assert (await looked(cloud, A))["a"].failures[Question.JOBS].cause is Cause.CLOUD
