"""The requests that flows make: where an identity service is, and what is posted to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.cloud.auth.flow import Ask
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.regions import Endpoints, Service
from worker.cloud.request import Authorization, Call
from worker.core.calls import CallGroup
from worker.errors import TerminalCloudError

TOKENS = "/v3/auth/tokens"
TEMPORARY_KEYS = "/v3.0/OS-CREDENTIAL/securitytokens"
SESSION = "ims-share-worker"
"""What the cloud's own records call a session that was assumed, where nobody says otherwise."""


def post(
    origin: str,
    path: str,
    document: Mapping[str, Any],
    authorization: Authorization,
    query: tuple[tuple[str, str | int], ...] = (),
    who: str = "",
) -> Ask:
    """Return a request with a JSON body. It is about no project: whose keys they are to be stands in the body.

    `who` presents what authorises it, where that does not say so itself as keys do.
    """
    call = Call(CallGroup.TOKEN, "POST", origin, path, "", query, json.dumps(document).encode())
    return Ask(call, authorization, authorization.access_key if isinstance(authorization, SigningKeys) else who)


def place(endpoints: Endpoints, service: Service, region: str = "") -> str:
    """Return the origin of a service in a region; raise TerminalCloudError where there is none."""
    try:
        return endpoints.origin(service, region)
    except ValueError as error:
        raise TerminalCloudError(str(error)) from error
