"""What config and manifest say at one time, read for the daemon again and again."""

from __future__ import annotations

import asyncio
import glob
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from worker.cloud.config import CloudConfig
from worker.cloud.transport import tls_context
from worker.core.documents import Document
from worker.core.fleet.selection import Selector
from worker.core.manifest.found import as_written
from worker.core.manifest.listed import Lists
from worker.core.manifest.model import Manifest
from worker.daemon.watching import Fingerprint, Sources
from worker.errors import ManifestError, Problem, SettingsError
from worker.journal.database import is_same
from worker.reconcile.request import PassRequest
from worker.session.finding import found_in
from worker.session.limits import shared_out
from worker.settings import Loaded, Settings, load_settings
from worker.settings.inputs import Inputs, join, read_manifest
from worker.wiring import cloud_config, journal_url, pass_request


@dataclass(frozen=True, slots=True)
class Revision:
    """Config and manifest as they were read, what they ask for, and the files that they came from.

    `seen` is the fingerprint of these files, taken after the config was read and before the manifest was.
    `named` is that of the files that the settings name: an authority may change though its file's name does not.
    `number` grows when a pass is asked for something else than before. `lists` has the projects that were last found,
    which are in `inputs` and `request`.
    """

    loaded: Loaded
    inputs: Inputs
    request: PassRequest
    cloud: CloudConfig
    sources: Sources
    seen: Fingerprint = field(repr=False)
    named: Fingerprint = field(repr=False)
    number: int = 0
    lists: Lists = field(default_factory=dict, repr=False)

    @property
    def settings(self) -> Settings:
        """How the worker behaves."""
        return self.inputs.settings

    def with_found(self, lists: Lists) -> Revision:
        """Return it with what these lists have of the projects that the manifest has found."""
        found = found_in(self.inputs, lists)
        request = replace(self.request, manifest=found.inputs.manifest, finding=found.finding)
        return replace(self, inputs=found.inputs, request=request, lists=lists)

    def works_with(self, other: Revision) -> bool:
        """Tell whether journal and connections are those of another revision, so that they can stay open."""
        return (self.cloud, self.named, journal_url(self.settings)) == (
            other.cloud,
            other.named,
            journal_url(other.settings),
        )


@dataclass(frozen=True, slots=True)
class Reread:
    """What came of reading the files again: the revision to go by, and what cannot be used of the files.

    `is_new`: a pass may find something else to do than before. `reconnects`: the connections have to be others.
    """

    revision: Revision
    problems: tuple[Problem, ...]
    is_new: bool
    reconnects: bool


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads config and manifest: `config` as it was given, or None; `selector` says which part is meant."""

    config: Path | None
    environ: Mapping[str, str] = field(repr=False)
    selector: Selector

    def read(self) -> Revision:
        """Read the files as they are now; raise SettingsError or ManifestError with every problem."""
        return self._join(*self._load(), read_manifest, {})

    async def fingerprint(self, revision: Revision) -> Fingerprint:
        """Return a digest of what is in the files of a revision now; they are read in a thread."""
        return await asyncio.to_thread(revision.sources.fingerprint)

    async def read_again(self, before: Revision) -> Reread:
        """Read the files in a thread, as they are now; what of them cannot be used stays as it was before."""
        return await asyncio.to_thread(self.reread, before)

    def reread(self, before: Revision) -> Reread:
        """Read the files as they are now; what of them cannot be used stays as it was before.

        The config, with the files that it names, and the manifest are taken each by itself: a manifest that is broken
        holds back no new key, nor a broken config a new wish, as long as what is taken fits what stays.
        """
        problems: tuple[Problem, ...] = ()
        configs = [(before.loaded, before.named)]
        try:
            configs.insert(0, self._load(before))
        except SettingsError as error:
            problems = error.problems
        kept = as_written(before.inputs.manifest)
        ways = [(config, manifest_of) for config in configs for manifest_of in (read_manifest, lambda _: (kept, ()))]
        found = before
        for number, (config, manifest_of) in enumerate(ways):
            try:
                found = self._join(*config, manifest_of, before.lists)
                break
            except (SettingsError, ManifestError) as error:
                # What else does not fit is only a matter of what has been kept.
                problems += error.problems if number == 0 else ()
        found = replace(found, number=before.number + (not found.request.asks_the_same(before.request)))
        return Reread(found, problems, found.inputs != before.inputs, not found.works_with(before))

    def _load(self, before: Revision | None = None) -> tuple[Loaded, Fingerprint]:
        """Load the settings, and return them with the fingerprint of the files that they name.

        Raises SettingsError, also for an authority that is none, and for another journal than before.
        """
        loaded = load_settings(self.config, self.environ, {})
        if loaded.settings.cloud.ca_file:
            # Whether it can be used must be known now; to load the system's authorities each time would take memory.
            tls_context(str(loaded.settings.cloud.ca_file))
        place = loaded.settings.journal.place
        if before is not None and not is_same(place, before.settings.journal.place):
            message = (
                f"another journal, {place}, knows nothing of what is in flight; "
                "the daemon must be started anew for that"
            )
            raise SettingsError((Problem.about(str(loaded.file or "environment"), message, path="journal.url"),))
        return loaded, Sources(tuple(file.absolute() for file in loaded.named)).fingerprint()

    def _join(
        self,
        loaded: Loaded,
        named: Fingerprint,
        manifest_of: Callable[[Loaded], tuple[Manifest, tuple[Document, ...]]],
        lists: Lists,
    ) -> Revision:
        """Join settings and a manifest; raise SettingsError or ManifestError where they do not fit."""
        sources = _sources(loaded)
        seen = sources.fingerprint()
        inputs = join(loaded.settings, *manifest_of(loaded))
        request = pass_request(inputs, self.selector, resumes=False)
        cloud = shared_out(cloud_config(inputs, self.environ), inputs, self.selector.shard, "serve")
        return Revision(loaded, inputs, request, cloud, sources, seen, named).with_found(lists)


def _sources(loaded: Loaded) -> Sources:
    names = loaded.settings.manifest
    patterns = tuple(str((loaded.base / name).absolute()) for name in names if _is_pattern(loaded.base, name))
    files = [loaded.base / name for name in names if not _is_pattern(loaded.base, name)]
    configs = [loaded.file] if loaded.file else []
    return Sources(tuple(file.absolute() for file in (*configs, *loaded.named, *files)), patterns)


def _is_pattern(base: Path, name: str) -> bool:
    return glob.has_magic(name) and not (base / name).exists()
