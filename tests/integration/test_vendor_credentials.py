"""The vendor's own core package as an oracle: it and we ask identity services the very same, and sign as the same."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from aiohttp import web

from worker.cloud.ims import Ims
from worker.core.fleet.selection import Selector
from worker.core.share import MemberStatus
from worker.daemon.revision import Reader

PROJECT: Final = "edc89b490d7d4392898e19b2deb34797"
IMAGE: Final = "d164b5df-1bc3-4c3f-893e-3e471fd16e64"
END: Final = "2099-01-01T00:00:00.000000Z"
KEYS: Final = {"access": "AKTEMPORARY", "secret": "SKTEMPORARY", "securitytoken": "STTEMPORARY", "expires_at": END}
V5: Final = {
    "access_key_id": "AKTEMPORARY",
    "secret_access_key": "SKTEMPORARY",
    "security_token": "STTEMPORARY",
    "expiration": END,
}
ANSWERS: Final = {
    "/openstack/latest/securitykey": {"credential": KEYS},
    "/v5/agencies/assume-with-oidc": {"credentials": V5},
    "/v1/pod": {"credential": KEYS},
    "/v2/cloudimages": {"images": []},
}
TOLD: Final = ("x-metadata-token", "x-metadata-token-ttl-seconds", "x-project-id", "x-security-token", "x-auth-token")
CASES: Final = {
    "environment": ("EnvCredentialProvider", 'kind = "environment"', 1),
    "profile": ("ProfileCredentialProvider", 'kind = "profile"', 1),
    "metadata": ("MetadataCredentialProvider", 'kind = "metadata"', 3),
    "oidc": ("OidcStsCredentialProvider", 'kind = "oidc"', 2),
    "pod-identity": ("PodIdentityCredentialProvider", 'kind = "pod-identity"', 2),
}
"""The vendor's provider, our table, and how many requests it takes to read a list."""


class Recorder:
    """An address that answers as identity and image services would, and keeps what it was asked."""

    def __init__(self, *, old_metadata: bool) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self._old_metadata = old_metadata

    async def answer(self, request: web.Request) -> web.Response:
        """Note a request, without what changes from one to the next, and answer it."""
        body = await request.read()
        # Of a signature, who signs; what is signed, and how, has tests of its own.
        signed = re.sub(r"(Access=\w+),.*", r"\1", request.headers.get("Authorization", ""))
        self.asked.append(
            {
                "request": f"{request.method} {request.path}",
                "body": json.loads(body) if body else None,
                "is_json": request.headers.get("Content-Type", "").startswith("application/json") if body else None,
                "authorization": signed,
                **{name: request.headers.get(name) for name in TOLD},
            }
        )
        if request.path == "/meta-data/latest/api/token":
            return web.Response(status=404) if self._old_metadata else web.Response(text="metadata-token")
        return web.json_response(ANSWERS[request.path])


@asynccontextmanager
async def recorder(*, old_metadata: bool = False) -> AsyncIterator[Recorder]:
    """Listen on loopback."""
    found = Recorder(old_metadata=old_metadata)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home with what a profile and a cluster put there; the SDK writes into it when it is imported."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("pod-token\n")
    (tmp_path / ".huaweicloud").mkdir()
    profile = f"[basic]\nak = AKPROFILE\nsk = SKPROFILE\nsecurity_token = STPROFILE\nproject_id = {PROJECT}\n"
    (tmp_path / ".huaweicloud" / "credentials").write_text(profile)
    return tmp_path


def environ(home: Path, url: str) -> dict[str, str]:
    """Return the variables that both read."""
    return {
        "HOME": str(home),
        "HUAWEICLOUD_SDK_AK": "AKENVIRONMENT",
        "HUAWEICLOUD_SDK_SK": "SKENVIRONMENT",
        "HUAWEICLOUD_SDK_SECURITY_TOKEN": "STENVIRONMENT",
        "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT,
        "HUAWEICLOUD_SDK_STS_ENDPOINT": url,
        "HUAWEICLOUD_OIDC_PROVIDER_URN": "iam::1:oidcProvider:cce",
        "HUAWEICLOUD_OIDC_AGENCY_URN": "iam::1:agency:ims-share",
        "HUAWEICLOUD_OIDC_SESSION_NAME": "session",
        "HUAWEICLOUD_OIDC_DURATION_SECONDS": "1800",
        "HUAWEICLOUD_OIDC_POLICY_IDS": "one,two",
        "HUAWEICLOUD_OIDC_TOKEN_FILE": str(home / "token"),
        "HC_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v1/pod",
        "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(home / "token"),
    }


def theirs(provider: str, url: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a list with the vendor's provider."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        sdk = SimpleNamespace(
            provider=importlib.import_module("huaweicloudsdkcore.auth.provider"),
            internal=importlib.import_module("huaweicloudsdkcore.auth.internal"),
            ims=importlib.import_module("huaweicloudsdkims.v2"),
        )
        monkeypatch.setattr(sdk.internal.MetadataAccessor, "_METADATA_ENDPOINT", url)
        credentials = getattr(sdk.provider, provider).get_basic().get_credentials()
        credentials.project_id = PROJECT
        client = sdk.ims.ImsClient.new_builder().with_credentials(credentials).with_endpoint(url).build()
        client.list_images(sdk.ims.ListImagesRequest(imagetype="shared", visibility="shared", member_status="pending"))


async def ours(table: str, url: str, variables: dict[str, str], home: Path) -> None:
    """Read a list with our credential."""
    (home / "config.toml").write_text(
        f'[cloud]\nregion = "eu-west-101"\nims_endpoint = "{url}"\nmetadata_endpoint = "{url}"\n'
        f"[credentials.default]\n{table}\n"
    )
    (home / "manifest.toml").write_text(
        f'version = 1\n[projects.p]\nid = "{PROJECT}"\n'
        f'[[share]]\nprojects = ["p"]\nimages = ["{IMAGE}"]\nstatus = "accepted"\n'
    )
    revision = Reader(home / "config.toml", variables, Selector()).read()
    async with Ims.open(revision.cloud) as ims:
        (project,) = revision.inputs.manifest.projects.values()
        assert [page async for page in ims.list_shared(project, MemberStatus.PENDING)] == []


@pytest.mark.parametrize("old_metadata", [False, True])
@pytest.mark.parametrize("kind", CASES)
async def test_both_ask_the_same(kind: str, *, old_metadata: bool, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Request by request: where, with what in it, and as whom; and what is granted then signs the reading of a list."""
    provider, table, requests = CASES[kind]
    async with recorder(old_metadata=old_metadata) as cloud:
        variables = environ(home, cloud.url)
        await asyncio.to_thread(theirs, provider, cloud.url, variables, monkeypatch)
        expected = cloud.asked.copy()
        cloud.asked.clear()
        await ours(table, cloud.url, variables, home)
        assert len(expected) == requests
        assert [{**each, "is_json": None} for each in cloud.asked] == [{**each, "is_json": None} for each in expected]
        assert all(each["is_json"] in {None, True} for each in cloud.asked)
