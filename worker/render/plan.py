"""A plan, for people and as JSON."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.core.batch import Change
from worker.core.facts import first_few, many
from worker.core.fleet.forecast import Forecast
from worker.core.fleet.noticed import unsolicited_in
from worker.core.fleet.plan import Plan
from worker.core.fleet.refusal import Refusal
from worker.core.fleet.report import not_sent
from worker.core.fleet.unread import WAY_TO_KNOW, is_any_in_trouble, told_unread, unread_of
from worker.core.job import Underway
from worker.core.operation import Operation
from worker.core.project.plan import ProjectPlan
from worker.core.status import ShareStatus, Status
from worker.reconcile.run import Prepared
from worker.render.by_image import IMAGES_SHOWN, print_by_image
from worker.render.forecast import forecast_json, forecast_text
from worker.render.names import Names, drawn_lines, plain
from worker.render.noticed import print_noticed, reported_json, source_json, unsolicited_json
from worker.render.refusals import print_refusals, refusal_json
from worker.render.shares import LINES_SHOWN, print_statuses, print_underway

SCHEMA = "ims-share-worker/plan/1"
_SHOWN_PER_PROJECT = 10
_LINES_IN_ALL = 68
"""Lines of a plan that a person reads; images have what the rest leaves of them, and so many in any case:"""
_IMAGES_AT_LEAST = 20
_DIFFER = "not as desired"
_STYLES = {Operation.ACCEPT: "green", Operation.REJECT: "magenta"}
_LEFT_OUT = {
    status: "red" if not status.waits else "yellow" for status in Status if status.is_left_out and status.is_final
} | {Status.IN_FLIGHT: "cyan"}
"""The statuses of what a plan leaves out, with their colours; last what ends by itself."""


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan with what is said beside it: `notes` for people, and what is `underway` of earlier passes.

    `approval` is the command, or the two, that let it pass the guards once, `way_on` the one that makes its changes.
    It is shown by `image` or by `project`, and of many lines the first, unless it is not to be cut.
    """

    plan: Plan
    batches: int
    forecast: Forecast
    refusals: tuple[Refusal, ...]
    names: Names
    notes: tuple[str, ...] = ()
    underway: tuple[Underway, ...] = ()
    approval: str = "ims-share-worker plan --out plan.json; ims-share-worker approve plan.json"
    by: str = "image"
    is_cut: bool = True
    way_on: str = "ims-share-worker run"

    def cut(self, most: int) -> int:
        """Return how many of many lines are shown, where so many are unless all are asked for."""
        return most if self.is_cut else sys.maxsize


def view_of(
    prepared: Prepared,
    forecast: Forecast,
    names: Names,
    notes: tuple[str, ...] = (),
    in_flight: tuple[Underway, ...] = (),
) -> PlanView:
    """Return what there is to be shown of a pass that was prepared."""
    named = names.also(prepared.plan.image_names)
    return PlanView(prepared.plan, len(prepared.batches), forecast, prepared.verdict.refusals, named, notes, in_flight)


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
        "reported": reported_json(plan.reported, view.names.images),
        "unsolicited": unsolicited_json(unsolicited_in(plan.projects), view.names.images),
    }


def print_plan(view: PlanView, console: Console) -> None:
    """Print a plan: what could not be read, what changes by image or by project, what is left out and why, the sum."""
    plan = view.plan
    unread = unread_of(plan.projects)
    left = [each for each in _left_out(plan) if each.share.project_id not in {found.project_id for found in unread}]

    def before(onto: Console) -> None:
        for line in told_unread(unread, len(plan.projects)):
            onto.print(plain(line, style="bold red"))
        if is_any_in_trouble(unread):
            onto.print(plain(WAY_TO_KNOW, style="dim"))

    def after(onto: Console) -> None:
        _print_left_out(view, left, onto)
        onto.print()
        onto.print(_summary(view))
        print_refusals(view.refusals, not_sent(plan, ""), view.approval, view.names, onto)
        if plan.changes and not view.refusals:
            onto.print(plain(f"To make these changes: {view.way_on}"), soft_wrap=True)

    before(console)
    if view.by == "project":
        if not plan.is_unread:
            _print_table(view, console)
        _print_changes(view, console)
    else:
        others = sum(drawn_lines(show, console) for show in (before, after))
        most = min(IMAGES_SHOWN, max(_IMAGES_AT_LEAST, _LINES_IN_ALL - others - 1))
        # What is under way is a line for each job, below.
        untold = [each for each in left if not (each.status is Status.IN_FLIGHT and view.underway)]
        print_by_image(plan.changes, untold, view.names, console, view.cut(most))
    after(console)


def _left_out(plan: Plan) -> list[ShareStatus]:
    return [each for status in _LEFT_OUT for each in plan.of(status)]


def _print_left_out(view: PlanView, left: Sequence[ShareStatus], console: Console) -> None:
    """Print why shares are left out, by status, and what nobody wishes for."""
    for status, style in _LEFT_OUT.items():
        if status is Status.IN_FLIGHT and view.underway:
            console.print()
            print_underway(_title(status), view.underway, style, view.names, console)
        elif found := [each for each in left if each.status is status]:
            console.print()
            print_statuses(_title(status), found, style, view.names, console)
    unsolicited = unsolicited_in(view.plan.projects)
    if view.plan.reported or unsolicited:
        console.print()
        print_noticed(view.plan.reported, unsolicited, view.names, console)


def _print_table(view: PlanView, console: Console) -> None:
    """Print a row for each project; of many, for the first that are not all as desired, before them the unread."""
    ordered = sorted(view.plan.projects, key=lambda each: (view.names.project(each.project.id), each.project.id))
    rows = ordered
    shown = view.cut(LINES_SHOWN)
    if len(ordered) > shown:
        rows = [each for each in ordered if each.converged < each.desired or each.failure]
        rows.sort(key=lambda each: not each.failure)
    console.print(_table(view, rows[:shown]))
    if rest := len(ordered) - len(rows[:shown]):
        unread = sum(bool(each.failure) for each in rows[shown:])
        differ = len(rows[shown:]) - unread
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
    most, of_each = view.cut(LINES_SHOWN), view.cut(_SHOWN_PER_PROJECT)
    for projects in groups[:most]:
        changes = by_project[projects[0]]
        named = first_few([view.names.project(each) for each in projects])
        console.print()
        title = named if len(projects) == 1 else f"{many(len(projects), 'project')}, each ({named})"
        console.print(plain(title, style="bold"))
        for change in changes[:of_each]:
            console.print(_change_line(change, view.names))
        if rest := len(changes[of_each:]):
            console.print(plain(f"  and {rest:,} more (--all shows every one)", style="dim"))
    if rest := sum(map(len, groups[most:])):
        console.print()
        console.print(plain(f"and changes of {many(rest, 'more project')} (--all shows every one)", style="dim"))


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
        "source": source_json(change.source),
    }


def _left_json(left: ShareStatus, names: Names) -> dict[str, Any]:
    return {
        **names.of_share(left.share),
        "desired": left.desired.value,
        "observed": left.before.value if left.before else None,
        "reason": left.reason,
        "waits": left.may_be_absent,
        "source": source_json(left.source),
    }
