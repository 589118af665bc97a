"""Projects that are found: what their names mean, who goes before whom, and what is wished there."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import pytest
from builders import LEDGER, NAMES, NIGHTLY, UBUNTU, WEEKLY, WINDOWS, document, share
from hypothesis import given
from hypothesis import strategies as st

from worker.core.globs import Glob
from worker.core.manifest.discover import may_find, region_of, to_be_found, without_region
from worker.core.manifest.found import Joined, as_written, join_found
from worker.core.manifest.listed import GONE_AT_MOST, Gone, Listed, ProjectList, renewed
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.manifest.parse import parse_manifest
from worker.core.operation import Operation
from worker.errors import ManifestError, Problem

REGION = "eu-west-101"
NOW = 1_800_000_000.0
DAY = 86400.0


def an_id(number: int) -> str:
    """Return the id of a project."""
    return f"{number:032x}"


def block(name: str = "*", *more: str) -> str:
    """Return a block that finds projects."""
    return "\n".join(("[[discover]]", f'name = "{name}"', *more, ""))


def listed(*names: str, first: int = 1, failure: str = "", gone: Sequence[Gone] = ()) -> ProjectList:
    """Return a good list of projects with these names, numbered from `first` on."""
    projects = tuple(Listed(an_id(number), name) for number, name in enumerate(names, first))
    return ProjectList(NOW, projects, tuple(gone), failure)


def joined(text: str, region: str = REGION, **lists: ProjectList) -> Joined:
    """Return what comes of a manifest with the names of the tests, and these lists."""
    return join_found(parse_manifest([document(NAMES + text)]), region, lists)


def names_of(manifest: Manifest) -> dict[str, str]:
    """Return the names of what was found, by id."""
    return {each: manifest.projects[each].name for each in manifest.found}


def problems(text: str) -> tuple[Problem, ...]:
    """Return what is wrong with a manifest with the names of the tests."""
    with pytest.raises(ManifestError) as caught:
        parse_manifest([document(NAMES + text)])
    return caught.value.problems


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("eu-west-101_*", "eu-west-101_a", True),
        ("eu-west-101_*", "eu-west-101", False),
        ("eu-west-101?a", "eu-west-101_a", True),
        ("eu-west-101_[ab]", "eu-west-101_b", True),
        ("eu-west-101_[!ab]", "eu-west-101_b", False),
        ("eu-west-101_A", "eu-west-101_a", False),
        ("west", "eu-west-101", False),
        (unicodedata.normalize("NFD", "eu-west-101_caf\u00e9"), "eu-west-101_caf\u00e9", True),
        ("eu-west-101_caf?", unicodedata.normalize("NFD", "eu-west-101_caf\u00e9"), True),
    ],
)
def test_a_glob_is_over_the_whole_name_and_keeps_case(pattern: str, name: str, *, matches: bool) -> None:
    """Both sides are compared in one form, however their characters are written."""
    found = joined(block(pattern) + share('["*"]', '["ubuntu"]'), default=listed(name)).manifest.found
    assert found == ({an_id(1)} if matches else set())


@pytest.mark.parametrize(
    ("pattern", "default", "region"),
    [
        ("*", REGION, REGION),
        ("*", "", ""),
        ("eu-west-101*", "", ""),
        ("eu-west-101_*", "", REGION),
        ("eu-west-101", "", REGION),
        ("ap-southeast-1_*", REGION, "ap-southeast-1"),
        ("eu-west-10[12]_*", REGION, REGION),
        ("_x", REGION, REGION),
    ],
)
def test_a_region_is_what_the_glob_begins_with_or_that_of_the_config(pattern: str, default: str, region: str) -> None:
    """A project's name is that of its region, or begins with it and an underscore."""
    (discovery,) = parse_manifest([document(f"version = 1\n{block(pattern)}")]).discoveries
    assert region_of(discovery, default) == region


