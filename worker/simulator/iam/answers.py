"""How IAM and STS word what they answer: errors, dates, temporary keys.

Source: API reference of IAM, whose errors are `{"error": {"code", "message", "title"}}`, and of its fifth version,
whose errors are like the gateway's.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from worker.simulator.identity.issued import TemporaryKey
from worker.simulator.identity.rules import IdentityRules
from worker.simulator.replies import Reply, error

FORBIDDEN = "You are not authorized to perform the requested action."
UNAUTHORIZED = "The request you have made requires authentication."


def iam_error(status: int, message: str) -> Reply:
    """Return an error of IAM's third version."""
    return error("iam", status, "", message)


def sts_error(status: int, code: str, message: str) -> Reply:
    """Return an error of the STS; a refusal for lack of a right carries an encoded explanation besides."""
    reply = error("gateway", status, code, message)
    if status != 403:
        return reply
    body = {**json.loads(reply.body), "encoded_authorization_message": uuid.uuid4().hex}
    return Reply(status, json.dumps(body).encode(), headers=reply.headers)


def date(seconds: float, rules: IdentityRules) -> str:
    """Return a moment, in seconds since the epoch, as these rules write it."""
    fractions = "seconds" if rules.fractions == "absent" else rules.fractions
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=fractions).replace("+00:00", "Z")


def key_body(key: TemporaryKey, rules: IdentityRules) -> dict[str, Any]:
    """Return a temporary key as IAM's third version and the metadata service name its parts."""
    return {
        "credential": {
            "access": key.access_key,
            "secret": key.secret_key,
            "securitytoken": key.security_token,
            "expires_at": date(key.ends_at, rules),
        }
    }


def key_body_v5(key: TemporaryKey, rules: IdentityRules) -> dict[str, Any]:
    """Return a temporary key as the STS names its parts."""
    return {
        "credentials": {
            "access_key_id": key.access_key,
            "secret_access_key": key.secret_key,
            "security_token": key.security_token,
            "expiration": date(key.ends_at, rules),
        }
    }


def key_body_flat(key: TemporaryKey, rules: IdentityRules) -> dict[str, Any]:
    """Return a temporary key without a wrapping, in the third spelling that the vendor's SDK reads."""
    return {
        "accessKeyId": key.access_key,
        "secretAccessKey": key.secret_key,
        "securityToken": key.security_token,
        "expiration": date(key.ends_at, rules),
    }
