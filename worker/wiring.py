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
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any

from worker.cloud.ims import CloudConfig, Ims
from worker.cloud.ims import Keys as AccountKeys
from worker.cloud.signing import SigningKeys
from worker.cloud.transport import Connections
from worker.core.calls import CallGroup, CallRecord
from worker.core.documents import Document, shown
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
from worker.errors import JournalError, ManifestError, Problem, SettingsError
from worker.journal.database import MEMORY, path_of
from worker.journal.lease import HeldJournal, hold_journal
from worker.journal.store import Journal, open_journal
from worker.reconcile.ports import Halt, Pass, Tempo
from worker.reconcile.run import Order, Prepared, prepare, run_once
from worker.settings import Loaded, Settings, load_settings, manifest_names, read_manifests, resolve_credentials

RESERVE = 60.0
_FLUSH_EVERY = 1.0
_UNRECORDED = 2 * _FLUSH_EVERY


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


def cloud_config(site: Site, environ: Mapping[str, str]) -> CloudConfig:
    """Return what the client of the cloud needs; raise SettingsError for credentials that are missing or incomplete."""
    used = {site.manifest.projects[project_id].credential for project_id in site.manifest.wishes}
    return _cloud_config(site.settings, used, environ)


@asynccontextmanager
async def open_cloud(config: CloudConfig, calls: Callable[[CallRecord], None]) -> AsyncIterator[Ims]:
    """Open the connections to the cloud; `calls` is told of each call. Raises SettingsError for an unusable CA file."""
    async with Ims.open(replace(config, observer=calls)) as ims:
        yield ims


def journal_to_write(url: str) -> AbstractAsyncContextManager[Journal]:
    """Open the journal, and make it if there is none, for one short write beside the worker that holds it."""
    return open_journal(url)


@asynccontextmanager
async def journal_to_read(url: str) -> AsyncIterator[Journal]:
    """Open the journal for a command that only reads it: one that does not exist yet is empty, and is not made."""
    path = path_of(url)
    async with open_journal(url if path is None or path.exists() else MEMORY) as journal:
        yield journal


@asynccontextmanager
async def at_work(
    site: Site, config: CloudConfig, verb: str, shard: Shard, calls: Callable[[CallRecord], None]
) -> AsyncIterator[tuple[HeldJournal, Ims]]:
    """Hold the journal as its only writer for a shard, and open the cloud; the calls of earlier processes count.

    Raises JournalLocked with who holds the journal, JournalError, and SettingsError for an unusable CA file.
    """
    async with hold_journal(journal_url(site.settings), verb, shard) as journal:

        def note(record: CallRecord) -> None:
            if record.group is not CallGroup.MEMBERS_PUT:  # each of these has an intent in the journal
                journal.note_call(record.account, record.group, time.time())
            calls(record)

        async with open_cloud(config, note) as ims, _calls_recorded(journal):
            await _remember_calls(site, config, journal, ims)
            yield journal, ims


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
    await the_pass.keep(journal.prune(the_pass.now() - site.settings.journal.keep))
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


class Stopper:
    """Whether the process was asked to stop; it halts the passes under way with some seconds of grace."""

    def __init__(self, grace: float) -> None:
        self.asked = asyncio.Event()
        self._grace = grace
        self._halts: list[Halt] = []

    def halt(self) -> Halt:
        """Return the halt of the next pass, which goes with those who ask the process to stop."""
        halt = Halt()
        self._halts = [halt]
        if self.asked.is_set():
            halt.stop(self._grace)
        return halt

    def stop(self) -> None:
        """Ask the process to stop with grace; the second time, end it at once."""
        if self.asked.is_set():
            os._exit(1)
        self.asked.set()
        for halt in self._halts:
            halt.stop(self._grace)


@contextmanager
def stopped_by_signals(grace: float) -> Iterator[Stopper]:
    """Have SIGTERM and SIGINT stop the passes with grace; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    stopper = Stopper(grace)
    for number in signals:
        loop.add_signal_handler(number, stopper.stop)
    try:
        yield stopper
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _calls_recorded(journal: Journal) -> AsyncIterator[None]:
    """Have the calls that count written at least every second, so that a crash leaves few of them unrecorded."""

    async def flush() -> None:
        while True:
            await asyncio.sleep(_FLUSH_EVERY)
            with suppress(JournalError):
                await journal.flush_calls()

    flushing = asyncio.create_task(flush())
    try:
        yield
    finally:
        flushing.cancel()


async def _remember_calls(site: Site, config: CloudConfig, journal: HeldJournal, ims: Ims) -> None:
    """Count the calls that earlier processes made, and those that a crash may have left unrecorded, as made now."""
    now = time.time()
    since = now - max(rate.window for rate in config.limits.values())
    for made in await journal.calls_since(since):
        ims.remember(made.account, made.group, [now - made.at] * made.count)
    projects, credentials = site.manifest.projects, site.settings.credentials
    for project_id, at in await journal.intents_since(since):
        if project_id in projects:
            account = credentials[projects[project_id].credential].account
            ims.remember(account, CallGroup.MEMBERS_PUT, [now - at])
    if journal.unclean:
        unrecorded = ceil(config.burst.count * _UNRECORDED / config.burst.window)
        for account in {keys.account for keys in config.credentials.values()}:
            for group, rate in config.limits.items():
                if group is not CallGroup.MEMBERS_PUT:
                    ims.remember(account, group, [0.0] * min(rate.count, unrecorded))


def _cloud_config(settings: Settings, used: Collection[str], environ: Mapping[str, str]) -> CloudConfig:
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


def _ignore(_record: CallRecord) -> None:
    """Stand in for who watches the calls, until the connections are opened."""


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
    hint = f"did you mean {shown(close[0])}?" if close else "give a name or an id of the manifest"
    return Problem(option, 0, 0, "", f"the manifest knows nothing called {shown(name)}", name, hint)


def _run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
