"""The status page in a real browser: what an operator sees of a pass, whatever the names, and on whatever screen."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from boards import NOW, all_is_well, document, nothing_readable, numbered, some_of_everything
from browser import FAINT, NAMELESS, SIDEWAYS, Watched, browsing, chromium, stand_in
from commands import ENDLESS, TIMEOUT, Running, Stage, fleet, stage

from worker.core import daemon_events
from worker.core.instruction import Instruction, InstructionKind
from worker.simulator.naming import image_id, project_id

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
DRAWN = "() => document.querySelector('#grid tbody td')"
DRAWN_TWICE = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
HOSTILE = (
    "<script>window.hacked = 1</script>",
    '<img src="x" onerror="window.hacked = 2">',
    "\u202egnp.nedlog",
    "zero\u200bwidth\u2066 and\tnull\x00",
    "\u05d0\u05d1\u05d2 golden \u0627\u0644",
    "__proto__",
    "x" * 4096,
)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def browser() -> AsyncIterator[None]:
    """Run one browser for all tests, each of which has pages of its own."""
    async with chromium():
        yield


async def look_again(seen: Watched) -> None:
    """Come back to the tab, so that the page asks at once, and wait until it has drawn the answer and set its timer."""
    before = await seen.page.evaluate("timer")
    await seen.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await seen.until("(before) => timer !== before", before)


async def serving(here: Stage, listen: str = "127.0.0.1:0") -> tuple[Running, str]:
    """Start a daemon, and return it with the address of its page."""
    running = await here.start("serve", settings={"server.listen": listen, "schedule.every": "1h"})
    assert running.process.stderr is not None
    async with asyncio.timeout(TIMEOUT):
        while b"http.listening" not in (line := await running.process.stderr.readline()):
            assert line, "it ended before it listened"
    return running, f"http://{json.loads(line)['address']}/"


async def size(seen: Watched) -> tuple[int, int]:
    """Return how many rows and columns the matrix has."""
    grid = seen.page.locator("#grid")
    return int(await grid.get_attribute("aria-rowcount")) - 1, int(await grid.get_attribute("aria-colcount")) - 1


async def test_a_fleet_as_desired_is_said_in_one_sentence_and_not_by_colour_alone() -> None:
    """The verdict is a sentence with a sign, also in the title of the tab; nothing stands in the way."""
    async with stand_in(document(all_is_well())) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        assert await seen.text("#sentence") == "All 4 shares are as desired"
        assert await seen.text("#sign") == "✓"
        assert await seen.page.title() == "✓ All 4 shares are as desired · ims-share-worker"
        assert await seen.text("#why-note") == "Nothing stands in the way."
        assert re.fullmatch(r"every 15m, next pass in 4 m \d+ s", await seen.text("#next"))


async def test_what_is_not_as_desired_is_told_by_reason_with_its_shares_and_the_next_step() -> None:
    """Reasons that differ only in a job's id are one group; it opens to its shares, and says what to do."""
    told = document(some_of_everything(numbered("team", 60), numbered("image", 40)))
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        unknown = told["counts"]["unknown"]
        off = told["desired"] - told["converged"] - unknown
        sentence = f"{off} of {told['desired']:,} shares are not as desired, {unknown} unknown"
        assert await seen.text("#sentence") == sentence
        failed = [one for one in told["shares"] if "says SUCCESS" in one["reason"]]
        group = seen.page.locator("#groups details", has_text="says SUCCESS")
        await group.locator("summary").click()
        assert await group.locator("summary b").inner_text() == str(len(failed))
        assert "quarantine" in await group.locator("p:visible").inner_text()
        assert failed[0]["project"] in await group.locator("tbody").inner_text()
        held = told["quarantined"][0]
        command = f"ims-share-worker release {held['image']} {held['project']}"
        assert command in await seen.text("#quarantine tbody")


async def test_what_could_not_be_read_is_told_once_and_apart() -> None:
    """The notice has a line for the reason; its shares are counted as unknown, and are not listed as undesired."""
    told = document(some_of_everything(numbered("team", 60), numbered("image", 40)))
    (line,) = told["unread"]
    assert line.startswith("2 of 60 projects could not be read (team-0008, team-0037): HTTP 403")
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        assert await seen.page.locator("#notices li", has_text=line).count() == 1
        assert await seen.page.locator("#groups summary", has_text="HTTP 403 IMG.0017").count() == 0


