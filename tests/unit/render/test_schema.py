"""The JSON Schemas of manifest and config: what `check` accepts is valid, what it refuses for its form is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli
from builders import LEDGER, NAMES, PAYMENTS, UBUNTU, share
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from worker.commands.check import SCHEMAS
from worker.core.documents import At, Document
from worker.core.forms import Words, read_form
from worker.core.manifest.parse import parse_manifest
from worker.core.manifest.read_rule import findings_of
from worker.core.manifest.tables import NOUNS, ManifestTable, RuleTable
from worker.errors import ManifestError
from worker.render.schema import schema_json
from worker.settings import Settings
from worker.settings.check import check
from worker.settings.credentials import KINDS
from worker.settings.model import SECTIONS, known_keys

ROOT = Path(__file__).parents[3]
VALIDATORS = {name: Draft202012Validator(schema_json(name)) for name in SCHEMAS}
STATIC = '[credentials.x]\nkind = "static"\n'


def is_valid(name: str, tree: object) -> bool:
    """Tell whether a schema accepts a document."""
    return bool(VALIDATORS[name].is_valid(tree))


def blocks(text: str, language: str) -> list[str]:
    """Return the code of a language in a text of Markdown."""
    return [each.partition("```")[0] for each in text.split(f"```{language}\n")[1:]]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name: str) -> None:
    """It says what it is, by the dialect that it names, and is JSON."""
    schema = schema_json(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == f"ims-share-worker {name}"
    assert json.loads(json.dumps(schema)) == schema


def test_the_example_and_the_readme_are_valid() -> None:
    """What people copy from raises no complaint in their editor; nor does a secret in a file."""
    assert is_valid("config", tomli.loads((ROOT / "config.example.toml").read_text()))
    documents = [tomli.loads(each) for each in blocks((ROOT / "README.md").read_text(), "toml")]
    assert [is_valid("manifest" if "version" in each else "config", each) for each in documents] == [True] * len(
        documents
    )
    in_files = f'{STATIC}access_key_file = "a"\nsecret_key_file = "s"\n[journal]\nurl_file = "u"\n'
    assert is_valid("config", tomli.loads(in_files))


def test_every_setting_of_the_example_that_is_not_set_is_valid_too() -> None:
    """A line with `# ` before its key is there to be used."""
    lines = (ROOT / "config.example.toml").read_text().splitlines()
    unset = [line for line in lines if line.startswith("# ") and line.partition(" = ")[0][2:].isidentifier()]
    assert unset
    keys = {each for table in schema_json("config")["$defs"].values() for each in table.get("properties", ())}
    assert {line[2:].partition(" = ")[0] for line in unset} <= keys


def tables_of(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the properties of each table of a schema."""
    tables = {name: each["properties"] for name, each in schema["$defs"].items() if "properties" in each}
    return {**tables, "": schema["properties"]}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_is_described(name: str) -> None:
    """An editor shows what a key means, itself or by the table that stands under it."""
    schema = schema_json(name)
    for table, properties in tables_of(schema).items():
        for key, each in properties.items():
            referred = schema["$defs"][each["$ref"].rpartition("/")[2]] if "$ref" in each else {}
            assert {**referred, **each}.get("description") or key in {"kind", "credentials"}, (table, key)


def test_the_schema_of_the_config_has_every_key() -> None:
    """None that is a setting is missing, and none is there that is not."""
    tables = tables_of(schema_json("config"))
    assert set(tables.pop("")) == set(Settings.model_fields)
    models = {model.__name__: section for section, models in SECTIONS.items() for model in models}
    assert set(tables) == set(models)
    credentials = {model.__name__ for model in KINDS.values()}
    assert set().union(*(tables[each] for each in credentials)) == set(known_keys("credentials"))
    for table in set(tables) - credentials:
        assert set(tables[table]) == set(known_keys(models[table]))


def test_defaults_are_written_as_people_write_them() -> None:
    """An editor that fills in a default writes what the config takes."""
    tables = tables_of(schema_json("config"))
    found = {
        f"{table}.{key}": each["default"]
        for table, keys in tables.items()
        for key, each in keys.items()
        if "default" in each
    }
    some = (
        "Polling.first",
        "Polling.factor",
        "Polling.abandon",
        "Limits.burst",
        "Guards.max_reject",
        "Schedule.jitter",
    )
    assert [found[each] for each in some] == ["1s", 1.2, "1d", "100/s", "10%", "10%"]
    example = tomli.loads((ROOT / "config.example.toml").read_text())
    for key, default in found.items():
        section, _, name = key.lower().rpartition(".")
        if section in example:
            assert is_valid("config", {section: {name: default}}), key
            assert isinstance(check({**example, section: {**example[section], name: default}}, ROOT), Settings), key


