"""What config and manifest say at one time, read for the daemon again and again."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.cloud.ims import CloudConfig
from worker.cloud.transport import tls_context
from worker.reconcile.run import Order
from worker.reload import Sources
from worker.settings import Loaded, Settings, load_settings
from worker.wiring.policies import cloud_config, shared_out
from worker.wiring.site import Aim, Site, journal_url, load_site, order_of


@dataclass(frozen=True, slots=True)
class Generation:
    """Config and manifest as they were read, what they ask for, and the files that they came from.

    `seen` is the fingerprint of these files, taken before the manifest was read: what changes later has another one.
    `named` is that of the files that the settings name: an authority may change though its file's name does not.
    """

    loaded: Loaded
    site: Site
    order: Order
    cloud: CloudConfig
    sources: Sources
    seen: str
    named: str

    @property
    def settings(self) -> Settings:
        """How the worker behaves."""
        return self.site.settings

    def works_with(self, other: Generation) -> bool:
        """Tell whether journal and connections are those of another generation, so that they can stay open."""
        return (self.cloud, self.named, journal_url(self.settings)) == (
            other.cloud,
            other.named,
            journal_url(other.settings),
        )


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads config and manifest: `config` as it was given, or None; `aim` is the part of the fleet that is meant."""

    config: Path | None
    environ: Mapping[str, str] = field(repr=False)
    aim: Aim

    def read(self) -> Generation:
        """Read the files as they are now; raise SettingsError or ManifestError with every problem."""
        loaded = load_settings(self.config, self.environ, {})
        sources = _sources(loaded)
        seen = sources.fingerprint()
        site = load_site(loaded)
        order = order_of(site, self.aim, resumes=False)
        cloud = shared_out(cloud_config(site, self.environ), site, self.aim.shard, "serve")
        if cloud.connections.ca_file:
            # Whether it can be used must be known now; to load the system's authorities each time would take memory.
            tls_context(cloud.connections.ca_file)
        return Generation(loaded, site, order, cloud, sources, seen, Sources(loaded.named).fingerprint())


def _sources(loaded: Loaded) -> Sources:
    names = loaded.settings.manifest
    patterns = tuple(str((loaded.base / name).absolute()) for name in names if _is_pattern(loaded.base, name))
    files = [loaded.base / name for name in names if not _is_pattern(loaded.base, name)]
    configs = [loaded.file] if loaded.file else []
    return Sources(tuple(file.absolute() for file in (*configs, *loaded.named, *files)), patterns)


def _is_pattern(base: Path, name: str) -> bool:
    return glob.has_magic(name) and not (base / name).exists()
