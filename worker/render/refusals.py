"""A plan that guards refuse, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console

from worker.core.facts import many
from worker.core.fleet.refusal import Refusal, told_refusals, worst_projects
from worker.core.status import ShareStatus
from worker.render.names import Names, plain


def print_refusals(
    refusals: Sequence[Refusal], held: Iterable[ShareStatus], way_out: str, names: Names, console: Console
) -> None:
    """Print what guards refuse, the command that lets exactly this pass, and where it is worst.

    `held` are the shares that would have changed. Print nothing where nothing is refused.
    """
    if not refusals:
        return
    for told in told_refusals(refusals, held, names.images):
        console.print(plain(f"The guards refuse this plan: it {told}.", style="bold red"))
    # A terminal that wraps the line itself lets it be copied as one.
    console.print(plain(f"To let exactly this pass: {way_out}"), soft_wrap=True)
    worst, more = worst_projects(refusals)
    for line in worst:
        console.print(plain(f"  {line}"))
    if more:
        console.print(plain(f"  and {many(more, 'more project')} (--json shows all)", style="dim"))


def refusal_json(refusal: Refusal) -> dict[str, Any]:
    """Return a limit that a plan exceeds as JSON; `project_id` is null for the whole fleet."""
    return {
        "guard": refusal.guard,
        "project_id": refusal.project_id or None,
        "project": refusal.project or None,
        "planned": refusal.planned,
        "recent": refusal.recent,
        "managed": refusal.managed,
        "allowance": refusal.allowance,
        "allowed": refusal.allowed,
    }