async def test_that_nothing_could_be_read_is_the_verdict_and_all_there_is_to_say() -> None:
    """The sentence tells the credential that was refused; no notice, and no list, says it again."""
    reason = 'credential "default" was refused (401 APIGW.0301): the key is wrong'
    told = document(nothing_readable(reason), credentials=[{"name": "default", "refused": True}])
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        assert await seen.text("#sentence") == f"None of 2 projects could be read: {reason}"
        assert await seen.text("#aside") == "4 unknown"
        assert await seen.page.locator(".notice:visible").count() == 0
        assert await seen.page.locator("#groups details").count() == 0


async def test_a_pause_is_told_with_who_began_it_and_the_way_out() -> None:
    """It is no alarm: the sentence says that nothing is sent, the notice who said so; afterwards both are gone."""
    board = some_of_everything(numbered("team", 3), numbered("image", 4))
    board(daemon_events.AskedFor(Instruction(1, InstructionKind.PAUSE, "ann@host", NOW - 60)))
    board(daemon_events.PauseBegan(Instruction(1, InstructionKind.PAUSE, "ann@host", NOW - 60)))
    async with stand_in(document(board)) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        assert await seen.text("#sentence") == "Paused: nothing is sent"
        notices = await seen.text("#notices")
        assert "Paused by ann@host: passes plan and report, and send nothing." in notices
        assert "ims-share-worker resume" in notices
        assert (await seen.text("#asked")).startswith("to pause by ann@host, ")
        board(daemon_events.PauseEnded())
        served.document = document(board)
        await look_again(seen)
        assert "Paused" not in await seen.text("#state") + await seen.text("#notices")


async def test_an_update_leaves_focus_scroll_and_what_is_open_as_they_are() -> None:
    """New figures are drawn into the page that is there; nothing that a reader has opened or reached is lost."""
    names = numbered("team", 60), numbered("image", 40)
    async with stand_in(document(some_of_everything(*names))) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        await seen.page.locator("#groups details").nth(1).locator("summary").click()
        await seen.page.locator("#grid tbody tr").nth(3).locator("td").nth(4).click()
        await seen.page.evaluate("document.querySelector('#window').scrollTop = 240; scrollTo(0, 300)")
        await seen.page.evaluate(DRAWN_TWICE)
        state = """() => [scrollY, document.querySelector("#window").scrollTop, document.activeElement.tagName,
          [...document.querySelectorAll("#groups details")].map((node) => node.open)]"""
        before = await seen.page.evaluate(state)
        assert before[:3] == [300, 240, "TD"]
        assert before[3][:3] == [False, True, False]
        served.document = document(some_of_everything(*names), version="0.2.1")
        await look_again(seen)
        assert await seen.text("#version") == "0.2.1"
        assert await seen.page.evaluate(state) == before
        served.document = document(all_is_well(*names))
        await look_again(seen)
        assert await seen.text("#sentence") == "All 2,400 shares are as desired"
        assert await seen.page.locator("#groups details").count() == 0


async def test_the_matrix_is_searched_and_filtered_and_its_address_remembers_how() -> None:
    """Search fields, chips and the toggle narrow rows and columns; the address brings the same view back."""
    told = document(some_of_everything(numbered("team", 60), numbered("image", 40)))
    rows = [project["row"] for project in told["projects"]]
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        assert await size(seen) == (60, 40)
        await seen.page.get_by_label("Project", exact=True).fill("TEAM-001")
        await seen.page.get_by_label("Image", exact=True).fill(told["images"][7]["id"])
        assert await size(seen) == (10, 1)
        await seen.page.get_by_role("button", name="Show all").click()
        await seen.page.get_by_role("checkbox", name="unsettled").check()
        hit = [row for row in rows if "u" in row], [at for at in range(40) if any(row[at] == "u" for row in rows)]
        assert await size(seen) == (len(hit[0]), len(hit[1]))
        dim, bright = (seen.page.locator(f"#grid td{which}") for which in (".dim", ":not(.dim)"))
        assert set(await bright.all_inner_texts()) == {"U"}
        assert await dim.count() > 0
        assert seen.page.url.endswith("#show=u")
        await seen.page.reload()
        await seen.until(DRAWN)
        assert await size(seen) == (len(hit[0]), len(hit[1]))
        assert await seen.page.get_by_role("checkbox", name="unsettled").is_checked()
        await seen.page.goto(f"{served.url}#project=nobody")
        assert await seen.text("#cell") == "Nothing matches."