def test_a_block_of_no_region_is_told_of() -> None:
    """With its line, and what to write."""
    text = document(f"version = 1\n{block('*_x')}{block('eu-west-101_*')}")
    manifest = parse_manifest([text])
    (problem,) = without_region(manifest, "", [text])
    assert (problem.line, problem.path) == (3, "discover[0].name")
    assert without_region(manifest, REGION) == ()


def test_what_is_found_is_as_if_declared() -> None:
    """The region's own project and those below it; no other. Nothing is found twice, and what is declared is not."""
    names = (REGION, f"{REGION}_a", f"{REGION}0_b", "cn-north-4_c", "MOS")
    result = joined(
        block("*", 'vault = "nightly"') + share('["*"]', '["ubuntu"]'),
        default=ProjectList(NOW, (*listed(*names).projects, Listed(LEDGER, f"{REGION}_ledger"))),
    )
    manifest = result.manifest
    assert names_of(manifest) == {an_id(1): REGION, an_id(2): f"{REGION}_a"}
    assert manifest.projects[an_id(2)] == Project(an_id(2), f"{REGION}_a", vault_id=NIGHTLY)
    assert manifest.projects[LEDGER].name == "ledger"
    assert manifest.wishes[an_id(2)] == {UBUNTU: Wish(Operation.ACCEPT, NIGHTLY)}
    assert (result.notes, result.unlisted, result.problems) == ((), (), ())
    other = joined(block("cn-north-4_*") + share('["*"]', '["ubuntu"]'), default=listed(*names)).manifest
    assert other.projects[an_id(4)].region == "cn-north-4"


def test_all_of_one_vault_have_one_mapping() -> None:
    """A thousand projects take no more room than one."""
    names = [f"{REGION}_{number:04}" for number in range(1000)]
    manifest = joined(
        block("*_0*", 'vault = "nightly"') + block("*") + share('["*"]', '["ubuntu", "windows"]'),
        default=listed(*names),
    ).manifest
    assert len(manifest.found) == 1000
    manifest = joined(
        block("*_0[01]*", 'vault = "nightly"') + block("*") + share('["*"]', '["ubuntu", "windows"]'),
        default=listed(*names),
    ).manifest
    assert len({id(manifest.wishes[each]) for each in manifest.found}) == 2
    assert {wish.vault_id for each in manifest.found for wish in manifest.wishes[each].values()} == {NIGHTLY, None}


def test_what_nobody_wishes_anything_of_is_there_and_asks_for_nothing() -> None:
    """As a declared project without a share is."""
    manifest = joined(block(), default=listed(f"{REGION}_a")).manifest
    assert manifest.found == {an_id(1)}
    assert an_id(1) not in manifest.wishes


def test_a_share_names_what_is_found_by_name_or_id_or_with_its_credential() -> None:
    """Its own vault goes over the default, and the wishes for all hold besides."""
    text = (
        block("*", 'vault = "nightly"')
        + share(
            f'["{REGION}_a", "default/{REGION}_b", "{an_id(3).upper()}", "ledger"]',
            '["windows"]',
            more='vault = "weekly"\n',
        )
        + share('["*"]', '["ubuntu"]')
    )
    result = joined(text, default=listed(*(f"{REGION}_{letter}" for letter in "abcd")))
    wishes = result.manifest.wishes
    for number in (1, 2, 3):
        assert wishes[an_id(number)] == {
            UBUNTU: Wish(Operation.ACCEPT, NIGHTLY),
            WINDOWS: Wish(Operation.ACCEPT, WEEKLY),
        }
    assert list(wishes[an_id(4)]) == [UBUNTU]
    assert result.problems == ()


def test_a_name_that_is_not_found_is_an_error_where_the_list_is_known() -> None:
    """It says what may be meant; whoever goes on all the same finds it unknown."""
    text = block("*") + share(f'["{REGION}_a", "{REGION}_paymnets", "{an_id(9)}"]', '["ubuntu"]')
    result = joined(text, default=listed(f"{REGION}_a", f"{REGION}_payments"))
    assert [(each.at.path, each.message) for each in result.problems] == [
        (("share", 0, "projects", 1), f'unknown project "{REGION}_paymnets"'),
        (("share", 0, "projects", 2), f'unknown project "{an_id(9)}"'),
    ]
    assert result.problems[0].hint == f'did you mean "{REGION}_payments"?'
    missing = result.manifest.projects[f"{REGION}_paymnets"]
    assert "no [[discover]] finds it" in missing.missing
    assert list(result.manifest.wishes[an_id(9)]) == [UBUNTU]
    assert len(result.notes) == 2


