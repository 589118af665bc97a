"""What the refusal of a credential means to an operator: what is wrong with it, and what to do.

The gateway has one code for nearly all of it, so its words decide. Where the answer shows the cloud's clock, and that
is too far from ours, the refusal says so already, and nothing else is guessed. Source: error codes of the API gateway,
its list of questions and answers, and messages seen.
"""

from __future__ import annotations

import re
from typing import Final

from worker.cloud.refusals import CLOCK
from worker.errors import AuthFailed

_SKEWED: Final = f"{CLOCK} is more than 15 minutes off, or the time zone is: set it by NTP"
_REASONS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (
            r"reach(?:ed)? the limit|\bb?locked|too many fail",
            "blocked: it failed too often in a row, and is let in again minutes after the last failure; mend it first",
        ),
        (r"x-sdk-date|signature expired|clock|request time", _SKEWED),
        (
            r"APIGW\.0307|must be updated|other region",
            "wrong region: the token is of another region's identity service, see region and iam_endpoint",
        ),
        (r"expired|has ended|not valid any ?more", "expired: it is over, and has to be replaced"),
        (
            r"\b(?:ak|access ?key)\b.*(?:not exist|not found|unknown|invalid)|unknown (?:ak|access ?key)|secretkey",
            "wrong key: the cloud does not know the access key; it was deleted, or is of another cloud",
        ),
        (
            r"signature|ak/?sk|mismatch|security.?token",
            "wrong key: the secret key is not the one of the access key, or the security token is missing",
        ),
        (r"multi-factor|second factor|totp", "the user needs a second factor: take one without"),
        (r"password", "wrong password, or wrong user or domain"),
        (r"configure cloud service agency", "no agency is set on this server"),
        (
            r"decrypt|token",
            "wrong token: it is not one of this cloud or region, or was revoked",
        ),
        (
            r"sts:agencies:assume|\bagency\b",
            "the agency may not be assumed: it must trust the account of the caller, who needs sts:agencies:assume",
        ),
    )
)


_SKEW: Final = re.compile(rf"{CLOCK} is ([0-9]+) minutes")
_TOO_FAR: Final = 14
"""Minutes of clock difference, rounded, beyond which a signature is refused for it alone."""


def explained(error: AuthFailed) -> AuthFailed:
    """Return a refusal whose message says what is wrong in the words of an operator, after those of the cloud."""
    skew = _SKEW.search(error.message)
    if skew and int(skew[1]) >= _TOO_FAR:
        return error
    said = f"{error.code} {_SKEW.sub('', error.message)}"
    reason = next((reason for pattern, reason in _REASONS if pattern.search(said)), "")
    if not reason:
        return error
    return AuthFailed(
        f"{error.message} ({reason})",
        status=error.status,
        code=error.code,
        scope=error.scope,
        request_id=error.request_id,
    )