def test_secrets_are_described_and_have_no_value() -> None:
    """Editors hide what is marked so; no default or example could be one."""
    for key in ("access_key", "secret_key", "security_token"):
        found = tables_of(schema_json("config"))["Static"][key]
        assert (found["format"], found["writeOnly"]) == ("password", True)
        assert not {"default", "examples", "const"} & found.keys()


@pytest.mark.parametrize(
    "text",
    [
        NAMES,
        NAMES + share(),
        NAMES + share('["*"]', '["ubuntu", "windows"]', '"rejected"', 'when_absent = "wait"'),
        NAMES + share(f'["{LEDGER.upper()}"]', f'["{UBUNTU.upper()}"]', more='vault = "weekly"'),
        f'version = 1\n[projects."ünï côde.1"]\nid = "{PAYMENTS}"\ncredential = "books"\nregion = "eu-de"\n',
    ],
)
def test_a_good_manifest_is_valid(text: str) -> None:
    """What `check` takes an editor takes."""
    parse_manifest([Document("m.toml", text.encode())])
    assert is_valid("manifest", tomli.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version = 2",
        "version = true",
        'version = "1"',
        "version = 1\nimages = 3",
        "version = 1\nprojects = []",
        "version = 1\nprojects.a = 3",
        "version = 1\nshare = [1]",
        "version = 1\n[share]",
        "version = 1\n[imagse]",
        "version = 1\nimages.a = 3",
        'version = 1\nimages.a = "nightly"',
        f'version = 1\nvaults.a = "{UBUNTU}0"',
        f'version = 1\nimages."" = "{UBUNTU}"',
        f'version = 1\nimages."*" = "{UBUNTU}"',
        f'version = 1\nimages."a\\u0007" = "{UBUNTU}"',
        f'version = 1\nimages.{UBUNTU} = "{UBUNTU}"',
        f'version = 1\nprojects.{PAYMENTS}.id = "{PAYMENTS}"',
        f'{NAMES}regoin = "x"',
        f'{NAMES}region = "eu_west"',
        f'{NAMES}region = ""',
        f"{NAMES}credential = 3",
        f'{NAMES}credential = ""',
        f"{NAMES}vault = 1",
        'version = 1\n[projects.a]\nid = "abc"',
        "version = 1\n[projects.a]",
        NAMES + "[[share]]",
        NAMES + share("[]"),
        NAMES + share(images="[]"),
        NAMES + share(images='"ubuntu"'),
        NAMES + share(images="[7]"),
        NAMES + share(status='"acepted"'),
        NAMES + share(status="1"),
        NAMES + share(more='when_absent = "wiat"'),
        NAMES + share(more="vault = []"),
        NAMES + share(more="zzz = 1"),
    ],
)
def test_a_manifest_that_is_wrong_by_its_form_is_refused_by_both(text: str) -> None:
    """What an editor could have shown, `check` shows, and the other way round."""
    with pytest.raises(ManifestError):
        parse_manifest([Document("m.toml", text.encode())])
    assert not is_valid("manifest", tomli.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "regoin = 1",
        "manifest = []",
        'manifest = [""]',
        "manifest = 3",
        "cloud = 3",
        "[cloud]\nregion = 3",
        '[cloud]\nregion = "eu west"',
        '[cloud]\nims_endpoint = "ftp://x"',
        '[cloud]\njob_api = "lagacy"',
        "[cloud]\nread_timeout = 10",
        '[cloud]\nread_timeout = "10"',
        '[cloud]\nregin = "x"',
        '[limits]\nburst = "100"',
        "[limits]\nburst = 100",
        "[limits]\nmax_connections = 0",
        "[limits]\nmax_connections = 10001",
        "[limits]\nmax_connections = true",
        "[batch]\nmax_images = 1.5",
        "[polling]\nfactor = 0.5",
        '[polling]\nfactor = "fast"',
        "[guards]\nmax_reject = -1",
        '[guards]\nmax_reject = "10 percent"',
        '[schedule]\nevery = "1m"\ncron = "* * * * *"',
        '[schedule]\ncron = "* * *"',
        '[schedule]\ntimezone = "../x"',
        '[schedule]\njitter = "much"',
        '[server]\nlisten = "9180"',
        '[journal]\nurl = "mysql://x"',
        '[journal]\nurl = "memory:"\nurl_file = "x"',
        '[log]\nlevel = "loud"',
        "[credentials]\nx = 3",
        "[credentials.x]",
        '[credentials.x]\nkind = "statik"',
        '[credentials.x]\nkind = "environment"\nsecret_key = "s"',
        '[credentials."a b"]\nkind = "environment"',
        f'{STATIC}access_key = "a"',
        f'{STATIC}access_key = "a b"\nsecret_key = "s"',
        f'{STATIC}access_key = "a"\nsecret_key = "s"\nsecret_key_file = "f"',
        f'{STATIC}access_key = "a"\nsecret_key = "s"\nsecurity_token = ""',
    ],
)
def test_a_config_that_is_wrong_by_its_form_is_refused_by_both(text: str) -> None:
    """As for the manifest."""
    tree = tomli.loads(text)
    assert not isinstance(check({**tree, "cloud": tree.get("cloud", {"region": "x"})}, Path()), Settings)
    assert not is_valid("config", tree)