@pytest.mark.parametrize("known", [ProjectList(failure="gone fishing"), listed("x", failure="gone fishing")])
def test_a_name_is_unknown_where_the_list_is(known: ProjectList) -> None:
    """That is no error: it may well be there."""
    result = joined(block("*") + share(f'["{REGION}_a"]', '["ubuntu"]'), default=known)
    assert result.problems == ()
    assert "gone fishing" in result.manifest.projects[f"{REGION}_a"].missing
    assert bool(result.unlisted) is (known.at is None)
    assert any("stands in" in note for note in result.notes) is (known.at is not None)


def test_what_was_never_asked_for_is_not_known() -> None:
    """As before the first look."""
    result = joined(block("*"))
    assert "not asked for yet" in result.unlisted[0]


def test_a_name_that_several_have_gets_its_credential_and_then_its_id() -> None:
    """The bare name is none of theirs any more, and an error says what to write."""
    text = block("*", 'credential = "a"') + block("*", 'credential = "b"') + share(f'["{REGION}_x"]', '["ubuntu"]')
    result = joined(text, a=listed(f"{REGION}_x", f"{REGION}_y", f"{REGION}_y"), b=listed(f"{REGION}_x", first=9))
    assert names_of(as_found(result)) == {
        an_id(1): f"a/{REGION}_x",
        an_id(2): f"a/{REGION}_y/{an_id(2)}",
        an_id(3): f"a/{REGION}_y/{an_id(3)}",
        an_id(9): f"b/{REGION}_x",
    }
    (problem,) = result.problems
    assert problem.hint == f'several projects have this name: write "a/{REGION}_x" or "b/{REGION}_x"'


def as_found(result: Joined) -> Manifest:
    """Return a manifest without what stands for projects that are missing."""
    manifest = result.manifest
    found = frozenset(each for each in manifest.found if not manifest.projects[each].missing)
    return Manifest(manifest.projects, {}, {}, {}, {}, {}, found=found)


def test_a_declared_name_with_another_id_stays_with_it() -> None:
    """What is found gets its credential before that."""
    text = f'[projects."{REGION}_a"]\nid = "{an_id(7)}"\n{block("*")}' + share(f'["{REGION}_a"]', '["ubuntu"]')
    result = joined(text, default=listed(f"{REGION}_a"))
    assert names_of(result.manifest) == {an_id(1): f"default/{REGION}_a"}
    assert list(result.manifest.wishes) == [an_id(7)]


def test_what_has_no_name_that_can_be_shown_is_called_by_its_id() -> None:
    """Nothing that a terminal would obey gets into a name."""
    result = joined(block("*"), default=listed(f"{REGION}_\x1b[2J"))
    assert names_of(result.manifest) == {an_id(1): an_id(1)}


def test_a_project_that_is_gone_is_told_of_once_and_stays_unknown_where_it_is_named() -> None:
    """Nothing is wished of it otherwise."""
    gone = [Gone(an_id(5), f"{REGION}_gone", NOW), Gone(an_id(6), "cn-north-4_other", NOW), Gone(LEDGER, "x", NOW)]
    gone += [Gone(an_id(8), f"{REGION}_long_gone", NOW - DAY)]
    text = block("*") + share('["*"]', '["ubuntu"]')
    result = joined(text, default=listed(f"{REGION}_a", gone=gone))
    (note,) = result.notes
    assert note.startswith(f'1 project of credential "default" is found no more: {REGION}_gone; ')
    named = joined(
        text + share(f'["{REGION}_gone", "{REGION}_long_gone"]', '["windows"]'),
        default=listed(f"{REGION}_a", gone=gone),
    )
    assert named.problems == ()
    assert named.manifest.wishes[an_id(5)] == {WINDOWS: Wish(Operation.ACCEPT)}
    assert "found no more since 2027-01-15T08:00:00Z" in named.manifest.projects[an_id(5)].missing
    several = joined(text, default=listed(gone=[*gone, Gone(an_id(7), f"{REGION}_gone_too", NOW)]))
    assert several.notes[0].startswith('2 projects of credential "default" are found no more: ')


