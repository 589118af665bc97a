"""The JSON behind the daemon's page, of boards with shares in every status."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain, islice, repeat
from typing import Any

import pytest
from boards import IMAGES, NOW, PROJECTS, all_is_well, document, numbered, some_of_everything
from passes import ACCEPT, TIMINGS
from plans import planned, tell

from worker.core import daemon_events, events
from worker.core.batch import Batch, InFlight
from worker.core.fleet.forecast import Forecast
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined
from worker.core.reading import Reading
from worker.core.share import Share
from worker.core.status import STANDING, Status
from worker.core.timing import timestamp
from worker.render.daemon import SCHEMA, SHARES_SHOWN, DaemonView, daemon_bytes, daemon_json
from worker.simulator.naming import image_id, project_id
from worker.telemetry.board import Board, Phase

LARGE = (numbered("project", 40), numbered("image", 40))
ON_THE_WAY = {"converged", "in_flight", "to_accept", "to_reject"}
KEYS = {
    "": {
        *("schema", "version", "now", "phase", "phase_since", "waits_for", "pass", "next_pass_at", "schedule"),
        *("desired", "converged", "counts", "unmanaged", "refused", "digest", "reload_error", "troubles", "letters"),
        *("images", "projects", "shares", "shares_omitted", "absent_waiting", "in_flight", "quarantined", "limits"),
        *("credentials", "passes", "matrix_omitted", "in_flight_omitted", "quarantined_omitted", "newer_manifest"),
        *("reported", "unsolicited"),
    },
    "pass": {"run_id", "started_at", "projects", "projects_read"},
    "troubles": {"at", "what", "reason"},
    "images": {"id", "name"},
    "projects": {"id", "name", "region", "credential", "desired", "converged", "unreadable", "row"},
    "shares": {
        *("project_id", "project", "image_id", "image", "desired", "observed", "bucket", "reason", "job_id", "waits"),
    },
    "in_flight": {"job_id", "project_id", "project", "status", "vault_id", "images", "sent_at", "run_id"},
    "quarantined": {
        *("project_id", "project", "image_id", "image", "status", "attempts", "first_reason", "last_reason"),
        "next_try",
    },
    "limits": {"account", "group", "rate", "calls", "left", "waiting", "paused_for", "configured", "learned"},
    "credentials": {"name", "refused"},
    "passes": {"run_id", "started_at", "finished_at", "result", "counts", "jobs", "calls"},
}
"""What readers may rely on. The schema only grows: to take anything out of here is to break them."""


@pytest.fixture(scope="module")
def large() -> dict[str, Any]:
    """Return the document of a large fleet in the middle of a pass."""
    return document(some_of_everything(*LARGE))


def fleet(
    wishes: Mapping[str, Mapping[str, Wish]], *projects: Project, image_names: Mapping[str, str] | None = None
) -> Manifest:
    """Return the manifest of a fleet of these projects, with these wishes."""
    return Manifest({each.id: each for each in projects}, wishes, image_names or {}, {}, {}, {})


def test_every_documented_key_is_there(large: dict[str, Any]) -> None:
    """Of the document, and of what its lists hold."""
    assert large.keys() >= KEYS[""]
    for key, names in KEYS.items():
        held = large[key] if key else [large]
        rows = [held] if isinstance(held, dict) else held
        assert rows, key
        assert [row for row in rows if not row.keys() >= names] == [], key


def late(busy: Forecast | None, *, under_way: bool = True) -> dict[str, Any]:
    """Return the document of a daemon whose next pass was due eight minutes ago."""
    board = all_is_well()
    board(daemon_events.PassScheduled(NOW - 480))
    if under_way:
        board(events.PassStarted("run-9", 2))
    return daemon_json(DaemonView(board, NOW, "1", "every 15m", TIMINGS, busy))


def test_the_next_pass_is_not_said_to_begin_in_the_past_while_one_is_late() -> None:
    """It begins when the one under way is over, as far as that is foreseen; else at the earliest now."""
    busy = Forecast(9, 540.0, "the PUT limit", NOW + 300, NOW)
    assert late(busy)["next_pass_at"] == timestamp(NOW + 540)
    assert late(None)["next_pass_at"] == late(Forecast(9, None, made_at=NOW))["next_pass_at"] == timestamp(NOW)
    assert late(None, under_way=False)["next_pass_at"] == timestamp(NOW)


def test_the_pass_under_way_has_its_time_to_go_and_what_it_waits_for() -> None:
    """Null where nobody knows, and where nothing is waited for."""
    busy = Forecast(9, 540.0, "the PUT limit", NOW + 300, NOW)
    told = {"calls": 9, "seconds": 540.0, "at_least": False, "cause": "the PUT limit", "until": timestamp(NOW + 300)}
    assert late(busy)["pass"]["forecast"] == told
    assert late(None)["pass"]["forecast"] is None
    assert late(replace(busy, is_all=False))["pass"]["forecast"] == told | {"at_least": True}
    unknown = late(Forecast(2, None, "jobs of the cloud", None, NOW, is_all=False))["pass"]["forecast"]
    nobody_knows = {"seconds": None, "at_least": True, "cause": "jobs of the cloud", "until": None}
    assert unknown == {"calls": 2} | nobody_knows


def test_what_is_encoded_is_the_document() -> None:
    """Every value is one of JSON, with keys that are strings."""
    board = some_of_everything(*LARGE)
    view = DaemonView(board, NOW, "1", "every 15m", TIMINGS)
    assert json.loads(daemon_bytes(view)) == json.loads(json.dumps(daemon_json(view), allow_nan=False))
    assert daemon_json(view)["schema"] == SCHEMA


def test_words_for_people_are_escaped_and_always_encoded() -> None:
    """A file may have a name with odd bytes, and another worker's host one that turns text around."""
    board = all_is_well()
    board(daemon_events.ReloadFailed("a\udcff.toml: one\nb\u202e.toml: two"))
    board(events.Incident("what\x1b[2J", "why\ud800"))
    board(daemon_events.StandingBy("`serve` on host\u2066\udc80"))
    found = json.loads(daemon_bytes(DaemonView(board, NOW, "1", "every 15m", TIMINGS)))
    assert found["reload_error"]["reason"] == "a\\xff.toml: one\nb\\u202e.toml: two"
    assert (found["troubles"][0]["what"], found["troubles"][0]["reason"]) == ("what\\x1b[2J", "why\\ud800")
    assert found["waits_for"] == "`serve` on host\\u2066\\x80"


