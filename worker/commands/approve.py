"""`approve`: let exactly one plan pass the guards, once: by its digest, or by the file of `plan --out`."""

from __future__ import annotations

import re
import time
from pathlib import Path

from worker.commands.command import Command, who
from worker.commands.presence import presence_after, presence_json
from worker.commands.writing import journal_to_write
from worker.core.fleet.report import Exit
from worker.core.timing import format_duration, timestamp
from worker.errors import Problem, SettingsError
from worker.files import read_file
from worker.journal.approvals import Refusals
from worker.render.plan_file import read_plan_file
from worker.wiring.site import journal_url

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FORCE = "`--force` approves it all the same"


async def approve(command: Command) -> Exit:
    """Let exactly one plan pass the guards, once."""
    given, forced = command.options.digest, command.options.force
    is_digest = bool(_DIGEST.fullmatch(given))
    digest = given if is_digest else _digest_of_file(given, forced=forced)
    loaded, by = command.configure(), who()
    url, now = journal_url(loaded.settings), time.time()
    async with journal_to_write(url) as journal:
        command.note(journal.notes)
        if is_digest and not forced:
            _see_that_it_was_refused(command, digest, await journal.refusals(digest), now)
        before = await journal.approve(digest, by, now)
        presence = await presence_after(url, journal)
    document = {
        "schema": "ims-share-worker/approve/1",
        "digest": digest,
        "approved_by": before[0] if before else by,
        "approved_at": timestamp(before[1] if before else now),
        "at_work": presence_json(presence),
        "begins_a_pass": before is None and presence.begins_a_pass,
    }
    said = (
        f"It was approved by {before[0]} already, {format_duration(now - before[1])} ago, and not used yet."
        if before
        else f"Approved by {by}: the next pass with this very plan may go, once."
    )
    return command.show(document, lambda: print(f"{said} {presence.takes_effect()}"))


def _digest_of_file(name: str, *, forced: bool) -> str:
    """Return the digest of a plan that was saved, and that guards refused unless this is `forced`."""
    file = Path(name)
    try:
        source = read_file(file)
    except (OSError, ValueError) as error:
        hint = "copy the digest from the refusal, or name the file of `plan --out FILE`"
        why = getattr(error, "strerror", None) or str(error)
        message = f"it is no digest, sha256: and 64 hex digits, and no file that can be read: {why}"
        raise SettingsError((Problem("DIGEST", 0, 0, "", message, name, hint),)) from error
    try:
        saved = read_plan_file(source)
    except ValueError as error:
        hint = "save the plan again: `ims-share-worker plan --out FILE`"
        raise SettingsError((Problem(name, 0, 0, "", str(error), "", hint),)) from error
    if not saved.is_refused and not forced:
        message = "the guards did not refuse this plan, so it needs no approval"
        raise SettingsError((Problem(name, 0, 0, "", message, saved.digest, _FORCE),))
    return saved.digest


def _see_that_it_was_refused(command: Command, digest: str, refusals: Refusals, now: float) -> None:
    """Raise SettingsError for a digest that no refused pass has; say so where an older worker's journal cannot tell."""
    if refusals.is_known:
        return
    if not refusals.are_told:
        command.note(("the journal is that of an older worker, and does not tell which plans were refused",))
        return
    hint = "no refused pass is remembered"
    if last := refusals.last:
        ago = format_duration(now - last.at)
        hint = f"the last one that was refused has {last.digest} (run {last.run_id}, {ago} ago)"
    message = "no refused pass of `run` or `serve` has this digest"
    way = f"{hint}; what `plan` refused is approved by the file of `plan --out FILE`; {_FORCE}"
    raise SettingsError((Problem("DIGEST", 0, 0, "", message, digest, way),))
