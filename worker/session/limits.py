"""The limits of a command: a shard's part of them, and the calls that count, noted and remembered in the journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from math import ceil

from worker.cloud.config import CloudConfig
from worker.cloud.ims import Ims
from worker.core.calls import CallGroup, CallRecord, LimitKey
from worker.core.clock import age_of, is_ahead
from worker.core.documents import quote
from worker.core.fleet.shards import Shard, Split, shard_of, split_of
from worker.core.manifest.discover import credentials_of
from worker.core.manifest.found import as_written
from worker.errors import JournalError, Problem, SettingsError
from worker.journal.store import Journal
from worker.settings.inputs import Inputs

_FLUSH_EVERY = 1.0
_UNRECORDED = 2 * _FLUSH_EVERY
_FLUSHES_UNTIL_TOLD = 5
"""Flushes after which a shard looks what the others have learned."""


@asynccontextmanager
async def calls_recorded(journal: Journal, ims: Ims) -> AsyncIterator[None]:
    """Have the calls that count, and what is learned of limits, written each second, and at the end.

    So a crash leaves few of them unrecorded. Of several shards each hears soon what the others have learned.
    """

    async def flush() -> None:
        for flushes in count(1):
            await asyncio.sleep(_FLUSH_EVERY)
            with suppress(JournalError):
                await journal.flush()
                if journal.shard.count > 1 and flushes % _FLUSHES_UNTIL_TOLD == 0:
                    await remember_limits(journal, ims)

    flushing = asyncio.create_task(flush())
    try:
        yield
    finally:
        flushing.cancel()
        with suppress(JournalError):
            await journal.flush()


def counted(journal: Journal, on_call: Callable[[CallRecord], None]) -> Callable[[CallRecord], None]:
    """Have the journal note each call and what it taught, besides who watches them; a PUT has its intent there."""

    def note(record: CallRecord) -> None:
        if record.learned is not None:
            learned = replace(record.learned, at=time.time())
            journal.learned_limits.note(LimitKey(record.account, record.group), learned)
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
        many = min(made.count, config.limits.get(made.group, config.burst).count)
        add(made.account, made.group, shard, [age_of(made.at, now)] * many)
    accounts = {keys.account for keys in config.credentials.values()}
    for project_id, at in await journal.calls.puts_since(since):
        shard = shard_of(project_id, of.count)
        # Nobody knows the account of a project that has left the manifest.
        for account in {inputs.account_of(project_id)} if project_id in inputs.manifest.projects else accounts:
            add(account, CallGroup.MEMBERS_PUT, shard, [0.0 if at is None else age_of(at, now)])
    for (account, group), of_shards in ages.items():
        rate = config.limits.get(group, config.burst)
        ims.clients.remember(account, group, config.split(account).counting(rate, of_shards))


async def remember_limits(journal: Journal, ims: Ims) -> None:
    """Go by what earlier processes and other shards have learned of limits; raise JournalError.

    What cannot be read is learned again, and so is what lies ahead of the clock: nobody knows how old it is.
    """
    now, at = time.time(), asyncio.get_running_loop().time()
    for key, learned in (await journal.learned_limits.known()).values:
        if not is_ahead(learned.at, now):
            learned_then = replace(learned, at=at - age_of(learned.at, now))
            ims.clients.remember_learned(key.account, key.group, learned_then)


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
    for project_id in as_written(inputs.manifest).spoken_of:
        projects.setdefault(inputs.account_of(project_id), []).append(project_id)
    splits = {account: split_of(of_account, shard) for account, of_account in projects.items()}
    # In which shards the projects are that are to be found, nobody knows yet.
    to_find = {inputs.settings.credentials[each].account for each in credentials_of(inputs.manifest)}
    splits |= dict.fromkeys(to_find, Split(shard.index, tuple(range(shard.count))))
    return dict(sorted(splits.items()))
