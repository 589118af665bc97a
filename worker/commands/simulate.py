"""`simulate`: serve a simulated cloud."""

from __future__ import annotations

from worker import rehearsal
from worker.commands.command import Command
from worker.core.fleet.report import Exit


async def simulate(command: Command) -> Exit:
    """Serve a simulated cloud on loopback until a signal comes."""
    options = command.options
    await rehearsal.simulate(options.listen, tuple(options.seed), options.faults)
    return Exit.CONVERGED
