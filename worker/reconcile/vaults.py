"""Ask once for the vaults that a project's plan would use, before anything is sent.

What cannot be read holds up nobody: where there is no answer for a while, the plan goes on without it, and nobody else
asks there again in this pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final, TypeAlias

from worker.core.manifest.model import Project
from worker.core.vault import NO_VAULTS, VaultsRead, why_unfit
from worker.errors import BadRequest, CloudError, Forbidden
from worker.reconcile.ports import PassContext

_Place: TypeAlias = tuple[str, str]
"""A credential, and the region of its project."""
_PATIENCE: Final = 30.0
"""Seconds that a project waits for its vaults at most; it has a quarter of the time that is left for reading."""
_SILENT: Final = "the backup service gave no answer in time"


class VaultLookups:
    """Looks up vaults for the projects of one pass; the first at a place goes alone, as many refusals block a key."""

    def __init__(self, context: PassContext) -> None:
        self._context = context
        self._firsts: dict[_Place, asyncio.Lock] = {}
        self._answered: set[_Place] = set()
        self._given_up: dict[_Place, str] = {}

    async def look_up(self, project: Project, vault_ids: Collection[str]) -> VaultsRead:
        """Return which of these vaults of a project cannot be used; without a call where there are none."""
        if not vault_ids:
            return NO_VAULTS
        place = (project.credential, project.region)
        try:
            async with asyncio.timeout(min(_PATIENCE, self._context.deadlines.to_read.left / 4)):
                async with self._firsts.setdefault(place, asyncio.Lock()):
                    if place not in self._answered:
                        return await self._ask(place, project, vault_ids)
                # Those who waited for the first go on together.
                return await self._ask(place, project, vault_ids)
        except TimeoutError:
            return VaultsRead(failure=self._given_up.setdefault(place, _SILENT))

    async def _ask(self, place: _Place, project: Project, vault_ids: Collection[str]) -> VaultsRead:
        if place in self._given_up:
            return VaultsRead(failure=self._given_up[place])
        try:
            found = await self._context.cloud.look_up_vaults(project, vault_ids)
        except CloudError as error:
            failure = str(error).removesuffix(f" [request {error.request_id}]")
            if not _is_of_project(error):
                self._given_up[place] = failure
            return VaultsRead(failure=failure)
        self._answered.add(place)
        return VaultsRead({vault_id: why for vault_id, vault in found.items() if (why := why_unfit(vault))})


def _is_of_project(error: CloudError) -> bool:
    """Tell whether a refusal is about a project, so that another one may fare better; a path is wrong for all."""
    return isinstance(error, Forbidden) or (isinstance(error, BadRequest) and error.status == 400)
