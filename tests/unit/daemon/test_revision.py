"""What config and manifest say at one time: which files that was read from, and whether connections can stay open."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import ACCESS_KEY, SECRET_KEY, Folder, fleet, manifest, share

from worker.core.fleet.selection import Selector
from worker.core.manifest.listed import Listed, ProjectList
from worker.daemon.revision import Reader
from worker.daemon.watching import Sources
from worker.errors import ManifestError, SettingsError

WORLD = fleet(2)
ENVIRON = {"HUAWEICLOUD_SDK_AK": ACCESS_KEY, "HUAWEICLOUD_SDK_SK": SECRET_KEY}


@pytest.fixture
def here(tmp_path: Path) -> Folder:
    """Return a folder with a config and a manifest, whose keys are in a file of their own."""
    folder = Folder(tmp_path)
    folder.configure("http://127.0.0.1:1")
    replace(folder, "config.toml", f'secret_key = "{SECRET_KEY}"', 'secret_key_file = "key"')
    folder.write("key", SECRET_KEY)
    folder.write("manifest.toml", manifest(WORLD))
    return folder


def replace(here: Folder, name: str, old: str, new: str) -> None:
    """Replace what stands in a file, which it must."""
    text = (here.path / name).read_text()
    assert old in text
    here.write(name, text.replace(old, new))


def with_a_manifest(here: Folder, names: str) -> None:
    """Have the config name its manifest."""
    config = (here.path / "config.toml").read_text()
    here.write("config.toml", f"manifest = {names}\n{config}")


def reader(here: Folder, name: str = "config.toml") -> Reader:
    """Return who reads the folder's files."""
    return Reader(here.path / name, ENVIRON, Selector())


def authority() -> str:
    """Return the certificate of an authority that the system trusts."""
    context = ssl.create_default_context()
    if not context.get_ca_certs():
        pytest.skip("this system trusts no authority")
    return ssl.DER_cert_to_PEM_cert(context.get_ca_certs(binary_form=True)[0])


def names(here: Folder, sources: Sources) -> set[str]:
    """Return the names of files, from the folder on."""
    return {str(file.relative_to(here.path)) for file in sources.found()}


def test_all_files_that_count_are_known(here: Folder) -> None:
    """The config, the manifest, secrets in files and a private authority, by absolute names."""
    here.write("ca.pem", authority())
    replace(here, "config.toml", "[cloud]\n", '[cloud]\nca_file = "ca.pem"\n')
    found = reader(here).read()
    assert names(here, found.sources) == {"config.toml", "manifest.toml", "key", "ca.pem"}
    assert all(file.is_absolute() for file in found.sources.files)
    assert found.seen == found.sources.fingerprint()


