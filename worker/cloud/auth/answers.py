"""What an identity service grants, out of its answer.

Temporary keys have three spellings: of the third version of IAM and the metadata service, of the STS, and of a pod's
endpoint. Times come with fractions of a second and without. What is to stand in a header is looked at here, so that
nothing else than a token or a key gets into one. Source: API reference of IAM; the vendor's SDK, `StsAccessor`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from worker.cloud.auth.flow import Granted
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.auth.tokens import Token
from worker.cloud.refusals import Reply
from worker.core.redaction import sanitize
from worker.core.text import VISIBLE
from worker.errors import UnexpectedReply

_ACCESS: Final = ("access", "access_key_id", "accessKeyId")
_SECRET: Final = ("secret", "secret_access_key", "secretAccessKey")
_TOKEN: Final = ("securitytoken", "security_token", "securityToken")
_LONGEST: Final = 200
"""Characters of a principal that are kept."""
_END: Final = ("expires_at", "expiration")


def read_keys(reply: Reply) -> Granted:
    """Return the temporary keys that an answer grants; raise UnexpectedReply, without what stands in it."""
    document = _document(reply)
    wrapped = (document.get(name) for name in ("credential", "credentials"))
    found = next((each for each in wrapped if isinstance(each, dict)), document)
    access, secret, token = (_visible(found, names) for names in (_ACCESS, _SECRET, _TOKEN))
    return Granted(SigningKeys(access, secret, token), _end(found), _text(document, "assumed_agency", "urn"))


def read_token(reply: Reply) -> Granted:
    """Return the token that an answer grants; raise UnexpectedReply, without what stands in it."""
    token = reply.headers.get("X-Subject-Token", "").strip()
    if not VISIBLE.fullmatch(token):
        raise UnexpectedReply("the answer that should grant a token has none", status=reply.status)
    document = _document(reply)
    said = document.get("token")
    user, account = _text(document, "token", "user", "name"), _text(document, "token", "user", "domain", "name")
    principal = f"user {user} of the account {account}" if user and account else ""
    return Granted(Token(token), _end(said if isinstance(said, dict) else {}), principal)


def read_text(reply: Reply) -> str:
    """Return the token that is all of an answer, or of a file; raise UnexpectedReply, without what stands in it."""
    text = reply.body.decode("utf-8", "replace").strip()
    if VISIBLE.fullmatch(text):
        return text
    what = "is empty" if not text else "is no token: it has spaces or odd characters"
    raise UnexpectedReply(f"what should be a token {what}")


def read_caller(body: bytes, secrets: Sequence[str]) -> str:
    """Return who the STS says that the caller is; raise UnexpectedReply where it does not say, without `secrets`."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    said = document if isinstance(document, dict) else {}
    urn, account = _text(said, "principal_urn"), _text(said, "account_id")
    if not (urn or account):
        raise UnexpectedReply("the answer that should say who calls does not")
    return sanitize(urn or f"the account {account}", secrets, _LONGEST)


def _text(document: Mapping[str, Any], *path: str) -> str:
    """Return a text of a document that is short enough to be shown, without what no line has; nothing for another."""
    value: Any = document
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return sanitize(value, (), _LONGEST) if isinstance(value, str) else ""


def _document(reply: Reply) -> Mapping[str, Any]:
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return document
    raise UnexpectedReply("the answer that should grant access is not a JSON object", status=reply.status)


def _visible(found: Mapping[str, Any], names: tuple[str, ...]) -> str:
    text = next((found[name] for name in names if found.get(name)), None)
    if isinstance(text, str) and VISIBLE.fullmatch(text):
        return text
    raise UnexpectedReply(f'the answer that should grant temporary keys has no usable "{names[0]}"')


def _end(found: Mapping[str, Any]) -> float:
    written = next((found[name] for name in _END if found.get(name)), None)
    try:
        end = datetime.fromisoformat(written) if isinstance(written, str) else None
        if end is not None:
            return (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        pass
    raise UnexpectedReply("the answer that grants access does not say until when, in a way that can be read")