async def test_only_rows_and_columns_with_something_amiss_are_left_when_asked_for() -> None:
    """The toggle leaves out every project and image that is as desired throughout."""
    told = document(all_is_well(numbered("team", 6), numbered("image", 5)))
    told["projects"][2] |= {"row": "ccccf", "converged": 4}
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        await seen.page.get_by_label("Only rows and columns not as desired").check()
        assert await size(seen) == (1, 1)
        assert await seen.page.locator("#grid tbody").inner_text() == "team-0003\n1\n\tF"


async def test_a_matrix_that_is_left_out_is_said_to_be() -> None:
    """The reader learns how large it would be, whatever is chosen, and everything else is there."""
    told = document(all_is_well(numbered("team", 6), numbered("image", 5)))
    told |= {"images": [], "projects": [each | {"row": ""} for each in told["projects"]], "matrix_omitted": 80_000_000}
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until("() => document.querySelector('#matrix-count').innerText !== ''")
        assert "6 projects" in await seen.text("#matrix-count")
        assert "80,000,000 fields, projects times images, is too large to show" in await seen.text("#cell")
        await seen.page.get_by_label("Only rows and columns not as desired").check()
        assert "80,000,000 fields, projects times images, is too large to show" in await seen.text("#cell")


async def test_the_matrix_is_walked_by_keyboard_and_each_place_is_told_in_words() -> None:
    """Tab leads to one cell, arrow keys move on, also beyond what is in sight and to the names; a pane says it all."""
    told = document(some_of_everything(numbered("team", 60), numbered("image", 40)))
    async with stand_in(told) as served, browsing(served.url, viewport={"width": 700, "height": 600}) as seen:
        await seen.until(DRAWN)
        keyboard = seen.page.keyboard
        await seen.page.get_by_role("checkbox", name="as desired").last.focus()
        await keyboard.press("Tab")
        assert await seen.page.evaluate("document.activeElement.closest('#grid') !== null")
        await keyboard.press("ArrowDown")
        await keyboard.press("Control+End")
        place = "() => [document.activeElement.parentElement.ariaRowIndex, document.activeElement.ariaColIndex]"
        assert await seen.page.evaluate(place) == ["61", "41"]
        assert (await seen.text("#cell")).startswith("image-0040 in team-0060: ")
        await keyboard.press("Home")
        await keyboard.press("ArrowLeft")
        assert await seen.page.evaluate(place) == ["61", "1"]
        assert (await seen.text("#cell")).startswith(f"Project team-0060 ({project_id('team-0060')}), ")
        await keyboard.press("Control+Home")
        for _ in range(3):
            await keyboard.press("ArrowUp")
        assert await seen.text("#cell") == f"Image image-0001 ({image_id('image-0001')})."
        assert await seen.page.locator("#grid [tabindex='0']").count() == 1


async def test_a_failed_share_is_explained_where_it_is_clicked() -> None:
    """The pane below the matrix says what was wanted, how it reads and why, of the cell that was clicked."""
    told = document(some_of_everything(numbered("team", 60), numbered("image", 40)))
    one = next(each for each in told["shares"] if each["bucket"] == "failed")
    async with stand_in(told) as served, browsing(f"{served.url}#project={one['project_id']}") as seen:
        await seen.until(DRAWN)
        at = [image["id"] for image in told["images"]].index(one["image_id"])
        await seen.page.locator("#grid tbody td").nth(at).click()
        pane = await seen.text("#cell")
        assert pane.startswith(f"{one['image']} in {one['project']}: failed. Wanted {one['desired']}")
        assert one["job_id"] in pane


