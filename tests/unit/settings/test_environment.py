"""Settings from variables, and variables that are none."""

from __future__ import annotations

import pytest

from worker.settings.environment import read_environment, variable_of


def test_variables_make_the_tree_of_a_config() -> None:
    """Two underscores lead into a section, and into a credential of any name."""
    tree, warnings = read_environment(
        {
            "IMS_WORKER_MANIFEST": "a.toml,b.toml",
            "IMS_WORKER_CLOUD__REGION": "eu-west-101",
            "IMS_WORKER_JOURNAL__URL_FILE": "url",
            "IMS_WORKER_CREDENTIALS__BOOKS__KIND": "static",
            "IMS_WORKER_CREDENTIALS__BOOKS__SECRET_KEY_FILE": "key",
            "IMS_WORKER_CONFIG": "elsewhere.toml",
            "PATH": "/bin",
        }
    )
    assert tree == {
        "manifest": "a.toml,b.toml",
        "cloud": {"region": "eu-west-101"},
        "journal": {"url_file": "url"},
        "credentials": {"books": {"kind": "static", "secret_key_file": "key"}},
    }
    assert warnings == ()


@pytest.mark.parametrize("text", ["12345", "1e5", "true", "null", '"quoted"', "[1]", '{"a": 1}', " ", "a\udc80"])
def test_a_value_is_the_text_it_is(text: str) -> None:
    """A secret that looks like a number or like JSON is neither."""
    tree, _ = read_environment({"IMS_WORKER_CREDENTIALS__X__SECRET_KEY": text, "IMS_WORKER_CLOUD__REGION": text})
    assert tree == {"cloud": {"region": text}, "credentials": {"x": {"secret_key": text}}}


def test_an_empty_variable_counts_as_unset() -> None:
    """Templates often set what they do not know to nothing."""
    assert read_environment({"IMS_WORKER_CLOUD__REGION": "", "IMS_WORKER_MANIFEST": ""}) == ({}, ())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("IMS_WORKER_CLOUD__REGOIN", "; did you mean IMS_WORKER_CLOUD__REGION?"),
        ("IMS_WORKER_CLOUD", ""),
        ("IMS_WORKER_CREDENTIALS", ""),
        ("IMS_WORKER_CREDENTIALS__BOOKS", ""),
        ("IMS_WORKER_CREDENTIALS__BOOKS__SECRET", ""),
        ("IMS_WORKER_CREDENTIALS__A__B__KIND", ""),
        ("IMS_WORKER_PORT_9180_TCP_ADDR", ""),
        ("IMS_WORKER_SERVICE_HOST", ""),
        ("IMS_WORKER_cloud__region", ""),
    ],
)
def test_a_variable_that_is_no_setting_is_a_warning(name: str, hint: str) -> None:
    """A cluster injects names with our prefix, so an unknown one is reported and does nothing."""
    tree, warnings = read_environment({name: "secret-value"})
    assert tree == {}
    assert warnings == (f"{name} is not a setting, and is ignored{hint}",)


def test_a_strange_name_is_shown_safely() -> None:
    """The name of a variable may hold anything but an equals sign."""
    _, (warning,) = read_environment({"IMS_WORKER_\x1b[31m\udc80": "x"})
    assert warning.isprintable()


def test_only_what_is_given_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the process does not matter."""
    monkeypatch.setenv("IMS_WORKER_CLOUD__REGION", "eu-west-101")
    monkeypatch.setenv("IMS_WORKER_MANIFEST", "x.toml")
    assert read_environment({}) == ({}, ())


def test_a_path_has_the_name_of_its_variable() -> None:
    """A problem names the variable, without the position in a list."""
    assert variable_of(("manifest", 0)) == "IMS_WORKER_MANIFEST"
    assert variable_of(("cloud", "region")) == "IMS_WORKER_CLOUD__REGION"
