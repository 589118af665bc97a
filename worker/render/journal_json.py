"""What the journal has, as JSON: in the status of the command line, and in the daemon's documents."""

from __future__ import annotations

from typing import Any

from worker.core.fleet.last_read import LastRead
from worker.core.instruction import Instruction
from worker.core.quarantine import Quarantined
from worker.core.timing import timestamp


def last_read_json(read: LastRead | None) -> dict[str, Any] | None:
    """Return what was last known of one project or of several as JSON; None where nothing is."""
    if read is None:
        return None
    return {"at": timestamp(read.at), "desired": read.desired, "converged": read.converged}


def quarantined_json(held: Quarantined) -> dict[str, Any]:
    """Return a share in quarantine as JSON."""
    return {
        "project_id": held.share.project_id,
        "image_id": held.share.image_id,
        "status": held.operation.value,
        "attempts": held.attempts,
        "first_reason": held.first_reason,
        "last_reason": held.last_reason,
        "next_try": timestamp(held.next_try),
    }


def instruction_json(instruction: Instruction) -> dict[str, Any]:
    """Return what somebody asked for as JSON; `until` is when a pause ends by itself. Null is what is not known."""
    until = instruction.until
    return {
        "asked": instruction.asked.value,
        "by": instruction.by,
        "at": timestamp(instruction.at) if instruction.at else None,
        "until": None if until is None else timestamp(until),
    }


def pause_json(pause: Instruction | None) -> dict[str, Any] | None:
    """Return the pause that holds as JSON; None where none does."""
    return None if pause is None else {**instruction_json(pause), "reason": pause.reason}
