"""The keys of credentials, from the config and from variables that other tools read as well."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest

from worker.cloud.auth import kinds as flows
from worker.cloud.auth.flow import Kind
from worker.cloud.auth.kinds.agency import Agency
from worker.cloud.auth.kinds.oidc import Oidc, Wanted
from worker.cloud.auth.kinds.password import Password
from worker.cloud.auth.kinds.pod_identity import PodIdentity
from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.regions import Endpoints, Service
from worker.errors import Problem, SettingsError
from worker.settings import Settings, load_settings
from worker.settings.credentials import KINDS
from worker.settings.resolve import resolve_credentials

SDK = {"HUAWEICLOUD_SDK_AK": "sdk-ak", "HUAWEICLOUD_SDK_SK": "sdk-sk", "HUAWEICLOUD_SDK_SECURITY_TOKEN": "sdk-token"}
TERRAFORM = {"HW_ACCESS_KEY": "hw-ak", "HW_SECRET_KEY": "hw-sk", "HW_SECURITY_TOKEN": "hw-token"}


def settings(**credentials: dict[str, str]) -> Settings:
    """Return settings with these credentials."""
    tree: dict[str, Any] = {"cloud": {"region": "eu-west-101"}, "credentials": credentials}
    return load_settings(None, {"IMS_WORKER_CONFIG": ""}, tree).settings


def plain(kind: Kind) -> tuple[str, str, str | None]:
    """Return keys as they are sent."""
    assert isinstance(kind, StaticKeys)
    return kind.keys.access_key, kind.keys.secret_key, kind.keys.security_token


def problems(environ: dict[str, str], **credentials: dict[str, str]) -> tuple[Problem, ...]:
    """Return what is wrong with the variables."""
    with pytest.raises(SettingsError) as caught:
        resolve_credentials(settings(**credentials), environ)
    return caught.value.problems


@pytest.mark.parametrize(
    ("environ", "keys"),
    [
        (SDK, ("sdk-ak", "sdk-sk", "sdk-token")),
        (TERRAFORM, ("hw-ak", "hw-sk", "hw-token")),
        (SDK | TERRAFORM, ("sdk-ak", "sdk-sk", "sdk-token")),
        (SDK | TERRAFORM | {"HUAWEICLOUD_SDK_SECURITY_TOKEN": ""}, ("sdk-ak", "sdk-sk", None)),
        (TERRAFORM | {"HUAWEICLOUD_SDK_SECURITY_TOKEN": "stray"}, ("hw-ak", "hw-sk", "hw-token")),
        ({"HW_ACCESS_KEY": " ak\n", "HW_SECRET_KEY": "sk\n"}, ("ak", "sk", None)),
    ],
)
def test_the_first_family_with_a_key_counts(environ: dict[str, str], keys: tuple[str, str, str | None]) -> None:
    """The vendor SDK's variables go before Terraform's, and the two are never mixed."""
    assert plain(resolve_credentials(settings(), environ)["default"]) == keys


def test_written_keys_are_passed_on() -> None:
    """A static credential needs no variable."""
    written = {"kind": "static", "access_key": "ak", "secret_key": "sk", "security_token": "token"}
    assert plain(resolve_credentials(settings(default=written), {})["default"]) == ("ak", "sk", "token")


def test_missing_variables_are_named() -> None:
    """The message tells all variables that were tried, and the other way to give keys."""
    (problem,) = problems({})
    assert "neither HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, nor HW_ACCESS_KEY and HW_SECRET_KEY" in problem.message
    assert "[credentials.default]" in problem.hint


@pytest.mark.parametrize("missing", ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"])
def test_half_a_credential_names_the_other_half(missing: str) -> None:
    """A half-set family is a mistake, also where the other family is whole."""
    (problem,) = problems({name: value for name, value in (SDK | TERRAFORM).items() if name != missing})
    assert problem.path == missing
    assert "is not set, though the other key is" in problem.message


@pytest.mark.parametrize("name", [*SDK])
def test_a_key_that_cannot_be_one_is_told_without_showing_it(name: str) -> None:
    """What would break a header is refused, and not repeated."""
    (problem,) = problems(SDK | {name: "hunter2\r\nX-Evil: 1"})
    assert problem.path == name
    assert "spaces or odd characters" in problem.message
    assert "hunter2" not in str(problem)


def test_all_credentials_are_told_at_once_and_unused_ones_are_left_alone() -> None:
    """Variables that no project needs may be missing."""
    books = {"kind": "environment"}
    assert len(problems({}, books=books)) == 2
    assert resolve_credentials(settings(books=books), {}, used=()) == {}
    assert [*resolve_credentials(settings(books=books), SDK, used={"books"})] == ["books"]


def test_keys_do_not_show_themselves() -> None:
    """Keys may stand in a log line or a traceback by accident."""
    keys = resolve_credentials(settings(), SDK)
    assert not any(secret in f"{keys!r} {keys!s}" for secret in SDK.values())


SECRET = "hunter2-of-the-test"
AGENCY = {"agency": "ims-share", "domain": "acme"}
EXAMPLES: dict[str, dict[str, str]] = {
    "environment": {},
    "static": {"access_key": "ak", "secret_key": SECRET},
    "profile": {},
    "password": {"user": "robot", "domain": "acme", "password": SECRET},
    "agency": {"source": "password", **AGENCY},
    "metadata": {},
    "pod-identity": {},
    "oidc": {"provider_urn": "iam::acme:oidcProvider:cce", "agency_urn": "iam::acme:agency:ims-share"},
}
"""The least that the table of each kind may say."""


PROFILE = f"[basic]\nak = profile-ak\nsk = {SECRET}\n[other]\nak = other-ak\nsk = 100%{SECRET}\nsecurity_token = ST\n"


@pytest.fixture
def ambient(tmp_path: Path) -> dict[str, str]:
    """Return variables and files of a machine on which every kind of credential has what it needs."""
    (tmp_path / ".huaweicloud").mkdir()
    (tmp_path / ".huaweicloud" / "credentials").write_text(PROFILE)
    (tmp_path / "token").write_text(SECRET)
    return SDK | {
        "HOME": str(tmp_path),
        "HC_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials?pod=1",
        "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
        "HUAWEICLOUD_OIDC_TOKEN_FILE": str(tmp_path / "token"),
    }


def resolved(environ: dict[str, str], table: dict[str, str], **more: dict[str, str]) -> Kind:
    """Return what a credential with this table is, perhaps beside others."""
    return resolve_credentials(settings(one=table, **more), environ, used={"one"})["one"]


def test_each_kind_of_the_config_becomes_one_of_the_cloud(ambient: dict[str, str]) -> None:
    """A table without a flow, a flow without a table, and a kind without an example here are noticed."""
    assert EXAMPLES.keys() == KINDS.keys()
    tables = {name: {"kind": name, **table} for name, table in EXAMPLES.items()}
    kinds = resolve_credentials(settings(**tables), ambient, used=EXAMPLES)
    modules = [
        importlib.import_module(f"{flows.__name__}.{each.name}") for each in pkgutil.iter_modules(flows.__path__)
    ]
    classes = {thing for module in modules for thing in vars(module).values() if isinstance(thing, type)}
    assert {type(kind) for kind in kinds.values()} == {
        each for each in classes if hasattr(each, "obtain") and each is not Kind
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_kind_shows_its_secrets(name: str, ambient: dict[str, str]) -> None:
    """Neither the settings nor what becomes of them has a secret in its text."""
    others = {other: {"kind": other, **table} for other, table in EXAMPLES.items()}
    read = settings(**others)
    kind = resolve_credentials(read, ambient, used={name})[name]
    assert SECRET not in f"{read!r} {read!s} {read.model_dump_json()} {kind!r} {kind!s}"
    assert not any(secret in f"{kind!r}" for secret in SDK.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_kinds_of_the_same_config_are_equal(name: str, ambient: dict[str, str]) -> None:
    """So the daemon keeps its connections, and what they hold, when files are read again that say the same."""
    others = {other: {"kind": other, **table} for other, table in EXAMPLES.items()}
    once, again = (resolve_credentials(settings(**others), ambient, used={name}) for _ in range(2))
    assert once == again


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "environment"])
def test_every_kind_knows_its_enterprise_project(name: str) -> None:
    """It is a matter of the lists, whoever reads them."""
    table = {"kind": name, **EXAMPLES[name], "enterprise_project": "all_granted_eps"}
    others = {other: {"kind": other, **table} for other, table in EXAMPLES.items() if other != name}
    assert settings(**others, **{name: table}).credentials[name].enterprise_project == "all_granted_eps"


class TestProfile:
    """Keys from the vendor's file."""

    def test_the_usual_file_is_in_the_home(self, ambient: dict[str, str]) -> None:
        """Its section is `basic`."""
        assert plain(resolved(ambient, {"kind": "profile"})) == ("profile-ak", SECRET, None)

    def test_a_section_may_be_named(self, ambient: dict[str, str]) -> None:
        """A percent sign in a key is one, and nothing to be replaced."""
        kind = resolved(ambient, {"kind": "profile", "section": "other"})
        assert plain(kind) == ("other-ak", f"100%{SECRET}", "ST")

    def test_a_file_may_be_named(self, ambient: dict[str, str], tmp_path: Path) -> None:
        """By the config, which goes before the vendor's variable, which goes before the home."""
        for name in ("a", "b"):
            (tmp_path / name).write_text(f"[basic]\nak = {name}\nsk = s\n")
        environ = ambient | {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(tmp_path / "a")}
        assert plain(resolved(environ, {"kind": "profile"}))[0] == "a"
        assert plain(resolved(environ, {"kind": "profile", "file": str(tmp_path / "b")}))[0] == "b"

    @pytest.mark.parametrize(
        ("text", "line", "message"),
        [
            (f"sk = {SECRET}\n", 1, "is no profile"),
            (f"[basic]\n{SECRET}\n", 2, "is no profile"),
            (f"[basic]\nsk = a\nsk = {SECRET}\n", 3, "is no profile"),
            (f"[other]\nak = a\nsk = {SECRET}\n", 0, "has no section [basic]"),
            (f"[basic]\nak = {SECRET}\n", 0, "sk is missing"),
            (f"[basic]\nsk = {SECRET}\n", 0, "ak is missing"),
            (f"[basic]\nak = a b\nsk = {SECRET}\n", 0, "ak has spaces or odd characters"),
            (f"[basic]\nak = a\nsk = {SECRET}\nsecurity_token = {SECRET}\xe9\n", 0, "security_token has spaces"),
            (f"[basic]\nidp_id = a\nid_token_file = {SECRET}\n", 0, "is missing"),
        ],
    )
    def test_what_is_wrong_with_it_is_told_without_showing_it(
        self, text: str, line: int, message: str, tmp_path: Path
    ) -> None:
        """Where there is a line to blame, with its number."""
        (tmp_path / "credentials").write_text(text)
        found = problems({}, default={"kind": "profile", "file": str(tmp_path / "credentials")})
        assert SECRET not in "".join(map(str, found))
        assert found[0].line == line
        assert message in str(found[0])

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        """Only when it is used, as variables are."""
        (found,) = problems({"HOME": str(tmp_path)}, default={"kind": "profile"})
        assert found.file == f"{tmp_path}/.huaweicloud/credentials"
        assert "cannot be read" in found.message

    def test_a_file_of_other_bytes_is_told(self, tmp_path: Path) -> None:
        """It is no text."""
        (tmp_path / "credentials").write_bytes(b"\xff\xfe")
        (found,) = problems({}, default={"kind": "profile", "file": str(tmp_path / "credentials")})
        assert found.message == "is not UTF-8"