def test_the_id_of_what_is_gone_may_be_another_project_by_now() -> None:
    """One that was declared since, or that has another name, stands for itself."""
    gone = [Gone(LEDGER, f"{REGION}_old", NOW - DAY)]
    result = joined(block("*") + share(f'["{REGION}_old"]', '["ubuntu"]'), default=listed(gone=gone))
    assert [each.message for each in result.problems] == [f'unknown project "{REGION}_old"']
    assert result.manifest.projects[LEDGER].name == "ledger"


def test_a_block_that_finds_nothing_is_told_of() -> None:
    """It may be misspelt."""
    result = joined(block("eu-west-101_x*") + block("*"), default=listed(f"{REGION}_a"))
    (note,) = result.notes
    assert "manifest.toml: discover[0] finds no project" in note
    assert "1 project" in note


def test_finding_again_forgets_what_was_found_before() -> None:
    """Joined again and again, a manifest has what the last lists have."""
    text = block("*") + share('["*"]', '["ubuntu"]')
    first = joined(text, default=listed(f"{REGION}_a", f"{REGION}_b"))
    again = join_found(first.manifest, REGION, {"default": listed(f"{REGION}_b", first=2)})
    assert again == joined(text, default=listed(f"{REGION}_b", first=2))
    assert as_written(again.manifest) == parse_manifest([document(NAMES + text)])
    assert join_found(parse_manifest([document(NAMES)]), REGION, {}).manifest == parse_manifest([document(NAMES)])


def test_two_wishes_that_only_the_finding_shows_are_told_of_and_not_carried_out() -> None:
    """An id and a name may mean one project."""
    text = block("*") + share(f'["{an_id(1)}"]', '["ubuntu", "windows"]')
    text += share(f'["{REGION}_a"]', '["ubuntu"]', status='"rejected"')
    result = joined(text, default=listed(f"{REGION}_a"))
    (problem,) = result.problems
    assert (problem.at.path, problem.other and problem.other.path) == (("share", 1, "images", 0), ("share", 0))
    assert list(result.manifest.wishes[an_id(1)]) == [WINDOWS]


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        (share('["*"]', '["ubuntu"]'), share('["*"]', '["ubuntu"]', status='"rejected"'), True),
        (share('["*"]', '["ubuntu"]'), share(f'["{REGION}_a"]', '["ubuntu"]', status='"rejected"'), True),
        (share(f'["{REGION}_a"]', '["ubuntu"]'), share(f'["{REGION}_a"]', '["ubuntu"]', more='vault = "weekly"'), True),
        (share('["*"]', '["ubuntu"]'), share(f'["{REGION}_a"]', '["ubuntu"]'), False),
        (share(f'["{REGION}_a"]', '["ubuntu"]'), share(f'["{REGION}_b"]', '["ubuntu"]', status='"rejected"'), False),
        (share('["*"]', '["ubuntu"]'), share(f'["{REGION}_a"]', '["windows"]', status='"rejected"'), False),
    ],
)
def test_two_wishes_for_what_is_found_are_an_error_before_it_is(first: str, second: str, *, clash: bool) -> None:
    """Each place is told of once, also where declared projects clash alike."""
    for names in (NAMES, NAMES.partition("[projects")[0]):
        text = names + block(f"{REGION}_[!a]", 'vault = "nightly"') + block("*") + first + second
        with pytest.raises(ManifestError) if clash else nullcontext() as caught:
            parse_manifest([document(text)])
        if caught is not None:
            (problem,) = caught.value.problems
            assert "has another wish at" in problem.message


