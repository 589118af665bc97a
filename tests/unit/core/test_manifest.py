"""Manifests: what they mean, and everything that can be wrong with them."""

from __future__ import annotations

import random

import pytest
from builders import LEDGER, NAMES, NIGHTLY, PAYMENTS, UBUNTU, WEEKLY, WINDOWS, document, share
from hypothesis import given
from hypothesis import strategies as st

from worker.core.documents import Document
from worker.core.manifest.credentials import unknown_credentials
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.manifest.parse import parse_manifest
from worker.core.operation import Operation
from worker.core.share import MemberStatus
from worker.core.source import Source
from worker.errors import ManifestError, Problem

ACCEPTED, REJECTED = MemberStatus.ACCEPTED, MemberStatus.REJECTED


def problems(*documents: Document) -> tuple[Problem, ...]:
    """Return what is wrong with documents."""
    with pytest.raises(ManifestError) as caught:
        parse_manifest(documents)
    return caught.value.problems


def outcome(*documents: Document) -> Manifest | tuple[Problem, ...]:
    """Return the manifest that documents give, or what is wrong with them."""
    try:
        return parse_manifest(documents)
    except ManifestError as error:
        return error.problems


def test_a_block_wishes_every_image_for_every_project() -> None:
    """The shares of a block are its projects times its images, each with the vault that holds there."""
    manifest = parse_manifest(
        [document(NAMES + share('["payments", "ledger"]', '["ubuntu", "windows"]', more='when_absent = "wait"'))]
    )
    source = Source("manifest.toml", 13, "share[0]")
    nightly, none = Wish(Operation.ACCEPT, NIGHTLY, True, source), Wish(Operation.ACCEPT, None, True, source)
    assert manifest.wishes == {
        PAYMENTS: {UBUNTU: nightly, WINDOWS: nightly},
        LEDGER: {UBUNTU: none, WINDOWS: none},
    }
    assert manifest.wishes[PAYMENTS][UBUNTU].source == source
    assert len(manifest) == 4


def test_a_block_with_a_thousand_shares_makes_one_wish() -> None:
    """Equal wishes of a block are the same object, so that a large manifest stays small."""
    images = ", ".join(f'"{number:08x}-1bc3-4c3f-893e-3e471fd16e64"' for number in range(500))
    wishes = parse_manifest([document(NAMES + share('["*"]', f"[{images}]", more='vault = "weekly"'))]).wishes
    assert len({id(wish) for of_project in wishes.values() for wish in of_project.values()}) == 1


def test_projects_and_names_are_kept() -> None:
    """Everything that is shown by name, or aimed at by name, can be looked up both ways."""
    manifest = parse_manifest([document(NAMES + 'credential = "books"\nregion = "eu-de"\n')])
    ledger = Project(LEDGER, "ledger", "books", "eu-de")
    assert manifest.projects == {PAYMENTS: Project(PAYMENTS, "payments", vault_id=NIGHTLY), LEDGER: ledger}
    assert manifest.project("ledger") == manifest.project(LEDGER.upper()) == ledger
    assert manifest.project("nobody") is None
    assert manifest.image_names == {UBUNTU: "ubuntu", WINDOWS: "windows"}
    assert manifest.vault_names == {NIGHTLY: "nightly", WEEKLY: "weekly"}
    assert manifest.image("ubuntu") == manifest.image(UBUNTU.upper()) == UBUNTU
    assert manifest.image("nothing") is None


def test_a_name_may_have_several_ids_written_in_any_case_and_an_image_several_names() -> None:
    """An id is one image however it is written, and the first of its names is the one shown."""
    extra = f'[images]\nother = "{UBUNTU.upper()}"\n'
    text = share(
        '["payments"]', f'["{UBUNTU.upper()}", "other", "{UBUNTU}", "ubuntu"]', more=f'vault = "{WEEKLY.upper()}"'
    )
    manifest = parse_manifest([document(NAMES + text, "a.toml"), document("version = 1\n" + extra, "b.toml")])
    assert manifest.wishes == {PAYMENTS: {UBUNTU: Wish(Operation.ACCEPT, WEEKLY)}}
    assert manifest.image_names[UBUNTU] == "ubuntu"


