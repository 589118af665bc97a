"""Ask the cloud what the doctor wants to know of each project, within a bounded time; nothing is changed.

Who could not be asked for one thing, as the key is refused or the host is away, is not asked for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from worker.core.doctor.seen import Failure, ProjectSeen, Question, failure_of
from worker.core.job import JobApi
from worker.core.manifest.model import Project
from worker.core.reading import ObservedImage
from worker.core.share import MemberStatus
from worker.core.timing import format_duration
from worker.core.vault import Unfit, Vault, unfitness
from worker.errors import Cause, CloudError


class Cloud(Protocol):
    """The doctor's questions. What is awaited raises CloudError."""

    def list_shared(self, project: Project, status: MemberStatus) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield, page by page, the images offered to the project that it has answered with `status`."""
        ...

    async def job_query(self, project: Project) -> JobApi | None:
        """Return the query that answers about jobs of the project; None where it was not asked."""
        ...

    async def look_up_vaults(self, project: Project, vault_ids: Collection[str]) -> Mapping[str, Vault | None]:
        """Return what the backup service says of vaults of a project, None of one that is not there."""
        ...

    def limit_waited_for(self, project: Project) -> str:
        """Say which limit holds up the calls for a project; nothing where none does."""
        ...

    def last_failure(self, project: Project) -> str:
        """Say how the last call for a project failed; nothing where none has."""
        ...


_Also: TypeAlias = Callable[[Project], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class _Notes:
    """What is known of a project by now."""

    is_listed: bool = False
    sees_everything: bool = False
    job_query: JobApi | None = None
    vaults: Mapping[str, Unfit | None] = field(default_factory=dict)
    failures: dict[Question, Failure] = field(default_factory=dict)
    asking: set[Question] = field(default_factory=set)


async def examine(
    cloud: Cloud, projects: Mapping[Project, Collection[str]], within: float, also: _Also
) -> list[ProjectSeen]:
    """Ask about all projects at once, each with the vaults that it is to have; return what was seen of each.

    What has no answer `within` so many seconds has failed, with what it waited for. `also` is awaited, within that
    time too, for each project of which anything could be asked. Cancelled, it leaves nothing behind.
    """
    notes = {project: _Notes() for project in projects}
    async with asyncio.TaskGroup() as tasks:
        asking = {
            tasks.create_task(_ask(cloud, project, vaults, notes[project], also)): project
            for project, vaults in projects.items()
        }
        late = (await asyncio.wait(asking, timeout=within))[1] if asking else set()
        known = {failure.message: failure for each in notes.values() for failure in each.failures.values()}
        for task in late:
            project = asking[task]
            failure = _late(cloud, project, within, known)
            notes[project].failures |= dict.fromkeys(sorted(notes[project].asking), failure)
            task.cancel()
    return [
        ProjectSeen(
            project,
            is_listed=each.is_listed,
            sees_everything=each.sees_everything,
            job_query=each.job_query,
            vaults=each.vaults,
            failures=each.failures,
        )
        for project, each in notes.items()
    ]


async def _ask(
    cloud: Cloud,
    project: Project,
    vault_ids: Collection[str],
    notes: _Notes,
    also: _Also,
) -> None:
    async def list_images() -> None:
        notes.sees_everything = await _sees_everything(cloud, project)
        notes.is_listed = True

    async def query_jobs() -> None:
        notes.job_query = await cloud.job_query(project)

    async def look_up_vaults() -> None:
        found = await cloud.look_up_vaults(project, vault_ids)
        notes.vaults = {vault_id: unfitness(vault) for vault_id, vault in sorted(found.items())}

    async def answered(question: Question, asked: Awaitable[None]) -> bool:
        notes.asking.add(question)
        try:
            await asked
        except CloudError as error:
            failure = notes.failures[question] = failure_of(error)
            return failure.is_answer
        finally:
            notes.asking.discard(question)
        return True

    if await answered(Question.IMAGES, list_images()):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(answered(Question.JOBS, query_jobs()))
            if vault_ids:
                tasks.create_task(answered(Question.VAULTS, look_up_vaults()))
            tasks.create_task(also(project))


async def _sees_everything(cloud: Cloud, project: Project) -> bool:
    """List what is pending; if there is anything, tell whether the same stands among what is accepted, and stays so.

    An image that was answered meanwhile is in both lists only once.
    """
    pending = await _first(cloud, project, MemberStatus.PENDING)
    if not pending:
        return False
    both = pending & await _first(cloud, project, MemberStatus.ACCEPTED)
    return bool(both and both & await _first(cloud, project, MemberStatus.PENDING))


async def _first(cloud: Cloud, project: Project, status: MemberStatus) -> set[str]:
    """Return the ids of the first page of a list."""
    async for page in cloud.list_shared(project, status):
        return {image.id for image in page}
    return set()


def _late(cloud: Cloud, project: Project, within: float, known: Mapping[str, Failure]) -> Failure:
    """Return why a project has no answer in time: what it waited for, which others may have met to the end."""
    waited = f"no answer in {format_duration(within)}"
    if limit := cloud.limit_waited_for(project):
        return Failure(Cause.THROTTLED, f"{waited}, as {limit} lets no call through")
    last = cloud.last_failure(project)
    return known.get(last) or Failure(Cause.NO_ANSWER, f"{waited}, the last was: {last}" if last else waited)
