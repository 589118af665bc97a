"""`check`: read config and manifest offline."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from worker.commands.verb import UNWRITTEN, Verb
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
        return command.show(schema, lambda: print(json_text(schema, indent=2)), is_well=False)
    from worker.render.check import check_json, check_text, warnings_text

    # It reads once and ends: to look for garbage in what it reads would take a quarter of its time.
    gc.disable()
    view = _read_all(command.options.config, command.environ)
    if command.options.strict:
        view = replace(view, problems=(*view.problems, *view.warnings), warnings=())
    command.warn(warnings_text(view))
    text = partial(check_text, view, color=command.results_in_color)
    shown = command.show(check_json(view), lambda: print(text()), is_well=not view.problems)
    return Exit.USAGE if view.problems else shown


def _read_all(config: Path | None, environ: Mapping[str, str]) -> CheckView:
    """Read everything offline and collect what is wrong with any of it; raise nothing."""
    from worker.core.manifest.discover import to_be_found
    from worker.core.manifest.odd import odd_manifest
    from worker.core.manifest.parse import parse_manifest
    from worker.core.rules.doubts import doubts_about
    from worker.render.check import CheckView
    from worker.settings import load_settings, manifest_names
    from worker.settings.inputs import misfits, read_documents
    from worker.settings.odd import odd_regions

    problems: list[Problem] = []
    warnings: tuple[Problem, ...] = ()
    documents: tuple[Document, ...] = ()
    manifest = None
    settings: Settings | None = None
    has_config = True
    try:
        loaded = load_settings(config, environ, {})
        names, base = loaded.settings.manifest, loaded.base
        warnings = (*(Problem.about("", each) for each in loaded.warnings), *loaded.odd_problems())
        settings, has_config = loaded.settings, loaded.file is not None
    except SettingsError as error:
        problems += error.problems
        names, base = manifest_names(config, environ)
    try:
        documents = read_documents(names, base, has_config=has_config)
        manifest = parse_manifest(documents)
        warnings += odd_manifest(documents)
    except (SettingsError, ManifestError) as error:
        problems += error.problems
    if manifest is not None and settings is not None:
        problems += misfits(settings, manifest, documents)
        warnings += odd_regions(settings.cloud, manifest, documents)
    if manifest is not None:
        warnings += to_be_found(manifest, documents)
        warnings += doubts_about(manifest, documents)
    return CheckView(tuple(problems), warnings, tuple(document.name for document in documents), manifest)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--strict", action="store_true", help="take warnings for errors")
    parser.add_argument("--schema", choices=SCHEMAS, help="print the JSON Schema of that document instead")


VERB = Verb(
    "check",
    "read config and manifest offline, and print every problem at once",
    check,
    "Makes no call and needs no key: for the review of a change, and before the first plan.",
    ("check", "check --strict --json", "check --schema manifest"),
    {0: "the documents are good; warnings are allowed", 1: UNWRITTEN},
    add_options=_add_options,
    logs=False,
)
