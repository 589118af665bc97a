"""The report of a pass, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console

from worker.core.calls import CallCounts, CallGroup
from worker.core.fleet.report import Result, RunReport
from worker.core.job import Settlement
from worker.core.status import FINAL, ShareStatus, Status
from worker.core.timing import format_duration, timestamp
from worker.render.names import Names, many, plain
from worker.render.plan import print_refusals

SCHEMA = "ims-share-worker/report/1"
_STYLES = {
    Result.CONVERGED: "bold green",
    Result.PARTIAL: "bold yellow",
    Result.FAILED: "bold red",
    Result.REFUSED: "bold red",
}
_SHOWN = 20
_PROJECTS_SHOWN = 3


def report_json(report: RunReport) -> dict[str, Any]:
    """Return the report as the documented JSON."""
    return {
        "schema": SCHEMA,
        "run_id": report.run_id,
        "started_at": timestamp(report.started_at),
        "finished_at": timestamp(report.finished_at),
        "result": report.result.value,
        "desired": report.desired,
        "converged": report.converged,
        **{kind.value: count for kind, count in report.counts().items()},
        "unmanaged": report.unmanaged,
        "calls": calls_json(report.calls),
        "jobs": [_job_json(settlement) for settlement in report.jobs],
        "shares": [_share_json(outcome) for outcome in report.outcomes],
        "digest": report.digest,
        "refused": list(report.refusals),
        "journal_error": report.journal_error,
        "notes": list(report.notes),
    }


def calls_json(calls: CallCounts) -> dict[str, int]:
    """Return the counts of calls by group, and of the throttled and the repeated ones."""
    made = {group.value: calls.made.get(group, 0) for group in CallGroup}
    return {**made, "throttled": calls.throttled, "retried": calls.retried}


def print_report(report: RunReport, names: Names, console: Console) -> None:
    """Print the closing summary of a pass: the result, what changed, what did not and why."""
    counts = report.counts()
    for kind in FINAL:
        if kind is not Status.CHANGED and counts[kind]:
            _print_troubles(kind, (each for each in report.outcomes if each.status is kind), names, console)
    print_refusals(report.refusals, report.digest, console)
    if report.journal_error:
        console.print(plain(f"The journal does not know all of this pass: {report.journal_error}", style="bold red"))
    others = [f"{count} {kind.value.replace('_', ' ')}" for kind, count in counts.items() if count]
    took = format_duration(report.finished_at - report.started_at)
    line = plain(f"{report.result.value.capitalize()}: ", style=_STYLES[report.result])
    line.append(f"{report.desired} desired, {report.converged} already right", style="default")
    line.append(f", {', '.join(others)}" if others else "", style="default")
    console.print(line)
    calls = report.calls
    made = ", ".join(f"{count} {group.value}" for group, count in sorted(calls.made.items()) if count)
    console.print(
        plain(
            f"{many(len(report.jobs), 'job')}, calls: {made or 'none'}; {calls.throttled} throttled, "
            f"{calls.retried} retried; {took}, run {report.run_id}",
            style="dim",
        )
    )


def _print_troubles(kind: Status, outcomes: Iterable[ShareStatus], names: Names, console: Console) -> None:
    console.print(plain(kind.value.replace("_", " ").capitalize(), style="bold red"))
    groups: dict[object, list[ShareStatus]] = {}
    for outcome in outcomes:
        # What could not be read is whole projects, and many of them where a credential was refused: that is one line.
        groups.setdefault(outcome.reason if kind is Status.UNKNOWN else outcome.share, []).append(outcome)
    lines = list(groups.values())
    for group in lines[:_SHOWN]:
        waits = " (its wish allows that)" if group[0].may_be_absent else ""
        console.print(plain(f"  {_told(group, names)}: {group[0].reason}{waits}"))
    if rest := sum(map(len, lines[_SHOWN:])):
        console.print(plain(f"  and {rest} more (--json shows all)", style="dim"))


def _told(group: list[ShareStatus], names: Names) -> str:
    """Name a share, or the projects of several: the first few."""
    projects = sorted({names.project(outcome.share.project_id) for outcome in group})
    if len(group) == 1:
        return f"{projects[0]}: {names.image(group[0].share.image_id)}"
    more = f" and {len(projects) - _PROJECTS_SHOWN} more" if len(projects) > _PROJECTS_SHOWN else ""
    return f"{', '.join(projects[:_PROJECTS_SHOWN])}{more}: {many(len(group), 'share')}"


def _job_json(settlement: Settlement) -> dict[str, Any]:
    job, final = settlement.job, settlement.end.value
    return {
        "job_id": job.job_id,
        "project_id": job.batch.project_id,
        "status": job.batch.operation.value,
        "vault_id": job.batch.vault_id,
        "images": len(job.batch.images),
        "state": final,
        "submitted_at": timestamp(job.submitted_at),
        "settled_at": None if final == "unsettled" else timestamp(settlement.settled_at),
        "polls": settlement.polls,
        "reason": settlement.reason,
    }


def _share_json(outcome: ShareStatus) -> dict[str, Any]:
    return {
        "project_id": outcome.share.project_id,
        "image_id": outcome.share.image_id,
        "desired": outcome.desired.value,
        "before": outcome.before.value if outcome.before else None,
        "after": outcome.after.value if outcome.after else None,
        "outcome": outcome.status.value,
        "reason": outcome.reason,
        "job_id": outcome.job_id,
    }
