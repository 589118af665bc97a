"""The example config shows every setting with its default, and can be used as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli

from worker.settings import load_settings, manifest_files
from worker.settings.credentials import KINDS, Environment
from worker.settings.model import SECTIONS, known_keys

EXAMPLE = Path(__file__).parents[3] / "config.example.toml"
SHOWN_UNSET = {
    "# cron",
    "# url_file",
    *(f"# {key}" for key in known_keys("credentials") if key not in Environment.model_fields),
}


def keys_in(section: str) -> set[str]:
    """Return the keys that the example shows in a section, those that are not set with `# ` before them."""
    text = EXAMPLE.read_text()
    if section:
        text = text.partition(f"\n[{section}]\n")[2]
    text = text.partition("\n[")[0]
    starts = (line.partition(" = ") for line in text.splitlines())
    return {key for key, equals, _ in starts if equals and key.removeprefix("# ").isidentifier()}


@pytest.mark.parametrize("section", [section for section in SECTIONS if section != "credentials"])
def test_every_setting_stands_in_the_example(section: str) -> None:
    """No setting is left out, and none is there that does not exist."""
    shown = keys_in(section)
    assert {key.removeprefix("# ") for key in shown} == set(known_keys(section))
    assert {key for key in shown if key.startswith("#")} <= SHOWN_UNSET


def test_every_key_of_a_credential_stands_in_the_example() -> None:
    """The default credential shows its keys, also those of the other kinds."""
    shown = keys_in("credentials.default")
    assert {key.removeprefix("# ") for key in shown} == set(known_keys("credentials"))
    assert {key for key in shown if key.startswith("#")} <= SHOWN_UNSET


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_credential_is_told_of_in_the_example(kind: str) -> None:
    """Each has a line that begins with its word."""
    assert f"\n# {kind}: " in EXAMPLE.read_text()


def test_the_example_has_the_defaults(tmp_path: Path) -> None:
    """What the example sets is what holds without it."""
    config = tmp_path / "config.toml"
    config.write_bytes(EXAMPLE.read_bytes())
    bare = tmp_path / "bare.toml"
    bare.write_text('[cloud]\nregion = "eu-west-101"\n')
    assert load_settings(config, {}, {}).settings == load_settings(bare, {}, {}).settings


def test_the_example_finds_the_manifest_beside_it(tmp_path: Path) -> None:
    """A copy of the example and a manifest are enough to begin with."""
    (tmp_path / "config.toml").write_bytes(EXAMPLE.read_bytes())
    (tmp_path / "manifest.toml").write_text("version = 1\n")
    loaded = load_settings(tmp_path / "config.toml", {}, {})
    assert manifest_files(loaded.settings.manifest, loaded.base) == (tmp_path / "manifest.toml",)
    assert tomli.loads(EXAMPLE.read_text())["cloud"]["region"] == "eu-west-101"
