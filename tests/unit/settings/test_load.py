"""Where settings come from, and which layer is told of a problem."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from worker.errors import Problem, SettingsError
from worker.settings import Loaded, load_settings, manifest_names
from worker.settings.credentials import KINDS

REGION = {"IMS_WORKER_CLOUD__REGION": "eu-west-101"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problems(
    path: Path | None = None, environ: dict[str, str] | None = None, overrides: dict[str, Any] | None = None
) -> tuple[Problem, ...]:
    """Return what is wrong with settings."""
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ or {}, overrides or {})
    assert not isinstance(caught.value.__context__, ValidationError)  # whose text shows what was given
    return caught.value.problems


def test_options_go_over_the_environment_over_the_file_over_defaults(here: Path) -> None:
    """Each layer says only what it wants to be different, key by key."""
    Path("c.toml").write_text(
        "[cloud]\nregion = 'file'\n[batch]\nmax_images = 1\npage_size = 1\n[log]\nlevel = 'error'\n"
        "[credentials.books]\nkind = 'static'\naccess_key = 'file'\nsecret_key = 'file'\n"
    )
    environ = {
        "IMS_WORKER_BATCH__MAX_IMAGES": "2",
        "IMS_WORKER_LOG__LEVEL": "warning",
        "IMS_WORKER_CREDENTIALS__BOOKS__SECRET_KEY": "env",
    }
    settings = load_settings(Path("c.toml"), environ, {"log": {"level": "debug"}}).settings
    assert settings.cloud.region == "file"
    assert (settings.batch.max_images, settings.batch.page_size, settings.retry.attempts) == (2, 1, 6)
    assert settings.log.level == "debug"
    books = settings.credentials["books"]
    assert books.kind == "static"
    assert (books.access_key.get_secret_value(), books.secret_key.get_secret_value()) == ("file", "env")


def test_the_config_is_found_by_option_variable_or_default() -> None:
    """An option goes over the variable, which goes over the working directory; all may be missing."""
    for name in ("option", "variable", "config"):
        Path(f"{name}.toml").write_text(f"[cloud]\nregion = '{name}'\n")
    variable = {"IMS_WORKER_CONFIG": "variable.toml"}
    assert load_settings(Path("option.toml"), variable, {}).settings.cloud.region == "option"
    assert load_settings(None, variable, {}).settings.cloud.region == "variable"
    assert load_settings(None, {"IMS_WORKER_CONFIG": ""}, {}).settings.cloud.region == "config"
    Path("config.toml").unlink()
    loaded = load_settings(None, REGION, {})
    assert (loaded.file, loaded.base, loaded.settings.cloud.region) == (None, Path(), "eu-west-101")


def test_paths_are_relative_to_the_config(here: Path) -> None:
    """A config may be used from anywhere, also through a link, whose own directory counts."""
    (here / "etc").mkdir()
    (here / "real.toml").write_text("[cloud]\nregion = 'x'\nca_file = 'ca.pem'\n")
    (here / "etc/c.toml").symlink_to("../real.toml")
    (here / "etc/ca.pem").touch()
    loaded = load_settings(Path("etc/c.toml"), {}, {})
    assert (loaded.file, loaded.base) == (Path("etc/c.toml"), Path("etc"))
    assert loaded.settings.cloud.ca_file == Path("etc/ca.pem")
    assert loaded.settings.journal.place == f"sqlite:///{here}/etc/ims-share-worker.db"


def test_unknown_variables_come_back_as_warnings() -> None:
    """They are values; logging them is somebody else's."""
    assert load_settings(None, REGION | {"IMS_WORKER_PORT": "tcp://1"}, {}).warnings == (
        "IMS_WORKER_PORT is not a setting, and is ignored",
    )


@pytest.mark.parametrize(
    ("path", "environ"), [(Path("no.toml"), REGION), (None, REGION | {"IMS_WORKER_CONFIG": "no.toml"})]
)
def test_a_config_that_is_asked_for_must_exist(path: Path | None, environ: dict[str, str]) -> None:
    """A file that was named is not silently done without."""
    hint = "" if path else "$IMS_WORKER_CONFIG names it"
    missing = Problem("no.toml", 0, 0, "", "cannot be read: no such file or directory", hint=hint)
    assert problems(path, environ) == (missing,)


def test_a_config_that_cannot_be_read_is_a_problem(here: Path) -> None:
    """A directory and an impossible name are told like a missing file; broken TOML has its place."""
    assert [problem.message for problem in problems(here)] == ["cannot be read: is a directory"]
    assert [problem.message for problem in problems(Path("a\0b"))] == ["cannot be read: not a file name"]
    Path("c.toml").write_text("[cloud]\nregion = \n")
    assert [str(problem) for problem in problems(Path("c.toml"))] == ["c.toml:2:10: not TOML: invalid value"]


