"""`simulate`: serve a simulated cloud."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from worker.commands.verb import UNWRITTEN, Verb
from worker.core.exit import Exit
from worker.errors import Problem, SettingsError

if TYPE_CHECKING:
    from worker.commands.command import Command


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="default: any free port")
    parser.add_argument(
        "--seed", action="append", default=[], type=Path, metavar="FILE", help="a manifest, or one seed"
    )
    parser.add_argument("--faults", type=Path, metavar="FILE", help="what goes wrong, and when")


async def simulate(command: Command) -> Exit:
    """Serve a simulated cloud on loopback, print its address as the first line, and go on until a signal comes."""
    from worker.files import unreadable
    from worker.settings import Address
    from worker.simulator.demo import demo as demo_fleet
    from worker.simulator.document import DocumentError
    from worker.simulator.faults import FaultSet, load_faults
    from worker.simulator.seed import Seed, load_seed
    from worker.simulator.server import Simulator, require_loopback

    listen, seeds, faults = command.options.listen, command.options.seed, command.options.faults
    try:
        at = Address.parse(listen)
        require_loopback(at.host)
    except ValueError as error:
        raise SettingsError((Problem.about("--listen", str(error), value=listen),)) from error
    named = (*seeds, *([faults] if faults else []))
    if wrong := tuple(Problem.about(str(file), why) for file in named if (why := unreadable(file))):
        raise SettingsError(wrong)
    try:
        seed = load_seed(*seeds) if seeds else Seed(demo_fleet().world)
        trouble = load_faults(faults) if faults else FaultSet()
        server = Simulator(
            seed.world, faults=trouble, options=seed.options, limits=seed.limits, listen=(at.host, at.port)
        )
    except DocumentError as error:
        raise SettingsError(tuple(Problem.about("simulate", each) for each in error.problems)) from error
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    try:
        async with server:
            print(server.url, flush=True)
            await over.wait()
    except OSError as error:
        raise SettingsError(
            (Problem.about("--listen", f"cannot listen there: {error.strerror}", value=listen),)
        ) from error
    return Exit.CONVERGED


VERB = Verb(
    "simulate",
    "serve a simulated cloud on loopback, for rehearsal",
    simulate,
    (
        "Prints its address as the first line, and lives until a signal. A config that leads there is tried "
        "without a cloud, with the faults that a file asks for."
    ),
    ("simulate", "simulate --listen 127.0.0.1:9999 --seed fleet.json --faults faults.toml"),
    {0: "it was asked to stop, and did", 1: UNWRITTEN},
    add_options=_add_options,
)
