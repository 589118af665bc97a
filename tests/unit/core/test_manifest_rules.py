"""Rules as people write them: what they become, and what is wrong or doubtful with them."""

from __future__ import annotations

import pytest

from worker.core.documents import Document
from worker.core.globs import Glob
from worker.core.manifest.blocks import lines_of_blocks
from worker.core.manifest.groups import NameGroups
from worker.core.manifest.model import Manifest, Newest, Rule
from worker.core.manifest.parse import parse_manifest
from worker.core.operation import Operation
from worker.core.rules.doubts import doubts_about
from worker.core.source import Source
from worker.errors import ManifestError

PAYMENTS, LEDGER, FACTORY = "a" * 32, "b" * 32, "c" * 32
NIGHTLY = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000"
HEAD = f"""\
version = 1
[owners]
factory = "{FACTORY}"
[vaults]
nightly = "{NIGHTLY}"
[projects.payments]
id = "{PAYMENTS}"
vault = "nightly"
[projects.ledger]
id = "{LEDGER}"
"""
LINE = HEAD.count("\n") + 1


def block(name: str = "golden", status: str = "accepted", projects: str = '["*"]', more: str = "") -> str:
    """Return a rule, which begins on `LINE` where it is the first."""
    return f'[[rule]]\nname = "{name}"\nprojects = {projects}\nstatus = "{status}"\n{more}\n'


def read(*blocks: str) -> Manifest:
    """Read a manifest with these rules."""
    return parse_manifest([Document("manifest.toml", (HEAD + "".join(blocks)).encode())])


def test_a_rule_says_all_that_the_contract_lets_it() -> None:
    """With the ids of what it names, its times in seconds, and where it stands."""
    everything = """\
owner = "factory"
image = "golden-*"
os_type = "Linux"
full_ecs = true
tag = ["team=a", "env=prod"]
max_age = "90d"
newest = 3
group = "golden-{name}-*"
min_accepted = 2
vault = "nightly"
pending_for = "12h"
"""
    (found,) = read(block(projects='["ledger"]', more=everything)).rules
    assert found == Rule(
        name="golden",
        projects=frozenset({LEDGER}),
        owner=FACTORY,
        image=Glob("golden-*"),
        operation=Operation.ACCEPT,
        os_type="Linux",
        full_ecs=True,
        tags=frozenset({"team=a", "env=prod"}),
        max_age=90 * 86400.0,
        newest=Newest(3, NameGroups("golden-{name}-*"), 2),
        pending_for=12 * 3600.0,
        vault_id=NIGHTLY,
    )
    assert found.source == Source("manifest.toml", LINE, rule="golden")
    assert found.asks == {"os_type", "tags", "created_at"}


def test_a_short_rule_is_about_everything_of_everybody_unknown() -> None:
    """Without an owner as with a star; one that only reports wishes for nothing."""
    first, second = read(
        block("strangers", "rejected", more='owner = "*"'), block("reported", "reported", more='tag = "team=a"')
    ).rules
    assert (first.projects, first.owner, first.image, first.operation) == (None, "*", Glob("*"), Operation.REJECT)
    assert (second.owner, second.operation, second.tags) == ("*", None, frozenset({"team=a"}))
    assert first.asks == frozenset()


def test_rules_keep_their_order_over_several_documents() -> None:
    """That of the documents, and in each that in which they stand."""
    more = "version = 1\n" + block("third", "rejected")
    manifest = parse_manifest(
        [
            Document("a.toml", (HEAD + block("first", "rejected") + block("second", "rejected")).encode()),
            Document("b.toml", more.encode()),
        ]
    )
    assert [rule.name for rule in manifest.rules] == ["first", "second", "third"]
    assert manifest
    assert set(manifest.spoken_of) == {PAYMENTS, LEDGER}


