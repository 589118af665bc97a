"""Settings: what is accepted, what is wrong and how it is told, and that secrets stay secret."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.allowance import Allowance
from worker.core.documents import Finding, path_text
from worker.core.limits import Rate
from worker.settings import Settings
from worker.settings.check import check
from worker.settings.credentials import Oidc, Profile, UserPassword
from worker.settings.model import SECTIONS, known_keys
from worker.settings.readers import Address

CLOUD = {"cloud": {"region": "eu-west-101"}}
SECRET = "hunter2hunter2"
HERE = Path()


def settings(tree: dict[str, Any], base: Path = HERE) -> Settings:
    """Return the settings of a tree, to which a region is added."""
    found = check({**CLOUD, **tree}, base)
    assert isinstance(found, Settings), found
    return found


def findings(tree: dict[str, Any], base: Path = HERE) -> dict[str, Finding]:
    """Return what is wrong with a tree, to which a region is added, by path."""
    found = check({**CLOUD, **tree}, base)
    assert not isinstance(found, Settings)
    return {path_text(finding.at.path): finding for finding in found}


def static(**keys: object) -> dict[str, Any]:
    """Return a tree with one static credential."""
    return {"credentials": {"default": {"kind": "static", "access_key": "AK", "secret_key": SECRET, **keys}}}


def test_values_are_read_as_what_they_mean() -> None:
    """Texts become seconds, rates, fractions, allowances and addresses."""
    found = settings(
        {
            "manifest": "a.toml, b/*.toml",
            "limits": {"burst": "10/2s", "max_connections": "7"},
            "polling": {"first": "1m", "max": "2h", "factor": 2},
            "guards": {"max_reject": 5, "max_change": "2.5%"},
            "schedule": {"cron": "*/5 * * * MON-FRI", "jitter": "90s", "timezone": "Europe/Berlin"},
            "server": {"listen": "[::1]:0"},
        }
    )
    assert found.manifest == ("a.toml", "b/*.toml")
    assert (found.limits.burst, found.limits.max_connections) == (Rate(10, 2.0), 7)
    assert (found.polling.first, found.polling.max, found.polling.factor) == (60.0, 7200.0, 2.0)
    assert found.guards.max_reject == Allowance.parse("5")
    assert found.guards.max_change == Allowance.parse("2.5%")
    assert (found.schedule.every, str(found.schedule.jitter)) == (None, "1m 30s")
    assert found.server.listen == Address("::1", 0)
    assert [str(Address.parse(text)) for text in ("[::1]:0", "localhost:80")] == ["[::1]:0", "localhost:80"]


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("", ""),
        ("https://ims.example.com/", "https://ims.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_an_endpoint_is_an_origin(written: str, origin: str) -> None:
    """Plain http is accepted to loopback only; a slash at the end does not matter."""
    assert settings({"cloud": {"region": "x", "ims_endpoint": written}}).cloud.ims_endpoint == origin


@pytest.mark.parametrize(
    ("written", "kept", "place"),
    [
        ("sqlite:///a/b.db", "sqlite:////base/a/b.db", "sqlite:////base/a/b.db"),
        ("sqlite:////var/b@c.db", "sqlite:////var/b@c.db", "sqlite:////var/b@c.db"),
        ("sqlite:///what?now/a#b%20c", "sqlite:////base/what?now/a#b%20c", "sqlite:////base/what?now/a#b%20c"),
        ("memory:", "memory:", "memory:"),
        ("postgresql:///db", "postgresql:///db", "postgresql:///db"),
        (f"postgresql://u:{SECRET}@h:1/db", f"postgresql://u:{SECRET}@h:1/db", "postgresql://h:1/db"),
        (f"postgresql://h?password={SECRET}", f"postgresql://h?password={SECRET}", "postgresql://h"),
    ],
)
def test_a_journal_is_found_from_the_config_and_shown_without_its_password(written: str, kept: str, place: str) -> None:
    """The file of a journal is absolute; what is shown of a URL has neither user nor options."""
    journal = settings({"journal": {"url": written}}, Path("/base")).journal
    assert journal.url.get_secret_value() == kept
    assert journal.place == place


def test_defaults_are_checked_as_well() -> None:
    """Nothing but a region is needed; the journal is beside the config, the credential from the environment."""
    found = settings({}, Path("/base"))
    assert found.journal.place == "sqlite:////base/ims-share-worker.db"
    assert {name: credential.kind for name, credential in found.credentials.items()} == {"default": "environment"}
    assert settings({"cloud": {"ims_endpoint": "https://ims.example.com"}}).cloud.region == ""


def test_other_credentials_do_not_replace_the_default_one() -> None:
    """A fleet with credentials of its own still has the default one, unless it is configured."""
    found = settings({"credentials": {"books": {"kind": "environment", "account": "b"}}}).credentials
    assert {name: credential.account for name, credential in found.items()} == {"default": "default", "books": "b"}


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("cloud", "region", "eu west", "must be small letters"),
        ("cloud", "region", "eu-west\n", "must be small letters"),
        ("cloud", "ims_endpoint", "http://example.com", "must be https://HOST"),
        ("cloud", "ims_endpoint", "https://u:p@example.com", "must be https://HOST"),
        ("cloud", "ims_endpoint", "https://example.com/?q", "must be https://HOST"),
        ("cloud", "ims_endpoint", "https://ex\nample.com", "must be https://HOST"),
        ("cloud", "ims_endpoint", "https://example.com/path", "must be https://HOST"),
        ("cloud", "ims_endpoint", 3, "must be a string"),
        ("cloud", "sts_endpoint", "http://169.254.169.254", "plain http goes to loopback only"),
        ("cloud", "metadata_endpoint", "http://10.0.0.1", "must be http://ADDRESS, link-local"),
        ("cloud", "metadata_endpoint", "", "must be http://ADDRESS, link-local"),
        ("cloud", "metadata_endpoint", "http://169.254.169.254/x", "must be http://ADDRESS, link-local"),
        ("cloud", "cloud", "hawei", 'cloud is "huawei", "otc", "otc-swiss"'),
        ("cloud", "domain", "https://cloud.example.com", "must be what the hosts end in"),
        ("cloud", "domain", 3, "must be a string"),
        ("cloud", "ca_file", "/nowhere.pem", "cannot be read: no such file"),
        ("cloud", "ca_file", "a\0b", "cannot be read: not a file name"),
        ("cloud", "ca_file", "/", "cannot be read: is a directory"),
        ("cloud", "job_api", "lagacy", 'job_api is "auto", "legacy" or "progress", not "lagacy"'),
        ("cloud", "vault_policy", "never", 'vault_policy is "when-needed" or "always"'),
        ("cloud", "connect_timeout", "0s", "must be longer than nothing"),
        ("cloud", "connect_timeout", "4000d", "at most ten years"),
        ("cloud", "connect_timeout", "11m", "must be from 10ms to 10m"),
        ("cloud", "read_timeout", 10, "must be a number with ms, s, m, h or d"),
        ("limits", "members_put", "200", "must be COUNT/WINDOW"),
        ("limits", "burst", "0/s", "must be COUNT/WINDOW"),
        ("limits", "burst", "1000001/s", "must be at most 1000000 calls in a window from 1ms to 1d"),
        ("limits", "members_put", "1/2d", "window from 1ms to 1d"),
        ("limits", "job_get", "1/0.0001ms", "window from 1ms to 1d"),
        ("limits", "max_connections", 0, "must be greater than or equal to 1"),
        ("limits", "max_connections", True, "must be a whole number"),
        ("batch", "max_images", 1.5, "must be a whole number"),
        ("batch", "max_images", "many", "must be a valid integer"),
        ("batch", "page_size", 1001, "must be less than or equal to 1000"),
        ("polling", "factor", 0.5, "must be greater than or equal to 1"),
        ("polling", "factor", float("inf"), "must be"),
        ("polling", "factor", float("nan"), "must be"),
        ("polling", "factor", 10**400, "must be"),
        ("polling", "factor", True, "must be a number"),
        ("polling", "factor", date(2026, 1, 1), "must be a valid number"),
        ("polling", "first", "0.01ms", "must be from 1ms to 1h"),
        ("polling", "first", "9" * 500 + "s", "must be"),
        ("polling", "deadline", date(2026, 1, 1), "must be a number with ms"),
        ("retry", "attempts", 101, "must be less than or equal to 100"),
        ("retry", "attempts", "9" * 5000, "must be"),
        ("polling", "max", "1ms", "must not be shorter than polling.first"),
        ("retry", "max", "1ms", "must not be shorter than retry.base"),
        ("quarantine", "max", "1s", "must not be shorter than quarantine.first"),
        ("guards", "max_reject", "110%", "must be a percentage"),
        ("guards", "max_reject", -1, "must be a percentage"),
        ("guards", "max_change", 0.5, "must be a percentage"),
        ("journal", "url", "sqlite:///", "must be sqlite:///FILE"),
        ("journal", "url", "sqlite:///:memory:", "must be sqlite:///FILE"),
        ("journal", "url", "sqlite:///a.db?mode=ro", "must be sqlite:///FILE"),
        ("journal", "url", "mysql://h/db", "must be sqlite:///FILE"),
        ("journal", "url", "postgresql://u:p@ss@h/db", "%-encoded"),
        ("journal", "url", "x" * 1001, "is too long"),
        ("journal", "keep", "1w", "must be a number with"),
        ("schedule", "every", False, "must be a number with"),
        ("schedule", "cron", "@hourly", "must be five fields"),
        ("schedule", "timezone", "Europe/Berlin; rm", "must be a name such as UTC"),
        ("schedule", "jitter", "101%", "must be a percentage from 0% to 100% or a duration, such as 10% or 30s"),
        ("schedule", "jitter", "4000d", "must be at most ten years"),
        ("schedule", "jitter", 10, "must be a string"),
        ("server", "listen", "9180", "must be HOST:PORT"),
        ("server", "listen", "::1:9180", "must be HOST:PORT"),
        ("server", "listen", "h:99999", "must be HOST:PORT"),
        ("server", "listen", "[nonsense]:1", "must be HOST:PORT"),
        ("log", "level", "inf", 'level is "debug", "info", "warning" or "error"'),
    ],
)
def test_each_wrong_value_is_told_at_its_path(section: str, key: str, value: object, words: str) -> None:
    """One wrong value is one finding, in words that go on from the name of the setting."""
    found = findings({section: {"region": "x", key: value} if section == "cloud" else {key: value}})
    assert list(found) == [f"{section}.{key}"]
    (finding,) = found.values()
    assert finding.message.startswith(f"{key} ")
    assert words in finding.message


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (section, key)
        for section, (model, *_) in SECTIONS.items()
        for key, field in model.model_fields.items()
        if isinstance(field.default, float) and key != "factor"
    ],
)
def test_each_duration_has_an_end_and_is_longer_than_a_moment(section: str, key: str) -> None:
    """What would keep a loop busy, or outlast every calendar, is refused with what may stand there."""
    for wrong in ("0.0001ms", "3651d", "99999999999999999999d"):
        (finding,) = findings({section: {key: wrong, "region": "x"} if section == "cloud" else {key: wrong}}).values()
        assert finding.message.startswith(f"{key} must be ")
        assert finding.value in {f'"{wrong}"', ""}


@pytest.mark.parametrize(("section", "key"), [("batch", "page_size"), ("guards", "max_change"), ("polling", "factor")])
def test_a_number_too_long_to_be_written_out_is_told(section: str, key: str) -> None:
    """Python refuses to print such a number, so nobody may try."""
    assert findings({section: {key: 16**6000}})[f"{section}.{key}"].value == "a huge number"


def test_a_misspelt_choice_gets_a_suggestion() -> None:
    """A word that is nearly one of the choices is recognized."""
    assert findings({"log": {"level": "inf"}})["log.level"].hint == 'did you mean "info"?'
    assert findings(static(kind="statik"))["credentials.default.kind"].hint == 'did you mean "static"?'


@pytest.mark.parametrize(
    ("tree", "path", "hint"),
    [
        ({"manifst": []}, "manifst", 'did you mean "manifest"?'),
        ({"limits": {"members": 1}}, "limits.members", "known here: members_put, job_get"),
        (static(secert_key=SECRET), "credentials.default.secert_key", 'did you mean "secret_key"?'),
        ({"journal": {"ulr": SECRET}}, "journal.ulr", "known here: url, keep, url_file"),
        ({"_env_file": "/etc/passwd"}, "_env_file", "known here"),
    ],
)
def test_an_unknown_key_is_told_without_its_value(tree: dict[str, Any], path: str, hint: str) -> None:
    """A misspelt key is an error, and what was meant to be secret is not repeated."""
    finding = findings(tree)[path]
    assert finding.message.startswith("unknown key ")
    assert hint in finding.hint
    assert finding.value == ""


@pytest.mark.parametrize("section", [*Settings.model_fields])
def test_a_section_that_is_no_table_is_told(section: str) -> None:
    """A value where a table belongs, or the other way round, is one finding."""
    assert list(findings({section: 3})) == [section]


def test_a_region_is_needed_where_no_endpoint_is() -> None:
    """Without a region the image service must be told where it is."""
    assert findings({"cloud": {"ims_endpoint": ""}})["cloud.region"].message == (
        "region is required unless ims_endpoint is given"
    )


@pytest.mark.parametrize(
    ("cloud", "path", "words"),
    [
        ({"cloud": "hcs"}, "cloud.domain", 'domain is required for cloud "hcs"'),
        ({"domain": "cloud.example.com"}, "cloud.domain", 'domain is only for cloud "hcs"'),
        ({"cloud": "otc", "region": "eu-west-0"}, "cloud.cloud", 'eu-west-0 is a region of the cloud "flexibleengine"'),
        ({"cloud": "otc", "region": "eu-ch2"}, "cloud.cloud", 'eu-ch2 is a region of the cloud "otc-swiss"'),
    ],
)
def test_cloud_domain_and_region_fit(cloud: dict[str, str], path: str, words: str) -> None:
    """What leads to hosts that nobody has is told before a call is made, with what was meant."""
    found = findings({"cloud": {**CLOUD["cloud"], **cloud}})
    assert list(found) == [path]
    assert words in found[path].message


def test_a_misspelt_cloud_is_suggested() -> None:
    """The clouds have names that nobody knows by heart."""
    assert findings({"cloud": {**CLOUD["cloud"], "cloud": "flexible-engine"}})["cloud.cloud"].hint == (
        'did you mean "flexibleengine"?'
    )


@pytest.mark.parametrize(
    "cloud",
    [
        {"cloud": "hcs", "domain": "cloud.example.com", "region": "r0"},
        {"cloud": "otc", "region": "eu-xx"},
        {"cloud": "otc", "region": "eu-west-0", "ims_endpoint": "https://ims.example.com"},
        {"cloud": "huawei", "region": "eu-de"},
        {"metadata_endpoint": "http://127.0.0.1:1", "region": "eu-de"},
    ],
)
def test_clouds_that_fit(cloud: dict[str, str]) -> None:
    """A region may be newer than the worker; an endpoint by hand leaves nothing to fit."""
    settings({"cloud": cloud})


def test_every_and_cron_exclude_each_other() -> None:
    """There is one schedule."""
    assert list(findings({"schedule": {"every": "1m", "cron": "* * * * *"}})) == ["schedule.cron"]


def test_the_items_of_the_manifest_are_checked() -> None:
    """An empty list and an empty name are told."""
    assert list(findings({"manifest": []})) == ["manifest"]
    assert findings({"manifest": ["a", ""]})["manifest[1]"].message.startswith("manifest must not be empty")


@pytest.mark.parametrize(
    ("credential", "path", "message"),
    [
        ({}, "credentials.x.kind", "kind is missing"),
        ({"kind": []}, "credentials.x.kind", "unknown kind a list"),
        (3, "credentials.x", "a credential is a table, not a number"),
        ({"kind": "static", "access_key": "A"}, "credentials.x.secret_key", "secret_key is missing"),
        ({"kind": "static", "secret_key": "S"}, "credentials.x.access_key", "access_key is missing"),
        (
            {"kind": "environment", "secret_key": "S"},
            "credentials.x.secret_key",
            'only for credentials of kind "static"',
        ),
        ({"kind": "environment", "account": "a b"}, "credentials.x.account", "account must be 1 to 64 letters"),
    ],
)
def test_each_wrong_credential_is_told(credential: object, path: str, message: str) -> None:
    """Half a credential names the half that is missing; a key of another kind is not ignored."""
    (finding,) = findings({"credentials": {"x": credential}}).values()
    assert path_text(finding.at.path) == path
    assert message in finding.message


def agency(source: str, **more: str) -> dict[str, str]:
    """Return the table of an agency."""
    return {"kind": "agency", "source": source, "agency": "share", "domain": "9c61004714024f9586705d090530f9fa", **more}


USER = {"kind": "password", "user": "robot", "domain": "acme", "password": SECRET}


@pytest.mark.parametrize(
    ("credentials", "path", "message", "hint"),
    [
        ({"a": agency("bok"), "book": USER}, "a.source", 'there is no credential "bok"', 'did you mean "book"?'),
        ({"a": agency("a")}, "a.source", "leads back to itself: a > a", ""),
        (
            {"a": agency("b", external_id="w", domain="acme"), "b": USER},
            "a.external_id",
            "domain is a name",
            "by its id",
        ),
        ({"a": agency("b", external_id="w"), "b": USER}, "a.external_id", "the source is a password", "by its id"),
        ({"a": agency("default", external_id="w", domain="acme")}, "a.external_id", "domain is a name", "by its id"),
    ],
)
def test_what_does_not_fit_between_credentials_is_told(
    credentials: dict[str, Any], path: str, message: str, hint: str
) -> None:
    """An agency stands on a credential that is there, in the end on one that is no agency; a word goes by the STS."""
    ((found, finding),) = findings({"credentials": credentials}).items()
    assert found == f"credentials.{path}"
    assert message in finding.message
    assert hint in finding.hint


def test_a_circle_of_agencies_is_told_of_each() -> None:
    """None of them has anything to stand on; who stands on the circle is not to blame."""
    found = findings({"credentials": {"a": agency("b"), "b": agency("a"), "c": agency("a")}})
    assert [*found] == ["credentials.a.source", "credentials.b.source"]


def test_an_agency_may_stand_on_any_kind_and_on_another_agency() -> None:
    """A word may be passed on by keys, also by those of an agency."""
    tables = {"a": agency("b", external_id="w"), "b": agency("c"), "c": USER, "d": agency("default")}
    assert settings({"credentials": tables}).credentials.keys() == {"default", *tables}


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (USER | {"password": ""}, "password"),
        (USER | {"password": "a\nb"}, "password"),
        (USER | {"user": ""}, "user"),
        (USER | {"domain": "a\x7fb"}, "domain"),
        (USER | {"enterprise_project": "all"}, "enterprise_project"),
        (agency("default", duration="10m"), "duration"),
        (agency("default", duration="25h"), "duration"),
        ({"kind": "oidc", "agency_urn": "a\nb"}, "agency_urn"),
        ({"kind": "profile", "section": ""}, "section"),
        ({"kind": "profile", "file": 3}, "file"),
        ({"kind": "profile", "file": "~nobody-of-this-name/x"}, "file"),
    ],
)
def test_each_key_of_the_kinds_is_checked(table: dict[str, Any], key: str) -> None:
    """And no value of it is shown."""
    (path,) = found = findings({"credentials": {"x": table}})
    assert path == f"credentials.x.{key}"
    assert found[path].value == ""


def test_a_password_may_have_spaces_and_other_letters() -> None:
    """It goes into a body, and no header."""
    found = settings({"credentials": {"x": USER | {"password": "schöner Tag"}}}).credentials["x"]
    assert isinstance(found, UserPassword)
    assert found.password.get_secret_value() == "schöner Tag"


def test_paths_of_credentials_start_from_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or from the home; the files need not be there yet."""
    monkeypatch.setenv("HOME", "/home/ann")
    tables = {
        "p": {"kind": "profile", "file": "keys"},
        "o": {"kind": "oidc", "token_file": "~/token"},
        "q": {"kind": "profile"},
    }
    found = settings({"credentials": tables}, tmp_path).credentials
    assert isinstance(found["p"], Profile)
    assert isinstance(found["o"], Oidc)
    assert isinstance(found["q"], Profile)
    assert (found["p"].file, found["o"].token_file) == (tmp_path / "keys", Path("/home/ann/token"))
    assert found["q"].path({"HOME": "/root"}) == Path("/root/.huaweicloud/credentials")
    assert found["q"].path({}) == Path("/home/ann/.huaweicloud/credentials")


