"""The limits of a command: a shard's part of them, and the calls that count, noted and remembered in the journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from math import ceil

from worker.cloud.config import CloudConfig
from worker.cloud.ims import Ims
from worker.core.calls import CallGroup, CallRecord
from worker.core.clock import age_of
from worker.core.documents import quote
from worker.core.fleet.shards import Shard, Split, shard_of, split_of
from worker.errors import JournalError, Problem, SettingsError
from worker.journal.store import Journal
from worker.settings.inputs import Inputs

_FLUSH_EVERY = 1.0
_UNRECORDED = 2 * _FLUSH_EVERY


@asynccontextmanager
async def calls_recorded(journal: Journal) -> AsyncIterator[None]:
    """Have the calls that count written each second, so that a crash leaves few of them unrecorded, and at the end."""

    async def flush() -> None:
        while True:
            await asyncio.sleep(_FLUSH_EVERY)
            with suppress(JournalError):
                await journal.calls.flush()

    flushing = asyncio.create_task(flush())
    try:
        yield
    finally:
        flushing.cancel()
        with suppress(JournalError):
            await journal.calls.flush()


def counted(journal: Journal, on_call: Callable[[CallRecord], None]) -> Callable[[CallRecord], None]:
    """Have the journal note each call, besides who watches them; a PUT has its intent there already."""

    def note(record: CallRecord) -> None:
        if record.group is not CallGroup.MEMBERS_PUT:
            journal.calls.note(record.account, record.group, time.time())
        on_call(record)

    return note


async def remember_calls(inputs: Inputs, config: CloudConfig, journal: Journal, ims: Ims, of: Shard) -> None:
    """Count the calls that earlier processes made, as far as the shard does not leave them to others to count.

    A shard counts its own calls, and each PUT for a project that is its own now, whoever sent it.
    """
    now = time.time()
    since = now - max(rate.window for rate in config.limits.values())
    ages: dict[tuple[str, CallGroup], dict[int | None, list[float]]] = {}

    def add(account: str, group: CallGroup, shard: int | None, made: list[float]) -> None:
        ages.setdefault((account, group), {}).setdefault(shard, []).extend(made)

    for made in await journal.calls.since(since):
        shard = made.shard.index if made.shard.count == of.count else None
        # More than the limit lets through make no difference, however many a row tells of.
        count = min(made.count, config.limits.get(made.group, config.burst).count)
        add(made.account, made.group, shard, [age_of(made.at, now)] * count)
    accounts = {keys.account for keys in config.credentials.values()}
    for project_id, at in await journal.calls.puts_since(since):
        shard = shard_of(project_id, of.count)
        # Nobody knows the account of a project that has left the manifest.
        for account in {inputs.account_of(project_id)} if project_id in inputs.manifest.projects else accounts:
            add(account, CallGroup.MEMBERS_PUT, shard, [0.0 if at is None else age_of(at, now)])
    for (account, group), of_shards in ages.items():
        rate = config.limits.get(group, config.burst)
        ims.clients.remember(account, group, config.split(account).counting(rate, of_shards))


def assume_unrecorded_calls(config: CloudConfig, ims: Ims) -> None:
    """Count what a crash may have left unrecorded as made now."""
    for account in {keys.account for keys in config.credentials.values()}:
        part = config.split(account).part
        burst = part(config.burst)
        unrecorded = ceil(burst.count * _UNRECORDED / burst.window)
        for group, rate in config.limits.items():
            if group is not CallGroup.MEMBERS_PUT:
                ims.clients.remember(account, group, [0.0] * min(part(rate).count, unrecorded))


def calls_left(ims: Ims) -> dict[CallGroup, int]:
    """Return how many calls of each group the limits still let through now, over all accounts."""
    accounts = ims.clients.standing().values()
    return {group: sum(groups[group].left for groups in accounts) for group in CallGroup}


def shared_out(config: CloudConfig, inputs: Inputs, shard: Shard, verb: str) -> CloudConfig:
    """Return the config with the part of each account's limits that a shard may use.

    They are divided between the shards that have projects of the account; for a daemon between all shards, since its
    manifest may change, and not for all at the same moment. Raises SettingsError for limits that have too few calls.
    """
    splits = _splits(inputs, shard)
    if verb == "serve":
        splits = dict.fromkeys(splits, Split(shard.index, tuple(range(shard.count))))
    limits = {f"limits.{group}": rate for group, rate in config.limits.items()} | {"limits.burst": config.burst}
    problems = tuple(
        Problem.about(
            "--shard",
            f"the {len(split.shards)} shards that use the account {quote(account)} cannot divide {name}",
            value=str(rate),
            hint=f"{rate} has a call for {rate.count} of them",
        )
        for account, split in splits.items()
        for name, rate in limits.items()
        if rate.count < len(split.shards)
    )
    if problems:
        raise SettingsError(problems)
    return replace(config, splits=splits)


def _splits(inputs: Inputs, shard: Shard) -> dict[str, Split]:
    """Return, by account, how a shard shares its limits with the shards that have projects of the account."""
    projects: dict[str, list[str]] = {}
    for project_id in inputs.manifest.wishes:
        projects.setdefault(inputs.account_of(project_id), []).append(project_id)
    return {account: split_of(of_account, shard) for account, of_account in sorted(projects.items())}
