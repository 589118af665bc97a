"""What the refusal of a credential means to an operator: what is wrong with it, and what to do.

The gateway has one code for nearly all of it, so its words decide. Where the answer shows the cloud's clock, and that
is too far from ours, the refusal says so already, and nothing else is guessed. Source: error codes of the API gateway,
its list of questions and answers, and messages seen.
"""

from __future__ import annotations

import re
from typing import Final

from worker.cloud.refusals import CLOCK
from worker.errors import AuthFailed, Cause

_SKEWED: Final = f"{CLOCK} is more than 15 minutes off, or the time zone is: set it by NTP"
_NOT_ASSUMED: Final = (
    "the agency may not be assumed: it must trust the account of the caller, who needs sts:agencies:assume"
)
_REASONS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), cause, reason)
    for pattern, cause, reason in (
        (
            r"reach(?:ed)? the limit|\bb?locked|too many fail",
            Cause.BLOCKED_KEY,
            "blocked: it failed too often in a row, and is let in again minutes after the last failure; mend it first",
        ),
        (r"x-sdk-date|signature expired|clock|request time", Cause.CLOCK, _SKEWED),
        (
            r"APIGW\.0307|must be updated|other region",
            Cause.WRONG_REGION,
            "wrong region: the token is of another region's identity service, see region and iam_endpoint",
        ),
        (r"expired|has ended|not valid any ?more", Cause.EXPIRED, "expired: it is over, and has to be replaced"),
        (
            r"\b(?:ak|access ?key)\b.*(?:not exist|not found|unknown|invalid)|unknown (?:ak|access ?key)|secretkey",
            Cause.WRONG_KEY,
            "wrong key: the cloud does not know the access key; it was deleted, or is of another cloud",
        ),
        (
            r"signature|ak/?sk|mismatch|security.?token",
            Cause.WRONG_KEY,
            "wrong key: the secret key is not the one of the access key, or the security token is missing",
        ),
        (r"multi-factor|second factor|totp", Cause.SECOND_FACTOR, "the user needs a second factor: take one without"),
        (r"password", Cause.WRONG_PASSWORD, "wrong password, or wrong user or domain"),
        (r"configure cloud service agency", Cause.NO_AGENCY, "no agency is set on this server"),
        (
            r"decrypt|token",
            Cause.WRONG_TOKEN,
            "wrong token: it is not one of this cloud or region, or was revoked",
        ),
        (
            r"sts:agencies:assume|\bagency\b",
            Cause.AGENCY,
            _NOT_ASSUMED,
        ),
    )
)


_ASKED_FOR: Final = {
    Cause.AGENCY: _NOT_ASSUMED,
    Cause.OTHER_PROJECT: "the user has no rights in this project, whose own credential it must be",
}
"""Reasons that what was asked for tells, where the words do not."""
_NO_RIGHTS: Final = re.compile(r"not authorized to perform", re.IGNORECASE)
"""What IAM says of a project in which somebody has no rights, and of much else, by whatever status."""
_SKEW: Final = re.compile(rf"{CLOCK} is ([0-9]+) minutes")
_TOO_FAR: Final = 14
"""Minutes of clock difference, rounded, beyond which a signature is refused for it alone."""


def explained(error: AuthFailed) -> AuthFailed:
    """Return a refusal whose message says what is wrong in the words of an operator, after those of the cloud.

    Who knows the cause by what was asked for, and not by these words, has set it already.
    """
    skew = _SKEW.search(error.message)
    if skew and int(skew[1]) >= _TOO_FAR:
        return error.caused(Cause.CLOCK)
    said = f"{error.code} {_SKEW.sub('', error.message)}"
    found = ((cause, reason) for pattern, cause, reason in _REASONS if pattern.search(said))
    asked = error.cause if error.cause in _ASKED_FOR or not _NO_RIGHTS.search(said) else Cause.OTHER_PROJECT
    cause, reason = next(found, (asked, _ASKED_FOR.get(asked, "")))
    if not reason:
        return error
    explained = AuthFailed(
        f"{error.message} ({reason})",
        status=error.status,
        code=error.code,
        scope=error.scope,
        request_id=error.request_id,
    )
    return explained.caused(cause)