@pytest.mark.parametrize("screen", [{}, PHONE], ids=["desktop", "phone"])
async def test_hostile_names_are_text_that_cannot_disguise_itself(screen: dict[str, Any]) -> None:
    """Markup is shown, not obeyed; hidden and turning characters are spelt out; 4 KB widen nothing."""
    told = document(
        some_of_everything(HOSTILE, HOSTILE), refused=list(HOSTILE), refusal=list(HOSTILE), waits_for=HOSTILE[0]
    )
    told["troubles"] = [{"at": told["now"], "what": name, "reason": name} for name in HOSTILE]
    told["reload_error"] = told["troubles"][0] | {"reason": "\n".join(HOSTILE)}
    told["in_flight"][0] |= {"job_id": HOSTILE[2]}
    async with stand_in(told) as served, browsing(served.url, **screen) as seen:
        await seen.until(DRAWN)
        for name in HOSTILE[:2]:
            assert name in await seen.text("#grid")
            assert name in await seen.text("#notices ul:visible")
        assert await seen.page.evaluate("window.hacked") is None
        assert await seen.page.locator("main script, main img").count() == 0
        body = await seen.text("body")
        assert not re.search("[\u202e\u2066\u200b\x00]", body)
        assert "\\u{202e}gnp.nedlog" in await seen.text("#jobs")
        assert "zero\\u{200b}width\\u{2066} and\\u{9}null\\u{0}" in body
        await seen.page.locator("#grid tbody th", has_text="xxx").click()
        assert "x" * 4096 in await seen.text("#cell")
        for summary in await seen.page.locator("summary").all():
            await summary.click()
        await seen.page.locator("#groups .name[tabindex]", has_text="xxx").first.focus()
        assert await seen.page.evaluate(SIDEWAYS) == 0
        widths = "[...document.querySelectorAll('.scroll')].map((box) => box.scrollWidth)"
        assert max(await seen.page.evaluate(widths)) < 2_000
        assert seen.complaints == []


async def test_a_command_to_copy_takes_ids_where_a_name_would_not_survive_a_shell() -> None:
    """A plain name stands in the command as it is; any other is left to its id."""
    told = document(some_of_everything(numbered("team", 60), numbered("image", 40)))
    told["quarantined"] = told["quarantined"][:2]
    told["quarantined"][0] |= {"image": "$(reboot)", "project": "it's"}
    ids = told["quarantined"][0]["image_id"], told["quarantined"][0]["project_id"]
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        first = seen.page.locator("#quarantine code").first
        assert await first.inner_text() == f"ims-share-worker release {ids[0]} {ids[1]}"


async def test_a_refused_plan_and_unusable_files_come_first_and_say_the_way_out() -> None:
    """The guards' reasons stand with the command that approves this plan; a file's problems keep their lines."""
    told = document(
        all_is_well(),
        refused=[f"max_reject: in project {name} the plan would reject 3 of 4" for name in numbered("team", 297)],
        refusal=["would reject 3 images (ubuntu …) in 297 of 300 projects, 891 of 1,200 shares", "team-0001: 3 of 4"],
        digest="sha256:ab",
    )
    told["reload_error"] = {"at": told["now"], "what": "the files cannot be used", "reason": "one:\n    ^ here"}
    told["credentials"] = [{"name": "payments", "refused": True}]
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        assert await seen.text("#sentence") == "The guards refused the plan, so nothing is sent"
        notices = await seen.text("#notices")
        assert "ims-share-worker approve sha256:ab" in notices
        assert "would reject 3 images (ubuntu …) in 297 of 300 projects, 891 of 1,200 shares" in notices
        assert await seen.page.locator("#notices li:visible", has_text="team-").count() == 1
        assert "payments" in notices
        assert await seen.page.locator("#notices pre:visible").inner_text() == "one:\n    ^ here"


