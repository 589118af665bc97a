"""The table of a rule → the rule, once all that it names is known; and what its keys say together that is wrong."""

from __future__ import annotations

from collections.abc import Collection

from worker.core.documents import At, Finding, quote
from worker.core.globs import Glob, normal
from worker.core.manifest.groups import NameGroups
from worker.core.manifest.model import ANYONE, Newest, Rule
from worker.core.manifest.tables import RuleTable
from worker.core.operation import Operation
from worker.core.source import Source

_WAY_OUT = 'nothing is accepted from a stranger: name who shares it, declared as NAME = "id" in [owners]'


def findings_of(table: RuleTable, wrong: Collection[str | int], at: At) -> list[Finding]:
    """Return what is wrong with a rule beside its single keys, of which those that are `wrong` are not in it."""
    if "status" in wrong or "owner" in wrong or table.status != "accepted":
        return []
    if "owner" not in table.model_fields_set:
        return [Finding(at, "owner is missing in a rule that accepts", hint=_WAY_OUT, of_key=True)]
    if table.owner == ANYONE:
        return [Finding(at.child("owner"), "a rule that accepts has an owner", quote(table.owner), _WAY_OUT)]
    return []


def rule_of(table: RuleTable, owner: str, vault_id: str | None, at: At, line: int) -> Rule:
    """Return the rule that a table at a place says about every project, given the ids of what it names."""
    newest = None
    if table.newest is not None:
        groups = NameGroups(normal(table.group)) if table.group else NameGroups()
        newest = Newest(table.newest, groups, table.min_accepted or 1)
    return Rule(
        name=table.name,
        projects=None,
        owner=owner,
        image=Glob(table.image),
        operation=None if table.status == "reported" else Operation(table.status),
        os_type=table.os_type or "",
        full_ecs=table.full_ecs,
        tags=frozenset(map(normal, table.tag or ())),
        max_age=table.max_age,
        newest=newest,
        pending_for=table.pending_for,
        vault_id=vault_id,
        source=Source(at.file, line, rule=table.name),
        place=at,
        written=frozenset(table.model_fields_set),
    )
