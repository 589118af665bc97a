"""The keys of credentials, from the config and from variables that other tools read as well."""

from __future__ import annotations

from typing import Any

import pytest

from worker.errors import Problem, SettingsError
from worker.settings import Keys, Settings, load_settings, resolve_credentials

SDK = {"HUAWEICLOUD_SDK_AK": "sdk-ak", "HUAWEICLOUD_SDK_SK": "sdk-sk", "HUAWEICLOUD_SDK_SECURITY_TOKEN": "sdk-token"}
TERRAFORM = {"HW_ACCESS_KEY": "hw-ak", "HW_SECRET_KEY": "hw-sk", "HW_SECURITY_TOKEN": "hw-token"}


def settings(**credentials: dict[str, str]) -> Settings:
    """Return settings with these credentials."""
    tree: dict[str, Any] = {"cloud": {"region": "x"}, "credentials": credentials}
    return load_settings(None, {"IMS_WORKER_CONFIG": ""}, tree).settings


def plain(keys: Keys) -> tuple[str, str, str | None]:
    """Return keys as they are sent."""
    token = keys.security_token
    return keys.access_key, keys.secret_key.get_secret_value(), token.get_secret_value() if token else None


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
