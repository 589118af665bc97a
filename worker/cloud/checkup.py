"""What the doctor asks the cloud: beside what a pass does, which job query answers, who calls, where, and the time.

Nothing of it changes anything. A job is asked for that nobody has begun: the query that answers that it knows none is
there. Who calls is asked of the STS, and no matter if it does not say. Source: API reference of IMS, the two job
queries; API reference of STS, "Querying the Caller Identity".
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Final

from worker.cloud.auth.answers import read_caller
from worker.cloud.auth.presenter import Presenter
from worker.cloud.client import Client
from worker.cloud.config import CloudConfig
from worker.cloud.ims import Ims
from worker.cloud.jobs import ask_job, query_is_gone
from worker.cloud.refusals import PATH_UNKNOWN, date_of
from worker.cloud.regions import Service
from worker.cloud.request import Call
from worker.core.calls import CallGroup, CallRecord
from worker.core.job import JobApi
from worker.core.manifest.model import Project
from worker.core.reading import ObservedImage
from worker.core.share import MemberStatus
from worker.core.vault import Vault
from worker.errors import BadRequest, CloudError, Forbidden, NotFound, Scope

NOBODYS_JOB: Final = "6f1d8a40c25b4e7793be0d5fa2c81e64"
_PART: Final = 4
"""The newer job query has few calls: so many times fewer are made, lest none be left for who follows jobs."""
_WHO_WITHIN: Final = 5.0
"""Seconds that the STS, which a cloud may not have, has to say who calls."""
_HALF: Final = 0.5
"""A Date shows whole seconds; on average it is so much later."""


class Calls:
    """What the calls that were made have shown, by project: how far our clock is ahead, and how the last one failed."""

    def __init__(self) -> None:
        self.ahead: dict[str, float] = {}
        self.failures: dict[str, str] = {}

    def note(self, record: CallRecord) -> None:
        """Take note of a call that is over."""
        if (theirs := date_of(record.server_date)) is not None:
            self.ahead[record.project_id] = time.time() - theirs - _HALF
        if record.error and record.error != "cancelled":
            self.failures[record.project_id] = record.error


class Checkup:
    """Asks the doctor's questions, by the calls of an `Ims`; `calls` are told of each of them."""

    def __init__(self, config: CloudConfig, ims: Ims, calls: Calls) -> None:
        self._config = config
        self._ims = ims
        self._calls = calls
        self._by_progress: Counter[str] = Counter()
        self._asked: list[Project] = []
        self._failures_known = 0
        self._failed_at: dict[tuple[str, str], str] = {}

    def list_shared(self, project: Project, status: MemberStatus) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield the images offered to a project, as `Ims` does."""
        self._asked.append(project)
        return self._ims.list_shared(project, status)

    async def look_up_vaults(self, project: Project, vault_ids: Collection[str]) -> Mapping[str, Vault | None]:
        """Return what is said of vaults of a project, as `Ims` does."""
        return await self._ims.look_up_vaults(project, vault_ids)

    async def job_query(self, project: Project) -> JobApi | None:
        """Return the query that answers about jobs of a project; None where it was not asked, as there are few calls.

        Raises CloudError where none does.
        """
        setting = self._config.job_api
        refusal: CloudError | None = None
        if setting is not JobApi.PROGRESS:
            try:
                await self._ask_about_no_job(JobApi.LEGACY, project)
            except CloudError as error:
                if setting is JobApi.LEGACY or not query_is_gone(error):
                    raise
                refusal = error
            else:
                return JobApi.LEGACY
        account = self._ims.route(project)[0].account.name
        self._by_progress[account] += 1
        if self._by_progress[account] > max(1, self._config.limits[CallGroup.JOB_PROGRESS].count // _PART):
            return None
        try:
            await self._ask_about_no_job(JobApi.PROGRESS, project)
        except CloudError as error:
            raise (refusal if isinstance(refusal, Forbidden) else error) from error
        return JobApi.PROGRESS

    async def presenter(self, project: Project) -> Presenter:
        """Return who makes the calls for a project; the STS is asked where nobody else has said it. Raise nothing."""
        client, origin = self._ims.route(project)
        known = client.credential.presented_by(Call(CallGroup.TOKEN, "GET", origin, "", project.id))
        if not known.may_be_asked or client.credential.is_refused:
            return known
        try:
            async with asyncio.timeout(_WHO_WITHIN):
                return Presenter(await self._caller(client, project), known.key)
        except (CloudError, TimeoutError):
            return known

    def known_presenter(self, project: Project) -> Presenter:
        """Return what is known of that without asking."""
        client, origin = self._ims.route(project)
        return client.credential.presented_by(Call(CallGroup.TOKEN, "GET", origin, "", project.id))

    def host(self, project: Project, service: str) -> str:
        """Return where a service is that calls for a project go to; nothing where nobody knows."""
        try:
            return self._config.endpoints.origin(Service(service), project.region)
        except ValueError:
            return ""

    def ahead(self, project: Project) -> float | None:
        """Return how many seconds our clock is ahead of the cloud's; None where no answer showed that."""
        return self._calls.ahead.get(project.id)

    def limit_waited_for(self, project: Project) -> str:
        """Say which limit holds up the calls for a project; nothing where none does."""
        account = self._ims.route(project)[0].account
        for group in (CallGroup.IMAGES_LIST, CallGroup.JOB_GET, CallGroup.JOB_PROGRESS):
            standing = account.throttle.standing(group)
            if standing.waiting and (standing.paused_for > 0 or not standing.left):
                return f"limits.{group} = {standing.rate} of the account {account.name}"
        return ""

    def last_failure(self, project: Project) -> str:
        """Say how the last call for a project failed, or for another whose answer it waits for; else nothing."""
        failures = self._calls.failures
        if project.id in failures:
            return failures[project.id]
        if len(failures) != self._failures_known:
            self._failures_known = len(failures)
            self._failed_at = {self._place(asked): failures[asked.id] for asked in self._asked if asked.id in failures}
        return self._failed_at.get(self._place(project), "")

    def _place(self, project: Project) -> tuple[str, str]:
        """Return where a project waits for the answers to others: at a host, with a credential."""
        return project.credential, self.host(project, Service.IMS)

    async def _ask_about_no_job(self, job_api: JobApi, project: Project) -> None:
        """See that a query answers that there is no such job, or so it seems; raise CloudError where it does not."""
        try:
            await ask_job(*self._ims.route(project), job_api, project, NOBODYS_JOB)
        except NotFound as error:
            if not error.code and job_api is JobApi.LEGACY:
                raise
        except BadRequest as error:
            if error.status != 400 or error.scope is Scope.PROJECT or error.code in PATH_UNKNOWN:
                raise

    async def _caller(self, client: Client, project: Project) -> str:
        origin = self.host(project, Service.STS)
        call = Call(CallGroup.TOKEN, "GET", origin, "/v5/caller-identity", "", is_optional=True)
        return await client.fetch(call, read_caller) if origin else ""