def test_a_declared_project_may_be_given_by_its_id() -> None:
    """The id of a declared project stands for it, in either case."""
    manifest = parse_manifest([document(NAMES + share(f'["{LEDGER.upper()}"]'))])
    assert manifest.wishes == {LEDGER: {UBUNTU: Wish(Operation.ACCEPT)}}


def test_a_reject_takes_no_vault() -> None:
    """Only an accept has a vault, whatever the block and the project say."""
    manifest = parse_manifest([document(NAMES + share(status='"rejected"', more='vault = "weekly"'))])
    assert manifest.wishes == {PAYMENTS: {UBUNTU: Wish(Operation.REJECT)}}


def test_documents_are_one_manifest_in_any_order() -> None:
    """Names are known in all documents, and declaring the same twice is fine."""
    shares = document("version = 1\n" + share(), "a.toml")
    names = [document(NAMES, "b.toml"), document(NAMES.replace(UBUNTU, UBUNTU.upper()), "c.toml")]
    manifests = [parse_manifest(documents) for documents in ([shares, *names], [*names, shares])]
    assert manifests[0].wishes == manifests[1].wishes == {PAYMENTS: {UBUNTU: Wish(Operation.ACCEPT, NIGHTLY)}}


def test_the_same_wish_twice_is_fine() -> None:
    """A share in two blocks that agree is one share, known by the first of them."""
    text = NAMES + share(images='["ubuntu"]') + share('["*"]', '["windows", "ubuntu"]')
    wishes = parse_manifest([document(text)]).wishes[PAYMENTS]
    assert {image: wish.source for image, wish in wishes.items()} == {
        UBUNTU: Source("manifest.toml", 13, "share[0]"),
        WINDOWS: Source("manifest.toml", 17, "share[1]"),
    }


@pytest.mark.parametrize("documents", [[], [document("version = 1")], [document(NAMES)]])
def test_a_manifest_without_shares_is_empty(documents: list[Document]) -> None:
    """No document and no share are no error, and nothing is asked for."""
    manifest = parse_manifest(documents)
    assert not manifest
    assert manifest.wishes == {}


def at_image(text: str) -> str:
    """Write a block whose only image is this TOML value; it stands at line 16, column 11."""
    return share(images=f"[{text}]")


