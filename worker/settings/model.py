"""How the worker behaves: every setting with its default, its unit and what it means.

Durations are in seconds once they are read. `config.example.toml` shows the same for people who write a config.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from worker.cloud.regions import CloudName, cloud_of
from worker.core.allowance import Allowance
from worker.core.job import JobApi
from worker.core.limits import Rate
from worker.core.project.drift import VaultPolicy
from worker.core.schedule import Jitter
from worker.core.timing import parse_duration
from worker.settings.credentials import KINDS, SECRET_KEYS, Credential, Environment
from worker.settings.readers import Address, public_url
from worker.settings.section import Section
from worker.settings.values import (
    CallRate,
    Cron,
    Domain,
    Duration,
    Endpoint,
    JournalUrl,
    Label,
    Lateness,
    Limit,
    Listen,
    MetadataEndpoint,
    Number,
    Paths,
    Readable,
    Region,
    Whole,
    Zone,
    within,
)


def _misplaced(key: str, message: str) -> PydanticCustomError:
    """Blame one key for what is wrong between several."""
    return PydanticCustomError("misplaced", message, {"key": key})


class Cloud(Section):
    """Where the cloud is, and how it likes to be spoken to."""

    region: Region = ""
    """The region of projects that name none; required unless `ims_endpoint` is given."""
    cloud: CloudName = CloudName.HUAWEI
    """Whose hosts they are; `huawei` also has the regions that the others are known for, except `hcs`."""
    domain: Domain = ""
    """What the hosts of a Huawei Cloud Stack (`hcs`) end in, after the region."""
    ims_endpoint: Endpoint = ""
    """Origin of the image service; empty: derived from cloud and region. Plain http goes to loopback only."""
    iam_endpoint: Endpoint = ""
    """Origin of the identity service; empty: by `HUAWEICLOUD_SDK_IAM_ENDPOINT`, or derived likewise."""
    sts_endpoint: Endpoint = ""
    """Origin of the service for temporary keys; empty: by `HUAWEICLOUD_SDK_STS_ENDPOINT`, or derived likewise."""
    cbr_endpoint: Endpoint = ""
    """Origin of the backup service; empty: derived likewise."""
    metadata_endpoint: MetadataEndpoint = "http://169.254.169.254"
    """Origin of a cloud server's metadata service; plain http goes to loopback and link-local addresses only."""
    ca_file: Readable = None
    """PEM file of a private certificate authority; empty: those of the system."""
    job_api: JobApi = JobApi.AUTO
    """Which job query to use: `auto` takes the one with per-image results where it exists."""
    vault_policy: VaultPolicy = VaultPolicy.WHEN_NEEDED
    """Which accepts carry a vault: those of full-ECS images, or all of them."""
    connect_timeout: Annotated[Duration, within("10ms", "10m")] = parse_duration("10s")
    """How long connecting may take."""
    read_timeout: Annotated[Duration, within("10ms", "1h")] = parse_duration("60s")
    """How long an answer may take."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if not (self.region or self.ims_endpoint):
            raise _misplaced("region", "is required unless ims_endpoint is given")
        return self

    @model_validator(mode="after")
    def _is_of_one_cloud(self) -> Self:
        if (self.cloud is CloudName.HCS) is not bool(self.domain):
            wrong = "is only for cloud" if self.domain else "is required for cloud"
            raise _misplaced("domain", f'{wrong} "hcs": it is what its hosts end in, such as cloud.example.com')
        if self.region and not self.ims_endpoint:
            try:
                cloud_of(self.cloud, self.region)
            except ValueError as error:
                raise _misplaced("cloud", f"does not fit: {error}") from error
        return self


class Limits(Section):
    """Calls per window and account. Source: flow control in the vendor's OpenAPI files of IMS."""

    members_put: CallRate = Rate.parse("200/5m")
    """Accepting and rejecting, a batch per call."""
    job_get: CallRate = Rate.parse("1400/1m")
    """The job query with per-image results."""
    job_progress: CallRate = Rate.parse("200/5m")
    """The job query that the vendor recommends."""
    images_list: CallRate = Rate.parse("1400/1m")
    """A page of an image list."""
    burst: CallRate = Rate.parse("100/s")
    """All calls of an account together."""
    max_connections: Annotated[Whole, Field(le=10_000)] = 64
    """Open connections of the whole process."""
    learn: bool = True
    """Whether throttle answers lower a rate, which recovers, never above what stands here."""


class Batch(Section):
    """How much goes into one call."""

    max_images: Annotated[Whole, Field(le=10_000)] = 100
    """Images per accept or reject; the cloud publishes no maximum."""
    page_size: Annotated[Whole, Field(le=1000)] = 500
    """Images per page of an image list."""


