"""The vendor's own packages as an oracle: they and we ask identity services the very same, and sign as the same.

Its core has providers of most kinds; for agencies, and for passwords, there are the clients of its STS and IAM.
"""

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
from urllib.parse import parse_qsl

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
    "/v5/agencies/assume": {"credentials": V5},
    "/v3.0/OS-CREDENTIAL/securitytokens": {"credential": KEYS},
    "/v3/auth/tokens": {"token": {"expires_at": END}},
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


ACCOUNT: Final = "0123456789abcdef0123456789abcdef"
SOURCE: Final = (
    '[credentials.source]\nkind = "static"\naccess_key = "AKSOURCE"\nsecret_key = "SKSOURCE"\n'
    'security_token = "STSOURCE"\n'
)
CLIENTS: Final = {
    "agency by STS": f'kind = "agency"\nsource = "source"\nagency = "share"\ndomain = "{ACCOUNT}"\n'
    f'external_id = "word"\nduration = "30m"\n{SOURCE}',
    "agency by IAM": f'kind = "agency"\nsource = "source"\nagency = "share"\ndomain = "acme"\n{SOURCE}',
    "password": 'kind = "password"\nuser = "robot"\ndomain = "acme"\npassword = "a word"\n',
}
"""Our tables of what the vendor has no provider for, but a client."""


class Recorder:
    """An address that answers as identity and image services would, and keeps what it was asked."""

    def __init__(self, *, old_metadata: bool) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.raw: list[tuple[web.BaseRequest, bytes]] = []
        self._old_metadata = old_metadata

    async def answer(self, request: web.Request) -> web.Response:
        """Note a request, without what changes from one to the next, and answer it."""
        body = await request.read()
        self.raw.append((request, body))
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
        token = {"X-Subject-Token": "subject-token"} if request.path == "/v3/auth/tokens" else None
        return web.json_response(ANSWERS[request.path], headers=token)


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


def by_client(kind: str, url: str) -> None:
    """Obtain keys, or a token, with the vendor's client of the STS or of IAM; read a list with the keys."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        # Of a date that it cannot read for want of another package, which does not matter here.
        warnings.simplefilter("ignore", ImportWarning)
        service, version = ("sts", "v1") if kind == "agency by STS" else ("iam", "v3")
        sdk = importlib.import_module(f"huaweicloudsdk{service}.{version}")
        ims = importlib.import_module("huaweicloudsdkims.v2")
        basic = importlib.import_module("huaweicloudsdkcore.auth.credentials").BasicCredentials
        source = basic("AKSOURCE", "SKSOURCE").with_security_token("STSOURCE")
        builder = (sdk.StsClient if service == "sts" else sdk.IamClient).new_builder()
        client = builder.with_credentials(source).with_endpoint(url).build()
        match kind:
            case "agency by STS":
                urn = f"iam::{ACCOUNT}:agency:share"
                body = sdk.AssumeAgencyReqBody(
                    agency_urn=urn, agency_session_name="ims-share-worker", duration_seconds=1800, external_id="word"
                )
                found = client.assume_agency(sdk.AssumeAgencyRequest(body=body)).credentials
                keys = basic(found.access_key_id, found.secret_access_key, PROJECT)
            case "agency by IAM":
                role = sdk.IdentityAssumerole(agency_name="share", domain_name="acme", duration_seconds=3600)
                identity = sdk.AgencyAuthIdentity(methods=["assume_role"], assume_role=role)
                body = sdk.CreateTemporaryAccessKeyByAgencyRequestBody(auth=sdk.AgencyAuth(identity=identity))
                asked = sdk.CreateTemporaryAccessKeyByAgencyRequest(body=body)
                found = client.create_temporary_access_key_by_agency(asked).credential
                keys = basic(found.access, found.secret, PROJECT)
            case _:
                user = sdk.PwdPasswordUser(
                    domain=sdk.PwdPasswordUserDomain(name="acme"), name="robot", password="a word"
                )
                identity = sdk.PwdIdentity(methods=["password"], password=sdk.PwdPassword(user=user))
                scope = sdk.AuthScope(project=sdk.AuthScopeProject(id=PROJECT))
                body = sdk.KeystoneCreateUserTokenByPasswordRequestBody(
                    auth=sdk.PwdAuth(identity=identity, scope=scope)
                )
                asked = sdk.KeystoneCreateUserTokenByPasswordRequest(body=body, nocatalog="true")
                assert client.keystone_create_user_token_by_password(asked).x_subject_token == "subject-token"
                return
        keys.with_security_token("STTEMPORARY")
        reader = ims.ImsClient.new_builder().with_credentials(keys).with_endpoint(url).build()
        reader.list_images(ims.ListImagesRequest(imagetype="shared", visibility="shared", member_status="pending"))


@pytest.mark.parametrize("kind", CLIENTS)
async def test_we_ask_as_the_vendors_clients_do(kind: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agency is assumed, and a token fetched, by the same request; a token's is not signed, as theirs would be."""
    async with recorder() as cloud:
        await asyncio.to_thread(by_client, kind, cloud.url)
        expected = cloud.asked.copy()
        cloud.asked.clear()
        await ours(CLIENTS[kind], cloud.url, environ(home, cloud.url), home)
        if kind == "password":
            expected = [{**each, "authorization": "", "x-security-token": None} for each in expected]
            # With the token they have no client that reads a list.
            del cloud.asked[1:]
        assert len(expected) == (1 if kind == "password" else 2)
        assert cloud.asked == expected


@pytest.mark.parametrize("kind", ["environment", "profile", "metadata", "agency by STS", "agency by IAM"])
async def test_what_we_sign_is_signed_as_the_vendor_signs_it(kind: str, home: Path) -> None:
    """Header by header: given those that were on the wire, its signer makes the very signature that went with them."""
    secrets = {"AKSOURCE": "SKSOURCE", "AKTEMPORARY": "SKTEMPORARY", "AKENVIRONMENT": "SKENVIRONMENT"}
    secrets["AKPROFILE"] = "SKPROFILE"
    signer = importlib.import_module("huaweicloudsdkcore.signer.signer").Signer
    sdk_request = importlib.import_module("huaweicloudsdkcore.sdk_request").SdkRequest
    async with recorder() as cloud:
        table = CLIENTS.get(kind) or CASES[kind][1]
        await ours(table, cloud.url, environ(home, cloud.url), home)
    signed = [each for each in cloud.raw if "Access=" in each[0].headers.get("Authorization", "")]
    assert len(signed) == (2 if kind.startswith("agency") else 1)
    for request, body in signed:
        authorization = request.headers["Authorization"]
        access_key, names = re.findall(r"Access=(\w+), SignedHeaders=([^,]+)", authorization)[0]
        assert {*names.split(";")} == {
            name.lower()
            for name in request.headers
            if name.lower().startswith("x-") or name in {"Host", "Content-Type"}
        }
        again = sdk_request(
            method=request.method,
            schema="http",
            host=request.host,
            resource_path=request.path,
            query_params=parse_qsl(request.query_string),
            header_params={name: request.headers[name] for name in names.split(";") if name != "host"},
            body=body.decode(),
        )
        signer(SimpleNamespace(ak=access_key, sk=secrets[access_key])).sign(again)
        assert again.header_params["Authorization"] == authorization
