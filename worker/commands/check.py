"""`check`: read config and manifest offline."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from worker.commands.verb import Verb
from worker.core.exit import Exit
from worker.errors import ManifestError, Problem, SettingsError

if TYPE_CHECKING:
    from worker.commands.command import Command
    from worker.core.documents import Document
    from worker.render.check import CheckView
    from worker.settings.model import Settings

SCHEMAS = ("manifest", "config")


async def check(command: Command) -> Exit:
    """Read config and manifest offline, and print every problem at once; or print the schema that was asked for."""
    if name := command.options.schema:
        from worker.core.text import json_text
        from worker.render.schema import schema_json

        schema = schema_json(name)
        return command.show(schema, lambda: print(json_text(schema, indent=2)))
    from worker.render.check import check_json, check_text

    # It reads once and ends: to look for garbage in what it reads would take a quarter of its time.
    gc.disable()
    view = _read_all(command.options.config, command.environ)
    command.warn(view.warnings)
    shown = command.show(check_json(view), lambda: print(check_text(view, color=command.results_in_color)))
    return Exit.USAGE if view.problems else shown


def _read_all(config: Path | None, environ: Mapping[str, str]) -> CheckView:
    """Read everything offline and collect what is wrong with any of it; raise nothing."""
    from worker.core.manifest.parse import parse_manifest, unknown_credentials
    from worker.render.check import CheckView
    from worker.settings import load_settings, manifest_names
    from worker.settings.endpoints import foreign_regions
    from worker.settings.inputs import read_documents

    problems: list[Problem] = []
    warnings: tuple[str, ...] = ()
    documents: tuple[Document, ...] = ()
    manifest = None
    settings: Settings | None = None
    has_config = True
    try:
        loaded = load_settings(config, environ, {})
        names, base, warnings = loaded.settings.manifest, loaded.base, loaded.warnings
        settings, has_config = loaded.settings, loaded.file is not None
    except SettingsError as error:
        problems += error.problems
        names, base = manifest_names(config, environ)
    try:
        documents = read_documents(names, base, has_config=has_config)
        manifest = parse_manifest(documents)
    except (SettingsError, ManifestError) as error:
        problems += error.problems
    if manifest is not None and settings is not None:
        problems += unknown_credentials(manifest, settings.credentials, documents)
        problems += foreign_regions(settings.cloud, manifest, documents)
    return CheckView(tuple(problems), warnings, tuple(document.name for document in documents), manifest)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schema", choices=SCHEMAS, help="print the JSON Schema of that document instead")


VERB = Verb(
    "check", "read config and manifest offline, and print every problem at once", check, _add_options, logs=False
)
