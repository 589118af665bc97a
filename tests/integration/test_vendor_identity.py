"""The vendor's own SDK as a client of the simulated IAM, STS, metadata service and pod's endpoint.

Each of its providers gets credentials here as it would in the cloud, and they are good at the simulated IMS.
"""

from __future__ import annotations

import asyncio
import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker.simulator.naming import domain_id, image_id, project_id
from worker.simulator.options import Group
from worker.simulator.seed import parse_seed
from worker.simulator.server import Simulator

PROJECT = project_id("eu-west-101_payments")
SEED = """
[projects.eu-west-101]
[projects.eu-west-101_payments]
[[image]]
name = "golden"
[[share]]
projects = "*"
images = "golden"
[[user]]
name = "robot"
password = "right"
access_key = "AKROBOT"
secret_key = "SKROBOT"
[[user]]
name = "passing"
access_key = "AKPASSING"
secret_key = "SKPASSING"
security_token = "STPASSING"
[[agency]]
name = "ims-share"
[server]
agency = "ims-share"
[[workload]]
agency = "ims-share"
tokens = ["pod-token"]
"""
Work = Callable[[Any], Any]
MODULES = ("auth.provider", "auth.internal", "auth.credentials", "region.region", "sdk_request", "signer.signer")


def simulator(more: str = "") -> Simulator:
    """Return a simulated cloud with every way to get credentials."""
    seed = parse_seed({"seed.toml": f"{SEED}{more}"})
    return Simulator(seed.world, options=seed.options, limits=seed.limits)


class Vendor:
    """Does blocking work with the SDK's modules in a thread; what its providers read points to the simulator."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._home = home
        self._patch = monkeypatch
        monkeypatch.setenv("HOME", str(home))

    async def at(self, url: str, work: Work) -> Any:
        """Do the work with the SDK pointed to this address."""
        return await asyncio.to_thread(self._do, url, work)

    def _do(self, url: str, work: Work) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            modules = {
                name.rpartition(".")[2]: importlib.import_module(f"huaweicloudsdkcore.{name}") for name in MODULES
            }
            sdk = SimpleNamespace(**modules, ims=importlib.import_module("huaweicloudsdkims.v2"))
            self._patch.setattr(sdk.internal.MetadataAccessor, "_METADATA_ENDPOINT", url)
            self._point(url)
            return work(sdk)

    def _point(self, url: str) -> None:
        (self._home / "token").write_text("pod-token\n", "utf-8")
        (self._home / ".huaweicloud").mkdir(exist_ok=True)
        profile = f"[basic]\nak = AKPASSING\nsk = SKPASSING\nsecurity_token = STPASSING\nproject_id = {PROJECT}\n"
        (self._home / ".huaweicloud" / "credentials").write_text(profile, "utf-8")
        for name, value in {
            "HUAWEICLOUD_SDK_AK": "AKROBOT",
            "HUAWEICLOUD_SDK_SK": "SKROBOT",
            "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT,
            "HUAWEICLOUD_SDK_IAM_ENDPOINT": url,
            "HUAWEICLOUD_SDK_STS_ENDPOINT": url,
            "HUAWEICLOUD_OIDC_PROVIDER_URN": f"iam::{domain_id('default')}:oidcProvider:cce",
            "HUAWEICLOUD_OIDC_AGENCY_URN": f"iam::{domain_id('default')}:agency:ims-share",
            "HUAWEICLOUD_OIDC_TOKEN_FILE": str(self._home / "token"),
            "HC_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v1/pod-identity/credentials",
            "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self._home / "token"),
        }.items():
            self._patch.setenv(name, value)


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    """Return the SDK with a home of its own, since it writes there when it is imported."""
    return Vendor(tmp_path, monkeypatch)


def pending(sdk: Any, credentials: Any, url: str) -> list[str]:
    """Return the ids of the images that are offered and pending, read with these credentials."""
    if getattr(credentials, "project_id", None) is None:
        credentials.project_id = PROJECT
    client = sdk.ims.ImsClient.new_builder().with_credentials(credentials).with_endpoint(url).build()
    asked = sdk.ims.ListImagesRequest(imagetype="shared", visibility="shared", member_status="pending")
    return [image.id for image in client.list_images(asked).images]


@pytest.mark.parametrize(
    ("provider", "group", "calls"),
    [
        ("EnvCredentialProvider", Group.TOKEN, 0),
        ("ProfileCredentialProvider", Group.TOKEN, 0),
        ("MetadataCredentialProvider", Group.METADATA, 2),
        ("OidcStsCredentialProvider", Group.STS, 1),
        ("PodIdentityCredentialProvider", Group.METADATA, 1),
    ],
)
async def test_each_provider_of_the_sdk_gets_good_credentials(
    vendor: Vendor,
    provider: str,
    group: Group,
    calls: int,
) -> None:
    """Environment, profile, metadata, OIDC and pod identity: with what they give the list is read, and no call more."""
    async with simulator() as cloud:

        def work(sdk: Any) -> list[str]:
            return pending(sdk, getattr(sdk.provider, provider).get_basic().get_credentials(), cloud.url)

        assert await vendor.at(cloud.url, work) == [image_id("golden")]
    assert cloud.ledger.count(group) == calls
    assert cloud.ledger.count(Group.IMAGES_LIST, 200) == 1


@pytest.mark.parametrize("shape", ["credential", "credentials", "flat"])
async def test_the_sdk_reads_each_shape_of_a_pods_keys(vendor: Vendor, shape: str) -> None:
    """All three wrappings of a pod's keys are ones that the SDK knows."""
    async with simulator(f'[identity]\npod_answer = "{shape}"') as cloud:

        def work(sdk: Any) -> list[str]:
            credentials = sdk.provider.PodIdentityCredentialProvider.get_basic().get_credentials()
            return pending(sdk, credentials, cloud.url)

        assert await vendor.at(cloud.url, work) == [image_id("golden")]