def test_each_layer_is_told_of_its_own_problems(here: Path) -> None:
    """All problems come at once, each where its value was given: line and column, variable, or option."""
    Path("c.toml").write_text(
        "regoin = 1\n[batch]\nmax_images = 0\n[credentials]\nx = {kind = 'static', access_key = 'a'}\n"
    )
    environ = {"IMS_WORKER_POLLING__MAX": "1", "IMS_WORKER_MANIFEST": ","}
    found = problems(Path("c.toml"), environ, {"log": {"level": "loud"}, "cloud": {"region": ""}})
    assert [(problem.file, problem.line, problem.column, problem.path) for problem in found] == [
        ("c.toml", 1, 1, "regoin"),
        ("c.toml", 3, 14, "batch.max_images"),
        ("c.toml", 5, 1, "credentials.x.secret_key"),
        ("command line", 0, 0, "cloud.region"),
        ("command line", 0, 0, "log.level"),
        ("environment", 0, 0, "IMS_WORKER_MANIFEST"),
        ("environment", 0, 0, "IMS_WORKER_MANIFEST"),
        ("environment", 0, 0, "IMS_WORKER_POLLING__MAX"),
    ]
    assert found[1].value == "0"


def test_without_a_config_what_is_missing_is_the_config() -> None:
    """What it would have had to say is not missed as well; what a variable says wrongly is told beside it."""
    (problem,) = problems()
    assert str(problem).startswith("no config: looked for ./config.toml and $IMS_WORKER_CONFIG (")
    found = problems(environ={"IMS_WORKER_CREDENTIALS__BOOKS__ACCESS_KEY": "ak", "IMS_WORKER_BATCH__MAX_IMAGES": "0"})
    assert [(each.file, each.path) for each in found[1:]] == [
        ("environment", "IMS_WORKER_BATCH__MAX_IMAGES"),
        ("environment", "IMS_WORKER_CREDENTIALS__BOOKS__KIND"),
    ]
    (problem,) = problems(environ={"IMS_WORKER_CLOUD__REGION": "no region"})
    assert problem.path == "IMS_WORKER_CLOUD__REGION"


def test_a_layer_that_has_a_value_where_a_section_belongs_replaces_it(here: Path) -> None:
    """A wrong value of a stronger layer is told, not hidden by the good section below it."""
    Path("config.toml").write_text("[cloud]\nregion = 'x'\n")
    assert [(problem.file, problem.path) for problem in problems(overrides={"cloud": 3})] == [("command line", "cloud")]


@pytest.mark.parametrize(
    ("config", "environ", "names"),
    [
        ("manifest = ['a.toml']\nregoin = 1", {}, ("a.toml",)),
        ("manifest = ['a.toml']\nregoin = 1", {"IMS_WORKER_MANIFEST": "b.toml,c.toml"}, ("b.toml", "c.toml")),
        ("regoin = 1", {}, ("manifest.toml",)),
        ("manifest = [1]", {}, ()),
        ("manifest = [", {}, ()),
    ],
)
def test_a_wrong_config_still_tells_where_the_manifest_is(
    config: str, environ: dict[str, str], names: tuple[str, ...]
) -> None:
    """The manifest's problems can be told beside the config's, unless nobody can know where it is."""
    Path("etc").mkdir()
    Path("etc/c.toml").write_text(config)
    found = manifest_names(Path("etc/c.toml"), environ)
    assert found == (names, Path("etc") if names else Path())
    assert manifest_names(None, {}) == ((), Path())
    Path("manifest.toml").touch()
    assert manifest_names(None, {}) == (("manifest.toml",), Path())


PIECES = [
    *("[cloud]", "[credentials.default]", "[credentials]", "[journal]", "[schedule]", "[limits]", "[server]", "[x]"),
    *('region = "eu"', "region = 1", 'kind = "static"', 'kind = "agency"', 'access_key = "é"', 'secret_key = "s"'),
    *(
        'secret_key_file = "/dev/null"',
        'url = "memory:"',
        "url = {}",
        'cron = "* * * * *"',
        'every = "1m"',
        "every = nan",
    ),
    *('burst = "1/s"', "burst = [1]", 'listen = ":"', "manifest = [[]]", 'manifest = ["*"]', "cloud.region.x = 1", "["),
]


@given(st.lists(st.sampled_from(PIECES), max_size=10).map("\n".join).map(str.encode) | st.binary(max_size=60))
def test_any_config_gives_settings_or_says_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory, source: bytes
) -> None:
    """Whatever bytes a config has, loading it never fails in another way."""
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(source)
    try:
        found: Loaded | tuple[Problem, ...] = load_settings(file, REGION, {})
    except SettingsError as error:
        found = error.problems
    assert isinstance(found, Loaded) or all(problem.message.isprintable() for problem in found)
    assert found