class TestServices:
    """Where identity services are."""

    def test_the_vendor_s_variables_count_where_the_config_names_none(self) -> None:
        """Kinds get them as they are."""
        environ = {"HUAWEICLOUD_SDK_IAM_ENDPOINT": "https://iam.example"}
        kind = resolved(environ, {"kind": "password", **EXAMPLES["password"]})
        assert isinstance(kind, Password)
        assert kind.endpoints.origin(Service.IAM) == "https://iam.example"

    @pytest.mark.parametrize("name", ["password", "agency", "oidc"])
    def test_a_kind_that_needs_one_says_so_where_nobody_knows_it(self, name: str, ambient: dict[str, str]) -> None:
        """That is known before the first call."""
        tree = {
            "cloud": {"ims_endpoint": "https://ims.example"},
            "credentials": {
                "one": {"kind": name, **EXAMPLES[name], **({"source": "default"} if name == "agency" else {})}
            },
        }
        found = load_settings(None, {"IMS_WORKER_CONFIG": ""}, tree).settings
        with pytest.raises(SettingsError, match=r"credentials\.one: nobody says where (iam|sts) is"):
            resolve_credentials(found, ambient, used={"one"})


class TestAgency:
    """An agency stands on another credential."""

    def test_it_has_the_kind_of_its_source(self) -> None:
        """Its duration is in seconds, and the source's secrets are its own."""
        static = {"kind": "static", "access_key": "ak", "secret_key": SECRET}
        kind = resolved({}, {"kind": "agency", "source": "keys", **AGENCY, "duration": "2h"}, keys=static)
        assert isinstance(kind, Agency)
        assert (plain(kind.source)[0], kind.agency, kind.domain, kind.seconds) == ("ak", "ims-share", "acme", 7200)
        assert SECRET in kind.secrets

    def test_the_default_credential_may_be_a_source_though_nobody_wrote_it(self) -> None:
        """It is there without being told."""
        kind = resolved(SDK, {"kind": "agency", "source": "default", **AGENCY})
        assert isinstance(kind, Agency)
        assert plain(kind.source)[0] == "sdk-ak"

    def test_what_is_wrong_with_the_source_is_told_once(self) -> None:
        """Also where two stand on it, and it is used itself."""
        table = {"kind": "agency", "source": "default", **AGENCY}
        assert len(problems({}, one=table, other=table)) == 1