@pytest.mark.parametrize("secret", ["", "a b", "a\r\nX-Evil: 1", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_told(secret: str) -> None:
    """What would break a request is refused before there is one."""
    finding = findings(static(secret_key=secret))["credentials.default.secret_key"]
    assert "must not be empty, and must have neither spaces nor odd characters" in finding.message
    assert finding.value == ""


def test_the_name_of_a_credential_is_checked() -> None:
    """Names of credentials stand in logs and metrics."""
    assert list(findings({"credentials": {"a b": {"kind": "environment"}}})) == ['credentials."a b"']


@pytest.mark.parametrize("key", ["access_key", "secret_key", "security_token"])
def test_secrets_are_read_from_files(tmp_path: Path, key: str) -> None:
    """Each key may stand in a file beside the config; the newline at its end is none of it."""
    (tmp_path / "key").write_text(f"{SECRET}\n")
    tree = static()
    tree["credentials"]["default"].pop(key, None)
    tree["credentials"]["default"][f"{key}_file"] = "key"
    found = settings(tree, tmp_path)
    assert getattr(found.credentials["default"], key).get_secret_value() == SECRET
    assert SECRET not in f"{found!r} {found.model_dump()} {found.model_dump_json()}"


def test_the_url_of_a_journal_is_read_from_a_file(tmp_path: Path) -> None:
    """A URL with a password can be kept out of the config."""
    (tmp_path / "url").write_text(f"postgresql://u:{SECRET}@h/db\n")
    journal = settings({"journal": {"url_file": "url"}}, tmp_path).journal
    assert journal.url.get_secret_value() == f"postgresql://u:{SECRET}@h/db"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nothing", None, "cannot be read: no such file or directory"),
        (".", None, "cannot be read: is a directory"),
        ("a\0b", None, "cannot be read: not a file name"),
        (3, None, "must be the name of a file, not a number"),
        ("key", b"\n", "names an empty file"),
        ("key", b"\xff", "names a file that is not UTF-8"),
    ],
)
def test_a_file_without_a_secret_is_told_once(tmp_path: Path, name: object, content: bytes | None, words: str) -> None:
    """The file is what is wrong, not that the key is missing as well."""
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    tree = static(secret_key_file=name)
    del tree["credentials"]["default"]["secret_key"]
    found = findings(tree, tmp_path)
    assert list(found) == ["credentials.default.secret_key_file"]
    assert found["credentials.default.secret_key_file"].message == f"secret_key_file {words}"


