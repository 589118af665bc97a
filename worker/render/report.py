"""The report of a pass, for people and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from worker.core.calls import CallCounts, CallGroup
from worker.core.facts import many
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.unread import WAY_TO_KNOW, Unread, is_any_in_trouble, told_unread
from worker.core.job import Settlement
from worker.core.status import FINAL, ShareStatus, Status
from worker.core.timing import format_duration, timestamp
from worker.render.names import Names, plain
from worker.render.noticed import print_noticed, reported_json, source_json, unsolicited_json
from worker.render.refusals import print_refusals, refusal_json
from worker.render.shares import print_statuses, print_underway

SCHEMA = "ims-share-worker/report/1"
_ASKED_BEFOREHAND = frozenset({CallGroup.VAULTS_LIST, CallGroup.PROJECTS_LIST})
_STYLES = {
    Result.CONVERGED: "bold green",
    Result.INCOMPLETE: "bold yellow",
    Result.PARTIAL: "bold yellow",
    Result.FAILED: "bold red",
    Result.REFUSED: "bold red",
}


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
        "refused": list(map(str, report.refusals)),
        "refusals": [refusal_json(each) for each in report.refusals],
        "journal_error": report.journal_error,
        "notes": list(report.notes),
        "unread": [_unread_json(each) for each in report.unread],
        "reported": reported_json(report.reported, report.image_names),
        "unsolicited": unsolicited_json(report.unsolicited, report.image_names),
    }


def calls_json(calls: CallCounts) -> dict[str, int]:
    """Return the counts of calls by group, and of the throttled and the repeated ones.

    What is only asked beforehand, of the backup service and of IAM, has no key of its own.
    """
    made = {group.value: calls.made.get(group, 0) for group in CallGroup if group not in _ASKED_BEFOREHAND}
    return {**made, "throttled": calls.throttled, "retried": calls.retried}


def print_report(report: RunReport, names: Names, console: Console) -> None:
    """Print the closing summary of a pass: the result, what changed, what did not and why."""
    counts, names = report.counts(), names.also(report.image_names)
    for unread in told_unread(report.unread, report.projects):
        console.print(plain(unread, style="bold red"))
    if is_any_in_trouble(report.unread):
        console.print(plain(WAY_TO_KNOW, style="dim"))
    underway = [work for each in report.jobs if (work := each.underway)]
    print_underway("Not ended", underway, "yellow", names, console)
    for kind, shares in _to_tell(report).items():
        style = "yellow" if kind.waits else "red"
        print_statuses(kind.value.replace("_", " ").capitalize(), shares, style, names, console)
    print_noticed(report.reported, report.unsolicited, names, console)
    way_out = f"ims-share-worker approve {report.digest}"
    print_refusals(report.refusals, report.refused, way_out, names, console)
    if report.journal_error:
        console.print(plain(f"The journal does not know all of this pass: {report.journal_error}", style="bold red"))
    others = [f"{count:,} {kind.value.replace('_', ' ')}" for kind, count in counts.items() if count]
    took = format_duration(report.finished_at - report.started_at)
    line = plain(f"{report.result.value.capitalize()}: ", style=_STYLES[report.result])
    line.append(f"{report.desired:,} desired, {report.converged:,} already right", style="default")
    line.append(f", {', '.join(others)}" if others else "", style="default")
    console.print(line)
    at_work = f", {len(underway):,} not ended" if underway else ""
    calls = report.calls
    made = ", ".join(f"{count} {group.value}" for group, count in sorted(calls.made.items()) if count)
    console.print(
        plain(
            f"{many(len(report.jobs), 'job')}{at_work}, calls: {made or 'none'}; {calls.throttled} throttled, "
            f"{calls.retried} retried; {took}, run {report.run_id}",
            style="dim",
        )
    )


def _to_tell(report: RunReport) -> dict[Status, list[ShareStatus]]:
    """Return by status what did not go well, but for what is told as a whole: a project, a plan, a job."""
    unread = {each.project_id for each in report.unread}
    underway = {each.job.job_id for each in report.jobs if each.underway}
    told: dict[Status, list[ShareStatus]] = {kind: [] for kind in FINAL if kind is not Status.CHANGED}
    if report.refusals:
        del told[Status.NOT_SENT]
    for outcome in report.outcomes:
        is_unread = outcome.status is Status.UNKNOWN and outcome.share.project_id in unread
        is_underway = outcome.status is Status.UNSETTLED and outcome.job_id in underway
        if outcome.status in told and not (is_unread or is_underway):
            told[outcome.status].append(outcome)
    return told


def _unread_json(unread: Unread) -> dict[str, Any]:
    return {
        "project_id": unread.project_id,
        "project": unread.name,
        "reason": unread.reason,
        "last_desired": unread.last_desired,
    }


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
        "given_up_at": None if settlement.given_up_at is None else timestamp(settlement.given_up_at),
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
        "source": source_json(outcome.source),
    }