@pytest.mark.parametrize("mode", ["token", "optional", "404", "405", "503"])
async def test_the_sdk_takes_each_mode_of_the_metadata_service(vendor: Vendor, mode: str) -> None:
    """With its own token and without, in the old modes after the failed request for one."""
    async with simulator(f'[identity]\nmetadata = "{mode}"') as cloud:

        def work(sdk: Any) -> list[str]:
            return pending(sdk, sdk.provider.MetadataCredentialProvider.get_basic().get_credentials(), cloud.url)

        assert await vendor.at(cloud.url, work) == [image_id("golden")]
    assert cloud.ledger.count(Group.METADATA) == 2


async def test_the_sdk_replaces_a_stale_metadata_token_and_knows_a_server_without_agency(
    vendor: Vendor,
) -> None:
    """A token that is not taken is replaced once; where no agency is set, the SDK says so after a single call."""
    async with simulator() as cloud:

        def stale(sdk: Any) -> Any:
            accessor = sdk.internal.MetadataAccessor()
            accessor._token = "stale"
            return accessor.get_credential().access

        assert (await vendor.at(cloud.url, stale)).startswith("HST")
        paths = [(call.path, call.status) for call in cloud.ledger.arrivals]
        key = "/openstack/latest/securitykey"
        assert paths == [(key, 401), ("/meta-data/latest/api/token", 200), (key, 200)]
        cloud.world.directory.server = None

        def without(sdk: Any) -> str:
            with pytest.raises(sdk.internal.exceptions.ClientRequestException) as error:
                sdk.internal.MetadataAccessor().get_credential()
            return str(error.value)

        assert "Please configure Cloud Service Agency first" in await vendor.at(cloud.url, without)
        assert [call.status for call in cloud.ledger.arrivals][3:] == [200, 401]


async def test_the_sdk_finds_its_project_and_its_account(
    vendor: Vendor,
) -> None:
    """The project is found by the region's name, the account by the key, both signed by the SDK."""
    async with simulator() as cloud:

        def work(sdk: Any) -> tuple[Any, Any]:
            region = sdk.region.Region("eu-west-101", cloud.url)
            basic = sdk.credentials.BasicCredentials("AKROBOT", "SKROBOT")
            sdk.ims.ImsClient.new_builder().with_credentials(basic).with_region(region).build()
            known = sdk.ims.ImsClient.new_builder().with_credentials(basic).with_endpoint(cloud.url).build()
            account = sdk.credentials.GlobalCredentials("AKROBOT", "SKROBOT")
            account.process_auth_params(known._http_client, "eu-west-101")
            return basic.project_id, account.domain_id

        assert await vendor.at(cloud.url, work) == (project_id("eu-west-101"), domain_id("default"))


async def test_keys_of_an_agency_are_good_for_the_sdk(
    vendor: Vendor,
) -> None:
    """A call of the STS that the vendor's signer signed gives keys that its client reads the list with."""
    async with simulator() as cloud:

        def work(sdk: Any) -> list[str]:
            basic = sdk.credentials.BasicCredentials("AKROBOT", "SKROBOT", PROJECT)
            client = sdk.ims.ImsClient.new_builder().with_credentials(basic).with_endpoint(cloud.url).build()
            body = (
                f'{{"agency_urn": "iam::{domain_id("default")}:agency:ims-share",'
                ' "agency_session_name": "test", "duration_seconds": 3600}'
            )
            request = sdk.sdk_request.SdkRequest(
                method="POST",
                schema="http",
                host=cloud.url.removeprefix("http://"),
                resource_path="/v5/agencies/assume",
                uri="/v5/agencies/assume",
                query_params=[],
                header_params={"Content-Type": "application/json;charset=UTF-8"},
                body=body,
                stream=False,
            )
            answer = client._http_client.do_request_sync(sdk.signer.Signer(basic).sign(request)).json()["credentials"]
            temporary = sdk.credentials.BasicCredentials(
                answer["access_key_id"], answer["secret_access_key"], PROJECT
            ).with_security_token(answer["security_token"])
            return pending(sdk, temporary, cloud.url)

        assert await vendor.at(cloud.url, work) == [image_id("golden")]


async def test_a_token_becomes_keys_in_the_sdks_own_words(
    vendor: Vendor,
) -> None:
    """The SDK's own request for temporary keys by a token is answered as it reads it."""
    async with simulator() as cloud:
        robot = cloud.world.directory.user("default", "robot")
        assert robot is not None
        token = cloud.world.issued.token(cloud.world.directory.acting(robot), PROJECT, ("password",))

        def work(sdk: Any) -> list[str]:
            helper = sdk.internal.IamHelper
            basic = sdk.credentials.BasicCredentials("AKROBOT", "SKROBOT", PROJECT)
            client = (
                sdk.ims.ImsClient.new_builder().with_credentials(basic).with_endpoint(cloud.url).build()._http_client
            )
            request = helper.get_create_temporary_access_key_by_token_request(client.config, cloud.url, token.text, 900)
            found = helper.create_temporary_access_key_by_token(client, request)
            keys = sdk.credentials.BasicCredentials(found["access"], found["secret"], PROJECT)
            return pending(sdk, keys.with_security_token(found["securitytoken"]), cloud.url)

        assert await vendor.at(cloud.url, work) == [image_id("golden")]
