"""Tokens of a cluster: whether one is good, and whose it is."""

from __future__ import annotations

import base64
import hmac
import json

from worker.simulator.identity.model import Agency, Workload
from worker.simulator.world import World


def workload_of(world: World, token: str, agency: Agency | None = None) -> Workload | str:
    """Return the workload that the token is of, with this agency if one is asked for, or why there is none.

    A token that reads as a JWT ends as it says itself. Where a workload names no tokens, or everybody is taken at their
    word, any JWT is good.
    """
    claims = _claims(token)
    ends = (claims or {}).get("exp")
    if isinstance(ends, (int, float)) and world.now() >= ends:
        return "it has expired"
    if world.directory.open:
        return Workload(agency=agency.name if agency else "pod")
    for workload in world.directory.workloads:
        known = any(hmac.compare_digest(token.encode(), each.encode()) for each in workload.tokens)
        if not known and (workload.tokens or claims is None):
            continue
        if agency is None or (agency.domain, agency.name) == (workload.domain, workload.agency):
            return workload
    return "nobody knows it"


def _claims(token: str) -> dict[str, object] | None:
    """Return what a JWT says of itself, None if it is none."""
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None