def test_files_that_are_read_with_the_settings_are_named(tmp_path: Path) -> None:
    """A profile is one; a token is read anew each time, so that one that is replaced changes no settings."""
    (tmp_path / "key").write_text("SK")
    text = """
    [cloud]
    region = "eu-west-101"
    [credentials.a]
    kind = "static"
    access_key = "AK"
    secret_key_file = "key"
    [credentials.b]
    kind = "profile"
    file = "profile"
    [credentials.c]
    kind = "profile"
    [credentials.d]
    kind = "oidc"
    token_file = "token"
    """
    (tmp_path / "config.toml").write_text(text)
    loaded = load_settings(tmp_path / "config.toml", {"HOME": "/home/ann"}, {})
    assert loaded.named == (Path("/home/ann/.huaweicloud/credentials"), tmp_path / "key", tmp_path / "profile")


@pytest.mark.parametrize("name", ["key", "profile", "token", "url"])
def test_a_secret_that_everybody_may_read_is_warned_about(name: str, tmp_path: Path) -> None:
    """By the name of its file, and the way out; it is no error, for it may be on purpose."""
    for each in ("key", "profile", "token", "url", "ca"):
        (tmp_path / each).write_text("memory:")
        (tmp_path / each).chmod(0o644 if each in {name, "ca"} else 0o640)
    tables = {
        "a": {"kind": "static", "access_key": "AK", "secret_key_file": "key"},
        "b": {"kind": "profile", "file": "profile"},
        "d": {"kind": "oidc", "token_file": "token"},
    }
    (tmp_path / "config.toml").write_text(
        '[cloud]\nregion = "eu-west-101"\nca_file = "ca"\n[journal]\nurl_file = "url"\n'
    )
    (warning,) = load_settings(tmp_path / "config.toml", {}, {"credentials": tables}).warnings
    assert warning.startswith(
        f"{tmp_path / name} holds a secret, and every user of this machine can read it: chmod o= "
    )


VARIABLES = {
    "profile": "HUAWEICLOUD_SDK_CREDENTIALS_FILE",
    "oidc": "HUAWEICLOUD_OIDC_TOKEN_FILE",
    "pod-identity": "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE",
}


@pytest.mark.parametrize("kind", KINDS)
def test_so_is_one_that_a_variable_names(kind: str, tmp_path: Path) -> None:
    """Of each kind that reads a file because a variable says so, and of no other; nor where the token is in another."""
    (tmp_path / "secret").write_text("a secret")
    (tmp_path / "secret").chmod(0o644)
    keys: dict[str, object] = {"kind": kind}
    match kind:
        case "static":
            keys |= {"access_key": "AK", "secret_key": "SK"}
        case "password":
            keys |= {"user": "robot", "domain": "acme", "password": "word"}
        case "agency":
            keys |= {"source": "default", "agency": "a", "domain": "b"}
    tables = {"a": keys, "default": {"kind": "environment"}}
    overrides = {"cloud": {"region": "eu-west-101"}, "credentials": tables}
    environ = dict.fromkeys(VARIABLES.values(), str(tmp_path / "secret"))
    (tmp_path / "config.toml").write_text("")
    warnings = load_settings(tmp_path / "config.toml", environ, overrides).warnings
    assert [each.split(" holds ")[0] for each in warnings] == [str(tmp_path / "secret")] * (kind in VARIABLES)
    if kind == "oidc":
        environ["HUAWEICLOUD_OIDC_ID_TOKEN"] = "another"
        assert load_settings(tmp_path / "config.toml", environ, overrides).warnings == ()


def test_a_file_of_a_mount_that_cannot_be_written_to_is_not_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a Secret: its rights are not for who reads it to change. So it is with every file of a secret."""
    for name in ("access", "secret", "security", "password", "profile", "token", "url"):
        (tmp_path / name).write_text("memory:" if name == "url" else "a-secret")
        (tmp_path / name).chmod(0o644)
    (tmp_path / "config.toml").write_text(
        '[cloud]\nregion = "eu-west-101"\n[journal]\nurl_file = "url"\n'
        '[credentials.a]\nkind = "static"\naccess_key_file = "access"\nsecret_key_file = "secret"\n'
        'security_token_file = "security"\n[credentials.b]\nkind = "password"\nuser = "u"\ndomain = "d"\n'
        'password_file = "password"\n[credentials.c]\nkind = "profile"\nfile = "profile"\n'
        '[credentials.d]\nkind = "oidc"\ntoken_file = "token"\n'
    )
    assert len(load_settings(tmp_path / "config.toml", {}, {}).warnings) == 7
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert load_settings(tmp_path / "config.toml", {}, {}).warnings == ()