async def test_what_only_waits_is_amber_and_what_went_wrong_is_red() -> None:
    """In the verdict and in the bars of passes; a fleet that only waits for owners is not shown as broken."""
    told = document(all_is_well())
    of_pass = told["passes"][0]
    results = ("converged", "incomplete", "partial", "failed", "refused")
    passes = [{**of_pass, "run_id": f"run-{result}", "result": result} for result in results]
    waits = {**told, "passes": passes, "desired": 8, "counts": {**told["counts"], "absent": 3, "quarantined": 1}}
    async with stand_in(waits) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        tone = seen.page.locator("#state")
        assert (await tone.get_attribute("data-tone"), await seen.text("#sign")) == ("wait", "…")
        assert await seen.text("#sentence") == "4 of 8 shares are not as desired"
        assert await seen.page.evaluate(FAINT) == []
        colors = "() => [...document.querySelectorAll('#bars li')].map((bar) => getComputedStyle(bar).backgroundColor)"
        assert len(set(await seen.page.evaluate(colors))) == len(results)
        for wrong in ("failed", "unknown"):
            served.document = {**waits, "desired": 9, "counts": {**waits["counts"], wrong: 1}}
            await look_again(seen)
            assert (await tone.get_attribute("data-tone"), await seen.text("#sign")) == ("bad", "!")


async def test_a_pass_that_a_limit_holds_up_says_so_and_its_time_to_go_shrinks() -> None:
    """What it waits for, until when, and about how long: the seconds pass without another answer of the daemon."""
    told = document(all_is_well())
    until = datetime.fromisoformat(told["now"]) + timedelta(seconds=290)
    forecast = {"calls": 9, "seconds": 95.0, "cause": "the PUT limit", "until": until.isoformat()}
    under_way = {"run_id": "run-1", "started_at": told["now"], "projects": 2, "projects_read": 2, "forecast": forecast}
    told["pass"] = under_way
    shown = until.replace(second=0, microsecond=0) + timedelta(minutes=1 if until.second or until.microsecond else 0)
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        text = await seen.text("#pass")
        assert f"; waiting for the PUT limit until {shown:%H:%M} UTC; about 95 s to go" in text
        await seen.until("() => / about 9[0-4] s to go/.test(document.querySelector('#pass').textContent)")
        unknown = {**forecast, "seconds": None, "cause": "jobs of the cloud", "until": None}
        served.document = {**told, "pass": {**under_way, "forecast": unknown}}
        await look_again(seen)
        text = await seen.text("#pass")
        assert text.endswith("; waiting for jobs of the cloud")
        served.document = {**told, "pass": {**under_way, "projects_read": 1}}
        await look_again(seen)
        assert "1 of 2 projects read; waiting for the PUT limit until" in await seen.text("#pass")
        served.document = {**told, "pass": {**under_way, "forecast": {**forecast, "at_least": True}}}
        await look_again(seen)
        assert "; at least " in await seen.text("#pass")
        assert "; at least 9" in await seen.text("#pass")


async def test_a_newer_manifest_that_waits_is_said_beside_the_pass() -> None:
    """Whoever has changed the manifest sees that it was taken, since when it waits, and what for."""
    told = document(all_is_well(), newer_manifest=None)
    told["pass"] = {"run_id": "run-1", "started_at": told["now"], "projects": 2, "projects_read": 2}
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        assert "newer" not in await seen.text("#pass")
        served.document = {**told, "newer_manifest": {"loaded_at": told["now"]}}
        await seen.until("() => document.querySelector('#pass').textContent.includes('newer manifest begins after')")


async def test_a_stand_by_says_whom_it_waits_for() -> None:
    """Whoever holds the journal is named, and the page does not claim to know the fleet."""
    told = document(all_is_well(), phase="standing_by", waits_for="`serve`, process 7 on node-1 holds the journal")
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        assert await seen.text("#sentence") == "Standing by: `serve`, process 7 on node-1 holds the journal"
        assert await seen.page.locator("#state").get_attribute("data-tone") == "idle"


async def test_a_daemon_that_cannot_be_reached_is_said_with_the_age_of_what_is_shown() -> None:
    """A warning tells the reason and the age, the verdict is no longer vouched for, and all recovers by itself."""
    async with stand_in(document(all_is_well())) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        known, served.document = served.document, None
        await look_again(seen)
        assert re.match(
            r"The daemon cannot be reached \(it answers with status 500\)\. What you see is \d+ .+ old\.",
            await seen.text("#stale"),
        )
        assert (await seen.text("#sign"), await seen.page.title()) == (
            "?",
            "? The daemon cannot be reached · ims-share-worker",
        )
        assert await seen.page.locator("#announcement").text_content() == (
            "The daemon cannot be reached (it answers with status 500)."
        )
        served.document = known
        await seen.until("() => document.querySelector('#stale').hidden")
        assert (await seen.text("#sign"), await seen.page.title())[0] == "✓"
        assert await seen.page.locator("#announcement").text_content() == "The daemon answers again."