@pytest.mark.parametrize(
    ("wrong", "line", "path", "words"),
    [
        (block(), LINE, "rule[0]", "owner is missing in a rule that accepts (nothing is accepted from a stranger"),
        (block(more='owner = "*"'), LINE + 4, "rule[0].owner", "a rule that accepts has an owner"),
        (
            block(more='owner = "factroy"'),
            LINE + 4,
            "rule[0].owner",
            'unknown owner "factroy" (did you mean "factory"?',
        ),
        (block(status="acepted"), LINE + 3, "rule[0].status", '(did you mean "accepted"?)'),
        (block(status="pending"), LINE + 3, "rule[0].status", '"accepted", "rejected" or "reported"'),
        (block("", "rejected"), LINE + 1, "rule[0].name", "name is empty"),
        (block("a\\u0007b", "rejected"), LINE + 1, "rule[0].name", "control characters"),
        (block(status="rejected", projects="[]"), LINE + 2, "rule[0].projects", "projects is empty"),
        (block(status="rejected", projects='["paymets"]'), LINE + 2, "rule[0].projects[0]", 'did you mean "payments"?'),
        (block(status="rejected", more='image = ""'), LINE + 4, "rule[0].image", "image is empty"),
        (block(status="rejected", more="image = 1"), LINE + 4, "rule[0].image", "image is a string, not a number"),
        (block(status="rejected", more='full_ecs = "true"'), LINE + 4, "rule[0].full_ecs", "full_ecs must be"),
        (block(status="rejected", more='tag = "team"'), LINE + 4, "rule[0].tag[0]", 'write "key=value"'),
        (block(status="rejected", more="tag = []"), LINE + 4, "rule[0].tag", "tag is empty"),
        (block(status="rejected", more='max_age = "90"'), LINE + 4, "rule[0].max_age", "not a duration"),
        (block(status="rejected", more="max_age = 90"), LINE + 4, "rule[0].max_age", "such as 90d"),
        (block(status="rejected", more='pending_for = "0d"'), LINE + 4, "rule[0].pending_for", "longer than nothing"),
        (block(status="rejected", more="newest = 0"), LINE + 4, "rule[0].newest", "newest must be"),
        (block(status="rejected", more="newest = true"), LINE + 4, "rule[0].newest", "newest must be"),
        (block(status="rejected", more="min_accepted = 0"), LINE + 4, "rule[0].min_accepted", "min_accepted must be"),
        (block(status="rejected", more='group = "golden-*"'), LINE + 4, "rule[0].group", "must have one {name}"),
        (block(status="rejected", more='group = "{name}{name}"'), LINE + 4, "rule[0].group", "must have one {name}"),
        (block(status="rejected", more='vault = "nigthly"'), LINE + 4, "rule[0].vault", 'did you mean "nightly"?'),
        (block(status="rejected", more='imgae = "x"'), LINE + 4, "rule[0].imgae", '(did you mean "image"?)'),
        ("[rule]\nname = 1\n", LINE, "rule", "write [[rule]]"),
        ("[owners.x]\n", LINE, "owners.x", "cannot be the id of this owner"),
        (
            block("a", "rejected") + block("a", "rejected"),
            LINE + 6,
            "rule[1].name",
            f"manifest.toml:{LINE}:3 (rule[0])",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_the_way_out(wrong: str, line: int, path: str, words: str) -> None:
    """Every rule is read to its end, and nothing is guessed."""
    with pytest.raises(ManifestError) as caught:
        read(wrong)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.path) == ("manifest.toml", line, path)
    assert words in str(problem)


def doubts(*blocks: str) -> list[str]:
    """Return what is doubtful about rules."""
    text = HEAD + "".join(blocks)
    return [str(each) for each in doubts_about(read(*blocks), [Document("manifest.toml", text.encode())])]


OWNED = 'owner = "factory"\nimage = "golden-*"\n'


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        (OWNED + 'image = "[9-0]"'.replace("image", "os_type"), "accepted", "the cloud knows Linux, Windows, Other"),
        ('image = "golden-[9-0]"', "rejected", "can never match: the glob has a range that ends before it begins"),
        (OWNED + 'pending_for = "9d"\nmax_age = "8d"', "accepted", "is older than max_age"),
        (OWNED + 'newest = 1\ngroup = "silver-{name}"', "accepted", "no name that image matches is of such a group"),
        (OWNED + "min_accepted = 2", "accepted", "min_accepted means nothing without newest"),
        ("newest = 2\nmin_accepted = 2", "rejected", "min_accepted means nothing in a rule that does not accept"),
        (OWNED + 'group = "golden-{name}"', "accepted", "group means nothing without newest"),
        ('vault = "nightly"', "rejected", "vault means nothing in a rule that does not accept"),
        ('owner = "factory"', "accepted", "a rule without image matches every name (so all that the owner shares"),
        ('owner = "factory"\nimage = "**"', "accepted", 'image = "**" matches every name (so all that the owner'),
        ('image = "*"', "rejected", 'image = "*" matches every name (leave it out'),
    ],
)
def test_what_is_doubtful_is_told_and_read_all_the_same(more: str, status: str, words: str) -> None:
    """What can never match, what means nothing, and globs that match everything."""
    (told,) = doubts(block(status=status, more=more))
    assert words in told
    assert told.startswith("manifest.toml:")


