"""A plan, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.core.batch import Change
from worker.core.facts import first_few, many
from worker.core.fleet.forecast import Forecast
from worker.core.fleet.plan import Plan
from worker.core.fleet.refusal import Refusal
from worker.core.fleet.report import not_sent
from worker.core.fleet.unread import told_unread, unread_of
from worker.core.job import Underway
from worker.core.operation import Operation
from worker.core.project.plan import ProjectPlan
from worker.core.status import ShareStatus, Status
from worker.reconcile.run import Prepared
from worker.render.forecast import forecast_json, forecast_text
from worker.render.names import Names, plain
from worker.render.refusals import print_refusals, refusal_json
from worker.render.shares import LINES_SHOWN, print_statuses, print_underway

SCHEMA = "ims-share-worker/plan/1"
_SHOWN_PER_PROJECT = 10
_DIFFER = "not as desired"
_STYLES = {Operation.ACCEPT: "green", Operation.REJECT: "magenta"}
_LEFT_OUT = {
    status: "red" if not status.waits else "yellow" for status in Status if status.is_left_out and status.is_final
} | {Status.IN_FLIGHT: "cyan"}
"""The statuses of what a plan leaves out, with their colours; last what ends by itself."""


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan with what is said beside it: `notes` for people, and what is `underway` of earlier passes.

    `approval` is the command, or the two, that let it pass the guards once.
    """

    plan: Plan
    batches: int
    forecast: Forecast
    refusals: tuple[Refusal, ...]
    names: Names
    notes: tuple[str, ...] = ()
    underway: tuple[Underway, ...] = ()
    approval: str = "ims-share-worker plan --out plan.json; ims-share-worker approve plan.json"


def view_of(
    prepared: Prepared,
    forecast: Forecast,
    names: Names,
    notes: tuple[str, ...] = (),
    in_flight: tuple[Underway, ...] = (),
) -> PlanView:
    """Return what there is to be shown of a pass that was prepared."""
    return PlanView(prepared.plan, len(prepared.batches), forecast, prepared.verdict.refusals, names, notes, in_flight)


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
        "forecast": forecast_json(view.forecast),
        "refused": list(map(str, view.refusals)),
        "refusals": [refusal_json(each) for each in view.refusals],
        "digest": plan.digest,
        "notes": list(view.notes),
    }


def print_plan(view: PlanView, console: Console) -> None:
    """Print a plan: what could not be read, a table by project, what changes, what is left out and why, and the sum."""
    plan = view.plan
    unread = unread_of(plan.projects)
    for line in told_unread(unread, len(plan.projects)):
        console.print(plain(line, style="bold red"))
    if not plan.is_unread:
        _print_table(view, console)
    _print_changes(view, console)
    has_been_told = {each.project_id for each in unread}
    for status, style in _LEFT_OUT.items():
        if status is Status.IN_FLIGHT and view.underway:
            console.print()
            print_underway(_title(status), view.underway, style, view.names, console)
        elif left := [each for each in plan.of(status) if each.share.project_id not in has_been_told]:
            console.print()
            print_statuses(_title(status), left, style, view.names, console)
    console.print()
    console.print(_summary(view))
    held = not_sent(plan, "")
    print_refusals(view.refusals, held, view.approval, view.names, console)


def _print_table(view: PlanView, console: Console) -> None:
    """Print a row for each project; of many, for the first that are not all as desired, before them the unread."""
    ordered = sorted(view.plan.projects, key=lambda each: (view.names.project(each.project.id), each.project.id))
    rows = ordered
    if len(ordered) > LINES_SHOWN:
        rows = [each for each in ordered if each.converged < each.desired or each.failure]
        rows.sort(key=lambda each: not each.failure)
    console.print(_table(view, rows[:LINES_SHOWN]))
    if rest := len(ordered) - len(rows[:LINES_SHOWN]):
        unread = sum(bool(each.failure) for each in rows[LINES_SHOWN:])
        differ = len(rows[LINES_SHOWN:]) - unread
        counts = {"as desired": rest - differ - unread, _DIFFER: differ, "unread": unread}
        console.print(plain(f"and {many(rest, 'more project')}{_told_rest(counts)}", style="dim"))


