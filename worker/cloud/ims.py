"""List shared images, update members, get job: the image service, for every project of the fleet; and its vaults.

The query of the image list does not name an enterprise project. The reference leaves open what is listed without
one; shares are made to a project, so an answer that is narrower than the project shows as absent shares, and nothing
is planned on those. Source: API reference of IMS, "Querying Images".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final, Self

from worker.cloud.cbr import look_up_vaults
from worker.cloud.client import Client, Clients
from worker.cloud.config import CloudConfig
from worker.cloud.iam import list_projects
from worker.cloud.jobs import ask_job, query_is_gone
from worker.cloud.limits.account import Tally
from worker.cloud.permissions import BY_ENTERPRISE_PROJECT, LIST_IMAGES, SHARE_IMAGES, permission_named
from worker.cloud.regions import Service
from worker.cloud.request import Call
from worker.cloud.transport import Transport
from worker.cloud.wire import Page, members_body, read_page, read_submitted
from worker.core.batch import Batch
from worker.core.calls import CallCounts, CallGroup, CallRecord
from worker.core.job import JobApi, JobReply
from worker.core.manifest.listed import Listed
from worker.core.manifest.model import Project
from worker.core.polling.price import PollLimit
from worker.core.reading import NO_FACTS, Facts, ObservedImage
from worker.core.share import MemberStatus
from worker.core.vault import Vault
from worker.errors import (
    BadRequest,
    Cause,
    CloudError,
    Forbidden,
    ListBrokenOff,
    NotFound,
    TerminalCloudError,
    UnexpectedReply,
)

MAX_PAGES: Final = 10_000
"""Pages after which a list that never ends is given up."""

_PAGES_IN_ONE: Final = 4
_LEAST_PAGE: Final = 2048
"""A page may have so many times the images that were asked for, and at any rate so many."""
_IMAGE_BYTES: Final = 8 * 1024
_IMAGE_VALUES: Final = 128
"""What the images of a page may have on average; a usual one has 2 KB and sixty attributes."""
_MAX_SPELLED: Final = 100_000
"""Ids of a project whose spelling is kept."""

_MEMBERS: Final = "/v1/cloudimages/members"
_IMAGES: Final = "/v2/cloudimages"
_NO_RIGHT: Final = "IMG.0026"


class Ims:
    """The image service as the worker sees it. Make one with `open`; it belongs to one event loop."""

    def __init__(self, config: CloudConfig, transport: Transport) -> None:
        self._config = config
        self.clients = Clients(config, transport, self._observe)
        self._tally = Tally()
        self._progress_only: set[tuple[str, str]] = set()
        self._spelled: dict[str, dict[str, str]] = {}
        self._asked_since: dict[str, float] = {}
        self._in_vain_since: dict[str, float] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, config: CloudConfig) -> AsyncIterator[Self]:
        """Open the connections, and close them at the end. Raises SettingsError for an unusable CA file."""
        async with Transport.open(config.connections, config.clock) as transport:
            ims = cls(config, transport)
            try:
                yield ims
            finally:
                await ims.clients.close()

    async def list_shared(
        self, project: Project, status: MemberStatus, *, full_ecs: bool | None = None, facts: Facts = NO_FACTS
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield, page after page, the images that others share with `project` and that it has given `status`.

        With `full_ecs`, only full-ECS images, or only others, are asked for; a region may ignore that. `facts` take no
        call of their own. No image comes twice. Failed calls are repeated. Raises CloudError: UnexpectedReply where the
        list does not go on as promised, ListBrokenOff where the image that its next page begins after was deleted or
        withdrawn meanwhile. What was yielded before is then only a part. Stopping or cancelling leaves nothing behind.
        """
        client, origin = self.route(project)
        granted = self._config.credentials[project.credential].enterprise_project
        query: tuple[tuple[str, str | int], ...] = (
            ("__imagetype", "shared"),
            ("visibility", "shared"),
            ("member_status", status.value),
            ("limit", self._config.page_size),
            *(() if full_ecs is None else (("__whole_image", str(full_ecs).lower()),)),
            *((("enterprise_project_id", granted),) if granted else ()),
        )
        most = max(_PAGES_IN_ONE * self._config.page_size, _LEAST_PAGE)
        call = Call(
            CallGroup.IMAGES_LIST,
            "GET",
            origin,
            _IMAGES,
            project.id,
            query,
            max_bytes=most * _IMAGE_BYTES,
            max_values=most * _IMAGE_VALUES,
            region=project.region,
        )
        read = partial(read_page, max_images=most, facts=facts)
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            self._asked_since[project.id] = asyncio.get_running_loop().time()
            try:
                with permission_named(LIST_IMAGES):
                    page = await client.fetch(call, read)
            except (BadRequest, Forbidden, NotFound) as error:
                if call.query == query:
                    if error.code == _NO_RIGHT and not granted:
                        error.message += BY_ENTERPRISE_PROJECT
                    raise
                raise ListBrokenOff(
                    f"the image list cannot go on at its marker: {error.message}",
                    status=error.status,
                    code=error.code,
                    scope=error.scope,
                    request_id=error.request_id,
                ) from error
            finally:
                self._in_vain_since.pop(project.id, None)
                self._asked_since.pop(project.id, None)
            self._remember_spelling(project.id, page)
            fresh = {image.id: image for image in page.images if image.id not in seen}
            seen.update(fresh)
            # The list also has what the project itself shares with others.
            theirs = tuple(image for image in fresh.values() if image.owner != project.id.lower())
            if theirs:
                yield theirs
            if page.marker is None:
                return
            if not fresh:
                raise UnexpectedReply("the image list brings nothing new and does not end: the marker is ignored")
            call = replace(call, query=(*query, ("marker", page.marker)))
        raise UnexpectedReply(f"the image list does not end within {MAX_PAGES} pages")

    async def update_members(self, project: Project, batch: Batch, on_slot: Callable[[], Awaitable[None]]) -> str:
        """Send a batch once, and return the id of the job that does it; whole batches go before parts of others.

        `on_slot` is awaited when the limits let the call leave: what must be durable before is written there, and
        if it raises, nothing is sent. An error may also come before it, and then nothing is sent either. What the
        errors say of the work: TransientCloudError with `nothing_done` and TerminalCloudError that it was not begun;
        TransientCloudError without, and UnexpectedReply, that it may be. Cancellation after `on_slot` leaves it
        unknown as well.
        """
        client, origin = self.route(project)
        body = members_body(batch, self._spelled.get(project.id, {}))
        call = Call(
            CallGroup.MEMBERS_PUT,
            "PUT",
            origin,
            _MEMBERS,
            project.id,
            body=body,
            is_part=batch.is_part,
            region=project.region,
        )
        with permission_named(SHARE_IMAGES):
            return read_submitted(await client.send(call, on_slot=on_slot), client.credential.secrets(call))

    async def get_job(self, project: Project, job_id: str) -> JobReply:
        """Ask what became of a job; failed calls are repeated.

        Raises NotFound when the cloud does not know the job, and else CloudError. With `auto`, the older query is
        preferred, since it has per-image results and a far higher limit; where it is gone, the newer one is asked,
        and from then on at once.
        """
        client, origin = self.route(project)
        place = (client.account.name, origin)
        job_api = self._config.job_api
        if job_api is JobApi.PROGRESS or place in self._progress_only:
            return await ask_job(client, origin, JobApi.PROGRESS, project, job_id)
        try:
            return await ask_job(client, origin, JobApi.LEGACY, project, job_id)
        except CloudError as error:
            if job_api is JobApi.LEGACY or not query_is_gone(error):
                raise
        reply = await ask_job(client, origin, JobApi.PROGRESS, project, job_id)
        self._progress_only.add(place)
        return reply

    def job_limit(self, project: Project) -> PollLimit:
        """Return the limit of the job query that answers for a project, and whose it is; raise CloudError."""
        client, origin = self.route(project)
        is_progress = self._config.job_api is JobApi.PROGRESS or (client.account.name, origin) in self._progress_only
        group = CallGroup.JOB_PROGRESS if is_progress else CallGroup.JOB_GET
        return PollLimit(client.account.name, client.account.throttle.standing(group).rate)

    async def look_up_vaults(self, project: Project, vault_ids: Collection[str]) -> Mapping[str, Vault | None]:
        """Return what the backup service says of vaults of a project, None of one that is not there.

        Failed calls are repeated. Raises CloudError.
        """
        client, origin = self.route(project, Service.CBR)
        granted = self._config.credentials[project.credential].enterprise_project
        try:
            return await look_up_vaults(client, origin, project, granted, vault_ids)
        except Forbidden as error:
            if error.permission and not granted:
                error.message += BY_ENTERPRISE_PROJECT
            raise

    async def list_projects(self, credential: str, region: str = "") -> tuple[Listed, ...]:
        """Return the projects that a credential may act in, as `iam.list_projects` does; raise CloudError."""
        return await list_projects(self.clients.of(credential), self._config, credential, region)

    def counts(self) -> CallCounts:
        """Return how many calls were made since the opening."""
        return self._tally.counts()

    def silent_for(self, project: Project) -> float:
        """Return since how many seconds a project's lists are asked for in vain; waits for a limit are not in vain.

        That begins with the first of the calls that failed in a row, and shows when that has failed. Who waits for
        others of its account, whose calls its host does not answer, asks in vain too; and so does who waits for an
        identity service to authorise it.
        """
        client, origin = self.route(project)
        now = asyncio.get_running_loop().time()
        call = Call(CallGroup.IMAGES_LIST, "GET", origin, _IMAGES, project.id, region=project.region)
        return max(
            client.account.silent_for(origin, CallGroup.IMAGES_LIST),
            now - self._in_vain_since.get(project.id, now),
            min(client.credential.silent_for(call), now - self._asked_since.get(project.id, now)),
        )

    def route(self, project: Project, service: Service = Service.IMS) -> tuple[Client, str]:
        """Return who makes the calls for a project, and where a service is; raise TerminalCloudError."""
        client = self.clients.of(project.credential)
        try:
            origin = self._config.endpoints.origin(service, project.region)
        except ValueError as error:
            raise TerminalCloudError(str(error)).caused(Cause.ENDPOINT) from error
        # Now, and not when its turn comes: what others borrow until then leaves it its share.
        client.account.connections.know(origin)
        return client, origin

    def _remember_spelling(self, project_id: str, page: Page) -> None:
        """Keep how a project's lists spell ids that are not in small letters: so, and not otherwise, they are found."""
        known = self._spelled.get(project_id)
        if known:
            for image in page.images:
                known.pop(image.id, None)
        if page.spelled:
            known = self._spelled.setdefault(project_id, {})
            known.update(page.spelled)
            for forgotten in list(islice(known, max(0, len(known) - _MAX_SPELLED))):
                del known[forgotten]

    def _observe(self, record: CallRecord) -> None:
        self._tally.add(record)
        if record.group is CallGroup.IMAGES_LIST and record.throttled and self._is_paused(record):
            self._in_vain_since.pop(record.project_id, None)
        elif record.group is CallGroup.IMAGES_LIST and record.error:
            began = asyncio.get_running_loop().time() - record.seconds
            self._in_vain_since.setdefault(record.project_id, began)
        self._config.observer(record)

    def _is_paused(self, record: CallRecord) -> bool:
        """Tell whether a throttle answer was for the whole account, and not for a project that is throttled alone."""
        return self.clients.accounts[record.account].throttle.standing(record.group).paused_for > 0
