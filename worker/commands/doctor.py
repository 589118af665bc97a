"""`doctor`: tell, for each credential and project, who it is, what it may, and what is wrong."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from worker.commands.verb import JOURNAL_AWAY, UNWRITTEN, Verb, name
from worker.core.exit import Exit

if TYPE_CHECKING:
    from worker.commands.command import Command

WITHIN = 40.0
"""Seconds after which what has no answer is given up, and told."""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--project", action="append", default=[], type=name, metavar="NAME_OR_ID", help="only this; repeatable"
    )


async def doctor(command: Command) -> Exit:
    """Ask about each project of the manifest what a pass depends on, and print what is wrong; change nothing."""
    import time

    from worker.render.doctor import DoctorView, doctor_json, print_doctor
    from worker.render.names import Names
    from worker.session.examining import examined
    from worker.telemetry.logs import log_call

    loaded, started_at = command.configure(), time.time()
    found = await examined(loaded, command.asked.selector, command.environ, WITHIN, log_call)
    command.note(found.notes)
    names, vaults = Names.of(found.manifest), found.manifest.vault_names
    view = DoctorView(found.diagnosis, names, vaults, found.calls, found.notes, started_at, time.time())
    status = found.diagnosis.exit
    shown = command.show(doctor_json(view), lambda: print_doctor(view, command.out), is_well=status is Exit.CONVERGED)
    return status or shown


VERB = Verb(
    "doctor",
    "tell what is wrong with credentials, projects, vaults, clock and hosts",
    doctor,
    "Asks, for each credential and project, who it is, whether images may be listed, which job query answers, whether "
    "the vaults exist, and whether the clock is right, and says what to do about what is wrong. It changes nothing.",
    ("doctor", "doctor --project payments-prod", "doctor --json"),
    {
        0: "all is well",
        1: f"something is wrong; or {UNWRITTEN}",
        4: "nothing answered: the cloud could not be reached or refused the credentials",
        **JOURNAL_AWAY,
    },
    add_options=_add_options,
)