def test_without_a_config_the_manifest_counts(here: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """All settings may come from the environment."""
    (here.path / "config.toml").unlink()
    monkeypatch.chdir(here.path)
    environ = {**ENVIRON, "IMS_WORKER_CLOUD__REGION": "eu-west-101"}
    assert names(here, Reader(None, environ, Selector()).read().sources) == {"manifest.toml"}


def test_a_pattern_stays_one(here: Folder) -> None:
    """What it finds later counts too; a name that only looks like a pattern is a name."""
    (here.path / "teams").mkdir()
    here.write("teams/a.toml", manifest(WORLD))
    here.write("[odd].toml", "version = 1\n")
    with_a_manifest(here, '["teams/*.toml", "[odd].toml"]')
    sources = reader(here).read().sources
    assert sources.patterns == (str(here.path / "teams" / "*.toml"),)
    assert names(here, sources) == {"config.toml", "key", "teams/a.toml", "[odd].toml"}
    here.write("teams/b.toml", "version = 1\n")
    assert "teams/b.toml" in names(here, sources)


def limits(here: Folder) -> None:
    """Lower a limit."""
    replace(here, "config.toml", "[polling]", '[limits]\nmembers_put = "7/1m"\n[polling]')


def renewed_key(here: Folder) -> None:
    """Put another key into the file."""
    here.write("key", "another-key")


def other_journal(here: Folder) -> None:
    """Name another journal."""
    replace(here, "config.toml", "journal.db", "other.db")


def new_credential(here: Folder) -> None:
    """Let a project use another credential."""
    keys = '[credentials.other]\nkind = "static"\naccess_key = "AKOFANOTHER"\nsecret_key = "another-key"\n'
    replace(here, "config.toml", "[polling]", f"{keys}[polling]")
    replace(here, "manifest.toml", "[projects.ledger]\n", '[projects.ledger]\ncredential = "other"\n')


def manifest_only(here: Folder) -> None:
    """Wish for something else."""
    here.write("manifest.toml", manifest(WORLD, share(WORLD, "rejected")))


def rhythm(here: Folder) -> None:
    """Change what each pass asks for anew."""
    replace(here, "config.toml", "[polling]", '[schedule]\nevery = "1m"\n[batch]\nmax_images = 3\n[polling]')


def nothing(here: Folder) -> None:
    """Write the same again, with a comment."""
    replace(here, "config.toml", "[polling]", "# a comment\n[polling]")


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        (limits, False),
        (renewed_key, False),
        (other_journal, False),
        (new_credential, False),
        (manifest_only, True),
        (rhythm, True),
        (nothing, True),
    ],
)
def test_connections_stay_open_unless_they_are_others(
    here: Folder, change: Callable[[Folder], None], *, stays: bool
) -> None:
    """What concerns journal, keys or limits needs new connections; whatever a pass asks for anew does not."""
    before = reader(here).read()
    change(here)
    after = reader(here).read()
    assert after.works_with(before) is stays
    assert before.works_with(after) is stays
    assert after.seen != before.seen


@pytest.mark.parametrize(("changed", "reconnects"), [("profile", True), ("token", False)])
def test_keys_of_a_profile_are_taken_and_a_token_is_left_to_its_renewal(
    changed: str, *, reconnects: bool, here: Folder
) -> None:
    """A profile is read with the config; the token of a workload is read when it is needed, and nothing is new."""
    here.write("profile", f"[basic]\nak = {ACCESS_KEY}\nsk = {SECRET_KEY}\n")
    here.write("token", "first")
    tables = {
        "profile": 'kind = "profile"\nfile = "profile"\n',
        "token": 'kind = "oidc"\nprovider_urn = "p"\nagency_urn = "a"\ntoken_file = "token"\n',
    }
    replace(here, "config.toml", "[credentials.default]", f"[credentials.default]\n{tables[changed]}[credentials.old]")
    first = reader(here).read()
    here.write("profile", f"[basic]\nak = {ACCESS_KEY}\nsk = another\n")
    here.write("token", "second")
    again = reader(here).reread(first)
    assert (again.problems, again.reconnects) == ((), reconnects)
    assert (first.sources.fingerprint() != first.seen) is reconnects


def test_another_authority_under_the_same_name_needs_new_connections(here: Folder) -> None:
    """The settings are the same, the certificate is not."""
    here.write("ca.pem", authority())
    replace(here, "config.toml", "[cloud]\n", '[cloud]\nca_file = "ca.pem"\n')
    before = reader(here).read()
    here.write("ca.pem", f"another one\n{authority()}")
    after = reader(here).read()
    assert before.cloud == after.cloud
    assert not after.works_with(before)


def test_an_authority_that_is_none_is_refused_with_its_place(here: Folder) -> None:
    """Before anything is connected with it."""
    here.write("ca.pem", "no certificate")
    replace(here, "config.toml", "[cloud]\n", '[cloud]\nca_file = "ca.pem"\n')
    with pytest.raises(SettingsError, match=r"ca\.pem.* cloud\.ca_file: the CA file cannot be used"):
        reader(here).read()


@pytest.mark.parametrize("name", ["gone.toml", "gone/*.toml", "a\\u0000b", "..", "**"])
def test_a_manifest_that_is_not_there_is_refused(here: Folder, name: str) -> None:
    """Whatever the config calls it."""
    with_a_manifest(here, f'"{name}"')
    with pytest.raises((SettingsError, ManifestError)):
        reader(here).read()


