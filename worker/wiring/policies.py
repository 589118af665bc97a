"""Settings become the small values that each part below needs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from worker.cloud.ims import CloudConfig
from worker.cloud.ims import Keys as AccountKeys
from worker.cloud.signing import SigningKeys
from worker.cloud.transport import Connections
from worker.core.calls import CallGroup, CallRecord
from worker.core.documents import shown
from worker.core.fleet.forecast import Shape
from worker.core.fleet.shards import Shard, Split, split_of
from worker.core.job import JobApi
from worker.core.limits import Rate
from worker.core.timing import RetryPolicy
from worker.errors import Problem, SettingsError
from worker.settings import Settings, resolve_credentials
from worker.wiring.site import Site


def cloud_config(site: Site, environ: Mapping[str, str]) -> CloudConfig:
    """Return what the client of the cloud needs; raise SettingsError for credentials that are missing or incomplete."""
    settings = site.settings
    used = {site.manifest.projects[project_id].credential for project_id in site.manifest.wishes}
    keys = resolve_credentials(settings, environ, used)
    limits, cloud = settings.limits, settings.cloud
    return CloudConfig(
        credentials={
            name: AccountKeys(
                settings.credentials[name].account,
                SigningKeys(
                    each.access_key,
                    each.secret_key.get_secret_value(),
                    each.security_token.get_secret_value() if each.security_token else None,
                ),
            )
            for name, each in keys.items()
        },
        limits=_rates(settings),
        burst=limits.burst,
        retry=RetryPolicy(settings.retry.attempts, settings.retry.base, settings.retry.max),
        region=cloud.region,
        endpoint=cloud.ims_endpoint,
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


def shared_out(config: CloudConfig, site: Site, shard: Shard, verb: str) -> CloudConfig:
    """Return the config with the part of each account's limits that a shard may use.

    They are divided between the shards that have projects of the account; for a daemon between all shards, since its
    manifest may change, and not for all at the same moment. Raises SettingsError for limits that have too few calls.
    """
    splits = _splits(site, shard)
    if verb == "serve":
        splits = dict.fromkeys(splits, Split(shard.index, tuple(range(shard.count))))
    limits = {f"limits.{group}": rate for group, rate in config.limits.items()} | {"limits.burst": config.burst}
    problems = tuple(
        Problem(
            "--shard",
            0,
            0,
            "",
            f"the {len(split.shards)} shards that use the account {shown(account)} cannot divide {name}",
            str(rate),
            f"{rate} has a call for {rate.count} of them",
        )
        for account, split in splits.items()
        for name, rate in limits.items()
        if rate.count < len(split.shards)
    )
    if problems:
        raise SettingsError(problems)
    return replace(config, splits=splits)


def _splits(site: Site, shard: Shard) -> dict[str, Split]:
    """Return, by account, how a shard shares its limits with the shards that have projects of the account."""
    projects: dict[str, list[str]] = {}
    for project_id in site.manifest.wishes:
        projects.setdefault(site.account_of(project_id), []).append(project_id)
    return {account: split_of(of_account, shard) for account, of_account in sorted(projects.items())}


def _ignore(_record: CallRecord) -> None:
    """Stand in for who watches the calls, until the connections are opened."""


def _rates(settings: Settings) -> dict[CallGroup, Rate]:
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
