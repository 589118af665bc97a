"""The bytes of a request → a Call: which route it takes, for which project, about which images.

Reading is lenient: what is wrong with a call is for the answer to say, not for the reader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from worker.simulator.options import Group
from worker.simulator.signature import Authorization, Request, read_authorization

POD_IDENTITY = "/v1/pod-identity/credentials"
_ROUTES = tuple(
    (method, re.compile(path), group)
    for method, path, group in (
        ("GET", r"/v2/cloudimages/?", Group.IMAGES_LIST),
        ("PUT", r"/v1/cloudimages/members/?", Group.MEMBERS_PUT),
        ("GET", r"/v1/cloudimages/job/(?P<job>[^/]+)/?", Group.JOB_PROGRESS),
        ("GET", r"/v1/(?P<project>[^/]+)/jobs/(?P<job>[^/]+)/?", Group.JOB_GET),
        ("POST", r"/v3/auth/tokens/?", Group.TOKEN),
        ("POST", r"/v3\.0/OS-CREDENTIAL/securitytokens/?", Group.TOKEN),
        ("GET", r"/v3/(auth/)?projects/?", Group.PROJECTS),
        ("GET", r"/v3/auth/domains/?", Group.PROJECTS),
        ("POST", r"/v5/agencies/assume(-with-oidc)?/?", Group.STS),
        ("GET", r"/v5/caller-identity/?", Group.STS),
        ("PUT", r"/meta-data/latest/api/token/?", Group.METADATA),
        ("GET", r"/openstack/latest/securitykey/?", Group.METADATA),
        ("POST", POD_IDENTITY, Group.METADATA),
        ("GET", r"/v3/(?P<project>[^/]+)/vaults(/(?P<vault>[^/]+))?/?", Group.VAULTS),
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request on a known route.

    `project_id` is the credential's project, `path_project` the one in the path, if any; `images` are those that a PUT
    names. `body` is the decoded body of a PUT or a POST, empty where it is not a JSON object.
    """

    group: Group
    request: Request
    authorization: Authorization | None
    project_id: str
    path_project: str
    job_id: str
    vault_id: str
    query: Mapping[str, str]
    body: Mapping[str, Any]
    images: tuple[str, ...]

    @property
    def access_key(self) -> str:
        """The access key the caller names, or the user or agency that asks to be let in; empty if there is none."""
        return self.authorization.access_key if self.authorization else _asker(self.body)

    @property
    def auth_token(self) -> str:
        """The token the caller shows, empty for none."""
        return self.request.headers.get("x-auth-token", "")

    @property
    def path(self) -> str:
        """The path without its query and without a slash at its end."""
        return self.request.target.partition("?")[0].rstrip("/")


def read_call(request: Request) -> Call | None:
    """Find the route of a request; return None if there is none."""
    path, _, query = request.target.partition("?")
    for method, pattern, group in _ROUTES:
        match = pattern.fullmatch(path) if method == request.method else None
        if match is None:
            continue
        named = match.groupdict()
        body = _decode(request.body) if method in {"PUT", "POST"} else {}
        return Call(
            group=group,
            request=request,
            authorization=read_authorization(request.headers.get("authorization", "")),
            project_id=request.headers.get("x-project-id", ""),
            path_project=unquote(named.get("project") or ""),
            job_id=unquote(named.get("job") or ""),
            vault_id=unquote(named.get("vault") or ""),
            query=dict(parse_qsl(query, keep_blank_values=True)),
            body=body,
            images=_images(body) if group is Group.MEMBERS_PUT else (),
        )
    return None


def dig(value: Any, *keys: str) -> Any:
    """Return what lies under these keys, one below the other; return an empty object where there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return {} if value is None else value


def text_at(value: Any, *keys: str) -> str:
    """Return the text under these keys, empty where there is none."""
    found = dig(value, *keys)
    return found if isinstance(found, str) else ""


def _asker(body: Mapping[str, Any]) -> str:
    identity = dig(body, "auth", "identity")
    asked = text_at(identity, "password", "user", "name") or text_at(identity, "assume_role", "agency_name")
    return asked or text_at(body, "agency_urn").rpartition(":")[2]


def _decode(body: bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _images(body: Mapping[str, Any]) -> tuple[str, ...]:
    images = body.get("images")
    return tuple(item for item in images if isinstance(item, str)) if isinstance(images, list) else ()