WORDS = st.sampled_from(
    ["a", "ubuntu", "*", "", UBUNTU, PAYMENTS, "accepted", "rejected", "wait", "eu-de", "é", "a\tb"]
)
LEAVES = st.one_of(WORDS, st.integers(0, 2), st.booleans(), st.just([]), st.just({}))
LISTS = st.lists(LEAVES, max_size=2)


def table(keys: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Return tables with these keys and an odd one, each there or not."""
    return st.dictionaries(st.sampled_from([*keys, "odd"]), LEAVES | LISTS, max_size=4)


SPANS = st.sampled_from(["7d", " 1.5 h ", "0d", "0.0s", "00ms", "0.5s", "10m", "7", "d", "7w", "-1d", "0.001 ms"])
PROJECTS = st.fixed_dictionaries({"id": st.just(PAYMENTS)}, optional={"region": WORDS, "vault": WORDS}) | table(["id"])
SHARES = st.fixed_dictionaries(
    {"projects": st.just(["*"]), "images": st.lists(WORDS, min_size=1, max_size=2), "status": WORDS},
    optional={"when_absent": WORDS, "vault": LEAVES},
) | table(["projects", "images", "status"])
RULES = st.fixed_dictionaries(
    {"name": WORDS, "projects": st.just(["*"]), "status": st.sampled_from(["accepted", "rejected", "reported", "x"])},
    optional={
        "owner": st.just("*") | WORDS,
        "image": WORDS | LEAVES,
        "os_type": LEAVES,
        "full_ecs": LEAVES,
        "tag": st.sampled_from(["a=b", "a=", "=b", "a", "a=\n"]) | st.lists(st.sampled_from(["a=b", "a"]), max_size=2),
        "max_age": SPANS | LEAVES,
        "pending_for": SPANS | LEAVES,
        "newest": LEAVES,
        "min_accepted": LEAVES,
        "group": st.sampled_from(["{name}", "g-{name}-*", "g-*", "{name}{name}", "***{name}", "*{name}*"]) | LEAVES,
    },
)
MANIFESTS = st.fixed_dictionaries(
    {"version": st.just(1)},
    optional={
        "images": st.dictionaries(WORDS, st.just(UBUNTU) | LEAVES, max_size=2) | LEAVES,
        "vaults": st.dictionaries(WORDS, st.just(UBUNTU) | LEAVES, max_size=2) | LEAVES,
        "projects": st.dictionaries(WORDS, PROJECTS | LEAVES, max_size=2) | LEAVES,
        "share": st.lists(SHARES | LEAVES, max_size=2) | LEAVES,
        "owners": st.dictionaries(WORDS, st.just(PAYMENTS) | LEAVES, max_size=2) | LEAVES,
        "rule": st.lists(RULES.filter(lambda each: each["status"] != "accepted") | LEAVES, max_size=2) | LEAVES,
    },
) | table(["version", "images", "share"])


@given(MANIFESTS)
def test_schema_and_check_agree_on_the_form_of_any_manifest(tree: dict[str, Any]) -> None:
    """Neither takes what the other refuses, wherever the form alone decides."""
    words = Words(lambda _: (), NOUNS, lambda *_: "")
    findings = read_form(ManifestTable, tree, At("m.toml"), words).findings
    assert is_valid("manifest", tree) == (not findings), findings


@given(RULES)
def test_schema_and_check_agree_on_the_form_of_any_rule(tree: dict[str, Any]) -> None:
    """Also on what two of its keys say together: a rule that accepts names whose images it accepts."""
    words = Words(lambda _: (), NOUNS, lambda *_: "")
    form = read_form(RuleTable, tree, At("m.toml", ("rule", 0)), words)
    findings = (*form.findings, *findings_of(form.table, {path[0] for path in form.wrong}, At("m.toml")))
    assert is_valid("manifest", {"version": 1, "rule": [tree]}) == (not findings), findings