class Polling(Section):
    """Waiting for work to be done."""

    first: Annotated[Duration, within("1ms", "1h")] = parse_duration("1s")
    """The wait before a job's first poll."""
    factor: Annotated[Number, Field(ge=1, le=100)] = 1.2
    """How much longer each next wait is."""
    max: Annotated[Duration, within("1ms", "1d")] = parse_duration("30s")
    """The longest wait between two polls."""
    learn: bool = True
    """Whether what is known of how long jobs last sharpens these waits."""
    deadline: Annotated[Duration, within("1ms", "30d")] = parse_duration("15m")
    """How long a pass waits for a job, from its submission."""
    abandon: Annotated[Duration, within("1ms", "365d")] = parse_duration("24h")
    """After this a job that never ends no longer blocks its shares."""
    unknown: Annotated[Duration, within("1ms", "30d")] = parse_duration("2m")
    """How long a PUT whose answer was lost keeps its shares in flight."""
    verify: Annotated[Duration, within("1ms", "1h")] = parse_duration("10s")
    """How long to go on re-reading before a SUCCESS is called untrue."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.first > self.max:
            raise _misplaced("max", "must not be shorter than polling.first")
        return self


class Retry(Section):
    """Making a failed call again; waits for a throttle are not counted."""

    attempts: Annotated[Whole, Field(le=100)] = 6
    """How often a call is made at most."""
    base: Annotated[Duration, within("1ms", "1h")] = parse_duration("500ms")
    """The longest wait after the first failure; it doubles with each further one."""
    max: Annotated[Duration, within("1ms", "1h")] = parse_duration("15s")
    """The longest wait after any failure."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.base > self.max:
            raise _misplaced("max", "must not be shorter than retry.base")
        return self


class Guards(Section):
    """How much a pass may change: a percentage of the managed shares, or a count; per project and for all."""

    max_reject: Limit = Allowance.parse("10%")
    """Changes from accepted to rejected, in the pass and over a rolling day."""
    max_change: Limit = Allowance.parse("100%")
    """Changes of any kind, in the pass."""


class Quarantine(Section):
    """A share that kept failing is left alone for a while."""

    first: Annotated[Duration, within("1ms", "365d")] = parse_duration("15m")
    """The first while; it doubles with each further failure."""
    max: Annotated[Duration, within("1ms", "365d")] = parse_duration("24h")
    """The longest while."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.first > self.max:
            raise _misplaced("max", "must not be shorter than quarantine.first")
        return self


class Journal(Section):
    """What must survive a crash."""

    url: JournalUrl = Field(default="sqlite:///ims-share-worker.db", validate_default=True)
    """Where it is kept; may be given as `url_file` instead."""
    keep: Annotated[Duration, within("1h", "3650d")] = parse_duration("30d")
    """How long finished batches and passes are remembered."""

    @property
    def place(self) -> str:
        """The URL without its user, password and options, for people."""
        return public_url(self.url.get_secret_value())


class Schedule(Section):
    """When the daemon's passes begin."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["every", "cron"]}})

    every: Annotated[Duration, within("10ms", "365d")] | None = parse_duration("15m")
    """From the beginning of one pass to the next; None where `cron` says it."""
    cron: Cron | None = None
    """Five fields: minute, hour, day of the month, month, day of the week."""
    timezone: Zone = "UTC"
    """Where the clock of `cron` hangs."""
    jitter: Lateness = Jitter.parse("10%")
    """How late a pass may begin, so that many workers do not call at once: a part of the interval, of which a
    percentage takes at most a minute, or a duration; always before the start that follows."""
    grace: Annotated[Duration, within("1ms", "1d")] = parse_duration("25s")
    """How long SIGTERM may take: jobs are tracked until it ends."""

    @model_validator(mode="before")
    @classmethod
    def _either(cls, data: object) -> object:
        if not isinstance(data, dict) or data.get("cron") is None:
            return data
        if data.get("every") is not None:
            raise _misplaced("cron", "cannot stand beside every: give one of them")
        return {**data, "every": None}


class Server(Section):
    """The daemon's HTTP: health, metrics and status page."""

    listen: Listen = Address.parse("127.0.0.1:9180")
    """Host and port; there is no login."""


class Log(Section):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious events that are logged."""


class Settings(Section):
    """All settings, checked. `credentials` always has one that is called `default`."""

    manifest: Paths = ("manifest.toml",)
    """Paths or globs of the manifest's documents, relative to the config."""
    cloud: Cloud
    credentials: dict[Label, Credential] = Field(default={}, validate_default=True)
    limits: Limits = Limits()
    batch: Batch = Batch()
    polling: Polling = Polling()
    retry: Retry = Retry()
    guards: Guards = Guards()
    quarantine: Quarantine = Quarantine()
    journal: Journal
    schedule: Schedule = Schedule()
    server: Server = Server()
    log: Log = Log()

    @field_validator("credentials")
    @classmethod
    def _has_default(cls, credentials: dict[str, Credential]) -> dict[str, Credential]:
        return {"default": Environment(), **credentials}


SECRETS = {"journal": ("url",), "credentials": SECRET_KEYS}
"""The settings of each section that may be given as `NAME_file`, the file that has the secret, instead."""

SECTIONS: dict[str, tuple[type[BaseModel], ...]] = {
    name: (field.annotation,)
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
} | {"credentials": tuple(KINDS.values())}
"""What a table of each section may be; the tables of `credentials` have names of their own between."""


def known_keys(section: str) -> tuple[str, ...]:
    """Return the keys that a table of a section may have."""
    fields = dict.fromkeys(key for model in SECTIONS[section] for key in model.model_fields)
    return (*fields, *(f"{key}_file" for key in SECRETS.get(section, ())))
