"""The projects that each credential was last told of: they stand in where the cloud cannot tell."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, select

from worker.core.manifest.ids import PROJECT
from worker.core.manifest.listed import Gone, Listed, ProjectList
from worker.journal.rows import Cells, Found, as_text, read
from worker.journal.schema import WITH_PROJECT_LISTS, project_lists
from worker.journal.upsert import put
from worker.journal.writer import Writer


class ProjectListLog:
    """The last good lists of projects, durable: `keep` has returned only when they would survive a crash."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def known(self) -> Found[tuple[str, ProjectList]]:
        """Return the lists by the names of their credentials, as far as they can be read; raise JournalError."""
        return await self._writer.read(lambda connection: known(connection, self._writer.version))

    async def keep(self, lists: Mapping[str, ProjectList]) -> None:
        """Keep these lists, each in place of the last one of its credential; raise JournalError."""
        rows = [
            {
                "credential": credential,
                "listed_at": each.at,
                "projects": [[*project] for project in each.projects],
                "gone": [[*project] for project in each.gone],
            }
            for credential, each in lists.items()
        ]
        if rows:
            await self._writer.write(lambda connection: put(connection, project_lists, rows))


def forget(connection: Connection, before: float) -> None:
    """Forget the lists that were read before then (seconds since the epoch)."""
    connection.execute(delete(project_lists).where(project_lists.c.listed_at < before))


def known(connection: Connection, version: int) -> Found[tuple[str, ProjectList]]:
    """Return the lists by the names of their credentials, as far as they can be read."""
    if version < WITH_PROJECT_LISTS:
        return Found(())
    columns = project_lists.c
    query = select(columns.credential, columns.listed_at, as_text(columns.projects), as_text(columns.gone))
    return read(connection.execute(query).mappings(), project_lists, _list)


def _list(cells: Cells) -> tuple[str, ProjectList]:
    projects = cells.json("projects", list[Listed], "a list of projects")
    gone = cells.json("gone", list[Gone], "a list of projects")
    return cells.text("credential"), ProjectList(
        cells.stamp("listed_at"),
        # What is no id must not get into an address.
        tuple(each for each in projects if PROJECT.id_in(each.id) == each.id),
        tuple(each for each in gone if PROJECT.id_in(each.id) == each.id),
    )
