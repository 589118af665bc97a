"""`approve`: let exactly one plan pass the guards, once: by its digest, or by the file of `plan --out`."""

from __future__ import annotations

import argparse
import math
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from worker.commands.verb import JOURNAL_AWAY, UNWRITTEN, Verb
from worker.core.exit import Exit
from worker.core.timing import format_duration, timestamp
from worker.errors import Problem, SettingsError

if TYPE_CHECKING:
    from worker.commands.command import Command
    from worker.journal.approvals import Approval, Refusals
    from worker.render.plan_file import SavedPlan


_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FORCE = "`--force` approves it all the same"


def _add_options(parser: argparse.ArgumentParser) -> None:
    what = "as the refusal printed it: sha256:..., or a file of plan --out"
    parser.add_argument("digest", metavar="DIGEST", help=what)
    parser.add_argument("--force", action="store_true", help="also one that no refused pass has")


async def approve(command: Command) -> Exit:
    """Let exactly one plan pass the guards, once."""
    from worker.commands.journal_row import journal_to_write, presence_after, presence_json
    from worker.wiring import journal_url

    given, forced = command.options.digest, command.options.force
    saved = None if _DIGEST.fullmatch(given) else _saved_plan(given, forced=forced)
    digest = saved.digest if saved else given
    loaded, by = command.configure(), command.by
    url, now = journal_url(loaded.settings), time.time()
    async with journal_to_write(url) as journal:
        command.note(journal.notes)
        refused_at = math.inf
        if not forced:
            refusals = await journal.approvals.refusals(digest)
            if saved is None:
                _see_that_it_was_refused(command, digest, refusals, now)
            times = (refusals.at, saved.saved_at if saved else None)
            refused_at = max((at for at in times if at is not None), default=math.inf)
        before = await journal.approvals.give(digest, by, now, refused_at)
        presence = await presence_after(url, journal)
    document = {
        "schema": "ims-share-worker/approve/1",
        "digest": digest,
        "approved_by": before.by if before else by,
        "approved_at": timestamp(before.at if before else now),
        "used_by_run": before.used_by_run if before else None,
        "at_work": presence_json(presence),
        "begins_a_pass": before is None and presence.begins_a_pass,
    }
    said = _said(before, by, now)
    if before is None or before.used_by_run is None:
        said = f"{said} {presence.takes_effect()}"
    return command.show(document, lambda: print(said))


def _said(before: Approval | None, by: str, now: float) -> str:
    if before is None:
        return f"Approved by {by}: the next pass with this very plan may go, once."
    already = f"It was approved by {before.by} already, {format_duration(now - before.at)} ago, and"
    if before.used_by_run is None:
        return f"{already} not used yet."
    return f"{already} run {before.used_by_run} went by it: it is not approved again. {_FORCE}."


def _saved_plan(name: str, *, forced: bool) -> SavedPlan:
    """Return a plan that was saved, and that guards refused unless this is `forced`."""
    from worker.files import read_file
    from worker.render.plan_file import read_plan_file

    file = Path(name)
    try:
        source = read_file(file)
    except (OSError, ValueError) as error:
        hint = "copy the digest from the refusal, or name the file of `plan --out FILE`"
        why = getattr(error, "strerror", None) or str(error)
        message = f"it is no digest, sha256: and 64 hex digits, and no file that can be read: {why}"
        raise SettingsError((Problem.about("DIGEST", message, value=name, hint=hint),)) from error
    try:
        saved = read_plan_file(source)
    except ValueError as error:
        hint = "save the plan again: `ims-share-worker plan --out FILE`"
        raise SettingsError((Problem.about(name, str(error), hint=hint),)) from error
    if not saved.is_refused and not forced:
        message = "the guards did not refuse this plan, so it needs no approval"
        raise SettingsError((Problem.about(name, message, value=saved.digest, hint=_FORCE),))
    return saved


def _see_that_it_was_refused(command: Command, digest: str, refusals: Refusals, now: float) -> None:
    """Raise SettingsError for a digest that no refused pass has; say so where an older worker's journal cannot tell."""
    if refusals.at is not None:
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
    raise SettingsError((Problem.about("DIGEST", message, value=digest, hint=way),))


VERB = Verb(
    "approve",
    "let exactly the refused plan with this digest pass once",
    approve,
    (
        "The refusal prints the command to give, and the numbers to judge it by. Another plan, with other "
        "changes, is refused as before."
    ),
    ("approve sha256:0f1e2d3c...", "approve plan.json"),
    {0: "approved", 1: UNWRITTEN, **JOURNAL_AWAY},
    add_options=_add_options,
    logs=False,
)