def test_blocks_are_read_like_any_other() -> None:
    """Each with its place, and what may be meant."""
    found = problems(
        block("", 'vault = "nightyl"', "naem = 1")
        + "[[discover]]\ncredential = 3\n"
        + share('["nobody"]', '["ubuntu"]')
    )
    assert [(each.path, each.message) for each in found] == [
        ("discover[0].name", "name is empty"),
        ("discover[0].vault", 'unknown vault "nightyl"'),
        ("discover[0].naem", 'unknown key "naem"'),
        ("discover[1].name", "name is missing"),
        ("discover[1].credential", "credential is a string, not a number"),
    ]
    assert [each.hint for each in found][1:3] == ['did you mean "nightly"?', 'did you mean "name"?']
    (alone,) = problems('[discover]\nname = "*"\n' + share('["nobody"]', '["ubuntu"]'))
    assert (alone.message, alone.hint) == ("discover is a list, not a table", "write [[discover]]")
    with pytest.raises(ManifestError) as caught:
        parse_manifest([document('version = 1\ndiscover = ["*"]\n')])
    assert [each.hint for each in caught.value.problems] == ["write [[discover]]"]


def test_a_name_that_no_block_may_find_is_an_error_without_the_cloud() -> None:
    """As it is where there are no blocks; and all projects are some, where they may be found."""
    (problem,) = problems(block("eu-west-101_*") + share('["paymnets"]', '["ubuntu"]'))
    assert (problem.message, problem.hint) == ('unknown project "paymnets"', 'did you mean "payments"?')
    (mixed,) = problems(block("*") + share('["*", "payments"]', '["ubuntu"]'))
    assert '"*" stands alone' in mixed.hint
    only = NAMES.partition("[projects")[0] + block("*") + share('["*"]', '["ubuntu"]')
    assert len(parse_manifest([document(only)]).open_shares) == 1


def test_what_may_be_found_is_listed_for_a_look_without_the_cloud() -> None:
    """Each name with its line."""
    text = document(NAMES + block("*") + share(f'["payments", "{REGION}_a"]', '["ubuntu"]'))
    manifest = parse_manifest([text])
    (told,) = to_be_found(manifest, [text])
    assert (told.path, told.line > 0) == ("share[0].projects[1]", True)
    assert may_find(manifest.discoveries[0], an_id(3))


def test_a_new_list_remembers_what_is_gone_for_a_while() -> None:
    """What comes back is not gone; what was gone long ago is forgotten."""
    first = renewed(None, [Listed("b", "B"), Listed("a", "A"), Listed("a", "A")], NOW, 30 * DAY)
    assert first == ProjectList(NOW, (Listed("a", "A"), Listed("b", "B")))
    second = renewed(first, [Listed("b", "B")], NOW + DAY, 30 * DAY)
    assert second.gone == (Gone("a", "A", NOW + DAY),)
    assert renewed(second, [Listed("b", "B")], NOW + 2 * DAY, 30 * DAY).gone == second.gone
    assert renewed(second, [Listed("a", "A"), Listed("b", "B")], NOW + 2 * DAY, 30 * DAY).gone == ()
    assert renewed(second, [Listed("b", "B")], NOW + 40 * DAY, 30 * DAY).gone == ()
    many = ProjectList(NOW, tuple(Listed(str(number), "x") for number in range(GONE_AT_MOST + 5)))
    assert len(renewed(many, [], NOW + 1, DAY).gone) == GONE_AT_MOST


_names = st.sampled_from([f"{REGION}_{letter}" for letter in "abc"] + [REGION, "cn-north-4_a", "MOS"])
_lists = st.dictionaries(
    st.sampled_from("xyz"), st.dictionaries(st.integers(1, 6).map(an_id), _names, max_size=6), max_size=3
)
_patterns = st.sampled_from(["*", f"{REGION}_*", f"{REGION}_[ab]", REGION])
_blocks = st.lists(st.tuples(_patterns, st.sampled_from("xyz")), max_size=4)
_declared = st.dictionaries(
    st.sampled_from([f"{REGION}_a", "x/eu-west-101_b", "mine"]), st.integers(1, 6).map(an_id), max_size=3
).filter(lambda drawn: len(set(drawn.values())) == len(drawn))


