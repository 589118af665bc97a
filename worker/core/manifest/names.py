"""What the documents of a manifest declare by name, and the keys that their tables may have."""

from __future__ import annotations

from collections.abc import Collection

from worker.core.documents import At
from worker.core.manifest.ids import Kind
from worker.core.manifest.tables import DiscoverTable, ManifestTable, ProjectTable, RuleTable, ShareTable
from worker.core.places import Path


def known_keys(path: Path) -> Collection[str]:
    """Return the keys that the table around a path may have."""
    match path:
        case ("share", *_, _) if len(path) > 2:
            return ShareTable.model_fields
        case ("rule", *_, _) if len(path) > 2:
            return RuleTable.model_fields
        case ("projects", _, _):
            return ProjectTable.model_fields
        case ("discover", *_, _) if len(path) > 2:
            return DiscoverTable.model_fields
        case _:
            return ManifestTable.model_fields


def id_of(table: ProjectTable) -> str:
    """Return the id of a project as ids are compared; empty where it was written wrongly."""
    return table.id.lower() if "id" in table.model_fields_set else ""


class Names:
    """The names of one kind in all documents, each with its id, which is empty where it was written wrongly."""

    def __init__(self, kind: Kind, section: str) -> None:
        self.kind = kind
        self.section = section
        self.ids: dict[str, str] = {}
        self.places: dict[str, At] = {}

    def find(self, text: str) -> str | None:
        """Return the id that a name or an id means; empty for a name declared wrongly, None for no name."""
        found = self.ids.get(text)
        return self.kind.id_in(text) if found is None else found

    def by_id(self) -> dict[str, str]:
        """Return the first name of each id."""
        return {ident: name for name, ident in reversed(self.ids.items())}
