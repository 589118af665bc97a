"""The credentials that a manifest names, which the config has to know."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from worker.core.documents import Document, Finding, Suggester, problems_of, quote
from worker.core.manifest.model import Manifest
from worker.errors import Problem


def unknown_credentials(
    manifest: Manifest, known: Collection[str], documents: Sequence[Document] = ()
) -> tuple[Problem, ...]:
    """Return a problem for each project, and each `[[discover]]`, whose credential is not known.

    They are placed if the documents are given.
    """
    suggester = Suggester()
    named = [(project.credential, manifest.credential_places[each]) for each, project in manifest.projects.items()]
    named += [(discovery.credential, discovery.at.child("credential")) for discovery in manifest.discoveries]
    findings = []
    for name, at in named:
        if name not in known:
            hint = suggester.hint(name, known) or f"the config has no [credentials.{name}]"
            findings.append(Finding(at, f"unknown credential {quote(name)}", quote(name), hint))
    return problems_of(findings, documents)