def test_a_secret_and_a_file_with_it_exclude_each_other() -> None:
    """It is not guessed which of the two is meant."""
    assert list(findings(static(secret_key_file="key"))) == ["credentials.default.secret_key_file"]


def where_secrets_stand(secret: str) -> list[dict[str, Any]]:
    """Return trees that have a secret in each of its places, good and bad."""
    return [
        *(static(**{key: secret}) for key in ("access_key", "secret_key", "security_token", "secert_key")),
        *(static(**{key: [secret]}) for key in ("access_key", "secret_key", "security_token")),
        {"journal": {"url": f"postgresql://u:{secret}@h/db"}},
        {"journal": {"url": f"postgresql://u:{secret}@@h/db"}},
        {"journal": {"url": secret, "keep": "x"}},
        {"cloud": {"ims_endpoint": f"https://u:{secret}@h"}},
        {"credentials": {"x": {"kind": "password", "password": secret}}},
    ]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?#@%*"), max_size=9))
def test_a_secret_shows_nowhere(text: str) -> None:
    """Neither settings nor findings show a secret, however they are written out."""
    secret = f"s3cr3t{text}"
    for tree in where_secrets_stand(secret):
        found = check({**CLOUD, **tree}, HERE)
        written = f"{found!r} {found!s}"
        if isinstance(found, Settings):
            written += f"{found.model_dump()} {found.model_dump_json()}"
        assert secret not in written
        assert repr(secret)[1:-1] not in written


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["environment", "static", "10s", "200/5m", "memory:", "*", "a@b", "[", "key"])
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)


@given(
    st.dictionaries(
        st.sampled_from([*Settings.model_fields]),
        TREES
        | st.dictionaries(
            st.sampled_from([key for section in SECTIONS for key in known_keys(section)]) | st.text(max_size=3),
            TREES,
            max_size=3,
        )
        | st.dictionaries(
            st.text(max_size=3), st.dictionaries(st.sampled_from(known_keys("credentials")), TREES), max_size=2
        ),
        max_size=4,
    )
)
def test_any_tree_is_settings_or_says_what_is_wrong(tree: dict[str, Any]) -> None:
    """Whatever a document holds, checking it never fails in another way, and every finding can be shown."""
    found = check({**CLOUD, **tree}, HERE)
    if not isinstance(found, Settings):
        assert found
        assert all((finding.message + finding.value + finding.hint).isprintable() for finding in found)
