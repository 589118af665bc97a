"""A failed call as the doctor sees it: its cause, its words, and whether somebody has answered."""

from __future__ import annotations

import pytest

from worker.cloud.permissions import permission_named
from worker.cloud.refusals import Reply, refusal
from worker.core.doctor.seen import failure_of
from worker.errors import (
    AuthFailed,
    BadRequest,
    Cause,
    CloudError,
    CredentialRefused,
    Forbidden,
    Scope,
    TerminalCloudError,
    TransientCloudError,
    UnexpectedReply,
)


def answered(status: int, code: str = "") -> CloudError:
    """Return the error that an answer of this status and code is."""
    body = f'{{"error_code": "{code}", "error_msg": "no"}}' if code else "no"
    return refusal(Reply(status, {}, body.encode()), 0.0)


@pytest.mark.parametrize(
    ("error", "cause", "is_answer"),
    [
        (answered(403, "IMG.0026"), Cause.PERMISSION, True),
        (answered(403), Cause.PERMISSION, True),
        (answered(400, "IMG.0161"), Cause.PERMISSION, True),
        (answered(403, "APIGW.0302"), Cause.OTHER_PROJECT, True),
        (answered(400, "IMG.0030"), Cause.OTHER_PROJECT, True),
        (answered(400, "IMG.0108"), Cause.WRONG_REGION, True),
        (answered(403, "APIGW.0310"), Cause.UNAVAILABLE, True),
        (answered(404, "APIGW.0101"), Cause.ENDPOINT, False),
        (answered(404), Cause.ENDPOINT, False),
        (answered(404, "IMG.0144"), Cause.REFUSED, True),
        (answered(400, "IMG.0088"), Cause.QUOTA, True),
        (answered(400, "IMG.0017"), Cause.REFUSED, True),
        (answered(401), Cause.REFUSED, False),
        (answered(429, "APIGW.0308"), Cause.THROTTLED, False),
        (answered(400, "IMG.0060"), Cause.THROTTLED, False),
        (answered(503), Cause.CLOUD, False),
        (answered(302), Cause.NOT_THE_API, False),
        (UnexpectedReply("a page"), Cause.NOT_THE_API, False),
        (TransientCloudError("it broke"), Cause.CLOUD, False),
        (TransientCloudError("no answer in time").caused(Cause.NO_ANSWER), Cause.NO_ANSWER, False),
        (BadRequest("x", status=400, scope=Scope.PROJECT), Cause.OTHER_PROJECT, True),
    ],
)
def test_a_failed_call_has_a_cause(error: CloudError, cause: Cause, is_answer: bool) -> None:  # noqa: FBT001 - a parameter
    """The one that was known where it failed, or what status, code and scope say."""
    failure = failure_of(error)
    assert (failure.cause, failure.is_answer, failure.message) == (cause, is_answer, str(error))


def test_a_refused_credential_is_told_without_its_name() -> None:
    """So that two hundred that are refused alike are one fact; one that cannot be made has no status to tell."""
    why = AuthFailed("no", status=401, code="APIGW.0301", request_id="r1").caused(Cause.EXPIRED)
    failure = failure_of(CredentialRefused("payments", why))
    assert failure.message == "the credential was refused (401 APIGW.0301): no [request r1]"
    assert (failure.cause, failure.is_of_credential, failure.is_answer) == (Cause.EXPIRED, True, False)
    local = failure_of(CredentialRefused("payments", AuthFailed("a line break")))
    assert local.message == 'credential "payments" cannot be used: a line break'


def test_what_could_not_be_obtained_is_of_the_credential() -> None:
    """Whoever was asked for it has answered nothing about the project."""
    error = TerminalCloudError('credential "payments" cannot be renewed: iam: no')
    error.identity_host, error.said = "iam", "iam: no"
    failure = failure_of(error)
    assert (failure.is_of_credential, failure.is_answer) == (True, False)
    assert failure.message == "the credential cannot be renewed: iam: no"


def test_the_permission_that_may_be_missing_is_kept() -> None:
    """As the call named it; what there is to check then is no word of the cloud, and another sentence."""
    with pytest.raises(Forbidden) as caught, permission_named("ims:images:list"):
        raise Forbidden("no", status=403, code="IMG.0026", scope=Scope.PERMISSION, request_id="r1")
    failure = failure_of(caught.value)
    assert (failure.permission, failure.message) == ("ims:images:list", "HTTP 403 IMG.0026: no [request r1]")