OTHER_WISHES = manifest(WORLD, share(WORLD, "rejected"))


def broken_manifest(here: Folder) -> None:
    """Leave a manifest that is none."""
    here.write("manifest.toml", "version = 1\n[images")


def gone_manifest(here: Folder) -> None:
    """Let the config name a manifest that is not there yet."""
    with_a_manifest(here, '["gone.toml"]')


def broken_config(here: Folder) -> None:
    """Misspell a setting, beside one that is changed."""
    limits(here)
    replace(here, "config.toml", "[polling]", "[poling]")


def broken_key(here: Folder) -> None:
    """Empty the key's file."""
    here.write("key", "")


def broken_authority(here: Folder) -> None:
    """Name an authority that is none."""
    here.write("ca.pem", "no certificate")
    replace(here, "config.toml", "[cloud]\n", '[cloud]\nca_file = "ca.pem"\n')


@pytest.mark.parametrize("wrong", [broken_manifest, gone_manifest])
def test_a_manifest_that_is_broken_holds_back_no_config(here: Folder, wrong: Callable[[Folder], None]) -> None:
    """The new key and limit are taken with the last good manifest, and what is wrong is told."""
    before = reader(here).read()
    wrong(here)
    renewed_key(here)
    limits(here)
    found = reader(here).reread(before)
    assert found.problems
    assert found.reconnects
    assert "another-key" in found.revision.cloud.credentials["default"].kind.secrets
    assert str(found.revision.settings.limits.members_put) == "7/1m"
    assert found.revision.inputs.manifest == before.inputs.manifest


@pytest.mark.parametrize("wrong", [broken_config, broken_key, broken_authority, other_journal])
def test_a_config_that_is_broken_holds_back_no_manifest(here: Folder, wrong: Callable[[Folder], None]) -> None:
    """The new wishes are taken with all of the last good settings, and what is wrong is told."""
    before = reader(here).read()
    wrong(here)
    here.write("manifest.toml", OTHER_WISHES)
    found = reader(here).reread(before)
    assert found.problems
    assert (found.is_new, found.reconnects) == (True, False)
    assert found.revision.settings == before.settings
    assert found.revision.inputs.manifest.wishes != before.inputs.manifest.wishes


def test_a_manifest_that_asks_for_a_credential_of_a_broken_config_waits_for_it(here: Folder) -> None:
    """Neither is taken: the manifest does not fit the settings that stay."""
    before = reader(here).read()
    new_credential(here)
    replace(here, "config.toml", "[polling]", "[poling]")
    found = reader(here).reread(before)
    assert (found.is_new, found.reconnects) == (False, False)
    assert {"poling", '"other"'} <= {
        word for problem in found.problems for word in ("poling", '"other"') if word in str(problem)
    }


def test_a_config_without_the_credential_that_the_kept_manifest_uses_waits_for_the_other(here: Folder) -> None:
    """Settings that do not fit the wishes in force are not taken while the new wishes are broken; then both are."""
    new_credential(here)
    before = reader(here).read()
    good = manifest(WORLD)
    config = (here.path / "config.toml").read_text()
    here.write("config.toml", config.replace("credentials.other", "credentials.another"))
    broken_manifest(here)
    found = reader(here).reread(before)
    assert found.problems
    assert (found.is_new, found.reconnects) == (False, False)
    here.write("manifest.toml", good)
    found = reader(here).reread(before)
    assert found.problems == ()
    assert "another" in found.revision.settings.credentials


def test_two_good_files_that_do_not_fit_change_nothing_that_does_not(here: Folder) -> None:
    """A manifest that names an unknown credential is told of with its line, and the new settings are taken alone."""
    before = reader(here).read()
    limits(here)
    replace(here, "manifest.toml", "[projects.ledger]\n", '[projects.ledger]\ncredential = "nobody"\n')
    found = reader(here).reread(before)
    (problem,) = found.problems
    assert (problem.line > 0, "nobody" in str(problem)) == (True, True)
    assert (found.revision.inputs.manifest, found.reconnects) == (before.inputs.manifest, True)