def at_project(lines: str) -> str:
    """Write a third project, at line 14; its lines begin at 15."""
    return f"[projects.third]\n{lines}\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "path", "message", "hint"),
    [
        # Images and projects that nobody declared.
        (at_image('"ubunut"'), 16, 11, "share[0].images[0]", 'unknown image "ubunut"', 'did you mean "ubuntu"?'),
        (at_image('"zzz"'), 16, 11, "share[0].images[0]", 'unknown image "zzz"', "UUIDs"),
        (at_image('"*"'), 16, 11, "share[0].images[0]", 'unknown image "*"', "for projects alone"),
        (at_image(f'"{UBUNTU}/../x"'), 16, 11, "share[0].images[0]", "unknown image", "UUIDs"),
        (at_image(f'"{UBUNTU}\\r\\nX-A: b"'), 16, 11, "share[0].images[0]", "\\r\\nX-A", "UUIDs"),
        (at_image(f'"{UBUNTU}\\n"'), 16, 11, "share[0].images[0]", "unknown image", "UUIDs"),
        (
            at_image('"\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660-0000-0000-0000-000000000000"'),
            16,
            11,
            "share[0].images[0]",
            "unknown image",
            "UUIDs",
        ),
        (at_image("7"), 16, 11, "share[0].images[0]", "strings, not a number", ""),
        (at_image("[]"), 16, 11, "share[0].images[0]", "strings, not a list", ""),
        (share('["paymets"]'), 15, 13, "share[0].projects[0]", 'unknown project "paymets"', '"payments"'),
        (share('["payments", "*"]'), 15, 25, "share[0].projects[1]", 'unknown project "*"', "stands alone"),
        (share(f'["{"f" * 32}"]'), 15, 13, "share[0].projects[0]", "unknown project", "32 hexadecimal digits"),
        # Blocks.
        (share(images="[]"), 16, 10, "share[0].images", "images is empty", ""),
        (share(images='"ubuntu"'), 16, 10, "share[0].images", "images is a list, not a string", ""),
        (share("[]"), 15, 12, "share[0].projects", "projects is empty", ""),
        (share("{}"), 15, 12, "share[0].projects", "projects is a list, not a table", ""),
        (share(status='"acepted"'), 17, 10, "share[0].status", 'not "acepted"', 'did you mean "accepted"?'),
        (share(status='"pending"'), 17, 10, "share[0].status", 'status is "accepted" or "rejected"', ""),
        (share(status="1"), 17, 10, "share[0].status", "not 1", ""),
        (share(more='when_absent = "wiat"'), 18, 15, "share[0].when_absent", '"fail" or "wait"', '"wait"'),
        (share(more='vault = "nigthly"'), 18, 9, "share[0].vault", 'unknown vault "nigthly"', '"nightly"'),
        (share(more="vault = 1"), 18, 9, "share[0].vault", "vault names and ids are strings", ""),
        (share(more='statsu = "accepted"'), 18, 1, "share[0].statsu", 'unknown key "statsu"', '"status"'),
        (share(more="zzz = 1"), 18, 1, "share[0].zzz", 'unknown key "zzz"', "known here: projects, images, status"),
        # Projects.
        (at_project('id = "abc"'), 15, 6, "projects.third.id", '"abc" cannot be the id of this project', "32 hex"),
        (at_project(""), 14, 11, "projects.third.id", "id is missing", ""),
        (
            at_project(f'id = "{"a" * 32}"\nvault = "weakly"'),
            16,
            9,
            "projects.third.vault",
            "unknown vault",
            '"weekly"',
        ),
        (at_project(f'id = "{"a" * 32}"\nregion = "eu_west"'), 16, 10, "projects.third.region", "small letters", ""),
        (at_project(f'id = "{"a" * 32}"\nregion = ""'), 16, 10, "projects.third.region", "region is empty", ""),
        (at_project(f'id = "{"a" * 32}"\ncredential = 3'), 16, 14, "projects.third.credential", "not a number", ""),
        (at_project(f'id = "{"a" * 32}"\nregoin = "x"'), 16, 1, "projects.third.regoin", "unknown key", '"region"'),
        (at_project(f'id = "{LEDGER.upper()}"'), 14, 11, "projects.third", "same id", ""),
        (
            f'[projects."*"]\nid = "{"a" * 32}"',
            14,
            11,
            'projects."*"',
            "cannot be the name of this project",
            "nor an id",
        ),
        # Top level.
        ("[imagse]", 14, 2, "imagse", 'unknown key "imagse"', 'did you mean "images"?'),
        ("[share]", 14, 2, "share", "share is a list, not a table", "write [[share]]"),
    ],
)
def test_each_thing_that_is_wrong_has_its_place_and_a_way_out(
    text: str, line: int, column: int, path: str, message: str, hint: str
) -> None:
    """One mistake is one problem, at the line, column and path where it is made."""
    (problem,) = problems(document(NAMES + "\n" + text))
    assert (problem.file, problem.line, problem.column, problem.path) == ("manifest.toml", line, column, path)
    assert message in problem.message
    assert hint in problem.hint
    assert (problem.message + problem.value + problem.hint).isprintable()


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("", "version", "version is missing"),
        ("version = 2", "version", "version is 1, not 2"),
        ("version = true", "version", "not true"),
        ("version = 1.0", "version", "not 1.0"),
        (f"version = 0x{'f' * 6000}", "version", "a huge number"),
        ("version = 1\nimages = 3", "images", "images is a table, not a number"),
        ("version = 1\nprojects = []", "projects", "projects is a table, not a list"),
        ("version = 1\nprojects.a = 3", "projects.a", "a project is a table, not a number"),
        ("version = 1\nshare = [1]", "share[0]", "a share block is a table, not a number"),
        ("version = 1\nimages.a = 3", "images.a", "3 cannot be the id of this image"),
        ("version = 1\nimages.a = 1979-05-27", "images.a", "1979-05-27 cannot be"),
        ('version = 1\nvaults.a = "nightly"', "vaults.a", '"nightly" cannot be the id of this vault'),
        (f'version = 1\nimages."" = "{UBUNTU}"', 'images.""', '"" cannot be the name of this image'),
        (f'version = 1\nimages."a\\u0007" = "{UBUNTU}"', 'images."a\\x07"', "cannot be the name"),
        (f'version = 1\nimages.{WINDOWS} = "{UBUNTU}"', f"images.{WINDOWS}", "cannot be the name"),
        ('version = 1\nimages.a = "', "", "not TOML"),
        ("version = 1\nimages.a = \x07", "", "not TOML"),
    ],
)
def test_what_is_not_a_manifest_at_all_is_a_problem(text: str, path: str, message: str) -> None:
    """Wrong types, wrong versions and bad declarations are told as well as wrong shares."""
    (problem,) = problems(document(text))
    assert problem.path == path
    assert message in problem.message
    assert problem.line >= 1


