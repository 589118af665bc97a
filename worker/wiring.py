"""The only place where the parts meet: settings become policies, and the verbs get what they work with."""

from __future__ import annotations

import asyncio
import difflib
import os
import random
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker.cloud.ims import CloudConfig, Ims
from worker.cloud.ims import Keys as AccountKeys
from worker.cloud.signing import SigningKeys
from worker.cloud.transport import Connections
from worker.core.calls import CallGroup, CallRecord
from worker.core.documents import Document
from worker.core.events import Listener
from worker.core.forecast import Forecast, Speed, forecast
from worker.core.guard import GuardPolicy
from worker.core.job import JobApi
from worker.core.manifest import Manifest, empty_manifest, parse_manifest, unknown_credentials
from worker.core.plan import Patience
from worker.core.quarantine import QuarantinePolicy
from worker.core.report import RunReport
from worker.core.state import Share
from worker.core.target import Shard, Target
from worker.core.timing import PollPolicy, RetryPolicy
from worker.errors import ManifestError, Problem, SettingsError
from worker.journal.lease import hold
from worker.journal.sqlite import path_of
from worker.journal.store import MEMORY, Journal, open_journal
from worker.reconcile.ports import Halt, Pass, Tempo
from worker.reconcile.run import Order, Prepared, prepare, run_once
from worker.settings import Loaded, Settings, load_settings, manifest_names, read_manifests, resolve_credentials

RESERVE = 60.0


@dataclass(frozen=True, slots=True)
class Site:
    """What a pass works on: the settings, and the manifest they name."""

    settings: Settings
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Aim:
    """The part of the fleet a command is aimed at, as it was typed: names or ids."""

    projects: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    shard: Shard = field(default_factory=Shard)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is wrong with the config and the manifest, and the manifest if it could be read."""

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    documents: tuple[Document, ...]
    manifest: Manifest | None


def load_site(loaded: Loaded) -> Site:
    """Read the manifest that the settings name, and see that they know its credentials.

    Raises SettingsError for files that are not there, ManifestError with every problem of the manifest.
    """
    documents = read_manifests(loaded.settings.manifest, loaded.base)
    manifest = parse_manifest(documents)
    if problems := unknown_credentials(manifest, loaded.settings.credentials, documents):
        raise ManifestError(problems, {document.name: document.source for document in documents})
    return Site(loaded.settings, manifest)


def names_of(loaded: Loaded) -> Manifest:
    """Return the manifest for its names alone: an empty one where it cannot be read."""
    try:
        return load_site(loaded).manifest
    except (SettingsError, ManifestError):
        return empty_manifest()


def journal_url(settings: Settings) -> str:
    """Return the journal's URL; it may hold a password."""
    return settings.journal.url.get_secret_value()


def survey(config: Path | None, environ: Mapping[str, str]) -> Survey:
    """Read everything offline and collect what is wrong with any of it; raise nothing."""
    problems: list[Problem] = []
    warnings: tuple[str, ...] = ()
    documents: tuple[Document, ...] = ()
    manifest = None
    credentials: Collection[str] | None = None
    try:
        loaded = load_settings(config, environ, {})
        names, base, warnings = loaded.settings.manifest, loaded.base, loaded.warnings
        credentials = loaded.settings.credentials
    except SettingsError as error:
        problems += error.problems
        names, base = manifest_names(config, environ)
    try:
        documents = read_manifests(names, base)
        manifest = parse_manifest(documents)
    except (SettingsError, ManifestError) as error:
        problems += error.problems
    if manifest is not None and credentials is not None:
        problems += unknown_credentials(manifest, credentials, documents)
    return Survey(tuple(problems), warnings, documents, manifest)


def order_of(site: Site, aim: Aim) -> Order:
    """Return what a pass is asked to do; raise SettingsError for a project or image that the manifest does not know."""
    settings = site.settings
    return Order(
        manifest=site.manifest,
        target=_target(site.manifest, aim),
        vaults=settings.cloud.vault_policy,
        guard=GuardPolicy(settings.guards.max_reject, settings.guards.max_change),
        max_images=settings.batch.max_images,
    )


@asynccontextmanager
async def open_cloud(site: Site, environ: Mapping[str, str], calls: Callable[[CallRecord], None]) -> AsyncIterator[Ims]:
    """Open the connections to the cloud; raise SettingsError for credentials that are missing or incomplete."""
    used = {site.manifest.projects[project_id].credential for project_id in site.manifest.wishes}
    async with Ims.open(_cloud_config(site.settings, used, environ, calls)) as ims:
        yield ims


def journal_to_write(url: str) -> AbstractAsyncContextManager[Journal]:
    """Open the journal, and make it if there is none."""
    return open_journal(url)


@asynccontextmanager
async def journal_to_read(url: str) -> AsyncIterator[Journal]:
    """Open the journal for a command that only reads it: one that does not exist yet is empty, and is not made."""
    path = path_of(url)
    async with open_journal(url if path is None or path.exists() else MEMORY) as journal:
        yield journal


