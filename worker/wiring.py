"""Settings become the small values that each part needs; nothing is decided here."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from worker.core.calls import CallGroup, CallRecord
from worker.core.fleet.forecast import Shape
from worker.core.fleet.guard import GuardPolicy
from worker.core.fleet.selection import Selector, selection_of
from worker.core.job import JobApi
from worker.core.limits import Rate
from worker.core.manifest.discover import credentials_of
from worker.core.schedule import Cron, Interval, Schedule
from worker.core.timing import PollPolicy, QuarantinePolicy, RetryPolicy, Timings
from worker.errors import Problem
from worker.reconcile.request import PassRequest
from worker.settings import Settings
from worker.settings.inputs import Inputs

if TYPE_CHECKING:
    from worker.cloud.auth.flow import Kind
    from worker.cloud.config import CloudConfig

_QUICK_READ: Final = 10.0
"""Seconds that an answer may take at most of which somebody who watches wants to know."""
_QUICK_ATTEMPTS: Final = 2
_QUICK_PAGE: Final = 100


def journal_url(settings: Settings) -> str:
    """Return the journal's URL; it may hold a password."""
    return settings.journal.url.get_secret_value()


def pass_request(inputs: Inputs, selector: Selector, *, resumes: bool = True) -> PassRequest:
    """Return what a pass is asked to do; raise SettingsError for a project or image that the manifest does not know."""
    settings = inputs.settings
    return PassRequest(
        manifest=inputs.manifest,
        selection=selection_of(inputs.manifest, selector),
        vaults=settings.cloud.vault_policy,
        guard=GuardPolicy(settings.guards.max_reject, settings.guards.max_change),
        max_images=settings.batch.max_images,
        resumes=resumes,
    )


def schedule_of(settings: Settings) -> Schedule:
    """Return when the daemon's passes begin."""
    schedule = settings.schedule
    if schedule.cron is not None:
        return Cron(schedule.cron, schedule.timezone)
    return Interval(schedule.every or 0.0)


def timings(settings: Settings) -> Timings:
    """Return how patient a pass is. Two calls may fail for their time-outs before a silence counts."""
    polling, retry, cloud = settings.polling, settings.retry, settings.cloud
    return Timings(
        polling=PollPolicy(polling.first, polling.factor, polling.max, polling.learn),
        retry=RetryPolicy(retry.attempts, retry.base, retry.max),
        deadline=polling.deadline,
        verify=polling.verify,
        unknown=polling.unknown,
        abandon=polling.abandon,
        quarantine=QuarantinePolicy(settings.quarantine.first, settings.quarantine.max),
        silence=2 * (cloud.connect_timeout + cloud.read_timeout),
    )


def cloud_config(inputs: Inputs, environ: Mapping[str, str]) -> CloudConfig:
    """Return what the client of the cloud needs; raise SettingsError for credentials that are missing or incomplete."""
    from worker.settings.resolve import resolve_credentials  # noqa: PLC0415

    settings = inputs.settings
    used = {inputs.manifest.projects[project_id].credential for project_id in inputs.manifest.spoken_of}
    used |= set(credentials_of(inputs.manifest))
    return _cloud_config(settings, environ, resolve_credentials(settings, environ, used))


def quick_cloud_config(
    inputs: Inputs, environ: Mapping[str, str], used: Collection[str]
) -> tuple[CloudConfig, Mapping[str, tuple[Problem, ...]]]:
    """Return what a client needs that looks at much and waits for little, and what is wrong with credentials, by name.

    These are left out of it; it has the others of those used.
    """
    from worker.settings.resolve import resolve_usable  # noqa: PLC0415

    settings = inputs.settings
    kinds, amiss = resolve_usable(settings, environ, used)
    config = _cloud_config(settings, environ, kinds)
    connections = replace(config.connections, read_timeout=min(config.connections.read_timeout, _QUICK_READ))
    retry = replace(config.retry, attempts=min(config.retry.attempts, _QUICK_ATTEMPTS))
    page_size = min(config.page_size, _QUICK_PAGE)
    return replace(config, connections=connections, retry=retry, page_size=page_size), amiss


def _cloud_config(settings: Settings, environ: Mapping[str, str], kinds: Mapping[str, Kind]) -> CloudConfig:
    # What makes no call needs none of the cloud's client.
    from worker.cloud.config import AccountCredential, CloudConfig  # noqa: PLC0415
    from worker.cloud.request import Connections  # noqa: PLC0415
    from worker.settings.endpoints import endpoints_of  # noqa: PLC0415

    limits, cloud = settings.limits, settings.cloud
    return CloudConfig(
        credentials={
            name: AccountCredential(credential.account, kind, credential.enterprise_project, credential.domain_id)
            for name, kind in kinds.items()
            for credential in [settings.credentials[name]]
        },
        limits=rates(settings),
        burst=limits.burst,
        learn=limits.learn,
        retry=RetryPolicy(settings.retry.attempts, settings.retry.base, settings.retry.max),
        endpoints=endpoints_of(cloud, environ),
        page_size=settings.batch.page_size,
        job_api=cloud.job_api,
        connections=Connections(
            connect_timeout=cloud.connect_timeout,
            read_timeout=cloud.read_timeout,
            max_connections=limits.max_connections,
            ca_file=str(cloud.ca_file or ""),
        ),
        clock=time.time,
        observer=_ignore,
    )


def _ignore(_record: CallRecord) -> None:
    """Stand in for who watches the calls, until the connections are opened."""


def rates(settings: Settings) -> dict[CallGroup, Rate]:
    """Return the limit of each call group, which holds per account."""
    limits = settings.limits
    return {
        CallGroup.MEMBERS_PUT: limits.members_put,
        CallGroup.JOB_GET: limits.job_get,
        CallGroup.JOB_PROGRESS: limits.job_progress,
        CallGroup.IMAGES_LIST: limits.images_list,
    }


def shape(settings: Settings) -> Shape:
    """Return how the calls of a pass are counted for its forecast."""
    poll_group = CallGroup.JOB_PROGRESS if settings.cloud.job_api is JobApi.PROGRESS else CallGroup.JOB_GET
    return Shape(settings.batch.page_size, settings.batch.max_images, poll_group)
