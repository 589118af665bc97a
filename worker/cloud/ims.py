"""List shared images, update members, get job: the image service, for every project of the fleet.

The query of the image list does not name an enterprise project. The reference leaves open what is listed without
one; shares are made to a project, so an answer that is narrower than the project shows as absent shares, and nothing
is planned on those. Source: API reference of IMS, "Querying Images".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Final, Self

from worker.cloud.account import Account, AccountLimits, Tally
from worker.cloud.credentials import Credential
from worker.cloud.proving import Proving
from worker.cloud.redaction import MASK
from worker.cloud.regions import endpoint_origin, region_origin
from worker.cloud.signing import SigningKeys, quoted
from worker.cloud.throttle import Standing
from worker.cloud.transport import Call, Connections, Transport
from worker.cloud.wire import Page, checked_job_id, members_body, read_job, read_page, read_submitted
from worker.core.batch import Batch
from worker.core.calls import CallCounts, CallGroup, CallRecord
from worker.core.fleet.forecast import AccountRoom
from worker.core.fleet.shards import Split
from worker.core.job import JobApi, JobReply
from worker.core.limits import Rate
from worker.core.manifest.model import Project
from worker.core.reading import ObservedImage
from worker.core.share import MemberStatus
from worker.core.timing import RetryPolicy
from worker.errors import (
    BadRequest,
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
_JOB_UNKNOWN: Final = "IMG.0023"


@dataclass(frozen=True, slots=True)
class Keys:
    """Fixed keys, and the name of the account whose limits they share."""

    account: str
    keys: SigningKeys


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """All that the client needs to know, in plain values.

    `endpoint` holds for every project, whatever its region; where it is empty, the project's region decides, and
    else `region`. `limits` and `burst` hold per account; of those, and of what a throttle teaches, this process may use
    the part that `splits` gives it, by account, or all. `clock` is the wall clock in seconds since the epoch.
    `observer` gets a record of each attempt at a call.
    """

    credentials: Mapping[str, Keys]
    limits: Mapping[CallGroup, Rate]
    burst: Rate
    retry: RetryPolicy
    region: str
    endpoint: str
    page_size: int
    job_api: JobApi
    connections: Connections
    clock: Callable[[], float]
    observer: Callable[[CallRecord], None]
    splits: Mapping[str, Split] = field(default_factory=dict)

    def split(self, account: str) -> Split:
        """Return how the limits of an account are shared with other processes."""
        return self.splits.get(account, Split())


class Ims:
    """The image service as the worker sees it. Make one with `open`; it belongs to one event loop."""

    def __init__(self, config: CloudConfig, transport: Transport) -> None:
        self._config = config
        self._transport = transport
        self._tally = Tally()
        names = {entry.account for entry in config.credentials.values()}
        self._accounts = {name: self._account(name, transport) for name in sorted(names)}
        self._credentials = {
            name: Credential(
                name,
                entry.keys,
                self._accounts[entry.account],
                config.retry,
                Proving(config.connections.connect_timeout),
            )
            for name, entry in config.credentials.items()
        }
        self._progress_only: set[tuple[str, str]] = set()
        self._spelled: dict[str, dict[str, str]] = {}
        self._in_vain_since: dict[str, float] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, config: CloudConfig) -> AsyncIterator[Self]:
        """Open the connections, and close them at the end. Raises SettingsError for an unusable CA file."""
        async with Transport.open(config.connections, config.clock) as transport:
            yield cls(config, transport)

    async def list_shared(
        self, project: Project, status: MemberStatus, *, full_ecs: bool | None = None
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield, page after page, the images that others share with `project` and that it has given `status`.

        With `full_ecs`, only full-ECS images, or only others, are asked for; a region may ignore that. No image comes
        twice. Failed calls are repeated. Raises CloudError: UnexpectedReply where the list does not go on as promised,
        ListBrokenOff where the image that its next page begins after was deleted or withdrawn meanwhile. What was
        yielded before is then only a part. Stopping or cancelling leaves nothing behind.
        """
        credential, origin = self._route(project)
        query: tuple[tuple[str, str | int], ...] = (
            ("__imagetype", "shared"),
            ("visibility", "shared"),
            ("member_status", status.value),
            ("limit", self._config.page_size),
            *(() if full_ecs is None else (("__whole_image", str(full_ecs).lower()),)),
        )
        most = max(_PAGES_IN_ONE * self._config.page_size, _LEAST_PAGE)
        size, values = most * _IMAGE_BYTES, most * _IMAGE_VALUES
        call = Call(CallGroup.IMAGES_LIST, "GET", origin, _IMAGES, project.id, query, b"", size, values)
        read = partial(read_page, max_images=most)
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            try:
                page = await credential.fetch(call, read)
            except (BadRequest, Forbidden, NotFound) as error:
                if call.query == query:
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
        credential, origin = self._route(project)
        body = members_body(batch, self._spelled.get(project.id, {}))
        call = Call(CallGroup.MEMBERS_PUT, "PUT", origin, _MEMBERS, project.id, body=body, is_part=batch.is_part)
        return read_submitted(await credential.send(call, on_slot=on_slot), credential.secrets)

    async def get_job(self, project: Project, job_id: str) -> JobReply:
        """Ask what became of a job; failed calls are repeated.

        Raises NotFound when the cloud does not know the job, and else CloudError. With `auto`, the older query is
        preferred, since it has per-image results and a far higher limit; where it is gone, the newer one is asked,
        and from then on at once.
        """
        credential, origin = self._route(project)
        place = (credential.account.name, origin)
        job_api = self._config.job_api
        if job_api is JobApi.PROGRESS or place in self._progress_only:
            return await self._ask_job(JobApi.PROGRESS, project, job_id)
        try:
            return await self._ask_job(JobApi.LEGACY, project, job_id)
        except CloudError as error:
            if job_api is JobApi.LEGACY or not _query_is_gone(error):
                raise
        reply = await self._ask_job(JobApi.PROGRESS, project, job_id)
        self._progress_only.add(place)
        return reply

    def counts(self) -> CallCounts:
        """Return how many calls were made since the opening."""
        return self._tally.counts()

    def standing(self) -> Mapping[str, Mapping[CallGroup, Standing]]:
        """Return how each call group of each account stands against its limits now."""
        return {
            name: {group: account.throttle.standing(group) for group in CallGroup}
            for name, account in self._accounts.items()
        }

    def rooms(self) -> Mapping[str, AccountRoom]:
        """Return what the limits of each account let through from now on, for a forecast made at once."""
        return {name: account.throttle.room() for name, account in self._accounts.items()}

    def silent_for(self, project: Project) -> float:
        """Return since how many seconds a project's lists are asked for in vain; waits for a limit are not in vain.

        That begins with the first of the calls that failed in a row, and shows when that has failed. Who waits for
        others of its account, whose calls its host does not answer, asks in vain too.
        """
        credential, origin = self._route(project)
        of_host = credential.account.silent_for(origin, CallGroup.IMAGES_LIST)
        since = self._in_vain_since.get(project.id)
        return of_host if since is None else max(of_host, asyncio.get_running_loop().time() - since)

    def without_secrets(self, text: str) -> str:
        """Return a text of our own, such as a traceback, in which no key stands as it is."""
        for credential in self._credentials.values():
            for secret in filter(None, credential.secrets):
                text = text.replace(secret, MASK)
        return text

    def refused(self) -> Mapping[str, bool]:
        """Return, by name, whether each credential's keys are refused now."""
        return {name: credential.refused for name, credential in self._credentials.items()}

    def remember(self, account: str, group: CallGroup, ages: Iterable[float]) -> None:
        """Count calls that an earlier process made, answered `ages` seconds ago. Unknown accounts are passed over."""
        if account in self._accounts:
            self._accounts[account].throttle.remember(group, ages)

    def retry_stopped(self) -> None:
        """Let every credential and proxy login that was refused be tried once more, as at the start of a pass."""
        self._transport.allow_proxies()
        for credential in self._credentials.values():
            credential.retry_if_stopped()

    def _account(self, name: str, transport: Transport) -> Account:
        limits = AccountLimits(self._config.limits, self._config.burst, self._config.split(name))
        return Account(name, limits, transport, self._observe)

    def _route(self, project: Project) -> tuple[Credential, str]:
        credential = self._credentials.get(project.credential)
        if credential is None:
            raise TerminalCloudError(f"there is no credential {project.credential!r}")
        try:
            if self._config.endpoint:
                origin = endpoint_origin(self._config.endpoint)
            else:
                origin = region_origin("ims", project.region or self._config.region)
        except ValueError as error:
            raise TerminalCloudError(str(error)) from error
        # Now, and not when its turn comes: what others borrow until then leaves it its share.
        credential.account.connections.know(origin)
        return credential, origin

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

    async def _ask_job(self, job_api: JobApi, project: Project, job_id: str) -> JobReply:
        credential, origin = self._route(project)
        name = checked_job_id(job_id, credential.secrets)
        if job_api is JobApi.LEGACY:
            group, path = CallGroup.JOB_GET, f"/v1/{quoted(project.id)}/jobs/{name}"
        else:
            group, path = CallGroup.JOB_PROGRESS, f"/v1/cloudimages/job/{name}"
        try:
            return await credential.fetch(Call(group, "GET", origin, path, project.id), read_job)
        except BadRequest as error:
            if error.code != _JOB_UNKNOWN:
                raise
            raise NotFound(error.message, status=error.status, code=error.code, request_id=error.request_id) from error

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
        return self._accounts[record.account].throttle.standing(record.group).paused_for > 0


def _query_is_gone(error: CloudError) -> bool:
    """Tell whether an answer speaks of the job query itself, or may do so, and not of one job."""
    if isinstance(error, NotFound):
        return not error.code
    return isinstance(error, Forbidden) or error.status in {404, 405, 410, 501}
