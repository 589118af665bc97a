"""What was seen → what is wrong. Equal findings of many projects are one finding, with all that it is about.

Where nobody could be asked, as a key is refused or a host is away, nothing else is said of that project.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from worker.core.doctor.advice import advice
from worker.core.doctor.seen import CredentialSeen, Failure, ProjectSeen, Question
from worker.core.exit import Exit
from worker.core.facts import without_request
from worker.core.reading import SEES_EVERYTHING
from worker.core.vault import Unfit
from worker.errors import Cause

MAX_AHEAD: Final = 300.0
"""Seconds that our clock may be off before that is wrong. The cloud tolerates 900."""
_SERVICES: Final = {Question.VAULTS: "cbr"}
_AT_HOST: Final = frozenset(
    {Cause.NO_ANSWER, Cause.UNREACHABLE, Cause.CLOUD, Cause.NOT_THE_API, Cause.ENDPOINT, Cause.REFUSED}
)
"""Causes that are a host's affair: what is said of it names the host."""
_UNREAD_VAULTS: Final = "; passes go on without looking at vaults beforehand"


@dataclass(frozen=True, slots=True)
class About:
    """What a finding is about: a project, or one vault of it; without a project it is about a credential."""

    project_id: str
    credential: str
    vault_id: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: its cause, what it is, what to do, and all that it is about, sorted."""

    cause: Cause
    what: str
    do: str
    about: tuple[About, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was seen, and what of it is wrong: what is about most projects first."""

    credentials: tuple[CredentialSeen, ...]
    projects: tuple[ProjectSeen, ...]
    findings: tuple[Finding, ...]

    @property
    def exit(self) -> Exit:
        """The exit status: of what is wrong the gravest."""
        if any(each.problems for each in self.credentials):
            return Exit.USAGE
        asked = any(each.unlisted for each in self.credentials) or bool(self.projects)
        if asked and not (any(map(_has_answered, self.projects)) or any(map(_has_listed, self.credentials))):
            return Exit.CLOUD
        return Exit.INCOMPLETE if self.findings else Exit.CONVERGED


def judge(credentials: Sequence[CredentialSeen], projects: Sequence[ProjectSeen]) -> Diagnosis:
    """Return what is wrong with what was seen."""
    known = {each.name: each for each in credentials}
    found: dict[tuple[Cause, str, str], tuple[set[str], set[About]]] = {}
    for finding in _findings(known, projects):
        key = (finding.cause, without_request(finding.what), finding.do)
        words, about = found.setdefault(key, (set(), set()))
        words.add(finding.what)
        about.update(finding.about)
    findings = (
        Finding(
            cause,
            next(iter(words)) if len(words) == 1 else common,
            do,
            tuple(sorted(about, key=lambda each: (each.project_id, each.credential, each.vault_id))),
        )
        for (cause, common, do), (words, about) in found.items()
    )
    return Diagnosis(
        tuple(sorted(credentials, key=lambda each: each.name)),
        tuple(sorted(projects, key=lambda each: each.project.id)),
        tuple(sorted(findings, key=lambda each: (-len(each.about), each.cause, each.what))),
    )


def _has_answered(seen: ProjectSeen) -> bool:
    answered = seen.is_listed or seen.job_query is not None or bool(seen.vaults)
    return answered or any(failure.is_answer for failure in seen.failures.values())


def _has_listed(seen: CredentialSeen) -> bool:
    return seen.listed is not None or (seen.unlisted is not None and seen.unlisted.is_answer)


def _findings(credentials: Mapping[str, CredentialSeen], projects: Iterable[ProjectSeen]) -> Iterator[Finding]:
    used = {seen.project.credential for seen in projects}
    for credential in credentials.values():
        yield from _of_lists(credential)
        if credential.name not in used:
            yield from _of_settings(credential, About("", credential.name))
    for seen in projects:
        credential = credentials[seen.project.credential]
        if seen.project.missing:
            yield _finding(Cause.NO_SUCH_PROJECT, f"{seen.project.name}: {seen.project.missing}", seen)
        yield from _of_settings(credential, _about(seen))
        yield from _of_failures(credential, seen)
        yield from _of_clock(seen)
        if seen.sees_everything:
            yield _finding(Cause.SEES_EVERYTHING, SEES_EVERYTHING, seen)
        for vault_id, unfit in seen.vaults.items():
            if unfit is not None:
                yield _of_vault(vault_id, unfit, seen)


def _of_lists(credential: CredentialSeen) -> Iterator[Finding]:
    """Tell what keeps a credential from finding projects, whatever projects there are beside."""
    about = (About("", credential.name),)
    if (failure := credential.unlisted) is not None:
        do = advice(failure.cause, credential.kind, failure.permission, of_identity=failure.is_of_credential)
        what = failure.message if failure.is_of_credential else f"projects cannot be found: {failure.message}"
        yield Finding(failure.cause, what, do, about)


def _of_settings(credential: CredentialSeen, about: About) -> Iterator[Finding]:
    for problem in credential.problems:
        do = advice(Cause.SETTINGS, credential.kind, "", of_identity=True)
        yield Finding(Cause.SETTINGS, str(problem), do, (about,))


def _of_failures(credential: CredentialSeen, seen: ProjectSeen) -> Iterator[Finding]:
    for question, failure in seen.failures.items():
        do = advice(failure.cause, credential.kind, failure.permission, of_identity=failure.is_of_credential)
        what = _at_host(failure, seen.hosts.get(_SERVICES.get(question, "ims"), ""))
        if question is Question.VAULTS and not failure.is_of_credential:
            what += _UNREAD_VAULTS
        yield Finding(failure.cause, what, do, (_about(seen),))


def _of_clock(seen: ProjectSeen) -> Iterator[Finding]:
    is_told = any(failure.cause is Cause.CLOCK for failure in seen.failures.values())
    if seen.ahead is not None and abs(seen.ahead) > MAX_AHEAD and not is_told:
        minutes, way = round(abs(seen.ahead) / 60), "ahead of" if seen.ahead > 0 else "behind"
        yield _finding(Cause.CLOCK, f"this machine's clock is {minutes} minutes {way} the cloud's: set it by NTP", seen)


def _of_vault(vault_id: str, unfit: Unfit, seen: ProjectSeen) -> Finding:
    # How full each is differs; that they are is one fact.
    what = f"a vault that the manifest names cannot be used: {unfit.why.partition(':')[0]}"
    do = advice(unfit.cause, "", "", of_identity=False)
    return Finding(unfit.cause, what, do, (_about(seen, vault_id),))


def _finding(cause: Cause, what: str, seen: ProjectSeen) -> Finding:
    return Finding(cause, what, advice(cause, "", "", of_identity=False), (_about(seen),))


def _about(seen: ProjectSeen, vault_id: str = "") -> About:
    return About(seen.project.id, seen.project.credential, vault_id)


def _at_host(failure: Failure, origin: str) -> str:
    host = urlsplit(origin).netloc
    if failure.cause not in _AT_HOST or failure.is_of_credential or not host or host in failure.message:
        return failure.message
    return f"{host}: {failure.message}"
