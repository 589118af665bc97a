"""What `check` warns of in a manifest that is good in form."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.documents import Document, Suggester, look_alike
from worker.core.manifest.odd import odd_manifest

IDS = [f"d164b5df-1bc3-4c3f-893e-3e471fd1{number:04x}" for number in range(20)]
PROJECTS = [f"{number:032x}" for number in range(20)]
GOOD = f"""version = 1
[images]
golden = "{IDS[0]}"
silver = "{IDS[1]}"
[vaults]
nightly = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000"
[projects.payments]
id = "{PROJECTS[0]}"
vault = "nightly"
[[share]]
projects = ["*"]
images = ["golden", "{IDS[1].upper()}"]
status = "accepted"
"""


def odd(*texts: str) -> list[str]:
    """Return what is odd about documents, as it is printed."""
    return [str(each) for each in odd_manifest([Document(f"{n}.toml", text.encode()) for n, text in enumerate(texts)])]


def test_what_is_used_once_and_looks_like_nothing_else_is_not_odd() -> None:
    """By its name, by its id in any case, by all projects, and as the vault of a project."""
    assert odd(GOOD) == []


def test_a_name_may_be_used_in_another_document() -> None:
    """Documents are one manifest."""
    declared, _, shares = GOOD.partition("[[share]]")
    assert odd(declared, f"version = 1\n[[share]]{shares}", "version = 1\n[images]\ngolden = '" + IDS[0] + "'\n") == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("[vaults]", f'bronze = "{IDS[2]}"\n[vaults]', '0.toml:5:1: images.bronze: image "bronze" is declared'),
        (
            "[projects.payments]",
            'weekly = "4a6a8a3e-1bc3-4c4f-823e-3e4710650001"\n[projects.payments]',
            '0.toml:7:1: vaults.weekly: vault "weekly" is declared and nothing refers to it',
        ),
        (
            "[vaults]",
            f'gold = "{IDS[0].upper()}"\n[vaults]',
            '0.toml:5:1: images.gold: image "gold" has the same id as "golden" at 0.toml:3:1 (images.golden)',
        ),
        (
            '["golden", ',
            '["golden", "golden", ',
            '0.toml:12:21: share[0].images[1]: image "golden" stands twice in the list, first at 0.toml:12:11',
        ),
        (
            '["*"]',
            f'["payments", "{PROJECTS[0]}"]',
            f'0.toml:11:25: share[0].projects[1]: project "{PROJECTS[0]}" stands twice in the list, first at ',
        ),
    ],
)
def test_each_kind_is_told_with_its_place(before: str, after: str, expected: str) -> None:
    """And nothing beside it."""
    (found,) = odd(GOOD.replace(before, after, 1))
    assert found.startswith(expected)


def test_a_project_that_no_share_names_is_told() -> None:
    """Where shares name their projects, and not all of them."""
    more = f'[projects.ledger]\nid = "{PROJECTS[1]}"\n[[share]]'
    (found,) = odd(GOOD.replace('["*"]', '["payments"]').replace("[[share]]", more))
    assert 'project "ledger" is declared and nothing refers to it' in found


def test_names_that_look_the_same_are_told_apart() -> None:
    """In ASCII, since nobody could see it otherwise."""
    names = [unicodedata.normalize(form, "größe") for form in ("NFC", "NFD")]
    text = GOOD.replace("silver", names[0]).replace(f'"{IDS[1].upper()}"', f'"{names[0]}", "{names[1]}"')
    (found,) = odd(
        text.replace("[vaults]", f'"{names[1]}" = "{IDS[2]}"\n[vaults]').replace(names[0] + " =", f'"{names[0]}" =')
    )
    assert "image 'gro\\u0308\\xdfe' looks the same as 'gr\\xf6\\xdfe' at 0.toml:4:1" in found


@pytest.mark.parametrize("word", ["go\u200blden", "\ufeffgolden", "\uff47olden", "golden\u2060"])
def test_a_word_that_looks_like_a_known_one_is_told_with_what_sets_them_apart(word: str) -> None:
    """Zero widths, marks of order and wide forms."""
    hint = Suggester().hint(word, ["silver", "golden"])
    assert hint == f"did you mean \"golden\"? It looks the same: {word!a} is not 'golden'"


@given(st.text(), st.text())
def test_looking_alike_is_mutual_and_not_of_the_same(one: str, other: str) -> None:
    """Whatever the texts are, and a text never with itself."""
    assert look_alike(one, other) is look_alike(other, one)
    assert not look_alike(one, one)
    assert look_alike(f"x{one}", f"x\u200b{one}")


@given(st.data())
def test_a_manifest_without_what_is_odd_has_none_whatever_its_order(data: st.DataObject) -> None:
    """Each item that stands twice, and each name that nobody uses, is told exactly once."""
    used = data.draw(st.lists(st.sampled_from(range(20)), min_size=1, max_size=10))
    declared = data.draw(st.sets(st.sampled_from(range(20))))
    images = "".join(f'i{number} = "{IDS[number]}"\n' for number in sorted(declared))
    items = ", ".join(f'"{IDS[number]}"' for number in used)
    text = f'version = 1\n[images]\n{images}[projects.a]\nid = "{PROJECTS[0]}"\n'
    found = odd(f'{text}[[share]]\nprojects = ["a"]\nimages = [{items}]\nstatus = "accepted"\n')
    assert len([each for each in found if "stands twice" in each]) == len(used) - len(set(used))
    assert len([each for each in found if "nothing refers" in each]) == len(declared - set(used))
    assert len(found) == len(used) - len(set(used)) + len(declared - set(used))
