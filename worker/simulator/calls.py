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

_ROUTES = tuple(
    (method, re.compile(path), group)
    for method, path, group in (
        ("GET", r"/v2/cloudimages/?", Group.IMAGES_LIST),
        ("PUT", r"/v1/cloudimages/members/?", Group.MEMBERS_PUT),
        ("GET", r"/v1/cloudimages/job/(?P<job>[^/]+)/?", Group.JOB_PROGRESS),
        ("GET", r"/v1/(?P<project>[^/]+)/jobs/(?P<job>[^/]+)/?", Group.JOB_GET),
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request on a known route.

    `project_id` is the credential's project, `path_project` the one in the path, if any; `images` are those that a PUT
    names. `body` is the decoded body of a PUT, empty where it is not a JSON object.
    """

    group: Group
    request: Request
    authorization: Authorization | None
    project_id: str
    path_project: str
    job_id: str
    query: Mapping[str, str]
    body: Mapping[str, Any]
    images: tuple[str, ...]

    @property
    def access_key(self) -> str:
        """The access key the caller names, empty if it names none."""
        return self.authorization.access_key if self.authorization else ""


def read_call(request: Request) -> Call | None:
    """Find the route of a request; return None if there is none."""
    path, _, query = request.target.partition("?")
    for method, pattern, group in _ROUTES:
        match = pattern.fullmatch(path) if method == request.method else None
        if match is None:
            continue
        named = match.groupdict()
        body = _decode(request.body) if group is Group.MEMBERS_PUT else {}
        return Call(
            group=group,
            request=request,
            authorization=read_authorization(request.headers.get("authorization", "")),
            project_id=request.headers.get("x-project-id", ""),
            path_project=unquote(named.get("project") or ""),
            job_id=unquote(named.get("job") or ""),
            query=dict(parse_qsl(query, keep_blank_values=True)),
            body=body,
            images=_images(body),
        )
    return None


def _decode(body: bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _images(body: Mapping[str, Any]) -> tuple[str, ...]:
    images = body.get("images")
    return tuple(item for item in images if isinstance(item, str)) if isinstance(images, list) else ()
