"""How long it takes, where a limit holds a pass up: what plan, the daemon and a terminal say of it is what comes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from commands import fleet, stage
from served import serving

TWO_AN_HOUR = {"batch.max_images": "1", "limits.members_put": "2/1h"}
HOUR = timedelta(hours=1)


async def test_a_plan_counts_the_calls_that_an_earlier_run_made(tmp_path: Path) -> None:
    """Of three batches two went; the third waits for most of an hour, and says for what and until when."""
    async with stage(tmp_path, fleet(3, ["payments"], seconds=(0.1, 0.1))) as here:
        fresh = (await here.run("plan", "--json", settings={"batch.max_images": "1"})).document["forecast"]
        assert (fresh["cause"], fresh["until"]) == (None, None)
        assert fresh["seconds"] < 60
        began = datetime.now(UTC)
        run = await here.run("run", "--json", "--deadline", "10s", settings=TWO_AN_HOUR)
        assert (run.document["changed"], run.document["not_sent"]) == (2, 1)
        told = (await here.run("plan", "--json", settings=TWO_AN_HOUR)).document["forecast"]
        assert told["cause"] == "the PUT limit"
        until = datetime.fromisoformat(told["until"])
        assert began + HOUR < until < datetime.now(UTC) + HOUR + timedelta(seconds=1)
        assert abs((until - datetime.now(UTC)).total_seconds() - told["seconds"]) < 600
        text = (await here.run("plan", settings=TWO_AN_HOUR)).out
        assert re.search(r"; about \d+ calls, about (60|1 h 1|61) min, above all because of the PUT limit\.", text)


async def test_a_daemon_says_what_its_pass_waits_for_and_plans_no_pass_in_the_past(tmp_path: Path) -> None:
    """With a pass due each half second and one that is held up for an hour, the next one begins after that."""
    async with stage(tmp_path, fleet(3, ["payments"], seconds=(0.1, 0.1))) as here:
        often = {"schedule.every": "500ms", "schedule.jitter": "0%", **TWO_AN_HOUR}
        async with serving(here, settings=often) as daemon:

            async def held_up() -> bool:
                document = await daemon.json("/api/status")
                under_way = document["pass"]
                return bool(under_way and (under_way["forecast"] or {}).get("cause") == "the PUT limit")

            await daemon.until(held_up)
            told = await daemon.json("/api/status")
            now, forecast = datetime.fromisoformat(told["now"]), told["pass"]["forecast"]
            assert (
                timedelta(minutes=50) < datetime.fromisoformat(forecast["until"]) - now <= HOUR + timedelta(seconds=1)
            )
            assert 3_000 < forecast["seconds"] < 3_700
            assert datetime.fromisoformat(told["next_pass_at"]) - now > timedelta(minutes=50)
            line = await daemon.heard("pass.waiting", cause="the PUT limit")
            assert timedelta(minutes=50) < datetime.fromisoformat(line["until"]) - now <= HOUR + timedelta(seconds=1)


@pytest.mark.waits
async def test_the_log_of_a_run_that_nobody_watches_says_what_its_reading_waits_for(tmp_path: Path) -> None:
    """On a pipe, where there is no bar: once, with the limit and until when; the pass ends as ever."""
    async with stage(tmp_path, fleet(2)) as here:
        slow = {"limits.images_list": "5/20s"}
        done = await here.run("run", "--log-format", "json", settings=slow)
    assert done.status == 0
    lines = [json.loads(line) for line in done.err.splitlines()]
    waits = [line for line in lines if line["event"] == "pass.waiting"]
    assert [line["cause"] for line in waits][:1] == ["the limit of image lists"]
    untils = [datetime.fromisoformat(line["until"]) for line in waits]
    assert all(untils[0] <= datetime.fromisoformat(line["timestamp"]) for line in waits[1:]), "it was told twice"
