"""What `check` warns of: settings that are good in form, and hardly what anybody means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cloud.regions import CloudName, Endpoints, Service, is_known
from worker.core.documents import Document
from worker.core.manifest.parse import parse_manifest
from worker.settings import load_settings
from worker.settings.odd import odd_regions

EXAMPLE = Path(__file__).parents[3] / "config.example.toml"
GOOD = '[cloud]\nregion = "eu-west-101"\n'


def odd(folder: Path, config: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return what is odd about a config, as it is printed."""
    file = folder / "config.toml"
    file.write_text(config)
    loaded = load_settings(file, environ or {}, {})
    return [str(problem).removeprefix(f"{folder}/") for problem in loaded.odd_problems()]


@pytest.mark.parametrize("config", [GOOD, EXAMPLE.read_text()], ids=["two lines", "the example"])
def test_what_is_as_it_should_be_is_not_odd(tmp_path: Path, config: str) -> None:
    """Neither the shortest config nor the one that shows every key."""
    assert odd(tmp_path, config) == []


@pytest.mark.parametrize(
    ("config", "place", "words"),
    [
        ('[cloud]\nregion = "eu-west-109"\n', "config.toml:2:10: cloud.region", '"eu-west-109" is none that'),
        (
            f'{GOOD}[journal]\nurl = "sqlite:///gone/journal.db"\n',
            "config.toml:4:7: journal.url",
            "does not exist (make it first)",
        ),
        (
            f'{GOOD}[journal]\nurl = "postgresql://some_body:a_word@my_db:5432/x"\n',
            "config.toml:4:7: journal.url",
            "the host of the journal has an underscore",
        ),
        (f'{GOOD}[server]\nlisten = "0.0.0.0:80"\n', "config.toml:4:10: server.listen", "there is no login"),
        (f'{GOOD}[server]\nlisten = "[::]:80"\n', "config.toml:4:10: server.listen", "there is no login"),
        (f'{GOOD}[polling]\nabandon = "5m"\n', "config.toml:4:11: polling.abandon", "shorter than polling.deadline"),
        (f'{GOOD}[polling]\nunknown = "1m"\n', "config.toml:4:11: polling.unknown", "cloud.read_timeout together"),
        (f'{GOOD}read_timeout = "3m"\n', "config.toml:1:1: polling.unknown", "shorter than cloud.connect_timeout"),
        (f'{GOOD}[polling]\ndeadline = "20s"\n', "config.toml:4:12: polling.deadline", "shorter than polling.max"),
        (
            f'{GOOD}[polling]\ndeadline = "30s"\nverify = "40s"\n',
            "config.toml:4:12: polling.deadline",
            "shorter than polling.verify",
        ),
    ],
)
def test_what_is_odd_is_told_with_its_place_and_why(tmp_path: Path, config: str, place: str, words: str) -> None:
    """One of each kind, and nothing beside it."""
    (found,) = odd(tmp_path, config)
    assert found.startswith(place)
    assert words in found


def test_a_host_by_the_user_and_password_before_it_is_not_misread(tmp_path: Path) -> None:
    """Their underscores are nobody's affair, and neither is repeated."""
    assert odd(tmp_path, f'{GOOD}[journal]\nurl = "postgresql://some_body:a_word@db/x_y"\n') == []


def test_a_missing_driver_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a run finds out."""
    monkeypatch.setattr("worker.settings.odd.find_spec", lambda _: None)
    (found,) = odd(tmp_path, f'{GOOD}[journal]\nurl = "postgresql://db/x"\n')
    assert "pip install 'ims-share-worker[postgres]'" in found
    assert odd(tmp_path, f'{GOOD}[journal]\nurl = "memory:"\n') == []


def test_a_variable_is_told_as_such(tmp_path: Path) -> None:
    """It is odd where it stands."""
    (found,) = odd(tmp_path, GOOD, {"IMS_WORKER_SERVER__LISTEN": "0.0.0.0:80"})
    assert found.startswith("environment: IMS_WORKER_SERVER__LISTEN: ")


def test_each_region_of_projects_that_is_unknown_is_told_once(tmp_path: Path) -> None:
    """At the first that names it; not that of the config, which has been told already."""
    tables = "".join(
        f'[projects.p{number}]\nid = "{number:032x}"\nregion = "{region}"\n'
        for number, region in enumerate(["eu-west-101", "cn-mars-1", "cn-mars-1", "cn-moon-1"])
    )
    documents = (Document("manifest.toml", f"version = 1\n{tables}".encode()),)
    (tmp_path / "config.toml").write_text('[cloud]\nregion = "cn-moon-1"\n')
    loaded = load_settings(tmp_path / "config.toml", {}, {})
    (found,) = odd_regions(loaded.settings.cloud, parse_manifest(documents), documents)
    assert str(found).startswith('manifest.toml:7:10: projects.p1.region: region "cn-mars-1"')


def test_where_hosts_are_given_no_region_is_odd(tmp_path: Path) -> None:
    """Nothing is made of it."""
    assert odd(tmp_path, '[cloud]\nregion = "my-own-1"\nims_endpoint = "https://ims.example.com"\n') == []
    assert odd(tmp_path, '[cloud]\nregion = "my-own-1"\ncloud = "hcs"\ndomain = "cloud.example.com"\n') == []


@given(st.sampled_from(CloudName), st.sampled_from(["eu-de", "eu-ch2", "eu-west-0", "ru-moscow-1", "eu-west-101"]))
def test_a_known_region_has_hosts(cloud: CloudName, region: str) -> None:
    """What is known of the default cloud leads somewhere."""
    if cloud is CloudName.HUAWEI:
        assert is_known(cloud, region)
        assert Endpoints(cloud, region).origin(Service.IMS).startswith(f"https://ims.{region}.")