def _told_rest(counts: Mapping[str, int]) -> str:
    """Say how the projects are that have no row; unread ones are neither as desired nor not."""
    there_are = {how: count for how, count in counts.items() if count}
    if len(there_are) == 1:
        ((how, count),) = there_are.items()
        of_many = "none as desired" if how == _DIFFER else f"all {how}"
        return f", {how if count == 1 else of_many}"
    return ": " + ", ".join(f"{count:,} {how}" for how, count in there_are.items())


def _table(view: PlanView, rows: Iterable[ProjectPlan]) -> Table:
    plan = view.plan
    left = {status: Counter(each.share.project_id for each in plan.of(status)) for status in _LEFT_OUT}
    left[Status.UNKNOWN].update({each.project.id: each.unlisted for each in plan.projects if each.unlisted})
    shown = [status for status in _LEFT_OUT if left[status]]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Project", overflow="fold")
    verbs = [operation.verb.capitalize() for operation in Operation]
    for title in ("Desired", "Converged", *verbs, *map(_title, shown)):
        table.add_column(title, justify="right")
    for each in rows:
        project_id = each.project.id
        made = Counter(change.operation for change in each.changes)
        table.add_row(
            plain(view.names.project(project_id)),
            str(each.desired),
            plain("-", style="dim") if each.failure else str(each.converged),
            *(_number(made[operation], _STYLES[operation]) for operation in Operation),
            *(_number(left[status][project_id], _LEFT_OUT[status]) for status in shown),
        )
    return table


def _print_changes(view: PlanView, console: Console) -> None:
    """Print the changes by project, those of several once, rejections first, by name; of many only the first."""
    by_project: dict[str, list[Change]] = {}
    for change in sorted(view.plan.changes, key=lambda each: _reading_order(each, view.names)):
        by_project.setdefault(change.share.project_id, []).append(change)
    alike: dict[tuple[object, ...], list[str]] = {}
    for project_id in sorted(by_project, key=lambda each: (view.names.project(each), each)):
        same = tuple(
            (change.operation, change.share.image_id, change.before, change.vault_id)
            for change in by_project[project_id]
        )
        alike.setdefault(same, []).append(project_id)
    groups = list(alike.values())
    for projects in groups[:LINES_SHOWN]:
        changes = by_project[projects[0]]
        named = first_few([view.names.project(each) for each in projects])
        console.print()
        title = named if len(projects) == 1 else f"{many(len(projects), 'project')}, each ({named})"
        console.print(plain(title, style="bold"))
        for change in changes[:_SHOWN_PER_PROJECT]:
            console.print(_change_line(change, view.names))
        if len(changes) > _SHOWN_PER_PROJECT:
            console.print(plain(f"  and {len(changes) - _SHOWN_PER_PROJECT} more (--json shows all)", style="dim"))
    if rest := sum(map(len, groups[LINES_SHOWN:])):
        console.print()
        console.print(plain(f"and changes of {many(rest, 'more project')} (--json shows all)", style="dim"))


def _reading_order(change: Change, names: Names) -> tuple[bool, str]:
    return change.operation is not Operation.REJECT, names.image(change.share.image_id)


def _change_line(change: Change, names: Names) -> Text:
    line = plain(f"  {change.operation.verb}  ", style=_STYLES[change.operation])
    line.append_text(plain(names.image(change.share.image_id), "default"))
    into = f", into vault {change.vault_id}" if change.vault_id else ""
    line.append_text(plain(f"  (is {change.before}{into})", "dim"))
    return line


def _summary(view: PlanView) -> Text:
    plan = view.plan
    due = Counter(change.operation for change in plan.changes)
    unknown = plan.unknown
    if plan.is_unread:
        what, stands = "Nothing is planned", f"It is unknown how {many(unknown, 'share')} stand"
    else:
        what = "Nothing to change" + (" in what could be read" if plan.unread else "")
        stands = f"{plan.converged:,} of {plan.desired:,} shares are as desired"
        stands += (f", {unknown:,} unknown" if unknown else "") + f", {plan.unmanaged:,} unmanaged"
    if plan.changes:
        counts = ", ".join(f"to {operation.verb}: {due[operation]:,}" for operation in Operation)
        what = f"{counts.capitalize()}, in {view.batches:,} PUT"
    return plain(f"{what}. {stands}; {forecast_text(view.forecast)}.", style="bold")


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
