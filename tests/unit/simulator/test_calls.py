"""From the bytes of a request to a call."""

from __future__ import annotations

import pytest

from worker.simulator.calls import read_call
from worker.simulator.options import Group
from worker.simulator.signature import Request


def request(method: str, target: str, body: bytes = b"", **headers: str) -> Request:
    """Return a request."""
    return Request(method, target, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("method", "path", "group"),
    [
        ("GET", "/v2/cloudimages", Group.IMAGES_LIST),
        ("PUT", "/v1/cloudimages/members", Group.MEMBERS_PUT),
        ("GET", "/v1/cloudimages/job/j1", Group.JOB_PROGRESS),
        ("GET", "/v1/p1/jobs/j1", Group.JOB_GET),
        ("POST", "/v3/auth/tokens", Group.TOKEN),
        ("POST", "/v3.0/OS-CREDENTIAL/securitytokens", Group.TOKEN),
        ("GET", "/v3/auth/projects", Group.PROJECTS),
        ("GET", "/v3/projects", Group.PROJECTS),
        ("GET", "/v3/auth/domains", Group.PROJECTS),
        ("POST", "/v5/agencies/assume", Group.STS),
        ("POST", "/v5/agencies/assume-with-oidc", Group.STS),
        ("GET", "/v5/caller-identity", Group.STS),
        ("PUT", "/meta-data/latest/api/token", Group.METADATA),
        ("GET", "/openstack/latest/securitykey", Group.METADATA),
        ("GET", "/v3/p1/vaults", Group.VAULTS),
        ("GET", "/v3/p1/vaults/v1", Group.VAULTS),
    ],
)
def test_each_route_is_found(method: str, path: str, group: Group, slash: str) -> None:
    """Each route is recognised, with a slash at the end too."""
    call = read_call(request(method, path + slash))
    assert call is not None
    assert call.group is group
    assert call.job_id == ("j1" if "job" in path else "")
    assert call.vault_id == ("v1" if "v1" in path.split("/")[3:] else "")
    assert call.path == path


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1/cloudimages/members"),
        ("GET", "/v1/cloudimages"),
        ("GET", "/v1/p/jobs/a/b"),
        ("GET", "/"),
        ("GET", "/v3/auth/tokens"),
        ("POST", "/v30/OS-CREDENTIAL/securitytokens"),
        ("GET", "/v3/p/vaults/a/b"),
    ],
)
def test_other_paths_and_methods_are_no_call(method: str, target: str) -> None:
    """What is none of the routes is not read."""
    assert read_call(request(method, target)) is None


def test_what_is_encoded_in_the_path_and_the_query_is_decoded() -> None:
    """A job id may hold what would otherwise end a segment, and a query what would end a pair."""
    call = read_call(request("GET", "/v1/p/jobs/a%2Fb%3Fc?name=x%26y", x_project_id="q"))
    assert call is not None
    assert (call.job_id, call.path_project, call.project_id) == ("a/b?c", "p", "q")
    assert call.query == {"name": "x&y"}


@pytest.mark.parametrize(
    ("body", "images"),
    [
        (b'{"images": ["a", 1, "b"]}', ("a", "b")),
        (b'{"images": "a"}', ()),
        (b"[]", ()),
        (b"{", ()),
        (b"\xff", ()),
        (b"[" * 100_000, ()),
        (b"", ()),
    ],
)
def test_a_bad_body_is_read_as_far_as_it_goes(body: bytes, images: tuple[str, ...]) -> None:
    """Whatever the body of a PUT is, reading it gives the image ids it names and does not fail."""
    call = read_call(request("PUT", "/v1/cloudimages/members", body))
    assert call is not None
    assert call.images == images