def test_each_share_has_one_status(large: dict[str, Any]) -> None:
    """The counts have every status and add up to the desired shares, and the matrix shows the same."""
    assert list(large["counts"]) == list(STANDING)
    assert all(large["counts"].values()), "the board is to have some of everything"
    assert sum(large["counts"].values()) == large["desired"]
    assert large["converged"] == large["counts"]["converged"]
    drawn = Counter(letter for row in large["projects"] for letter in row["row"])
    assert {large["letters"][letter]: count for letter, count in drawn.items() if letter != "."} == large["counts"]
    assert sum(row["desired"] for row in large["projects"]) == large["desired"]
    assert sum(row["converged"] for row in large["projects"]) == large["converged"]


def test_each_status_has_a_letter_of_its_own(large: dict[str, Any]) -> None:
    """One sign each, and none of them the dot."""
    assert set(large["letters"].values()) == set(STANDING)
    assert sorted(map(len, {*large["letters"], "."})) == [1] * (len(STANDING) + 1)


def test_the_matrix_has_a_row_for_each_project_and_a_column_for_each_image(large: dict[str, Any]) -> None:
    """Sorted by names, each row as long as there are columns, a dot where nothing is desired."""
    projects, images = LARGE
    assert [row["name"] for row in large["projects"]] == sorted(projects)
    assert [column["name"] for column in large["images"]] == sorted(images)
    for row in large["projects"]:
        assert len(row["row"]) == len(images)
        assert len(row["row"].replace(".", "")) == row["desired"]
    assert any("." in row["row"] for row in large["projects"])


def test_each_share_in_trouble_is_named_with_its_reason(large: dict[str, Any]) -> None:
    """As the matrix has it; those that are as desired or on the way are not listed."""
    listed = {(share["project"], share["image"]): share["bucket"] for share in large["shares"]}
    drawn = {
        (row["name"], column["name"]): large["letters"][letter]
        for row in large["projects"]
        for column, letter in zip(large["images"], row["row"], strict=True)
        if letter != "." and large["letters"][letter] not in ON_THE_WAY
    }
    assert listed == drawn
    assert [share for share in large["shares"] if not share["reason"]] == []
    assert large["shares"] == sorted(large["shares"], key=lambda share: (share["project_id"], share["image_id"]))
    assert large["shares_omitted"] == 0


