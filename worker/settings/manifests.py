"""The manifest's files: which they are, and what is in them.

A manifest that has vanished must never pass for an empty one, so a name that leads to no file is an error.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from worker.core.documents import Document
from worker.errors import Problem, SettingsError
from worker.files import cannot_be_read, read_file, unreadable


def manifest_files(names: Iterable[str], base: Path) -> tuple[Path, ...]:
    """Return the files that these paths and patterns name, relative to `base`: each once, sorted.

    Raises SettingsError when a path does not exist, a pattern matches no file, or a file cannot be read.
    """
    files: set[Path] = set()
    problems = []
    for name in names:
        found = _files(name, base)
        files.update(found)
        if not found:
            what = "matches no file" if glob.has_magic(name) else "does not exist"
            problems.append(_problem(base / name, what))
    problems += [_problem(file, wrong) for file in files if (wrong := unreadable(file))]
    if problems:
        raise SettingsError(tuple(problems))
    return tuple(sorted(files))


def read_manifests(names: Iterable[str], base: Path) -> tuple[Document, ...]:
    """Return the documents of the manifest, in the order of their files; raise SettingsError as above."""
    documents = []
    problems = []
    for file in manifest_files(names, base):
        try:
            documents.append(Document(str(file), read_file(file)))
        except OSError as error:
            problems.append(_problem(file, cannot_be_read(error)))
    if problems:
        raise SettingsError(tuple(problems))
    return tuple(documents)


def _files(name: str, base: Path) -> list[Path]:
    path = base / name
    if path.exists():
        return [path]
    matches = glob.glob(name, root_dir=base, recursive=True)  # noqa: PTH207 - Path.glob knows no absolute patterns
    return [file for match in matches if (file := base / match).is_file()]


def _problem(file: Path, what: str) -> Problem:
    return Problem.about(str(file), f"the manifest {what}", path="manifest", hint="see `manifest` in the config")