def test_a_block_with_nothing_says_all_that_it_lacks() -> None:
    """Every required key that is missing is told."""
    assert [problem.message for problem in problems(document(NAMES + "[[share]]"))] == [
        "images is missing",
        "projects is missing",
        "status is missing",
    ]


def test_all_projects_of_none_are_a_mistake() -> None:
    """A manifest whose projects have vanished does not quietly mean nothing."""
    text = "version = 1\n" + share('["*"]', f'["{UBUNTU}"]')
    assert [problem.message for problem in problems(document(text))] == ["there are no projects"]


def test_two_wishes_for_a_share_name_both_places() -> None:
    """A share that is to be two things is told once for each image and pair of blocks."""
    one = NAMES + share('["*"]', '["ubuntu", "windows"]')
    other = "version = 1\n" + share('["*"]', '["windows"]', '"rejected"')
    (problem,) = problems(document(one, "a.toml"), document(other, "b.toml"))
    assert str(problem) == (
        'b.toml:4:11: share[0].images[0]: "windows" in "payments" and 1 more has another wish at a.toml:13:3 (share[0])'
    )


def test_a_vault_makes_two_wishes_out_of_one() -> None:
    """Accepting into two vaults is a contradiction."""
    (problem,) = problems(document(NAMES + share() + share(more='vault = "weekly"')))
    assert "another wish at manifest.toml:13:3 (share[0])" in problem.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'[images]\nubuntu = "{WINDOWS}"', 'image "ubuntu" has another id at a.toml:3:1 (images.ubuntu)'),
        (f'[vaults]\nnightly = "{WEEKLY}"', 'vault "nightly" has another id at a.toml:6:1 (vaults.nightly)'),
        (f'[projects.ledger]\nid = "{"a" * 32}"', 'project "ledger" has another id at a.toml:11:11 (projects.ledger)'),
        (
            f'[projects.ledger]\nid = "{LEDGER}"\nvault = "weekly"',
            'project "ledger" is declared with other values at a.toml:11:11 (projects.ledger)',
        ),
        (
            f'[projects.books]\nid = "{LEDGER}"',
            'project "books" has the same id as the project at a.toml:11:11 (projects.ledger)',
        ),
    ],
)
def test_a_name_that_means_two_things_names_both_places(text: str, message: str) -> None:
    """Documents may repeat each other, not contradict each other."""
    (problem,) = problems(document(NAMES, "a.toml"), document(f"version = 1\n{text}", "b.toml"))
    assert problem.file == "b.toml"
    assert problem.message == message


def test_a_name_that_was_declared_wrongly_is_not_called_unknown() -> None:
    """One mistake in a declaration is one problem, not one for each use of the name."""
    text = NAMES.replace(UBUNTU, "oops").replace(PAYMENTS, "oops").replace(NIGHTLY, "oops")
    assert [problem.path for problem in problems(document(text + share()))] == [
        "images.ubuntu",
        "vaults.nightly",
        "projects.payments.id",
    ]


