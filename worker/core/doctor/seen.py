"""What the doctor has seen: of each project what was answered and what failed, of each credential who it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.core.job import JobApi
from worker.core.manifest.model import Project
from worker.core.vault import Unfit
from worker.errors import (
    Cause,
    CloudError,
    CredentialRefused,
    Forbidden,
    Problem,
    Scope,
    TransientCloudError,
    UnexpectedReply,
)

_OF_PROJECT = {
    "IMG.0108": Cause.WRONG_REGION,
    "IMG.0088": Cause.QUOTA,
    "APIGW.0310": Cause.UNAVAILABLE,
    "APIG.0310": Cause.UNAVAILABLE,
}
_GATEWAY = ("APIGW.", "APIG.")
"""What codes of the gateway begin with. It knows no permissions: who it does not let in has no place in the project."""


class Question(StrEnum):
    """What is asked of the cloud for a project: may I list, which job query answers, do the vaults exist."""

    IMAGES = "images"
    JOBS = "jobs"
    VAULTS = "vaults"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a question has no answer, in the words in which a pass says it.

    `permission` is the right that may be missing; `is_of_credential` tells that every call of the credential fails so,
    `is_answer` that a service of the cloud has said no to somebody whom it knows.
    """

    cause: Cause
    message: str
    permission: str = ""
    is_of_credential: bool = False
    is_answer: bool = False


@dataclass(frozen=True, slots=True)
class ProjectSeen:
    """What was seen of a project: `hosts` by service, and why each question failed that did.

    `sees_everything` tells that one image stands in several of its lists. `vaults` are those that the manifest names,
    each with why it cannot be used. `job_query` is None where it was not asked or did not answer. `ahead` is by how
    many seconds our clock is ahead of the cloud's.
    """

    project: Project
    hosts: Mapping[str, str] = field(default_factory=dict)
    is_listed: bool = False
    sees_everything: bool = False
    job_query: JobApi | None = None
    vaults: Mapping[str, Unfit | None] = field(default_factory=dict)
    failures: Mapping[Question, Failure] = field(default_factory=dict)
    ahead: float | None = None


@dataclass(frozen=True, slots=True)
class CredentialSeen:
    """A credential: its kind and account, and who it is, as far as anybody says.

    `hosts` are those that it is renewed at, by service. `problems` are what keeps it from being one at all. `listed`
    counts the projects that it was told of where any are to be found, and `unlisted` is why it was told of none.
    """

    name: str
    kind: str
    account: str
    principal: str = ""
    key: str = ""
    hosts: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    listed: int | None = None
    unlisted: Failure | None = None


def failure_of(error: CloudError) -> Failure:
    """Return a failed call as a failure, with its cause."""
    refused = isinstance(error, CredentialRefused)
    of_identity = bool(error.identity_host)
    cause = _cause_of(error)
    return Failure(
        cause=cause,
        message=_told(error),
        permission=error.permission if isinstance(error, Forbidden) else "",
        is_of_credential=refused or of_identity or error.status == 401,
        is_answer=400 <= error.status < 500
        and error.status != 401
        and cause is not Cause.ENDPOINT
        and not (refused or of_identity or isinstance(error, TransientCloudError | UnexpectedReply)),
    )


def _told(error: CloudError) -> str:
    """Return what a call failed for, without the name of its credential, and without what there is to check."""
    answer = " ".join(filter(None, (str(error.status or ""), error.code)))
    tail = f" [request {error.request_id}]" if error.request_id else ""
    if isinstance(error, CredentialRefused) and answer:
        return f"the credential was refused ({answer}): {error.message}{tail}"
    if error.identity_host and error.said:
        return f"the credential cannot be renewed: {error.said}"
    if error.said:
        return f"HTTP {answer}: {error.said}{tail}"
    return str(error)


def _cause_of(error: CloudError) -> Cause:
    known = error.cause if error.cause is not Cause.UNSAID else _OF_PROJECT.get(error.code)
    cases = (
        (error.scope is Scope.THROTTLE, Cause.THROTTLED),
        (isinstance(error, UnexpectedReply), Cause.NOT_THE_API),
        # What is asked for is there wherever the service is; only a code could tell of something else.
        (error.status == 404 and not error.code, Cause.ENDPOINT),
        (isinstance(error, TransientCloudError), Cause.CLOUD),
        (error.scope is Scope.PROJECT, Cause.OTHER_PROJECT),
        (error.status == 403 and error.code.startswith(_GATEWAY), Cause.OTHER_PROJECT),
        (error.scope is Scope.PERMISSION, Cause.PERMISSION),
        (True, Cause.REFUSED),
    )
    return known or next(cause for is_so, cause in cases if is_so)