def test_what_is_as_it_was_is_nothing_new(here: Folder) -> None:
    """Neither good files nor a broken one beside them ask for anything else."""
    before = reader(here).read()
    found = reader(here).reread(before)
    assert (found.problems, found.is_new, found.reconnects) == ((), False, False)
    broken_manifest(here)
    found = reader(here).reread(before)
    assert (len(found.problems), found.is_new, found.reconnects) == (1, False, False)


def test_no_secret_is_in_a_representation(here: Folder) -> None:
    """Neither that of the reader, whose environment has the keys, nor that of what was read."""
    shown = f"{reader(here)!r}{reader(here).read()!r}{reader(here).read().loaded.settings.model_dump()!r}"
    assert "Reader(" in shown
    assert SECRET_KEY not in shown


def test_what_a_pass_is_asked_for_has_a_number(here: Folder) -> None:
    """It grows with another wish or guard; not with comments, the pace of polls, or files that cannot be used."""
    read = reader(here)
    found = read.read()
    for change, number in (
        (lambda: here.write("manifest.toml", f"# a comment\n{manifest(WORLD)}"), 0),
        (lambda: replace(here, "config.toml", 'first = "50ms"', 'first = "60ms"'), 0),
        (lambda: here.write("manifest.toml", "version = 2\n"), 0),
        (lambda: here.write("manifest.toml", manifest(WORLD, share(WORLD, "rejected"))), 1),
        (lambda: replace(here, "config.toml", 'max_reject = "100%"', 'max_reject = "1"'), 2),
    ):
        change()
        found = read.reread(found).revision
        assert found.number == number


def listing(*letters: str) -> dict[str, ProjectList]:
    """Return a list of projects of a region."""
    return {"default": ProjectList(1.0, tuple(Listed(f"{ord(each):032x}", f"eu-west-101_{each}") for each in letters))}


def test_what_was_found_stays_found_while_files_are_read_again(here: Folder) -> None:
    """New wishes hold there too, at once; what is asked of the pass is something else then, and connections stay."""
    replace(here, "config.toml", "[cloud]\n", '[cloud]\nregion = "eu-west-101"\n')
    here.write("manifest.toml", manifest(WORLD) + '[[discover]]\nname = "*"\n')
    first = reader(here).read()
    assert first.request.finding.unlisted
    found = first.with_found(listing("a", "b"))
    assert len(found.inputs.manifest.found) == 2
    assert found.request.project_ids == tuple(sorted(found.inputs.manifest.projects))
    assert (found.request.finding.unlisted, found.number) == ((), first.number)
    same = reader(here).reread(found)
    assert (same.is_new, same.revision.number, same.revision.lists) == (False, 0, found.lists)
    replace(here, "manifest.toml", 'status = "accepted"', 'status = "rejected"')
    other = reader(here).reread(found)
    assert (other.is_new, other.reconnects, other.revision.number) == (True, False, 1)
    a = f"{ord('a'):032x}"
    assert {wish.operation.value for wish in other.revision.inputs.manifest.wishes[a].values()} == {"rejected"}
    gone = other.revision.with_found(listing("b"))
    assert a not in gone.inputs.manifest.projects


def test_a_config_that_does_without_what_was_found_is_no_error(here: Folder) -> None:
    """With a manifest that is broken meanwhile, the last good one stays: as it was written, whatever was found."""
    replace(here, "config.toml", "[cloud]\n", '[cloud]\nregion = "eu-west-101"\n')
    here.write("manifest.toml", manifest(WORLD) + '[[discover]]\nname = "*"\n')
    found = reader(here).read().with_found(listing("a"))
    here.write("manifest.toml", "broken")
    replace(here, "config.toml", 'region = "eu-west-101"', 'region = "eu-west-102"')
    again = reader(here).reread(found)
    assert again.problems
    assert again.revision.settings.cloud.region == "eu-west-102"
    assert again.revision.inputs.manifest.found == frozenset()
