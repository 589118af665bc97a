"""`check`: read config and manifest offline."""

from __future__ import annotations

from worker.commands.command import Command
from worker.core.fleet.report import Exit
from worker.render.check import CheckView, check_json, check_text
from worker.wiring.site import survey


async def check(command: Command) -> Exit:
    """Read config and manifest offline, and print every problem at once."""
    found = survey(command.options.config, command.environ)
    sources = {document.name: document.source for document in found.documents}
    view = CheckView(found.problems, found.warnings, sources, found.manifest)
    command.warn(found.warnings)
    shown = command.show(check_json(view), lambda: print(check_text(view, color=command.results_in_color)))
    return Exit.USAGE if view.problems else shown
