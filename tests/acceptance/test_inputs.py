"""What people get wrong: each is exit 2 with words that help, before a single call is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import SECRET_KEY, Folder, Stage, fleet, manifest, share, stage

from worker.commands.parser import VERBS
from worker.simulator.jobs import JobRules
from worker.simulator.model import Answer
from worker.simulator.naming import image_id, project_id
from worker.simulator.world import World

CONFIG = f"""\
[cloud]
region = "eu-west-101"
[credentials.default]
kind = "static"
access_key = "AK"
secret_key = "{SECRET_KEY}"
"""
MANIFEST = f"""\
version = 1
[images]
golden = "{image_id("golden")}"
[projects.payments]
id = "{project_id("payments")}"
[[share]]
projects = ["payments"]
images = ["golden"]
status = "accepted"
"""


@dataclass(frozen=True)
class Mistakes:
    """Mistakes made together: what of config and manifest is replaced by what, and the words that must be found."""

    made: dict[str, str]
    words: tuple[str, ...]


TOGETHER = {
    "a manifest that is no TOML": Mistakes({"[projects.payments]": "[projects.payments"}, ("manifest.toml:4",)),
    "a config that is no TOML": Mistakes({"[cloud]": "[cloud"}, ("config.toml:1",)),
    "misspelt": Mistakes(
        {"region =": "regoin =", '["golden"]': '["goldne"]', '"accepted"': '"acepted"', "version = 1": "verison = 1"},
        ('"regoin"', 'did you mean "region"', 'did you mean "golden"', 'did you mean "accepted"', '"verison"'),
    ),
    "hostile ids": Mistakes(
        {
            image_id("golden"): "../../v2/images",
            project_id("payments"): "a\\r\\nX-Injected: 1",
            "status =": 'vault = "a/b?c=#"\nstatus =',
        },
        ("manifest.toml:3", "manifest.toml:5", "a/b?c=#", "32 hexadecimal digits"),
    ),
    "two wishes for one share": Mistakes(
        {"[[share]]": '[[share]]\nprojects = ["*"]\nimages = ["golden"]\nstatus = "rejected"\n[[share]]'},
        ("another wish", "manifest.toml:12", "manifest.toml:6"),
    ),
    "nothing where something should be": Mistakes(
        {'["golden"]': "[]", 'access_key = "AK"\n': ""}, ("manifest.toml:8", "access_key is missing")
    ),
    "what cannot be": Mistakes(
        {"[cloud]": '[polling]\nfirst = "soon"\n[cloud]\nims_endpoint = "http://ims.example.com"'},
        ("polling.first", "such as 10s", "cloud.ims_endpoint", "https"),
    ),
}


@pytest.mark.parametrize("mistakes", TOGETHER.values(), ids=TOGETHER.keys())
async def test_mistakes_are_found_offline(tmp_path: Path, mistakes: Mistakes) -> None:
    """`check` exits 2, and says of each mistake what is wrong and what may be meant."""
    folder = Folder(tmp_path)
    for name, text in (("config.toml", CONFIG), ("manifest.toml", MANIFEST)):
        for old, new in mistakes.made.items():
            assert (old in CONFIG) != (old in MANIFEST)
            text = text.replace(old, new)  # noqa: PLW2901 - each mistake on top of those before
        folder.write(name, text)
    done = await folder.run("check")
    assert done.status == 2
    assert [word for word in mistakes.words if word not in done.out] == [], done.out


async def test_all_problems_of_config_and_manifest_come_at_once(tmp_path: Path) -> None:
    """One `check` shows what is wrong in both documents, with their places."""
    folder = Folder(tmp_path)
    folder.write("config.toml", CONFIG + '[polling]\nfirst = "soon"\n[gaurds]\n')
    folder.write("manifest.toml", MANIFEST.replace('"accepted"', '"acepted"').replace('["golden"]', "[]"))
    done = await folder.run("check", "--json")
    assert (done.status, done.document["ok"]) == (2, False)
    found = {(problem["file"], problem["line"]) for problem in done.document["problems"]}
    assert found == {("config.toml", 8), ("config.toml", 9), ("manifest.toml", 8), ("manifest.toml", 9)}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Stage]:
    """Return a stage where all is well at first."""
    async with stage(tmp_path, fleet(2)) as opened:
        yield opened


async def assert_no_call(here: Stage, *words: str, verb: str = "run") -> None:
    """See that a verb exits 2 with these words on standard error, and that the cloud heard nothing."""
    done = await here.run(verb)
    assert done.status == 2, done.out
    assert [word for word in words if word not in done.err] == [], done.err
    assert sum(here.cloud.ledger.counts.values()) == 0


async def test_a_vanished_manifest_is_no_empty_one(here: Stage) -> None:
    """A manifest that is gone stops the run; nothing is rejected for it."""
    (here.path / "manifest.toml").unlink()
    await assert_no_call(here, "manifest.toml", "does not exist")


async def test_an_empty_manifest_changes_nothing(here: Stage) -> None:
    """A manifest without a share converges at once and sends nothing."""
    here.write("manifest.toml", "version = 1\n")
    done = await here.run("run", "--json")
    assert (done.status, done.document["desired"], here.puts()) == (0, 0, 0)


async def test_a_broken_manifest_stops_a_run_with_all_its_problems(here: Stage) -> None:
    """`run` does not work on a part of a manifest; the problems are on standard error, and in the JSON."""
    here.write("manifest.toml", manifest(here.world, share(here.world, "acepted"), share(here.world, "nope")))
    done = await here.run("run", "--json")
    assert (done.status, done.document["exit"], len(done.document["problems"])) == (2, 2, 2)
    assert [word for word in ("acepted", "nope", "2 problems") if word not in done.err] == []
    assert sum(here.cloud.ledger.counts.values()) == 0


async def test_keys_that_are_missing_or_half_there_are_told(here: Stage) -> None:
    """Without keys in the environment both families are named; with half of them the missing half."""
    text = f'[cloud]\nims_endpoint = "{here.cloud.url}"\n'
    here.write("config.toml", text)
    await assert_no_call(here, "HUAWEICLOUD_SDK_AK", "HW_ACCESS_KEY")
    here.environ["HUAWEICLOUD_SDK_AK"] = "AK"
    await assert_no_call(
        here, "HUAWEICLOUD_SDK_SK is not set" if False else "HUAWEICLOUD_SDK_SK", "is not set", verb="plan"
    )


async def test_a_project_or_image_that_is_not_known_gets_a_suggestion(here: Stage) -> None:
    """Both misspelt options are told at once, each with what may be meant; so is a shard out of range."""
    names, shard = await asyncio.gather(
        here.run("run", "--project", "paymets", "--image", "golden-01"), here.run("plan", "--shard", "2/2")
    )
    assert (names.status, shard.status) == (2, 2)
    for word in ('"paymets"', 'did you mean "payments"?', '"golden-01"', 'did you mean "golden-001"?'):
        assert word in names.err
    assert "from 0 to N-1" in shard.err
    assert sum(here.cloud.ledger.counts.values()) == 0


async def test_odd_command_lines_are_usage_errors(tmp_path: Path) -> None:
    """No verb, an unknown one, a config that is not there, a digest that is none: 2, and short words."""
    folder = Folder(tmp_path)
    lines = ((), ("rnu",), ("check", "--config", "nope.toml"), ("approve", "sha256:0"))
    ended = await asyncio.gather(*(folder.run(*line) for line in lines))
    assert [done.status for done in ended] == [2] * len(lines)
    words = ("VERB", "rnu", "nope.toml", "64 hex digits")
    assert [word for word, done in zip(words, ended, strict=True) if word not in done.out + done.err] == []


async def test_variables_that_are_no_settings_are_warned_of(here: Stage) -> None:
    """A variable that a cluster injects is no error; one that looks misspelt gets a suggestion."""
    settings = {"service_host": "10.0.0.1", "batch.max_image": "5"}
    done = await here.run("run", settings=settings)
    assert done.status == 0
    assert "IMS_WORKER_SERVICE_HOST is not a setting" in done.err
    assert "did you mean IMS_WORKER_BATCH__MAX_IMAGES?" in done.err


async def test_a_journal_that_cannot_be_used_is_told_with_its_name(here: Stage) -> None:
    """A journal that is some other file stops the run before any PUT."""
    here.write("letter.txt", "Dear reader, this is no journal.\n" * 100)
    done = await here.run("run", settings={"journal.url": "sqlite:///letter.txt"})
    assert (done.status, here.puts()) == (2, 0)
    assert "letter.txt" in done.err
    assert "not a database" in done.err


async def test_hostile_job_ids_and_names_do_no_harm(tmp_path: Path) -> None:
    """Job ids that would break out of a URL, a log or a query are never followed by harm: all shares converge."""
    world = World(rules=JobRules(seconds=(0.0, 0.1), ids="hostile"))
    plain = fleet(9)
    world.add(*plain.accounts.values(), *plain.images.values())
    for key, name in plain.projects.items():
        world.add_project(key, name)
        for image in world.images:
            world.share(image, key, Answer.PENDING)
    async with stage(tmp_path, world) as here:
        done = await here.run("run", "--json", settings={"batch.max_images": "2", "polling.unknown": "300ms"})
        assert done.document["unknown"] == 0
        assert here.all_are("accepted"), done.out
        assert done.status == 0, done.out
        assert here.sent_while_alive() == []


NO_CONFIG = "no config: looked for ./config.toml and $IMS_WORKER_CONFIG"
SHA = "sha256:" + "0" * 64
LINES = {
    "check": ("check",),
    "plan": ("plan",),
    "run": ("run",),
    "serve": ("serve",),
    "status": ("status",),
    "release": ("release", "golden", "payments"),
    "approve": ("approve", SHA),
    "reconcile": ("reconcile",),
    "pause": ("pause",),
    "resume": ("resume",),
    "doctor": ("doctor",),
}
"""A command line for each verb that needs a config."""


def test_every_verb_is_tried_without_a_config() -> None:
    """Whoever adds a verb says here how it is called, unless it needs no config."""
    assert {verb.name for verb in VERBS} - {"demo", "simulate", "help"} == {*LINES}


@pytest.mark.parametrize("verb", LINES)
async def test_no_config_is_said_once_and_where_it_was_looked_for(tmp_path: Path, verb: str) -> None:
    """In an empty folder that is all that is wrong: neither a region nor a manifest is missed as well."""
    folder = Folder(tmp_path, {"IMS_WORKER_CONFIG": "", "IMS_WORKER_LOG__LEVEL": "debug"})
    done, said = await asyncio.gather(folder.run(*LINES[verb], "--json"), folder.run(*LINES[verb]))
    assert (done.status, said.status) == (2, 2)
    (problem,) = done.document["problems"]
    assert (problem["message"], "IMS_WORKER_CLOUD__REGION" in problem["hint"]) == (NO_CONFIG, True)
    assert (said.out + said.err).startswith(f"error: {NO_CONFIG}\n")
    assert folder.files() == []


async def test_what_is_wrong_besides_the_missing_config_is_said_too(tmp_path: Path) -> None:
    """Of the environment what is wrong, of the manifest that it is not there where no config says where it is."""
    folder = Folder(tmp_path, {"IMS_WORKER_BATCH__MAX_IMAGES": "0"})
    done = await folder.run("check", "--json")
    assert {problem["path"] or problem["message"] for problem in done.document["problems"]} == {
        NO_CONFIG,
        "IMS_WORKER_BATCH__MAX_IMAGES",
    }
    folder.environ = {"IMS_WORKER_CLOUD__REGION": "eu-west-101"}
    for verb in ("check", "plan"):
        (problem,) = (await folder.run(verb, "--json")).document["problems"]
        assert (problem["message"], problem["hint"]) == ("the manifest does not exist", NO_CONFIG)
    folder.write("manifest.toml", MANIFEST)
    assert (await folder.run("check")).status == 0


async def test_a_config_that_is_named_and_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    """It is another mistake than to have none: the file is named, and the variable that names it."""
    folder = Folder(tmp_path, {"IMS_WORKER_CONFIG": "elsewhere.toml"})
    (problem,) = (await folder.run("plan", "--json")).document["problems"]
    assert (problem["file"], problem["hint"]) == ("elsewhere.toml", "$IMS_WORKER_CONFIG names it")
    (tmp_path / "config.toml").symlink_to("gone.toml")
    folder.environ = {}
    (problem,) = (await folder.run("plan", "--json")).document["problems"]
    assert (problem["file"], "no such file" in problem["message"]) == ("config.toml", True)


@pytest.mark.parametrize(
    ("line", "options"),
    [
        (("run", "--deadline", "soon", "--shard", "4/2"), {"--deadline", "--shard"}),
        (("run", "--deadline", ""), {"--deadline"}),
        (("run", "--deadline", "31d"), {"--deadline"}),
        (("plan", "--shard", ""), {"--shard"}),
        (("serve", "--shard", "1"), {"--shard"}),
        (("approve", "sha256:0"), {"DIGEST"}),
        (("approve", "nowhere.json"), {"DIGEST"}),
        (("plan", "--out", "nowhere/plan.json"), {"--out"}),
        (("pause", "--until", "soon"), {"--until"}),
        (("release", "--all", "--reason", "IMG.0144"), {"release"}),
        (("simulate", "--seed", "nowhere.toml", "--listen", "everywhere"), {"--listen"}),
        (("simulate", "--faults", "nowhere.toml", "--listen", "0.0.0.0:0"), {"--listen"}),
    ],
)
async def test_options_are_judged_before_files(tmp_path: Path, line: tuple[str, ...], options: set[str]) -> None:
    """With no config, or a broken one, a wrong option is what is told, and all wrong ones at once."""
    folder = Folder(tmp_path)
    for _ in range(2):
        done = await folder.run(*line, "--json")
        assert done.status == 2
        assert {problem["file"] for problem in done.document["problems"]} == options
        folder.write("config.toml", "[cloud\n")


@pytest.mark.parametrize("json", ["--json"])
async def test_a_usage_error_is_a_document_too_where_one_is_asked_for(tmp_path: Path, json: str) -> None:
    """What is wrong with the command line stands in the JSON, as other problems do."""
    done = await Folder(tmp_path).run("run", json, "--frobnicate")
    assert (done.status, done.document["exit"]) == (2, 2)
    (problem,) = done.document["problems"]
    assert (problem["file"], "--frobnicate" in problem["message"]) == ("command line", True)