class TestPodIdentity:
    """A pod's identity, by variables."""

    def test_the_address_may_have_a_path_and_a_query(self, ambient: dict[str, str], tmp_path: Path) -> None:
        """Plain http goes to a link-local address."""
        assert resolved(ambient, {"kind": "pod-identity"}) == PodIdentity(
            "http://169.254.170.23", "/v1/credentials", (("pod", "1"),), tmp_path / "token"
        )

    @pytest.mark.parametrize(
        "address",
        [
            "http://example.com/x",
            "ftp://127.0.0.1/x",
            "127.0.0.1",
            "http://user:hunter2@127.0.0.1/x",
            "http://[::1",
            "h i",
        ],
    )
    def test_it_goes_nowhere_else(self, address: str, ambient: dict[str, str]) -> None:
        """The token of the pod would be shown to a stranger, or to everybody on the way."""
        environ = ambient | {"HC_CONTAINER_CREDENTIALS_FULL_URI": address}
        (found,) = problems(environ, default={"kind": "pod-identity"})
        assert found.path == "HC_CONTAINER_CREDENTIALS_FULL_URI"
        assert "hunter2" not in str(found)

    @pytest.mark.parametrize("missing", ["HC_CONTAINER_CREDENTIALS_FULL_URI", "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
    def test_both_variables_are_needed(self, missing: str, ambient: dict[str, str]) -> None:
        """The one that is missing is told."""
        (found,) = problems(ambient | {missing: ""}, default={"kind": "pod-identity"})
        assert found.path == missing

    def test_the_file_must_be_there(self, ambient: dict[str, str]) -> None:
        """At the beginning: later it is only waited for."""
        environ = ambient | {"HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nowhere/token"}
        (found,) = problems(environ, default={"kind": "pod-identity"})
        assert "/nowhere/token: the token cannot be read" in str(found)


class TestOidc:
    """A workload's identity, by the config and by variables."""

    def test_variables_say_what_the_config_does_not(self, ambient: dict[str, str], tmp_path: Path) -> None:
        """All of those that the vendor's SDK reads."""
        environ = ambient | {
            "HUAWEICLOUD_OIDC_PROVIDER_URN": "urn-p",
            "HUAWEICLOUD_OIDC_AGENCY_URN": "urn-a",
            "HUAWEICLOUD_OIDC_SESSION_NAME": "me",
            "HUAWEICLOUD_OIDC_DURATION_SECONDS": "1800",
            "HUAWEICLOUD_OIDC_POLICY": "{}",
            "HUAWEICLOUD_OIDC_POLICY_IDS": "one, two",
        }
        endpoints = Endpoints(
            region="eu-west-101",
            given={Service.IMS: "", Service.IAM: "https://i", Service.STS: "https://s", Service.CBR: ""},
        )
        environ |= {"HUAWEICLOUD_SDK_IAM_ENDPOINT": "https://i", "HUAWEICLOUD_SDK_STS_ENDPOINT": "https://s"}
        wanted = Wanted("urn-p", "urn-a", "me", 1800, "{}", ("one", "two"))
        assert resolved(environ, {"kind": "oidc"}) == Oidc(endpoints, wanted, tmp_path / "token")

    def test_the_config_goes_first(self, ambient: dict[str, str], tmp_path: Path) -> None:
        """Also its file, before a token that stands in a variable, which else goes before the file of another."""
        (tmp_path / "mine").write_text("token")
        environ = ambient | {"HUAWEICLOUD_OIDC_ID_TOKEN": SECRET, "HUAWEICLOUD_OIDC_PROVIDER_URN": "no"}
        kind = resolved(environ, {"kind": "oidc", **EXAMPLES["oidc"], "token_file": str(tmp_path / "mine")})
        assert isinstance(kind, Oidc)
        assert (kind.token_file, kind.id_token, kind.wanted.provider_urn) == (
            tmp_path / "mine",
            "",
            EXAMPLES["oidc"]["provider_urn"],
        )
        kind = resolved(environ, {"kind": "oidc", **EXAMPLES["oidc"]})
        assert isinstance(kind, Oidc)
        assert (kind.token_file, kind.secrets) == (None, (SECRET,))

    def test_all_that_is_missing_is_told(self) -> None:
        """With both places where it could stand."""
        found = problems({}, default={"kind": "oidc"})
        assert [each.path.removeprefix("HUAWEICLOUD_OIDC_") for each in found] == [
            "AGENCY_URN",
            "PROVIDER_URN",
            "TOKEN_FILE",
        ]

    @pytest.mark.parametrize(
        ("variable", "value"), [("DURATION_SECONDS", "1h"), ("DURATION_SECONDS", "0"), ("ID_TOKEN", "a b")]
    )
    def test_a_variable_that_makes_no_sense_is_told(self, variable: str, value: str, ambient: dict[str, str]) -> None:
        """Without what it says."""
        (found,) = problems(
            ambient | {f"HUAWEICLOUD_OIDC_{variable}": value}, default={"kind": "oidc", **EXAMPLES["oidc"]}
        )
        assert found.path == f"HUAWEICLOUD_OIDC_{variable}"
