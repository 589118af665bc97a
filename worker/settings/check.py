"""A tree of settings → Settings, or everything that is wrong with it.

A finding shows a value only where no secret can stand: not of a key that is unknown, since it may be a misspelt
secret, not of a credential, and not of a journal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from worker.core.documents import At, Finding, kind_of, quote
from worker.core.forms import Words, path_of, translate
from worker.core.places import Path as KeyPath
from worker.files import cannot_be_read, read_file
from worker.settings.credentials import KINDS, SECRET_KEYS
from worker.settings.model import SECRETS, Settings, known_keys
from worker.settings.sources import source_problems

_PUBLIC = {"kind", "account", "source", "keep"}
_NOUNS = {"credentials": "credential"}


def check(tree: Mapping[str, Any], base: Path) -> Settings | tuple[Finding, ...]:
    """Return the settings that a tree of them gives, or what is wrong, at paths in no particular file.

    Files with secrets are read, relative to `base`.
    """
    return _Check(tree, base).result()


class _Check:
    """A tree on its way to become settings, and what is wrong with it; `blamed` are the paths that were told of."""

    def __init__(self, tree: Mapping[str, Any], base: Path) -> None:
        self.tree = {"cloud": {}, "journal": {}, "credentials": {}, **tree}
        self.base = base
        self.findings: list[Finding] = []
        self.blamed: set[KeyPath] = set()
        self.words = Words(_known_keys, _NOUNS, lambda path, _: self.value(path))

    def result(self) -> Settings | tuple[Finding, ...]:
        self.tree["journal"] = self.with_secrets(self.tree["journal"], ("journal",))
        if isinstance(self.tree["credentials"], dict):
            self.tree["credentials"] = {
                name: self.with_secrets(table, ("credentials", name))
                for name, table in self.tree["credentials"].items()
                if self.has_kind(table, ("credentials", name))
            }
            self.see_that_they_fit(self.tree["credentials"])
        try:
            settings = Settings.model_validate(self.tree, context={"base": self.base})
        except ValidationError as error:
            for details in error.errors(include_url=False):
                self.translate(details)
        else:
            if not self.findings:
                return settings
        return tuple(self.findings)

    def blame(self, path: KeyPath, message: str, hint: str = "") -> None:
        self.note(Finding(At("", path), message, self.value(path), hint))

    def note(self, finding: Finding) -> None:
        """Note what is wrong, unless something else is known to be wrong with it."""
        if finding.at.path not in self.blamed:
            self.blamed.add(finding.at.path)
            self.findings.append(finding)

    def value(self, path: KeyPath) -> str:
        """Write the value at a path, or nothing where a secret may stand, as before the @ of an address."""
        if path[0] in SECRETS and path[-1] not in _PUBLIC:
            return ""
        value: Any = self.tree
        for step in path:
            try:
                value = value if isinstance(value, str) else value[step]
            except (LookupError, TypeError):
                return ""
        return "" if isinstance(value, str) and "@" in value else quote(value)

    def has_kind(self, table: object, path: KeyPath) -> bool:
        if not isinstance(table, dict):
            self.blame(path, f"a credential is a table, not {kind_of(table)}")
            return False
        kind = table.get("kind")
        if isinstance(kind, str) and kind in KINDS:
            return True
        message = f"unknown kind {quote(kind)}" if "kind" in table else "kind is missing"
        meant = self.words.suggester.hint(kind, KINDS) if isinstance(kind, str) else ""
        self.blame((*path, "kind"), message, meant or f"this version has {_listed(KINDS, 'and')}")
        return False

    def see_that_they_fit(self, tables: Mapping[str, Any]) -> None:
        for credential, key, message, hint, is_misspelt in source_problems(tables):
            near = self.words.suggester.hint(tables[credential][key], {*tables, "default"}) if is_misspelt else ""
            self.blame(("credentials", credential, key), message, near or hint)

    def with_secrets(self, table: Any, path: KeyPath) -> Any:
        """Return a table with its secrets read from the files it names."""
        if not isinstance(table, dict):
            return table
        found = dict(table)
        for key in SECRETS[str(path[0])]:
            name = found.pop(f"{key}_file", None)
            if name is None:
                continue
            if key in table:
                self.blame((*path, f"{key}_file"), f"{key}_file cannot stand beside {key}: give one of them")
                continue
            try:
                found[key] = self.secret(name)
            except ValueError as error:
                self.blame((*path, f"{key}_file"), f"{key}_file {error}")
                self.blamed.add((*path, key))
        return found

    def secret(self, name: object) -> str:
        if not isinstance(name, str):
            raise ValueError(f"must be the name of a file, not {kind_of(name)}")  # noqa: TRY004 - a value, not a bug
        try:
            text = read_file(self.base / name).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ValueError("names a file that is not UTF-8") from None
        except (OSError, ValueError) as error:
            raise ValueError(cannot_be_read(error)) from None
        if not text:
            raise ValueError("names an empty file")
        return text

    def translate(self, details: ErrorDetails) -> None:
        """Tell a finding of the library in our words."""
        path = path_of(details)
        if path[0] == "credentials":
            path = (*path[:2], *path[3:])  # without the kind, which the library puts in third place
        key, is_credential = str(path[-1]), path[0] == "credentials"
        finding = translate(details, path, At(""), self.words)
        match details["type"]:
            case "extra_forbidden" if is_credential and (kinds := _kinds_with(key)):
                message = f"{key} is only for credentials of kind {_listed(kinds, 'or')}"
                self.note(Finding(finding.at, message, of_key=True))
            case "misplaced":
                blamed = details["ctx"]["key"]
                self.blame((*path, blamed), f"{blamed} {details['msg']}")
            case "missing" if key in SECRET_KEYS:
                self.note(replace(finding, hint=f"give {key} or {key}_file"))
            case _:
                self.note(finding)


def _kinds_with(key: str) -> list[str]:
    """Return the kinds of credentials that have a key."""
    return [kind for kind, model in KINDS.items() if key in model.model_fields]


def _listed(words: Iterable[str], last: str) -> str:
    *most, end = map(quote, words)
    return f" {last} ".join(filter(None, (", ".join(most), end)))


def _known_keys(path: KeyPath) -> Collection[str]:
    return known_keys(str(path[0])) if len(path) > 1 else Settings.model_fields