async def test_a_readers_wrong_clock_changes_no_age() -> None:
    """Ages are counted from the daemon's clock, also in a browser that is a year behind."""
    async with stand_in(document(all_is_well())) as served, browsing("about:blank") as seen:
        await seen.page.clock.set_fixed_time(0)
        await seen.page.goto(served.url)
        await seen.until(DRAWN)
        assert "ended 11 m ago" in await seen.text("#last")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_all_text_stands_out_from_what_is_behind_it(scheme: str) -> None:
    """The contrast of every text is at least 4.5, in both colour schemes, which differ."""
    told = document(some_of_everything(numbered("team", 60), numbered("image", 40)), refused=["max_reject"])
    async with stand_in(told) as served, browsing(served.url, color_scheme=scheme) as seen:
        await seen.until(DRAWN)
        assert await seen.page.evaluate(FAINT) == []
        ground = await seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground))) > 384) is (scheme == "light")


async def test_a_phone_shows_all_without_scrolling_sideways() -> None:
    """At 360 pixels the page is no wider than the screen, while the matrix scrolls in its own box."""
    told = document(some_of_everything(numbered("team", 60), numbered("image", 40)))
    async with stand_in(told) as served, browsing(served.url, **PHONE) as seen:
        await seen.until(DRAWN)
        for summary in await seen.page.locator("summary").all():
            await summary.click()
        assert await seen.page.evaluate(SIDEWAYS) == 0
        box = "document.querySelector('#window')"
        assert await seen.page.evaluate(f"{box}.scrollWidth > {box}.clientWidth")
        await seen.page.evaluate(f"{box}.scrollLeft = 1e6")
        await seen.until("() => document.querySelector('#grid thead th:last-child').textContent === 'image-0040'")


