"""A plan, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.core.batch import Change
from worker.core.fleet.forecast import Forecast
from worker.core.fleet.plan import Plan
from worker.core.operation import Operation
from worker.core.status import ShareStatus, Status
from worker.core.timing import format_duration
from worker.reconcile.run import Prepared
from worker.render.names import Names, plain

SCHEMA = "ims-share-worker/plan/1"
_SHOWN_PER_PROJECT = 10
_STYLES = {Operation.ACCEPT: "green", Operation.REJECT: "magenta"}
_LEFT_OUT = {
    Status.ABSENT: "red",
    Status.UNKNOWN: "red",
    Status.BLOCKED: "red",
    Status.QUARANTINED: "yellow",
    Status.IN_FLIGHT: "cyan",
}
"""The statuses of what a plan leaves out, in the order in which they are shown, with their colours."""


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan with what is said beside it. `notes` say what a person should know of it."""

    plan: Plan
    batches: int
    forecast: Forecast
    refusals: tuple[str, ...]
    names: Names
    notes: tuple[str, ...] = ()


def view_of(prepared: Prepared, forecast: Forecast, names: Names, notes: tuple[str, ...] = ()) -> PlanView:
    """Return what there is to be shown of a pass that was prepared."""
    return PlanView(prepared.plan, len(prepared.batches), forecast, prepared.verdict.refusals, names, notes)


def plan_json(view: PlanView) -> dict[str, Any]:
    """Return the plan as the documented JSON."""
    plan = view.plan
    return {
        "schema": SCHEMA,
        "desired": plan.desired,
        "converged": plan.converged,
        "changes": [_change_json(change, view.names) for change in plan.changes],
        **{status.value: [_left_json(left, view.names) for left in plan.of(status)] for status in _LEFT_OUT},
        "unmanaged": plan.unmanaged,
        "batches": view.batches,
        "forecast": {"calls": view.forecast.calls, "seconds": round(view.forecast.seconds, 3)},
        "refused": list(view.refusals),
        "digest": plan.digest,
        "notes": list(view.notes),
    }


def print_plan(view: PlanView, console: Console) -> None:
    """Print a plan: a table by project, then what changes and what is left out and why, then the sum."""
    plan = view.plan
    console.print(_table(view))
    _print_changes(view, console)
    for status, style in _LEFT_OUT.items():
        _print_left_out(_title(status), plan.of(status), style, view.names, console)
    console.print()
    console.print(_summary(view))
    print_refusals(view.refusals, plan.digest, console)


def print_refusals(refusals: Sequence[str], digest: str, console: Console) -> None:
    """Print why the guards refuse a plan, and the way to let exactly this plan pass."""
    if not refusals:
        return
    console.print(plain("The guards refuse this plan:", style="bold red"))
    for reason in refusals:
        console.print(plain(f"  {reason}"))
    console.print(plain("Raise the guard in the config, aim at fewer shares with --project or --image, or let exactly"))
    console.print(plain(f"this plan pass once:  ims-share-worker approve {digest}"))


def _table(view: PlanView) -> Table:
    plan = view.plan
    left = {status: Counter(each.share.project_id for each in plan.of(status)) for status in _LEFT_OUT}
    left[Status.UNKNOWN].update({each.project.id: each.unlisted for each in plan.projects if each.unlisted})
    shown = [status for status in _LEFT_OUT if left[status]]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Project", overflow="fold")
    verbs = [operation.verb.capitalize() for operation in Operation]
    for title in ("Desired", "Converged", *verbs, *map(_title, shown)):
        table.add_column(title, justify="right")
    for each in sorted(plan.projects, key=lambda each: (view.names.project(each.project.id), each.project.id)):
        project_id = each.project.id
        made = Counter(change.operation for change in each.changes)
        table.add_row(
            plain(view.names.project(project_id)),
            str(each.desired),
            str(each.converged),
            *(_number(made[operation], _STYLES[operation]) for operation in Operation),
            *(_number(left[status][project_id], _LEFT_OUT[status]) for status in shown),
        )
    return table


def _print_changes(view: PlanView, console: Console) -> None:
    """Print the changes by project, rejections first, by name; of many only the first."""
    by_project: dict[str, list[Change]] = {}
    for change in sorted(view.plan.changes, key=lambda each: _reading_order(each, view.names)):
        by_project.setdefault(change.share.project_id, []).append(change)
    for project_id in sorted(by_project, key=lambda each: (view.names.project(each), each)):
        changes = by_project[project_id]
        console.print()
        console.print(plain(view.names.project(project_id), style="bold"))
        for change in changes[:_SHOWN_PER_PROJECT]:
            console.print(_change_line(change, view.names))
        if len(changes) > _SHOWN_PER_PROJECT:
            console.print(plain(f"  and {len(changes) - _SHOWN_PER_PROJECT} more (--json shows all)", style="dim"))


def _reading_order(change: Change, names: Names) -> tuple[bool, str]:
    return change.operation is not Operation.REJECT, names.image(change.share.image_id)


def _change_line(change: Change, names: Names) -> Text:
    line = plain(f"  {change.operation.verb}  ", style=_STYLES[change.operation])
    line.append_text(plain(names.image(change.share.image_id), "default"))
    into = f", into vault {change.vault_id}" if change.vault_id else ""
    line.append_text(plain(f"  (is {change.before}{into})", "dim"))
    return line


def _print_left_out(title: str, left_out: Iterable[ShareStatus], style: str, names: Names, console: Console) -> None:
    grouped: dict[tuple[str, str], list[ShareStatus]] = {}
    for left in left_out:
        waits = " (its wish allows that)" if left.may_be_absent else ""
        grouped.setdefault((left.share.project_id, left.reason + waits), []).append(left)
    if grouped:
        console.print()
        console.print(plain(title, style=f"bold {style}"))
    for (project_id, reason), items in sorted(grouped.items()):
        images = ", ".join(names.image(left.share.image_id) for left in items[:3])
        more = f" and {len(items) - 3} more" if len(items) > 3 else ""
        console.print(plain(f"  {names.project(project_id)}: {images}{more}: {reason}"))


def _summary(view: PlanView) -> Text:
    plan = view.plan
    due = Counter(change.operation for change in plan.changes)
    if not plan.changes:
        what = "Nothing to change"
    else:
        counts = ", ".join(f"to {operation.verb}: {due[operation]}" for operation in Operation)
        what = f"{counts.capitalize()}, in {view.batches} PUT"
    about = f"about {view.forecast.calls} calls, {format_duration(view.forecast.seconds)}"
    line = f"{what}. {plan.converged} of {plan.desired} shares are as desired, {plan.unmanaged} unmanaged; {about}."
    return plain(line, style="bold")


def _title(status: Status) -> str:
    return status.value.replace("_", " ").capitalize()


def _number(count: int, style: str) -> Text:
    return plain(str(count), style=style) if count else plain("-", style="dim")


def _change_json(change: Change, names: Names) -> dict[str, Any]:
    return {
        **names.of_share(change.share),
        "from": change.before.value,
        "to": change.operation.value,
        "vault_id": change.vault_id,
    }


def _left_json(left: ShareStatus, names: Names) -> dict[str, Any]:
    return {
        **names.of_share(left.share),
        "desired": left.desired.value,
        "observed": left.before.value if left.before else None,
        "reason": left.reason,
        "waits": left.may_be_absent,
    }
