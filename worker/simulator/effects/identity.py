"""What can be wrong with an answer of IAM, the STS, the metadata service or the backup service, by the shape's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_EXPIRES = {"expires_at", "expiration"}
_SECRETS = {"secret", "secret_access_key", "secretAccessKey"}
_SECURITY_TOKENS = {"securitytoken", "security_token", "securityToken"}
_ACCESS = {"access", "access_key_id", "accessKeyId"}
SUBJECT_TOKEN_MISSING = "subject-token-missing"  # noqa: S105 - the name of a shape


def _with(names: set[str], new: Any) -> Callable[[Any], Any]:
    """Return what puts something new under these names, however deep they lie."""

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            return [changed(each) for each in value]
        if isinstance(value, dict):
            return {key: new if key in names else changed(each) for key, each in value.items()}
        return value

    return changed


def _without(names: set[str]) -> Callable[[Any], Any]:
    """Return what leaves these names out, however deep they lie."""

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            return [changed(each) for each in value]
        if isinstance(value, dict):
            return {key: changed(each) for key, each in value.items() if key not in names}
        return value

    return changed


def _on_projects(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: {**value, "projects": change(value["projects"])} if "projects" in value else value


IDENTITY_SHAPES: dict[str, Callable[[Any], Any]] = {
    "expires-missing": _without(_EXPIRES),
    "expires-odd": _with(_EXPIRES, "soon"),
    "expires-number": _with(_EXPIRES, 42),
    "expires-past": _with(_EXPIRES, "2000-01-01T00:00:00Z"),
    "expires-far": _with(_EXPIRES, "9999-12-31T23:59:59.999999Z"),
    "access-missing": _without(_ACCESS),
    "access-injecting": _with(_ACCESS, "AK\r\nX-Injected: 1"),
    "secret-missing": _without(_SECRETS),
    "secret-number": _with(_SECRETS, 42),
    "security-token-missing": _without(_SECURITY_TOKENS),
    "security-token-injecting": _with(_SECURITY_TOKENS, "token\r\nX-Injected: 1"),
    SUBJECT_TOKEN_MISSING: lambda value: value,
    "projects-object": _on_projects(lambda _: {}),
    "project-id-path": _on_projects(_with({"id"}, "../../v1/cloudimages/members")),
    "project-id-missing": _on_projects(_without({"id"})),
    "project-name-number": _on_projects(_with({"name"}, 42)),
    "project-enabled-text": _on_projects(_with({"enabled"}, "no")),
    "vaults-object": _with({"vaults"}, {}),
    "billing-null": _with({"billing"}, None),
    "size-text": _with({"size", "used"}, "much"),
}
