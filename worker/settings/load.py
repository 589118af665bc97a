"""Reading the settings: options over environment over file over defaults, and every problem at once.

The layers are merged as plain trees and checked together; a problem names the layer that its value came from.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from worker.core.documents import At, Document, Finding, problems_of
from worker.core.places import Path as KeyPath
from worker.core.text import visible
from worker.core.toml import read_table
from worker.errors import Problem, SettingsError
from worker.files import cannot_be_read, is_exposed, read_file
from worker.settings.check import check
from worker.settings.credentials import Oidc, PodIdentity, Profile
from worker.settings.environment import CONFIG_VARIABLE, read_environment, variable_of
from worker.settings.model import SECRETS, Settings
from worker.settings.odd import odd_settings
from worker.settings.values import Paths

DEFAULT_CONFIG = "config.toml"
NO_CONFIG = f"no config: looked for ./{DEFAULT_CONFIG} and ${CONFIG_VARIABLE}"
_NEEDED = ("cloud", "region")
"""The one setting that has no default."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where they came from. `file` is None without a config; `base` is what paths are relative to.

    `named` are the files that the settings name, but for the manifest: secrets, and a certificate authority. `odd` is
    what is hardly meant, though it is no mistake.
    """

    settings: Settings
    warnings: tuple[str, ...]
    file: Path | None
    base: Path
    named: tuple[Path, ...] = ()
    odd: tuple[Finding, ...] = ()

    def odd_problems(self) -> tuple[Problem, ...]:
        """Return what is odd with its lines and columns; the config is read once more for them, if there is any."""
        if not self.odd or self.file is None:
            return problems_of(self.odd, ())
        return problems_of(self.odd, (Document(str(self.file), read_file(self.file), may_hold_secrets=True),))


def load_settings(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> Loaded:
    """Read the config at `path` or where the environment says, and what goes over it; raise SettingsError.

    `overrides` is a tree like the config's, from the command line. Without a path, neither here nor in the
    environment, `config.toml` in the working directory is read if there is one. Secrets in files are read now.
    """
    file = _config_file(path, environ)
    source, table = _read_config(file, path) if file else (b"", {})
    base = file.parent if file else Path()
    variables, warnings = read_environment(environ)
    layers = _Layers(overrides, variables, table, str(file) if file else "")
    merged = layers.merged()
    settings = check(merged, base)
    if isinstance(settings, Settings):
        profiles = _profiles(settings, environ)
        named = _named_files(merged, base) | profiles
        exposed = _named_files(merged, base, of_secrets=True) | _token_files(settings, environ) | profiles
        odd = tuple(replace(each, at=layers.place(each.at.path)) for each in odd_settings(settings))
        return Loaded(settings, (*warnings, *_exposed(exposed)), file, base, tuple(sorted(named)), odd)
    # Where there is nothing to read, what it would have had to say is not missed as well.
    lacks_config = not file and any(finding.at.path == _NEEDED for finding in settings) and not layers.gives(_NEEDED)
    findings = [
        replace(finding, at=layers.place(finding.at.path))
        for finding in settings
        if not (lacks_config and finding.at.path == _NEEDED)
    ]
    missing = (_no_config(),) if lacks_config else ()
    documents = (Document(layers.file, source, may_hold_secrets=True),) if file else ()
    raise SettingsError((*missing, *problems_of(findings, documents)))


def manifest_names(path: Path | None, environ: Mapping[str, str]) -> tuple[tuple[str, ...], Path]:
    """Return what the settings, though they be wrong otherwise, call the manifest, and what that is relative to.

    For showing the manifest's problems beside the config's. Raises nothing: where even this is wrong, there are none,
    nor where there is neither a config nor what the manifest is called without one.
    """
    file = _config_file(path, environ)
    default = Settings.model_fields["manifest"].default
    try:
        table = _read_config(file, path)[1] if file else {}
        named = _over(table, read_environment(environ)[0]).get("manifest")
        if named is None and file is None and not any(os.path.lexists(name) for name in default):
            return (), Path()
        return TypeAdapter(Paths).validate_python(default if named is None else named), file.parent if file else Path()
    except (SettingsError, ValidationError):
        return (), Path()


def _named_files(tree: Mapping[str, Any], base: Path, *, of_secrets: bool = False) -> set[Path]:
    """Return the files that are read with the settings: what they say is a part of these."""
    tables = (tree.get("journal", {}), *tree.get("credentials", {}).values())
    keys = {f"{key}_file" for keys in SECRETS.values() for key in keys}
    found = {base / name for table in tables for key, name in table.items() if key in keys and name}
    authority = tree.get("cloud", {}).get("ca_file")
    return found | ({base / authority} if authority and not of_secrets else set())


def _profiles(settings: Settings, environ: Mapping[str, str]) -> set[Path]:
    return {each.path(environ) for each in settings.credentials.values() if isinstance(each, Profile)}


def _token_files(settings: Settings, environ: Mapping[str, str]) -> set[Path]:
    """Return the files of tokens, which are read anew whenever one is needed, and not with the settings."""
    tables = (each for each in settings.credentials.values() if isinstance(each, Oidc | PodIdentity))
    return {file for each in tables if (file := each.path(environ))}


def _exposed(files: set[Path]) -> Iterator[str]:
    """Yield a warning for each file of a secret that every user of the machine may read."""
    for file in sorted(files):
        if is_exposed(file):
            name = visible(str(file))
            yield f"{name} holds a secret, and every user of this machine can read it: chmod o= {shlex.quote(name)}"


def _config_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is not None:
        return path
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named)
    default = Path(DEFAULT_CONFIG)
    try:
        os.lstat(default)
    except FileNotFoundError:
        return None
    except OSError:
        pass  # Something is in the way: reading it says what.
    return default


def _no_config() -> Problem:
    hint = f'two lines will do: [cloud] and region = "..."; or set {variable_of(_NEEDED)}'
    return Problem.about("", NO_CONFIG, hint=hint)


def _read_config(file: Path, path: Path | None) -> tuple[bytes, dict[str, Any]]:
    """Return a config's source and its table; `path` is the one that the command line gave, if any."""
    try:
        source = read_file(file)
    except (OSError, ValueError) as error:
        named = f"${CONFIG_VARIABLE} names it" if path is None and file != Path(DEFAULT_CONFIG) else ""
        raise SettingsError((Problem.about(str(file), cannot_be_read(error), hint=named),)) from None
    table = read_table(Document(str(file), source, may_hold_secrets=True))
    if isinstance(table, tuple):
        raise SettingsError(table)
    return source, table


@dataclass(frozen=True, slots=True)
class _Layers:
    """Where settings come from, the strongest first; `file` is the config's name, empty without one."""

    overrides: Mapping[str, Any]
    variables: Mapping[str, Any]
    table: Mapping[str, Any]
    file: str

    def merged(self) -> dict[str, Any]:
        return _over(_over(self.table, self.variables), self.overrides)

    def gives(self, path: KeyPath) -> bool:
        """Tell whether anything was given at a path."""
        return any(_holds(layer, path) for layer in (self.overrides, self.variables, self.table))

    def place(self, path: KeyPath) -> At:
        """Tell where the value at a path was given, or, when it was not, where it should be."""
        if _holds(self.overrides, path):
            return At("command line", path)
        if _holds(self.variables, path) or not self.file:
            return At("environment", (variable_of(path),))
        return At(self.file, path)


def _over(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _over(low[key], value)
        for key, value in high.items()
        if isinstance(value, Mapping) and isinstance(low.get(key), Mapping)
    }
    return {**low, **high, **both}


def _holds(tree: Any, path: KeyPath) -> bool:
    for step in path:
        if not isinstance(tree, Mapping):
            break
        if step not in tree:
            return False
        tree = tree[step]
    return True