async def plan(site: Site, order: Order, ims: Ims, journal: Journal, events: Listener) -> tuple[Prepared, Forecast]:
    """Observe and plan, writing nothing; foretell what a run would cost."""
    prepared = await prepare(order, make_pass(site.settings, ims, journal, events, Halt()))
    lists = ims.counts().made.get(CallGroup.IMAGES_LIST, 0)
    accounts = {
        project_id: site.settings.credentials[project.credential].account
        for project_id, project in site.manifest.projects.items()
    }
    return prepared, forecast(prepared.batches, prepared.observed, lists, accounts, _speed(site.settings))


async def run(site: Site, order: Order, the_pass: Pass, journal: Journal) -> RunReport:
    """Make one pass, and forget what is older than the history is kept."""
    report = await run_once(order, the_pass)
    await journal.prune(the_pass.now() - site.settings.journal.keep)
    return report


def make_pass(settings: Settings, ims: Ims, journal: Journal, events: Listener, halt: Halt) -> Pass:
    """Return what the verbs of one pass work with."""
    return Pass(
        run_id=_run_id(),
        cloud=ims,
        journal=journal,
        now=time.time,
        chance=random.random,
        emit=events,
        halt=halt,
        tempo=_tempo(settings),
    )


def calls_left(ims: Ims) -> dict[CallGroup, int]:
    """Return how many calls of each group the limits still let through now, over all accounts."""
    accounts = ims.standing().values()
    return {group: sum(groups[group].left for groups in accounts) for group in CallGroup}


@contextmanager
def only_writer(url: str, verb: str, shard: Shard) -> Iterator[None]:
    """Hold the journal while a pass over a shard may write to it; raise JournalLocked with who holds it already."""
    path = path_of(url)
    with hold(path, verb, shard) if path else nullcontext():
        yield


@contextmanager
def halted_by_signals(halt: Halt, grace: float) -> Iterator[None]:
    """Have SIGTERM and SIGINT stop a pass with grace; a second one stops the process at once."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    received: list[int] = []

    def stop(number: int) -> None:
        if received:
            os._exit(1)
        received.append(number)
        halt.stop(grace)

    for number in signals:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _cloud_config(
    settings: Settings, used: Collection[str], environ: Mapping[str, str], calls: Callable[[CallRecord], None]
) -> CloudConfig:
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
        observer=calls,
    )


def _rates(settings: Settings) -> dict[CallGroup, Any]:
    limits = settings.limits
    return {
        CallGroup.MEMBERS_PUT: limits.members_put,
        CallGroup.JOB_GET: limits.job_get,
        CallGroup.JOB_PROGRESS: limits.job_progress,
        CallGroup.IMAGES_LIST: limits.images_list,
    }


def _speed(settings: Settings) -> Speed:
    poll_group = CallGroup.JOB_PROGRESS if settings.cloud.job_api is JobApi.PROGRESS else CallGroup.JOB_GET
    return Speed(_rates(settings), settings.limits.burst, settings.batch.page_size, poll_group)


def _tempo(settings: Settings) -> Tempo:
    polling, retry = settings.polling, settings.retry
    return Tempo(
        polling=PollPolicy(polling.first, polling.factor, polling.max),
        retry=RetryPolicy(retry.attempts, retry.base, retry.max),
        deadline=polling.deadline,
        verify=polling.verify,
        patience=Patience(polling.unknown, polling.abandon),
        quarantine=QuarantinePolicy(settings.quarantine.first, settings.quarantine.max),
    )


def share_of(manifest: Manifest, image: str, project: str) -> Share:
    """Return the share of an image and a project, by name or id; raise SettingsError for what is neither.

    An id need not be in the manifest: what it no longer names may still be in the journal.
    """
    image_id, project_id = manifest.image(image), manifest.project_id(project)
    problems = []
    if image_id is None:
        problems.append(_unknown("IMAGE", image, manifest.image_ids))
    if project_id is None:
        problems.append(_unknown("PROJECT", project, _project_names(manifest)))
    if image_id is None or project_id is None:
        raise SettingsError(tuple(problems))
    return Share(project_id, image_id)


def _target(manifest: Manifest, aim: Aim) -> Target:
    problems: list[Problem] = []
    projects, images = set(), set()
    for name in aim.projects:
        if project := manifest.project(name):
            projects.add(project.id)
        else:
            problems.append(_unknown("--project", name, _project_names(manifest)))
    for name in aim.images:
        if image := manifest.image(name):
            images.add(image)
        else:
            problems.append(_unknown("--image", name, manifest.image_ids))
    if problems:
        raise SettingsError(tuple(problems))
    return Target(frozenset(projects), frozenset(images), aim.shard)


def _project_names(manifest: Manifest) -> list[str]:
    return [project.name for project in manifest.projects.values()]


def _unknown(option: str, name: str, known: Collection[str]) -> Problem:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else "give a name or an id of the manifest"
    return Problem(option, 0, 0, "", f"the manifest knows nothing called {name!r}", name, hint)


def _run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
