"""`demo`: reconcile a small simulated fleet."""

from __future__ import annotations

from worker import rehearsal
from worker.commands.command import Command
from worker.core.fleet.report import Exit
from worker.telemetry.logs import set_up


async def demo(command: Command) -> Exit:
    """Reconcile a small simulated fleet: plan, run, and run again."""
    set_up(command.options.log_format, "debug" if command.options.verbose else "error")
    demo = await rehearsal.demo(command.out, quiet=command.options.json)
    shown = command.show(demo.document, lambda: print(demo.verdict))
    return shown if demo.as_expected else Exit.INCOMPLETE
