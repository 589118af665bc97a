"""Rules → what is doubtful about them, as far as it can be proved without the cloud.

A rule that can never match, one that an earlier rule leaves nothing, keys that mean nothing where they stand, and globs
that match everything. None of these is an error: a pass goes by what stands there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from worker.core.documents import Document, Finding, problems_of, quote
from worker.core.manifest.model import Manifest, Rule
from worker.core.operation import Operation
from worker.errors import Problem

_SYSTEMS = ("Linux", "Windows", "Other")
"""Source: API reference of IMS, `__os_type`."""


def doubts_about(manifest: Manifest, documents: Iterable[Document]) -> tuple[Problem, ...]:
    """Return what is doubtful about the rules of a manifest, each where it stands in the documents."""
    findings: list[Finding] = []
    for index, rule in enumerate(manifest.rules):
        findings += _about_itself(rule)
        if earlier := next((other for other in manifest.rules[:index] if _leaves_nothing(other, rule)), None):
            what = f"nothing is left to this rule: all that it matches rule {quote(earlier.name)} decides before, at"
            findings.append(Finding(rule.place, what, other=earlier.place))
    return problems_of(findings, documents)


def _about_itself(rule: Rule) -> Iterator[Finding]:
    for key, why in _why_never(rule):
        yield Finding(rule.place.child(key), f"this rule can never match: {why}")
    for key, why in _without_meaning(rule):
        yield Finding(rule.place.child(key), f"{key} means nothing {why}", of_key=True)
    accepts = rule.operation is Operation.ACCEPT
    if rule.image.matches_all and ("image" in rule.written or accepts):
        glob = f'image = "{rule.image.pattern}"' if "image" in rule.written else "a rule without image"
        hint = "so all that the owner shares is accepted" if accepts else "leave it out, which says the same"
        yield Finding(rule.place.child("image"), f"{glob} matches every name", hint=hint)


def _why_never(rule: Rule) -> Iterator[tuple[str, str]]:
    """Say of the keys of a rule why no image can be so."""
    if rule.image.matches_none:
        yield "image", "the glob has a range that ends before it begins"
    if rule.os_type and rule.os_type not in _SYSTEMS:
        yield "os_type", f"the cloud knows {', '.join(_SYSTEMS)}"
    if rule.projects == frozenset({rule.owner}) and not rule.names:
        yield "owner", "a project is not offered its own images"
    if rule.pending_for is not None and rule.max_age is not None and rule.pending_for > rule.max_age:
        yield "pending_for", "whatever has been pending for so long is older than max_age"
    if rule.newest and not rule.newest.groups.may_be_of(rule.image):
        yield "group", "no name that image matches is of such a group"


def _without_meaning(rule: Rule) -> Iterator[tuple[str, str]]:
    """Say of the keys of a rule where they mean nothing."""
    if "group" in rule.written and not rule.newest:
        yield "group", "without newest"
    if "min_accepted" in rule.written and not rule.newest:
        yield "min_accepted", "without newest"
    elif "min_accepted" in rule.written and rule.operation is not Operation.ACCEPT:
        yield "min_accepted", "in a rule that does not accept"
    if "vault" in rule.written and rule.operation is not Operation.ACCEPT:
        yield "vault", "in a rule that does not accept"


def _leaves_nothing(earlier: Rule, later: Rule) -> bool:
    """Tell whether an earlier rule certainly decides about all that a later one matches.

    One that ranks, or waits, leaves what it did not choose, or has not waited for long enough.
    """
    return (
        (
            earlier.projects is None
            or (later.projects is not None and later.projects <= earlier.projects and later.names <= earlier.names)
        )
        and earlier.owner == later.owner
        and earlier.image.covers(later.image)
        and earlier.os_type in {"", later.os_type}
        and earlier.full_ecs in {None, later.full_ecs}
        and earlier.tags <= later.tags
        and (earlier.max_age is None or (later.max_age is not None and later.max_age <= earlier.max_age))
        and earlier.newest is None
        and earlier.pending_for is None
    )
