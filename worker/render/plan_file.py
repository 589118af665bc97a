"""A plan in a file: the document of `plan --json` with a seal, so that what was edited is told from what was saved."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.core.text import json_text
from worker.core.timing import timestamp
from worker.render.plan import SCHEMA, PlanView, plan_json

_SEAL = "seal"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What a saved plan is: its digest, whether the guards refused it, and when (seconds since the epoch)."""

    digest: str
    is_refused: bool
    saved_at: float


def plan_file(view: PlanView, now: float) -> str:
    """Return what is in the file of a plan."""
    # The seal is of what will be read.
    document = json.loads(json_text(plan_json(view) | {"saved_at": timestamp(now)}))
    return f"{json_text(document | {_SEAL: _seal_of(document)}, indent=2)}\n"


def read_plan_file(source: bytes) -> SavedPlan:
    """Read what is in such a file; raise ValueError for what is none, or was changed since."""
    try:
        document = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no plan that was saved: it is not JSON") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or _SEAL not in document:
        raise ValueError("it is no plan that was saved by `plan --out FILE`")
    seal = document.pop(_SEAL)
    if seal != _seal_of(document):
        raise ValueError("it was changed since it was saved")
    digest = document.get("digest")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError("it has no digest")
    try:
        saved_at = datetime.fromisoformat(str(document.get("saved_at"))).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError("it does not say when it was saved") from error
    return SavedPlan(digest, bool(document.get("refused")), saved_at)


def _seal_of(document: Mapping[str, Any]) -> str:
    content = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"
