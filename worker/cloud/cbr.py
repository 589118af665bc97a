"""Look up vaults of a project: the backup service, as far as an accept depends on it.

The list is read first, which tells of all vaults in one call; one that is not in it is asked for by its id, for a list
may leave out what another enterprise project has. Types are noise here too: only what can be read counts.
Source: API reference of CBR, "Querying the Vault List" and "Querying a Specified Vault".
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from worker.cloud.client import Client
from worker.cloud.permissions import GET_VAULT, LIST_VAULTS, permission_named
from worker.cloud.refusals import PATH_UNKNOWN
from worker.cloud.request import Call, quoted
from worker.cloud.wire import decoded
from worker.core.calls import CallGroup
from worker.core.manifest.model import Project
from worker.core.vault import Vault
from worker.errors import BadRequest, NotFound

_PAGE: Final = 200
_MAX_PAGES: Final = 50
_PAGE_BYTES: Final = 16 * 1024 * 1024
"""What a page may have: a vault lists all that is backed up into it."""
_PAGE_VALUES: Final = 1_000_000
_MISSING: Final = PATH_UNKNOWN | {"BackupService.6105"}
"""Codes for a vault that is not there; where the service has answered with a list, no path is wrong."""
_WORD: Final = re.compile(r"[a-z][a-z_-]{0,19}")


class _Vault(msgspec.Struct, gc=False):
    id: Any = None
    auto_expand: Any = None
    billing: Any = None


class _Vaults(msgspec.Struct):
    vaults: list[_Vault]
    count: Any = None


class _One(msgspec.Struct):
    vault: _Vault


_LIST: Final = msgspec.json.Decoder(_Vaults)
_SINGLE: Final = msgspec.json.Decoder(_One)


async def look_up_vaults(
    client: Client, origin: str, project: Project, granted: str, vault_ids: Collection[str]
) -> Mapping[str, Vault | None]:
    """Return what is said of each of these vaults of a project, None of one that is not there; raise CloudError.

    `granted` is the enterprise project that the list is to be of, or empty. Failed calls are repeated.
    """
    path = f"/v3/{quoted(project.id)}/vaults"
    of_granted = (("enterprise_project_id", granted),) if granted else ()
    call = Call(
        CallGroup.VAULTS_LIST,
        "GET",
        origin,
        path,
        project.id,
        max_bytes=_PAGE_BYTES,
        max_values=_PAGE_VALUES,
        is_optional=True,
        region=project.region,
    )
    found: dict[str, Vault | None] = {}
    seen: set[str] = set()
    for page in range(_MAX_PAGES):
        query = (("limit", _PAGE), ("offset", page * _PAGE), *of_granted)
        with permission_named(LIST_VAULTS):
            vaults, count = await client.fetch(replace(call, query=query), _read_list)
        found |= {vault_id: vault for vault_id, vault in vaults.items() if vault_id in vault_ids}
        fresh = vaults.keys() - seen
        seen |= fresh
        if len(found) == len(vault_ids) or not fresh or len(seen) >= (math.inf if count is None else count):
            break
    for vault_id in sorted(set(vault_ids) - found.keys()):
        found[vault_id] = await _look_up(client, replace(call, path=f"{path}/{quoted(vault_id)}"))
    return found


async def _look_up(client: Client, call: Call) -> Vault | None:
    try:
        with permission_named(GET_VAULT):
            return await client.fetch(call, _read_one)
    except NotFound:
        return None
    except BadRequest as error:
        if error.code not in _MISSING:
            raise
        return None


def _read_list(body: bytes, secrets: Sequence[str]) -> tuple[dict[str, Vault], float | None]:
    page = decoded(_LIST, body, "list of vaults", secrets)
    vaults = {each.id.lower(): _vault(each) for each in page.vaults if isinstance(each.id, str)}
    return vaults, _number(page.count)


def _read_one(body: bytes, secrets: Sequence[str]) -> Vault:
    return _vault(decoded(_SINGLE, body, "vault", secrets).vault)


def _vault(vault: _Vault) -> Vault:
    said = vault.billing if isinstance(vault.billing, dict) else {}
    return Vault(
        object_type=_word(said.get("object_type")),
        protect_type=_word(said.get("protect_type")),
        status=_word(said.get("status")),
        size=_number(said.get("size")),
        used=_number(said.get("used")),
        expands=vault.auto_expand is True or _word(vault.auto_expand) == "true",
    )


def _word(value: object) -> str:
    """Return a word in small letters; nothing for what no documented word looks like."""
    word = value.strip().lower() if isinstance(value, str) else ""
    return word if _WORD.fullmatch(word) else ""


def _number(value: object) -> float | None:
    """Return a number that is not negative, also one that is written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < math.inf else None
