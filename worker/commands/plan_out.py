"""`plan --out FILE`: a plan is saved, and approved by its file."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace

from worker.commands.command import Command
from worker.core.fleet.report import Exit
from worker.errors import Problem, SettingsError
from worker.files import write_file
from worker.render.plan import PlanView
from worker.render.plan_file import plan_file
from worker.streams import say


def see_where_to_save(command: Command) -> None:
    """Raise SettingsError for a file that surely cannot be written, before anything is read for it."""
    file = command.options.out
    if file is None:
        return
    why = ""
    try:
        if file.is_dir():
            why = "it is a folder, and a plan is saved in a file"
        elif not file.parent.is_dir():
            why = f"there is no folder {file.parent}"
    except (OSError, ValueError) as error:
        why = f"it cannot be the name of a file: {getattr(error, 'strerror', None) or error}"
    if why:
        raise SettingsError((Problem("--out", 0, 0, "", why, str(file)),))


def save(command: Command, view: PlanView) -> tuple[PlanView, Exit]:
    """Save a plan where that is asked for; return what is shown of it, and what this adds to the exit status."""
    file = command.options.out
    if file is None:
        return view, Exit.CONVERGED
    try:
        write_file(file, plan_file(view, time.time()))
    except OSError as error:
        say(f"error: the plan cannot be written to {file}: {error.strerror or error}")
        return view, Exit.INCOMPLETE
    return replace(view, approval=f"ims-share-worker approve {shlex.quote(str(file))}"), Exit.CONVERGED
