"""`GET /v3/{project_id}/vaults`, and one of them: the backup service's view of the world's vaults.

Source: API reference of CBR, by which `size` and `allocated` are in GB, `used` in MB, and a date has no zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.simulator.calls import Call
from worker.simulator.identity.model import Rights
from worker.simulator.model import FIRST_CREATED, Vault
from worker.simulator.options import Options
from worker.simulator.replies import Reply, error, json_reply
from worker.simulator.world import World

MOST = 1000
_BILLING = ("object_type", "protect_type", "status")
_NOT_MODELLED = ("resource_ids", "policy_id")


class Vaults:
    """Answers for the vaults of one world."""

    def __init__(self, world: World, options: Options) -> None:
        self._world = world
        self._options = options

    def reply(self, call: Call, rights: Rights) -> Reply:
        """Return one vault or a part of the list, or that the right to it is missing."""
        action = "cbr:vaults:get" if call.vault_id else "cbr:vaults:list"
        if not rights.allows(action) or not (call.vault_id or names_enterprise_project(rights, call.query)):
            return _error(403, "CBR.0403", f"Policy doesn't allow {action} to be performed.")
        if not call.vault_id:
            return self._listed(call)
        vault = self._world.vaults.get((call.project_id, call.vault_id))
        if vault is None:
            return _error(int(self._options.vault_missing), "BackupService.6105", "Vault Not Found")
        return json_reply({"vault": _body(vault)})

    def _listed(self, call: Call) -> Reply:
        limit, offset = (_number(call.query.get(key), usual) for key, usual in (("limit", MOST), ("offset", 0)))
        if limit is None or offset is None or not 1 <= limit <= MOST or set(_NOT_MODELLED) & set(call.query):
            return _error(400, "BackupService.0002", "The query is not valid, or the simulator does not model it.")
        own = (vault for (project_id, _), vault in sorted(self._world.vaults.items()) if project_id == call.project_id)
        found = [body for body in map(_body, own) if _matches(body, call.query)]
        part = found[offset : offset + limit]
        return json_reply({"vaults": part, "count": len(found), "limit": limit, "offset": offset})


def names_enterprise_project(rights: Rights, query: Mapping[str, str]) -> bool:
    """Tell whether a list names an enterprise project in which the caller has rights, or needs to name none."""
    granted = rights.enterprise_projects
    return not granted or query.get("enterprise_project_id") in {*granted, "all_granted_eps"}


def _matches(body: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    asked = {**body, **body["billing"]}
    return all(asked[key] == query[key] for key in ("id", "name", *_BILLING, "cloud_type") if key in query)


def _body(vault: Vault) -> dict[str, Any]:
    created = datetime.fromtimestamp(FIRST_CREATED, UTC).replace(tzinfo=None)
    return {
        "id": vault.id,
        "name": vault.name or vault.id,
        "description": "",
        "project_id": vault.project_id,
        "enterprise_project_id": "0",
        "auto_bind": False,
        "auto_expand": False,
        "locked": vault.locked,
        "resources": [],
        "tags": [],
        "created_at": created.isoformat(timespec="microseconds"),
        "billing": {
            "object_type": vault.object_type,
            "protect_type": vault.protect_type,
            "status": vault.status,
            "size": vault.size,
            "allocated": -(-vault.used_up // 1024),
            "used": vault.used_up,
            "spec_code": f"vault.{vault.protect_type}.{vault.object_type}.normal",
            "charging_mode": "post_paid",
            "cloud_type": "public",
            "consistent_level": "crash_consistent",
        },
    }


def _number(text: str | None, usual: int) -> int | None:
    """Return a number of the query, the usual one where there is none; return None where it is no number."""
    if text is None:
        return usual
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _error(status: int, code: str, message: str) -> Reply:
    return error("gateway", status, code, message)
