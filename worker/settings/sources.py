"""How the credentials of a config stand on one another: an agency is assumed as who another credential is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from worker.core.manifest.ids import is_account_id


class SourceProblem(NamedTuple):
    """What is wrong with a key of a credential, because of another one; `is_misspelt`: there is no such credential."""

    credential: str
    key: str
    message: str
    hint: str = ""
    is_misspelt: bool = False


def source_problems(tables: Mapping[str, Any]) -> Iterator[SourceProblem]:
    """Yield what is wrong between the tables of credentials, which are looked at as they are written."""
    for name, table in tables.items():
        if not (isinstance(table, dict) and table.get("kind") == "agency" and isinstance(table.get("source"), str)):
            continue
        chain = _sources(name, tables)
        last = chain[-1]
        if last not in tables and last != "default":
            if len(chain) == 2:
                yield SourceProblem(name, "source", f'there is no credential "{last}"', is_misspelt=True)
        elif last in chain[:-1]:
            if last == name:
                yield SourceProblem(name, "source", f"leads back to itself: {' > '.join(chain)}")
        elif table.get("external_id") and (why := _only_exchanged(table, tables.get(chain[1]))):
            hint = "the STS takes it: name the account by its id, and let source be no password"
            yield SourceProblem(name, "external_id", f"external_id cannot be passed on: {why}", hint)


def _sources(name: str, tables: Mapping[str, Any]) -> list[str]:
    """Return who stands on whom, from a credential on, to one that stands on none, or has been met before."""
    chain = [name]
    while isinstance(table := tables.get(chain[-1]), dict) and table.get("kind") == "agency":
        source = table.get("source")
        if not isinstance(source, str):
            break
        chain.append(source)
        if source in chain[:-1]:
            break
    return chain


def _only_exchanged(table: Mapping[str, Any], source: object) -> str:
    """Say why an agency can only be exchanged at IAM; nothing where the STS may be asked."""
    if not is_account_id(str(table.get("domain", ""))):
        return "IAM is asked, which takes none, as domain is a name"
    if isinstance(source, dict) and source.get("kind") == "password":
        return "IAM is asked, which takes none, as the source is a password"
    return ""