def test_an_absence_that_the_wish_allows_is_counted_apart() -> None:
    """It is counted and in the list like any other, and marked."""
    project = Project(project_id("payments"), "payments")
    wishes = {
        project.id: {image_id(name): Wish(Operation.ACCEPT, may_be_absent=name == "later") for name in ("a", "later")}
    }
    board = Board(lambda: NOW)
    tell(board, planned(fleet(wishes, project)))
    found = document(board)
    assert (found["counts"]["absent"], found["absent_waiting"]) == (2, 1)
    assert {share["image_id"]: share["waits"] for share in found["shares"]} == {
        image_id("a"): False,
        image_id("later"): True,
    }


def test_shares_in_trouble_beyond_what_a_page_can_bear_are_counted() -> None:
    """All of a fleet that cannot be read are in trouble; the counts and the matrix still have every one."""
    projects, images = numbered("project", 60), numbered("image", 100)
    board = all_is_well(projects, images)
    assert document(board)["shares_omitted"] == 0
    held = [line.project for line in board.fleet.projects.values()]
    wishes = {project.id: {image_id(name): ACCEPT for name in images} for project in held}
    tell(board, planned(fleet(wishes, *held), {project.id: Reading({}, "HTTP 503") for project in held}))
    found = document(board)
    assert (len(found["shares"]), found["shares_omitted"]) == (SHARES_SHOWN, 1_000)
    assert found["counts"]["unknown"] == found["desired"] == 6_000


def test_an_unreadable_project_says_why(large: dict[str, Any]) -> None:
    """In its row; all of its shares are unknown."""
    unreadable = [row for row in large["projects"] if row["unreadable"]]
    assert unreadable
    for row in unreadable:
        assert "403" in row["unreadable"]
        assert set(row["row"]) <= {Status.UNKNOWN.letter, "."}
    assert sum(row["desired"] for row in unreadable) == large["counts"]["unknown"]


def test_names_stand_where_the_manifest_has_them() -> None:
    """What has no name is called by its id; regions and credentials are the project's."""
    board = Board(lambda: NOW)
    project = Project(project_id("payments"), "payments", "other", "eu-west-0")
    wishes = {project.id: dict.fromkeys([image_id("named"), image_id("bare")], Wish(Operation.ACCEPT))}
    tell(board, planned(fleet(wishes, project, image_names={image_id("named"): "named"})))
    found = document(board)
    assert {column["name"] for column in found["images"]} == {"named", image_id("bare")}
    (row,) = found["projects"]
    assert (row["name"], row["credential"], row["region"]) == ("payments", "other", "eu-west-0")


def test_nothing_is_known_at_first() -> None:
    """A daemon that has just begun has an empty document with all its keys."""
    found = document(Board(lambda: NOW))
    assert found.keys() >= KEYS[""]
    assert (found["phase"], found["desired"], found["pass"], found["next_pass_at"]) == ("starting", 0, None, None)
    assert (found["projects"], found["images"], found["shares"], found["passes"]) == ([], [], [], [])


@pytest.mark.parametrize(
    ("event", "phase"),
    [
        (daemon_events.AtWork(unclean=False), Phase.AT_WORK),
        (daemon_events.StandingBy("held by another"), Phase.STANDING_BY),
        (daemon_events.Stopping(25.0, "Stopping"), Phase.STOPPING),
    ],
)
def test_the_phase_is_shown(event: events.Event, phase: Phase) -> None:
    """With its reason, if it has one; what a stand-by knew before is no longer shown."""
    board = all_is_well()
    board(event)
    found = document(board)
    assert (found["phase"], found["waits_for"]) == (phase, getattr(event, "reason", ""))
    assert found["desired"] == (0 if phase is Phase.STANDING_BY else len(PROJECTS) * len(IMAGES))