async def test_the_page_is_built_for_those_who_do_not_see_it() -> None:
    """Everything has a name, headings are in order, tables have headers, and one place alone speaks up."""
    told = document(some_of_everything(numbered("team", 60), numbered("image", 40)))
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        await seen.page.locator("summary").first.click()
        assert await seen.page.evaluate(NAMELESS) == []
        levels = await seen.page.evaluate(
            "[...document.querySelectorAll('h1, h2, h3')].map((node) => +node.tagName[1])"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert await seen.page.locator("th:not([scope])").count() == 0
        assert await seen.page.locator("[aria-live]").count() == 1
        assert [await seen.page.locator(place).count() for place in ("header", "main", "footer")] == [1, 1, 1]
        await seen.page.keyboard.press("Shift+Tab")
        cell = seen.page.locator("#grid td[data-is=f]").first
        assert await cell.get_attribute("aria-label") == "failed"


async def test_a_skip_link_comes_first_and_does_not_change_the_filters() -> None:
    """The first stop of the keyboard leads past the head of the page, and the matrix stays as it was."""
    async with stand_in(document(all_is_well())) as served, browsing(f"{served.url}#project=ledger") as seen:
        await seen.until(DRAWN)
        await seen.page.keyboard.press("Tab")
        assert await seen.page.evaluate("document.activeElement.textContent") == "Skip to the state of the fleet"
        await seen.page.keyboard.press("Enter")
        assert await seen.page.evaluate("document.activeElement.id") == "main"
        assert await size(seen) == (1, 2)


async def test_tens_of_thousands_of_shares_are_a_few_hundred_cells() -> None:
    """Only what is in sight is in the document, however large the fleet, and its far end is reached by scrolling."""
    told = document(all_is_well(numbered("team", 500), numbered("image", 100)))
    async with stand_in(told) as served, browsing(served.url) as seen:
        await seen.until(DRAWN)
        assert await size(seen) == (500, 100)
        assert await seen.page.locator("#grid td").count() < 2_000
        await seen.page.evaluate("document.querySelector('#window').scrollTo(1e7, 1e7)")
        await seen.until("() => document.querySelector('#grid tbody tr:last-child').ariaRowIndex === '501'")
        assert await seen.page.locator("#grid tbody tr").last.locator("td").last.get_attribute("aria-colindex") == "101"


async def test_without_scripts_the_page_says_where_else_to_look() -> None:
    """A browser without JavaScript is told of the JSON and of the command."""
    async with stand_in(document(all_is_well())) as served, browsing(served.url, java_script_enabled=False) as seen:
        told = await seen.text("noscript")
        assert "api/status" in told
        assert "ims-share-worker status" in told


async def test_a_pass_is_followed_live_from_its_jobs_to_their_end(tmp_path: Path) -> None:
    """The page of a real daemon shows the jobs in flight, and by itself that all is as desired once they have ended."""
    async with stage(tmp_path, fleet(6, seconds=ENDLESS)) as here:
        daemon, address = await serving(here)
        async with browsing(address) as seen:
            await seen.until("() => document.querySelectorAll('#jobs tbody tr').length === 2")
            assert await seen.text("#sentence") == "12 of 12 shares are on the way"
            assert await seen.text("#aside") == "12 in flight"
            assert (await seen.text("#pass")).startswith("under way for ")
            here.end_jobs()
            await seen.until("() => document.querySelector('#sentence').textContent === 'All 12 shares are as desired'")
            await seen.until("() => document.querySelector('#jobs table').checkVisibility() === false")
            assert "converged" in await seen.text("#passes tbody tr")
            assert await seen.page.locator("#bars li").count() > 0
            assert seen.complaints == []
            assert {url.partition("/api")[0].rstrip("/") for url in seen.asked} == {address.rstrip("/")}
        assert daemon.process.returncode is None


async def test_hostile_names_of_a_manifest_are_text_on_the_page_of_a_real_daemon(tmp_path: Path) -> None:
    """Names that a manifest may have are shown as they are; one that it may not have is reported, spelt out."""
    names = [name for name in HOSTILE if name.isprintable()]
    async with stage(tmp_path, fleet(0), text=_named(names)) as here:
        daemon, address = await serving(here)
        async with browsing(address) as seen:
            await seen.until(DRAWN)
            shown = await seen.text("#grid")
            assert all(name in shown for name in names if len(name) < 100)
            here.write("manifest.toml", _named(["\u202egnp.nedlog"]))
            daemon.send(signal.SIGHUP)
            await seen.until("() => document.querySelector('#notices pre')")
            assert "\\u202egnp.nedlog" in await seen.text("#notices")
            assert await seen.page.evaluate("window.hacked") is None
            assert await seen.page.evaluate(SIDEWAYS) == 0
            assert seen.complaints == []


@pytest.mark.waits
async def test_the_page_finds_a_daemon_that_was_restarted(tmp_path: Path) -> None:
    """While the daemon is gone the page says so, and it goes on by itself when there is one at the address again."""
    async with stage(tmp_path, fleet(2)) as here:
        daemon, address = await serving(here)
        async with browsing(address) as seen:
            await seen.until("() => document.querySelector('#state').dataset.tone === 'good'")
            daemon.send(signal.SIGTERM)
            await daemon.finished()
            await seen.until("() => document.querySelector('#stale').textContent.includes('(no connection)')")
            await serving(here, address.removeprefix("http://").rstrip("/"))
            await seen.until("() => document.querySelector('#stale').hidden && document.title.startsWith('✓')")


def _named(names: list[str]) -> str:
    """Return a manifest where projects and images have these names, and every share is to be accepted."""
    images = "".join(f"{json.dumps(name, ensure_ascii=False)} = {json.dumps(image_id(name))}\n" for name in names)
    projects = "".join(
        f"[projects.{json.dumps(name, ensure_ascii=False)}]\nid = {json.dumps(project_id(name))}\n" for name in names
    )
    wanted = json.dumps(names, ensure_ascii=False)
    block = f'[[share]]\nprojects = ["*"]\nimages = {wanted}\nstatus = "accepted"\n'
    return f"version = 1\n[images]\n{images}{projects}{block}"