@pytest.mark.parametrize("broken", [document("oops", "b.toml"), document("version = 1\nimages = 1", "b.toml")])
def test_what_a_broken_document_may_declare_is_not_called_unknown(broken: Document) -> None:
    """A document that cannot be read does not make every name of the others wrong."""
    shares = document("version = 1\n" + share() + share('["*"]'), "a.toml")
    assert [problem.file for problem in problems(shares, broken)] == ["b.toml"]


def test_all_problems_are_told_at_once() -> None:
    """Problems of all documents come together, in the order of the documents' lines."""
    text = NAMES + share('["nobody"]', '["nothing", "nix"]', '"never"') + "[what]\n"
    found = problems(document(text, "b.toml"), document("version = 2\n[wat]", "a.toml"))
    assert [(problem.file, problem.line, problem.column) for problem in found] == [
        ("a.toml", 1, 11),
        ("a.toml", 2, 2),
        ("b.toml", 14, 13),
        ("b.toml", 15, 11),
        ("b.toml", 15, 22),
        ("b.toml", 16, 10),
        ("b.toml", 17, 2),
    ]


def test_unknown_credentials_are_told_where_they_are_written() -> None:
    """The config decides which credentials there are; the manifest is where a misspelt one stands."""
    written = document(NAMES + 'credential = "boks"\n')
    manifest = parse_manifest([written])
    assert unknown_credentials(manifest, {"default", "boks"}) == ()
    assert unknown_credentials(manifest, ["default", "books"], [written]) == (
        Problem(
            "manifest.toml",
            13,
            14,
            "projects.ledger.credential",
            'unknown credential "boks"',
            '"boks"',
            'did you mean "books"?',
        ),
    )
    nothing = unknown_credentials(manifest, [])
    assert [(problem.line, problem.path, problem.hint) for problem in nothing] == [
        (0, "projects.payments", "the config has no [credentials.default]"),
        (0, "projects.ledger.credential", "the config has no [credentials.boks]"),
    ]


PIECES = [
    *("version = 1", "[images]", "[vaults]", "[projects.a]", "[[share]]", "[share]", 'id = "x"', f'id = "{LEDGER}"'),
    *(
        f'ubuntu = "{UBUNTU}"',
        f'n = "{NIGHTLY}"',
        'vault = "n"',
        'vault = ["n"]',
        'projects = ["*"]',
        'projects = ["a"]',
    ),
    *('images = ["ubuntu"]', 'images = [["x"], 1, "é"]', 'status = "accepted"', 'status = "rejected"', "status = nan"),
    *('when_absent = "wait"', "when_absent = {}", 'region = "é"', "share.x.y = 1", "credential = 1979-05-27", "["),
]


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("\n".join), max_size=3))
def test_any_document_is_a_manifest_or_says_what_is_wrong(texts: list[str]) -> None:
    """However its pieces are put together, a manifest never fails in another way, and problems are placed."""
    found = outcome(*(document(text, f"{index}.toml") for index, text in enumerate(texts)))
    if not isinstance(found, Manifest):
        assert found
        assert all(problem.line and problem.message.isprintable() for problem in found)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_a_problem(source: bytes) -> None:
    """No bytes make the parser fail in another way, and none without a version pass."""
    found = outcome(Document("m.toml", source))
    assert found
    assert not isinstance(found, Manifest)


def test_every_damage_to_a_good_manifest_is_survived() -> None:
    """Bytes that are lost or changed give a manifest or problems, never another failure."""
    good = (NAMES + share('["*"]', '["ubuntu", "windows"]')).encode()
    rng = random.Random(7)
    outcomes = set()
    for _ in range(500):
        start, length = rng.randrange(len(good)), rng.randrange(4)
        damaged = good[:start] + rng.randbytes(rng.randrange(2)) + good[start + length :]
        found = outcome(Document("m.toml", damaged))
        outcomes.add(type(found))
        assert isinstance(found, Manifest) or all(problem.line for problem in found)
    assert outcomes == {Manifest, tuple}


def test_a_rule_that_is_no_table_is_told_and_read_no_further() -> None:
    """As a share block is."""
    (problem,) = problems(document("version = 1\nrule = [1]\n"))
    assert (problem.line, problem.column, problem.path) == (2, 9, "rule[0]")