def test_a_pass_under_way_is_shown_until_it_ends() -> None:
    """How many projects it has read, of how many."""
    board = all_is_well()
    board(events.PassStarted("run-1", 2))
    board(events.ProjectObserved(project_id("payments"), 5))
    assert {**document(board)["pass"], "started_at": ""} == {
        "run_id": "run-1",
        "started_at": "",
        "projects": 2,
        "projects_read": 1,
        "forecast": None,
    }
    board(events.PassBroken("why"))
    assert document(board)["pass"] is None


def test_troubles_come_newest_first_and_bad_files_until_they_are_mended() -> None:
    """Each with its time."""
    board = all_is_well()
    board(events.Incident("first", "why"))
    board(events.Incident("second", "why"))
    board(daemon_events.ReloadFailed("manifest.toml:3: unknown key"))
    found = document(board)
    assert [each["what"] for each in found["troubles"]] == ["second", "first"]
    assert found["reload_error"]["reason"] == "manifest.toml:3: unknown key"
    board(daemon_events.Reloaded(2, 4))
    assert document(board)["reload_error"] is None


def test_a_newer_manifest_is_told_while_it_waits() -> None:
    """With when it was loaded, until a pass begins by it."""
    board = all_is_well()
    board(events.PassStarted("run-1", 1))
    assert document(board)["newer_manifest"] is None
    board(events.Superseded(NOW))
    assert document(board)["newer_manifest"] == {"loaded_at": document(board)["now"]}
    board(events.PassStarted("run-2", 1))
    assert document(board)["newer_manifest"] is None


def test_limits_are_those_that_a_config_sets(large: dict[str, Any]) -> None:
    """Each group of calls of an account, with what is left; times are RFC 3339 in UTC."""
    assert {limit["group"] for limit in large["limits"]} == {"members_put", "job_get", "job_progress", "images_list"}
    (puts,) = (limit for limit in large["limits"] if limit["group"] == "members_put")
    assert (puts["rate"], puts["calls"], puts["left"], puts["waiting"]) == ("200/5m", 200, 31, 4)
    assert all(large[key].endswith("Z") for key in ("now", "phase_since", "next_pass_at"))


@pytest.fixture(scope="module")
def vast() -> Board:
    """Return the board of a fleet where each of many projects has many images of its own, all of them absent."""
    projects = [Project(project_id(name), name) for name in numbered("project", 100)]
    wishes = {project.id: {f"{project.id}-{number}": ACCEPT for number in range(600)} for project in projects}
    board = Board(lambda: NOW)
    tell(board, planned(fleet(wishes, *projects)))
    batches = tuple(Batch(project.id, Operation.ACCEPT, None, ("i",)) for project in projects)
    in_flight = tuple(InFlight(n, batch, NOW) for n, batch in enumerate(chain.from_iterable(repeat(batches, 60))))
    shares = (Share(key, image) for key, images in wishes.items() for image in images)
    quarantined = tuple(Quarantined(share, Operation.ACCEPT, 1, "no", "no", NOW) for share in islice(shares, 7_000))
    board(daemon_events.Remembered(in_flight, quarantined, ()))
    return board


def test_a_document_has_an_end_however_large_the_fleet(vast: Board) -> None:
    """The matrix is left out, which is said with its size, and no list has more than a page can bear."""
    body = daemon_bytes(DaemonView(vast.snapshot(SHARES_SHOWN), NOW, "1", "every 15m", TIMINGS))
    found = json.loads(body)
    assert found["matrix_omitted"] == 100 * 60_000
    assert found["images"] == []
    assert {each["row"] for each in found["projects"]} == {""}
    assert (found["desired"], found["counts"]["absent"]) == (60_000, 60_000)
    for name, total in (("shares", 60_000), ("in_flight", 6_000), ("quarantined", 7_000)):
        assert (len(found[name]), found[f"{name}_omitted"]) == (SHARES_SHOWN, total - SHARES_SHOWN)
    assert len(body) < 8_000_000


def test_a_matrix_of_just_the_size_is_whole() -> None:
    """One cell more, and it is left out; what is left in is in the order of the names."""
    projects, images = numbered("project", 100), numbered("image", 500)
    whole = document(all_is_well(projects, images))
    assert (whole["matrix_omitted"], len(whole["images"])) == (0, 500)
    assert {each["row"] for each in whole["projects"]} == {"c" * 500}
    assert [each["name"] for each in whole["images"]] == sorted(images)
    assert document(all_is_well(projects, (*images, "image-more")))["matrix_omitted"] == 100 * 501