@given(_lists, _blocks, _declared)
def test_every_name_means_one_project_and_the_first_to_find_it_goes_before(
    lists: Mapping[str, Mapping[str, str]], blocks: Sequence[tuple[str, str]], declared: Mapping[str, str]
) -> None:
    """Whatever is listed, by whom, and declared: all are there once, what is declared as it was written."""
    text = "version = 1\n" + "".join(f'[projects."{name}"]\nid = "{each}"\n' for name, each in declared.items())
    text += "".join(block(pattern, f'credential = "{credential}"') for pattern, credential in blocks)
    known = {
        credential: ProjectList(NOW, tuple(Listed(each, name) for each, name in of_it.items()))
        for credential, of_it in lists.items()
    }
    manifest = join_found(parse_manifest([document(text)]), REGION, known).manifest
    names = [project.name for project in manifest.projects.values()]
    assert len(set(names)) == len(names)
    for name, each in declared.items():
        assert manifest.projects[each] == Project(each, name)
    expected: dict[str, str] = {}
    for pattern, credential in blocks:
        for each, name in lists.get(credential, {}).items():
            is_of_region = name == REGION or name.startswith(f"{REGION}_")
            if each not in declared.values() and is_of_region and Glob(pattern).matches(name):
                expected.setdefault(each, credential)
    assert {each: manifest.projects[each].credential for each in manifest.found} == expected
    for each in manifest.found:
        plain = lists[expected[each]][each]
        same = [other for other in expected if lists[expected[other]][other] == plain]
        name = manifest.projects[each].name
        if len(same) == 1 and plain not in declared:
            assert name == plain
        else:
            assert name.startswith(f"{expected[each]}/{plain}")
        assert manifest.project(name) == manifest.projects[each]


def test_a_rule_speaks_of_what_is_found() -> None:
    """By a star of all of it, with the default vault; and by a name, with the credential before it or not."""
    rule = '[[rule]]\nname = "{0}"\nprojects = ["{1}"]\nstatus = "reported"\n'
    text = "".join(
        rule.format(name, project)
        for name, project in (
            ("all", "*"),
            ("one", f"{REGION}_a"),
            ("whole", f"default/{REGION}_a"),
            ("other", "ledger"),
        )
    )
    manifest = joined(block("*", 'vault = "nightly"') + text, default=listed(REGION, f"{REGION}_a")).manifest
    spoken = {each: {one.name for one in manifest.rules_of(manifest.projects[each])} for each in manifest.found}
    assert spoken == {an_id(1): {"all"}, an_id(2): {"all", "one", "whole"}}
    assert {manifest.projects[each].vault_id for each in manifest.found} == {NIGHTLY}
    assert manifest.found <= set(manifest.spoken_of)


def test_a_rule_that_names_what_is_not_found_is_told_of_like_a_share() -> None:
    """An error where the list is known, and unknown where it is not, or the project is gone; an id in any case."""
    rule = '[[rule]]\nname = "one"\nprojects = ["{}"]\nstatus = "reported"\n'
    wrong = joined(block("*") + rule.format(f"{REGION}_paymnets"), default=listed(f"{REGION}_payments"))
    (problem,) = wrong.problems
    assert (problem.at.path, problem.hint) == (("rule", 0, "projects"), f'did you mean "{REGION}_payments"?')
    for known in (ProjectList(failure="away"), listed(gone=[Gone(an_id(5), f"{REGION}_payments", NOW - DAY)])):
        result = joined(block("*") + rule.format(f"{REGION}_payments"), default=known)
        (missing,) = (result.manifest.projects[each] for each in result.manifest.found)
        assert (result.problems, bool(missing.missing)) == ((), True)
        assert result.manifest.rules_of(missing)
    upper = joined(block("*") + rule.format(an_id(10).upper()), default=listed(f"{REGION}_a", first=10))
    assert upper.manifest.rules_of(upper.manifest.projects[an_id(10)])
    assert upper.problems == ()
