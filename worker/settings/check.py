"""A tree of settings → Settings, or everything that is wrong with it.

A finding shows a value only where no secret can stand: not of a key that is unknown, since it may be a misspelt
secret, not of a credential, and not of a journal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from worker.core.documents import At, Finding, Speller, kind_of, path_text, shown
from worker.core.places import Path as KeyPath
from worker.files import read_file
from worker.settings.model import SECRETS, Settings, Static, known_keys
from worker.settings.values import cannot_be_read

_KINDS = ("environment", "static")
_LATER_KINDS = ("profile", "password", "agency", "metadata", "pod-identity", "oidc")
_PUBLIC = {"kind", "account", "keep"}
_LIBRARY_WORDS = re.compile(r"^(?:Value error, |[A-Z][a-z]+ should (?=be |have ))")


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
        self.speller = Speller()

    def result(self) -> Settings | tuple[Finding, ...]:
        self.tree["journal"] = self.with_secrets(self.tree["journal"], ("journal",))
        if isinstance(self.tree["credentials"], dict):
            self.tree["credentials"] = {
                name: self.with_secrets(table, ("credentials", name))
                for name, table in self.tree["credentials"].items()
                if self.has_kind(table, ("credentials", name))
            }
        try:
            settings = Settings.model_validate(self.tree, context={"base": self.base})
        except ValidationError as error:
            for details in error.errors(include_url=False, include_input=False):
                self.translate(details)
        else:
            if not self.findings:
                return settings
        return tuple(self.findings)

    def blame(self, path: KeyPath, message: str, hint: str = "") -> None:
        if path not in self.blamed:
            self.blamed.add(path)
            self.findings.append(Finding(At("", path), message, self.value(path), hint))

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
        return "" if isinstance(value, str) and "@" in value else shown(value)

    def has_kind(self, table: object, path: KeyPath) -> bool:
        if not isinstance(table, dict):
            self.blame(path, f"a credential is a table, not {kind_of(table)}")
            return False
        kind = table.get("kind")
        if kind in _KINDS:
            return True
        if "kind" not in table:
            message = "kind is missing"
        elif kind in _LATER_KINDS:
            message = f"kind {shown(kind)} is not in this version yet"
        else:
            message = f"unknown kind {shown(kind)}"
        meant = self.speller.hint(kind, _KINDS) if isinstance(kind, str) else ""
        self.blame((*path, "kind"), message, meant or f"this version has {' and '.join(map(shown, _KINDS))}")
        return False

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
        path = tuple(step for step in details["loc"] if step != "[key]")
        if path[0] == "credentials":
            path = (*path[:2], *path[3:])  # without the kind, which the library puts in third place
        context = details.get("ctx", {})
        key = path_text(tuple(step for step in path if isinstance(step, str))[-1:])
        match details["type"]:
            case "extra_forbidden" if path[0] == "credentials" and key in Static.model_fields:
                self.blame(path, f'{key} is only for credentials of kind "static"')
            case "extra_forbidden":
                known = known_keys(str(path[0])) if len(path) > 1 else tuple(Settings.model_fields)
                hint = self.speller.hint(key, known) or f"known here: {', '.join(known)}"
                self.findings.append(Finding(At("", path), f"unknown key {shown(path[-1])}", hint=hint))
            case "missing":
                hint = f"give {key} or {key}_file" if path[0] == "credentials" else ""
                self.blame(path, f"{key} is missing", hint)
            case "misplaced":
                self.blame((*path, context["key"]), f"{context['key']} {details['msg']}")
            case "model_type" | "dict_type":
                self.blame(path, f"{key} must be a table")
            case _:
                words = _LIBRARY_WORDS.sub("", details["msg"])
                words = f"must {words}" if words.startswith(("be ", "have ")) else words
                choices = re.findall("'([^']*)'", str(context.get("expected", "")))
                self.blame(path, f"{key} {words}", self.speller.hint(self.value(path).strip('"'), choices))
