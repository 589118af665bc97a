"""What the page shows of each status, as a script and as styles, so that no table of statuses is written twice."""

from __future__ import annotations

from worker.core.status import STANDING, Status
from worker.core.text import json_text

HELP = {
    Status.FAILED: "The next pass tries again. What keeps failing goes into quarantine and is tried later and later.",
    Status.UNKNOWN: "The project could not be read, so nothing is planned for it. Check its id, region and credential; "
    "the next pass reads it again.",
    Status.BLOCKED: "Nothing is sent until its vault can be used, or the manifest names one.",
    Status.QUARANTINED: "It kept failing, and is tried again when its time comes. Once the cause is gone, release it: "
    "a pass begins at once.",
    Status.ABSENT: "The owner does not offer the image to the project: ask the owner to share it, or take it out of "
    'the manifest. Where that may come later, when_absent = "wait" in its [[share]] makes it no failure.',
    Status.UNSETTLED: "What was sent may still be at work, so it is not sent again; later passes follow it. Release it "
    "to give up on it.",
    Status.NOT_SENT: "It was due and not sent. The next pass plans it anew.",
    Status.IN_FLIGHT: "in flight: a job of the cloud works on it.",
    Status.TO_ACCEPT: "due to be accepted.",
    Status.TO_REJECT: "due to be rejected.",
    Status.CONVERGED: "as desired.",
}
"""The gravest first. Of a status in trouble, what comes next and what to do; of the others, what they mean."""


def status_script() -> str:
    """Return the script that declares `STATUSES`, by name and the gravest first."""
    return f"const STATUSES = {json_text({status.value: _shown(status) for status in HELP}, indent=2)};\n"


def status_styles() -> str:
    """Return the rule for each status that gives what is marked with its letter the two colours of its name."""
    rules = (
        f"[data-is={status.letter}] {{ background: var({colour_of(status)}); color: var({colour_of(status)}-ink); }}\n"
        for status in STANDING
    )
    return "".join(rules)


def colour_of(status: Status) -> str:
    """Return the name that the styles have for the colour of a status; that of what is written on it ends in `-ink`."""
    return f"--{status.value.replace('_', '-')}"


def _shown(status: Status) -> dict[str, object]:
    is_converged = status is Status.CONVERGED
    return {
        "letter": status.letter,
        "sign": "✓" if is_converged else status.letter.upper(),
        "words": "as desired" if is_converged else status.value.replace("_", " "),
        "help": HELP[status],
        "isTrouble": status.is_trouble,
        "wentWrong": status.is_trouble and not status.waits,
    }
