"""What the doctor has seen and found, as one page and as JSON: equal facts of many projects are one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from rich.console import Console
from rich.text import Text

from worker.core.calls import CallCounts
from worker.core.doctor.judge import MAX_AHEAD, Diagnosis, Finding
from worker.core.doctor.seen import CredentialSeen, ProjectSeen, Question
from worker.core.exit import Exit
from worker.core.facts import first_few, grouped, many
from worker.core.timing import format_duration, timestamp
from worker.render.names import Names, plain
from worker.render.report import calls_json
from worker.render.shares import LINES_SHOWN

SCHEMA = "ims-share-worker/doctor/1"
_GROUPS_SHOWN = 4
_ALIKE = 3
"""Credentials that have a line each, though they are alike."""
_EXACT = 2.0
"""Seconds within which a clock is right: a Date shows whole ones, and an answer takes a while."""
_TO_THE_SECOND = 100.0
_WORDS = {Question.IMAGES: "images not listed", Question.JOBS: "no job query", Question.VAULTS: "vaults not read"}


@dataclass(frozen=True, slots=True)
class DoctorView:
    """A diagnosis, the names for what it is about, and what it took; `vaults` are the manifest's names for vault ids.

    Times in seconds since the epoch.
    """

    diagnosis: Diagnosis
    names: Names
    vaults: Mapping[str, str]
    calls: CallCounts
    notes: tuple[str, ...]
    started_at: float
    finished_at: float

    @property
    def is_of_several(self) -> bool:
        """Whether there is more than one credential, so that it must be said which is meant."""
        return len(self.diagnosis.credentials) > 1


def doctor_json(view: DoctorView) -> dict[str, Any]:
    """Return all that was seen and found as JSON."""
    found = view.diagnosis
    return {
        "schema": SCHEMA,
        "ok": found.exit is Exit.CONVERGED,
        "started_at": timestamp(view.started_at),
        "finished_at": timestamp(view.finished_at),
        "credentials": [_credential_json(each, found.projects) for each in found.credentials],
        "projects": [_project_json(each, view) for each in found.projects],
        "findings": [_finding_json(each, view) for each in found.findings],
        "calls": calls_json(view.calls),
        "notes": list(view.notes),
    }


def print_doctor(view: DoctorView, console: Console) -> None:
    """Print who each credential is and what it may, which hosts are asked, and what is wrong with what to do."""
    found = view.diagnosis
    _print_credentials(view, console)
    _print_hosts(found, console)
    if found.findings:
        console.print(plain("Wrong", style="bold red"))
    for number, finding in enumerate(found.findings[:LINES_SHOWN], 1):
        console.print(plain(f"  {number}. {_told(finding, view)}: {finding.what}"))
        console.print(plain(f"     -> {finding.do}", style="bold"))
    if rest := len(found.findings[LINES_SHOWN:]):
        console.print(plain(f"  and {many(rest, 'more finding')} (--json shows all)", style="dim"))
    if found.findings:
        console.print()
    seen = f"{many(len(found.credentials), 'credential')}, {many(len(found.projects), 'project')}"
    verdict, style = _verdict(found)
    line = plain(f"{verdict}: ", style=style)
    line.append(f"{seen}; {many(sum(view.calls.made.values()), 'call')}", style="default")
    line.append(f" in {format_duration(view.finished_at - view.started_at)}, nothing was changed", style="default")
    console.print(line)


def _verdict(found: Diagnosis) -> tuple[str, str]:
    match found.exit:
        case Exit.CONVERGED:
            return ("All well" if found.projects else "The manifest names no project"), "bold green"
        case Exit.CLOUD:
            return "Nothing answered", "bold red"
        case _:
            return f"{many(len(found.findings), 'finding')}", "bold red"


def _print_credentials(view: DoctorView, console: Console) -> None:
    """Print each credential with how projects are with it, many that are alike as one, and what is wrong first."""
    of = _by_credential(view.diagnosis.projects)
    wrong = {about.credential for finding in view.diagnosis.findings for about in finding.about}
    alike: dict[tuple[bool, str, str], list[CredentialSeen]] = {}
    for each in view.diagnosis.credentials:
        own = of.get(each.name, [])
        told = "; ".join((*_listing(each), *sorted({_facts(project, each) for project in own}), _clock(own)))
        alike.setdefault((each.name not in wrong, each.kind, told), []).append(each)
    lines: list[list[Text]] = []
    for (_, kind, told), credentials in sorted(alike.items(), key=lambda each: (each[0][0], each[1][0].name)):
        if len(credentials) > _ALIKE:
            names = first_few([each.name for each in credentials])
            projects = many(sum(len(of.get(each.name, [])) for each in credentials), "project")
            lines.append([plain(f"{len(credentials):,} credentials ({names}; {kind}), {projects}: {told}")])
        else:
            lines += [_lines_of(each, of.get(each.name, []), view) for each in credentials]
    for line in chain.from_iterable(lines[:LINES_SHOWN]):
        console.print(line)
    if rest := len(lines[LINES_SHOWN:]):
        console.print(plain(f"and {many(rest, 'more credential')} (--json shows all)", style="dim"))
    if lines:
        console.print()


def _lines_of(credential: CredentialSeen, projects: Sequence[ProjectSeen], view: DoctorView) -> list[Text]:
    """Return a line for a credential, and one for each way in which projects are with it."""
    who = ", ".join(filter(None, (credential.principal, credential.key))) or "nobody says who it is"
    told = "; ".join((who, *_listing(credential), _clock(projects)))
    lines = [plain(f"{credential.name} ({credential.kind}, account {credential.account}): {told}", "bold")]
    facts = grouped((_facts(each, credential), view.names.project(each.project.id)) for each in projects)
    lines += [plain(f"  {_several(fact.of)}: {fact.reason}") for fact in facts[:_GROUPS_SHOWN]]
    if rest := sum(len(fact.of) for fact in facts[_GROUPS_SHOWN:]):
        lines.append(plain(f"  and {many(rest, 'more project')} (--json shows all)", style="dim"))
    return lines


def _print_hosts(found: Diagnosis, console: Console) -> None:
    told = [(f"{service} {origin}", 1) for each in found.projects for service, origin in each.hosts.items()]
    renewed = [
        (f"{service} {origin}", each.name) for each in found.credentials for service, origin in each.hosts.items()
    ]
    lines = [f"{fact.reason}: {many(len(fact.of), 'project')}" for fact in grouped(told)]
    lines += [f"{fact.reason}: {first_few(fact.of)}" for fact in grouped(renewed)]
    if lines:
        console.print(plain("Hosts", style="bold"))
    for line in lines[:LINES_SHOWN]:
        console.print(plain(f"  {line}"))
    if rest := len(lines[LINES_SHOWN:]):
        console.print(plain(f"  and {many(rest, 'more host')} (--json shows all)", style="dim"))
    if lines:
        console.print()


def _listing(credential: CredentialSeen) -> tuple[str, ...]:
    """Say whether a credential that is to find projects has found any; nothing of any other."""
    if credential.unlisted:
        return ("projects not found",)
    return () if credential.listed is None else (f"may act in {many(credential.listed, 'project')}",)


def _by_credential(projects: Iterable[ProjectSeen]) -> dict[str, list[ProjectSeen]]:
    found: dict[str, list[ProjectSeen]] = {}
    for each in projects:
        found.setdefault(each.project.credential, []).append(each)
    return found


def _several(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{many(len(names), 'project')} ({first_few(names)})"


def _facts(seen: ProjectSeen, credential: CredentialSeen) -> str:
    """Say what a project answers, in words that are equal for equal projects."""
    if credential.problems:
        return "not asked, as there is no such credential"
    unfit = sum(each is not None for each in seen.vaults.values())
    facts = [
        "images listed" if seen.is_listed else "",
        f"jobs by the {seen.job_query} query" if seen.job_query else "",
        f"{len(seen.vaults) - unfit} of {many(len(seen.vaults), 'vault')} fit" if seen.vaults else "",
        *(_WORDS[question] for question in seen.failures),
        "" if seen.job_query or not seen.is_listed or Question.JOBS in seen.failures else "job query not asked",
    ]
    return ", ".join(filter(None, facts)) or "not asked"


def _clock(projects: Iterable[ProjectSeen]) -> str:
    """Say how far our clock is off by the answers to these projects, at most."""
    ahead = max((each.ahead for each in projects if each.ahead is not None), key=abs, default=None)
    if ahead is None:
        return "clock unknown"
    if abs(ahead) <= _EXACT:
        return "clock right"
    off = f"{round(abs(ahead))} s" if abs(ahead) < _TO_THE_SECOND else f"{round(abs(ahead) / 60)} min"
    return f"clock {off} {'ahead' if ahead > 0 else 'behind'}"


def _told(finding: Finding, view: DoctorView) -> str:
    """Say what a finding is about: projects, or vaults of theirs, and the credentials where these are several."""
    names = sorted(
        {
            view.names.project(about.project_id)
            + (f" ({view.vaults.get(about.vault_id, about.vault_id)})" if about.vault_id else "")
            for about in finding.about
            if about.project_id
        }
    )
    credentials = sorted({about.credential for about in finding.about})
    several = f"{many(len(credentials), 'credential')} ({first_few(credentials)})" if len(credentials) > 1 else ""
    of = several or (f"credential {credentials[0]}" if view.is_of_several or not names else "")
    return ", ".join(filter(None, (_several(names) if names else "", of)))


def _credential_json(seen: CredentialSeen, projects: Iterable[ProjectSeen]) -> dict[str, Any]:
    own = [each for each in projects if each.project.credential == seen.name]
    ahead = max((each.ahead for each in own if each.ahead is not None), key=abs, default=None)
    return {
        "credential": seen.name,
        "kind": seen.kind,
        "account": seen.account,
        "principal": seen.principal or None,
        "key": seen.key or None,
        "hosts": dict(seen.hosts),
        "projects": len(own),
        "projects_found": seen.listed,
        "clock_ahead_seconds": None if ahead is None else round(ahead, 1),
        "problems": [str(problem) for problem in seen.problems],
    }


def _project_json(seen: ProjectSeen, view: DoctorView) -> dict[str, Any]:
    is_right = None if seen.ahead is None else abs(seen.ahead) <= MAX_AHEAD
    return {
        "project_id": seen.project.id,
        "project": seen.project.name,
        "credential": seen.project.credential,
        "region": seen.project.region or None,
        "hosts": dict(seen.hosts),
        "may_list": seen.is_listed,
        "sees_everything": seen.sees_everything,
        "job_query": seen.job_query.value if seen.job_query else None,
        "vaults": [
            {
                "vault_id": vault_id,
                "vault": view.vaults.get(vault_id, vault_id),
                "fit": unfit is None,
                "reason": unfit.why if unfit else "",
            }
            for vault_id, unfit in seen.vaults.items()
        ],
        "clock_ahead_seconds": None if seen.ahead is None else round(seen.ahead, 1),
        "clock_right": is_right,
        "failures": {question.value: failure.message for question, failure in seen.failures.items()},
    }


def _finding_json(finding: Finding, view: DoctorView) -> dict[str, Any]:
    return {
        "cause": finding.cause.value,
        "what": finding.what,
        "do": finding.do,
        "credentials": sorted({about.credential for about in finding.about}),
        "about": [
            {
                "project_id": about.project_id or None,
                "project": view.names.project(about.project_id) if about.project_id else None,
                "credential": about.credential,
                "vault_id": about.vault_id or None,
            }
            for about in finding.about
        ],
    }