def test_a_project_is_not_offered_its_own_images() -> None:
    """A rule about what it shares itself matches nothing there."""
    (told,) = doubts(block(projects='["payments"]', more=f'owner = "{PAYMENTS}"\nimage = "g*"'))
    assert "a project is not offered its own images" in told


@pytest.mark.parametrize(
    ("first", "second", "is_shadowed"),
    [
        (OWNED, 'owner = "factory"\nimage = "golden-a-*"', True),
        (OWNED, OWNED + 'tag = "a=b"\nos_type = "Linux"\nfull_ecs = true\nmax_age = "9d"', True),
        (OWNED + 'max_age = "9d"', OWNED + 'max_age = "8d"', True),
        (OWNED + 'max_age = "9d"', OWNED, False),
        (OWNED + 'max_age = "8d"', OWNED + 'max_age = "9d"', False),
        (OWNED + "newest = 2", OWNED, False),
        (OWNED + 'pending_for = "1d"', OWNED, False),
        (OWNED + 'tag = "a=b"', OWNED, False),
        (OWNED, 'owner = "*"\nimage = "golden-*"', False),
        (OWNED, 'owner = "factory"\nimage = "g*"', False),
    ],
)
def test_a_rule_that_an_earlier_one_leaves_nothing_is_told(*, first: str, second: str, is_shadowed: bool) -> None:
    """Where the earlier decides about all that it matches, whatever that is; both are named."""
    told = doubts(block("first", more=first), block("second", "rejected", more=second))
    shadowed = [each for each in told if "nothing is left to this rule" in each]
    assert bool(shadowed) is is_shadowed
    if shadowed:
        assert 'rule "first"' in shadowed[0]
        assert shadowed[0].endswith(f"manifest.toml:{LINE}:3 (rule[0])")


def test_a_rule_of_some_projects_leaves_the_others() -> None:
    """One that is about fewer projects shadows none that is about more."""
    some, every = block("some", projects='["ledger"]', more=OWNED), block("every", more=OWNED)
    assert not doubts(some, every)
    assert doubts(every, some)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("[[share]]\na = 1\n\n [[ share ]] # x\n", [1, 4]),
        ('a = """\n[[share]]\n"""\n[[share]]\n', [4]),
        ("share = [\n  {a = 1},\n  {a = 2},\n]\n", [2, 3]),
        ('[["share"]]\n[[share]]\n', [1, 2]),
    ],
)
def test_blocks_begin_where_they_are_written(text: str, lines: list[int]) -> None:
    """However they are written: below a header of their own, in a list, or beside what looks like a header."""
    assert list(lines_of_blocks(text.encode(), "share", len(lines))) == lines


def test_where_there_are_no_blocks_there_are_no_lines() -> None:
    """Nothing is looked for."""
    assert lines_of_blocks(b"version = 1", "share", 0) == ()
