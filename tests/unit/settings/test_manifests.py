"""The files of the manifest, and that a vanished one is never an empty one."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.core.documents import Document
from worker.errors import SettingsError
from worker.settings import manifest_files, read_manifests


def messages(base: Path, *names: str) -> list[str]:
    """Return what is wrong with the files of a manifest."""
    for function in (manifest_files, read_manifests):
        with pytest.raises(SettingsError) as caught:
            function(names, base)
    return [f"{problem.file} {problem.message}" for problem in caught.value.problems]


def test_files_and_patterns_are_found_once_each_and_sorted(tmp_path: Path) -> None:
    """Patterns are relative to the config, may go deep or start at the root, and pass over hidden files."""
    for name in ("b.toml", "a.toml", "deep/er/c.toml", ".hidden.toml", "odd[1].toml", "x.toml/inner.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    names = ("*.toml", "b.toml", "./a.toml", "deep/**/*.toml", "odd[1].toml", f"{tmp_path}/b*")
    files = manifest_files(names, tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        "a.toml",
        "b.toml",
        "deep/er/c.toml",
        "odd[1].toml",
    ]
    assert read_manifests(("b.toml",), tmp_path) == (Document(f"{tmp_path}/b.toml", b"b.toml"),)


def test_names_are_shown_as_the_config_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages have short names when the config is given by a short name."""
    monkeypatch.chdir(tmp_path)
    Path("etc").mkdir()
    Path("etc/m.toml").touch()
    Path("m.toml").touch()
    assert manifest_files(("m.toml",), Path()) == (Path("m.toml"),)
    assert manifest_files(("*.toml",), Path("etc")) == (Path("etc/m.toml"),)


def test_what_leads_to_no_file_is_a_problem(tmp_path: Path) -> None:
    """Every path that does not exist, every pattern without a match and every directory is told."""
    (tmp_path / "d").mkdir()
    assert messages(tmp_path, "no.toml", "no*.toml", "d", "a\0b") == [
        f"{tmp_path}/a\0b the manifest does not exist",
        f"{tmp_path}/d the manifest cannot be read: is a directory",
        f"{tmp_path}/no*.toml the manifest matches no file",
        f"{tmp_path}/no.toml the manifest does not exist",
    ]


def test_a_file_that_vanishes_after_it_was_found_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two a file may be replaced; that is no bug and no empty manifest."""
    gone = tmp_path / "gone.toml"
    monkeypatch.setattr("worker.settings.manifests.manifest_files", lambda *_: (gone,))
    with pytest.raises(SettingsError, match="the manifest cannot be read: no such file"):
        read_manifests(("gone.toml",), tmp_path)
