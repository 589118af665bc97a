"""Projects that are found, and not listed: asked for before a pass, and remembered where the cloud cannot tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker.core import documents
from worker.core.documents import path_text, problems_of
from worker.core.fleet.selection import Selector
from worker.core.manifest.discover import credentials_of, region_of
from worker.core.manifest.found import join_found
from worker.core.manifest.listed import Listed, Lists, ProjectList, renewed
from worker.core.manifest.model import Manifest
from worker.core.reading import CUT_SHORT
from worker.errors import Cause, CloudError, ManifestError, SettingsError, TransientCloudError
from worker.journal.store import Journal, read_journal
from worker.reconcile.deadline import DeadlinePassedError
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.request import Finding, PassRequest
from worker.settings import Loaded
from worker.settings.inputs import Inputs, names_of, read_manifest
from worker.wiring import journal_url, pass_request, timings

if TYPE_CHECKING:
    from worker.cloud.ims import Ims


@dataclass(frozen=True, slots=True)
class Found:
    """What a pass works on, with what was found in it, and what a person should know of the looking.

    `problems` are what only the finding shows to be wrong with the manifest.
    """

    inputs: Inputs
    finding: Finding
    problems: tuple[documents.Finding, ...]

    def insist(self, loaded: Loaded) -> None:
        """Raise ManifestError for what only the finding shows to be wrong with the manifest."""
        if self.problems:
            raise ManifestError(problems_of(self.problems, read_manifest(loaded)[1]))

    def request(self, selector: Selector) -> PassRequest:
        """Return what a pass is asked to do; raise SettingsError for what nobody knows, and say why that may be so."""
        try:
            return replace(pass_request(self.inputs, selector), finding=self.finding)
        except SettingsError as error:
            if not self.finding.unlisted:
                raise
            hint = self.finding.unlisted[0]
            raise SettingsError(tuple(replace(each, hint=hint) for each in error.problems)) from None


def see_that_known(inputs: Inputs, selector: Selector) -> None:
    """Raise SettingsError for a project or an image that nobody knows, where nothing is to be found that may be it."""
    if not inputs.manifest.discoveries:
        pass_request(inputs, selector)


def _pass_over(_credential: str, _error: CloudError) -> None:
    """Leave it to the list to say that it only stands in."""


async def list_projects(
    inputs: Inputs,
    ims: Ims,
    journal: Journal,
    deadlines: Deadlines,
    on_failure: Callable[[str, CloudError], None] = _pass_over,
) -> Lists:
    """Ask for the projects of each credential that finds some, all at once; where that fails, the last list stands in.

    Nobody is asked where the manifest asks for none. Each has as long as a call may take, repeats included, and no
    longer than the pass may read. `on_failure` is told of each call that failed. Raises JournalError.
    """
    manifest, settings = inputs.manifest, inputs.settings
    if not (credentials := credentials_of(manifest)):
        return {}
    known = await last_lists(journal)
    limit = timings(settings).silence / 2

    async def ask(credential: str) -> ProjectList:
        of = next(each for each in manifest.discoveries if each.credential == credential)
        region = "" if settings.cloud.region else region_of(of, "")
        last = known.get(credential)
        try:
            found = await _listed(ims, credential, region, deadlines, limit)
        except CloudError as error:
            on_failure(credential, error)
            return replace(last or ProjectList(), failure=str(error))
        except DeadlinePassedError:
            return replace(last or ProjectList(), failure=CUT_SHORT)
        return renewed(last, found, time.time(), settings.journal.keep)

    async with asyncio.TaskGroup() as tasks:
        asked = {credential: tasks.create_task(ask(credential)) for credential in credentials}
    return {credential: task.result() for credential, task in asked.items()}


async def _listed(ims: Ims, credential: str, region: str, deadlines: Deadlines, limit: float) -> tuple[Listed, ...]:
    """Return the projects of a credential; raise CloudError, and DeadlinePassedError."""
    try:
        async with asyncio.timeout(limit):
            return await deadlines.to_read.until(ims.list_projects(credential, region))
    except DeadlinePassedError:
        raise  # It is a time-out too, and no outage.
    except TimeoutError as error:
        raise TransientCloudError(f"no answer within {limit:g} seconds").caused(Cause.NO_ANSWER) from error


async def keep_lists(journal: Journal, lists: Lists) -> None:
    """Keep what was listed anew for when it cannot be; raise JournalError."""
    await journal.project_lists.keep({each: found for each, found in lists.items() if not found.failure})


async def last_lists(journal: Journal) -> Lists:
    """Return the lists that the journal has, as far as they can be read; raise JournalError."""
    return dict((await journal.project_lists.known()).values)


async def with_last_found(inputs: Inputs, journal: Journal) -> Inputs:
    """Return the inputs with what was found the last time, where they ask for anything to be found.

    Raises JournalError.
    """
    return inputs.with_found(await last_lists(journal)) if inputs.manifest.discoveries else inputs


def found_in(inputs: Inputs, lists: Lists) -> Found:
    """Return what a pass works on: the files, with what these lists have of the projects that are to be found."""
    joined = join_found(inputs.manifest, inputs.settings.cloud.region, lists)
    # What is no such project has been told of.
    doubts = tuple(
        f"{each.at.file}: {path_text(each.at.path)}: {each.message} {each.other.file}: {path_text(each.other.path)}; "
        "nothing is done about it"
        for each in joined.problems
        if each.other
    )
    finding = Finding((*joined.notes, *doubts), joined.unlisted)
    return Found(replace(inputs, manifest=joined.manifest), finding, joined.problems)


async def known_names(loaded: Loaded) -> Manifest:
    """Return the manifest for its names alone, with those of the projects that were last found.

    It is empty where it cannot be read. Raises JournalError.
    """
    manifest = names_of(loaded)
    if not manifest.discoveries:
        return manifest
    async with read_journal(journal_url(loaded.settings)) as journal:
        return join_found(manifest, loaded.settings.cloud.region, await last_lists(journal)).manifest
