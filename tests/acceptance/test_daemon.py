"""The daemon as an operator meets it: health, reload, what it shows, and that nothing ends it but a signal."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from commands import ENDLESS, MODULE, SECRET_KEY, Finished, fleet, image_names, manifest, share, stage
from served import OFTEN, Served, serving

from worker.simulator.effects.calls import Refuse
from worker.simulator.effects.jobs import Stuck
from worker.simulator.faults import Fault
from worker.simulator.model import Account, Answer, Image
from worker.simulator.naming import OWNER, image_id, project_id
from worker.simulator.options import Group


async def converged(daemon: Served) -> bool:
    """Tell whether the last pass found or made everything as desired."""
    document = await daemon.json("/api/status")
    return bool(document["passes"]) and document["passes"][0]["result"] == "converged"


async def test_it_shows_its_health_its_metrics_and_its_state(tmp_path: Path) -> None:
    """Alive, ready and at work; the counts of metrics and status are those of the cloud."""
    async with stage(tmp_path) as here, serving(here) as daemon:
        await daemon.heard("pass.finished")
        assert (await daemon.get("/livez"))[0] == 200
        ready = await daemon.json("/readyz")
        assert (ready["ready"], ready["phase"], ready["stand_by"]) == (True, "at_work", False)
        document = await daemon.json("/api/status")
        assert (document["desired"], document["converged"], document["counts"]["failed"]) == (8, 8, 0)
        assert {row["name"]: row["row"] for row in document["projects"]} == {"payments": "cccc", "ledger": "cccc"}
        found = await daemon.metrics()
        assert found['shares{bucket="converged",project="payments"}'] == 4
        assert found['changes_total{status="accepted"}'] == 8
        assert found['calls_total{group="members_put",status="2xx"}'] == here.puts() == 2
        assert found["last_success_timestamp_seconds"] > found["start_time_seconds"]
        status, page = await daemon.get("/")
        assert (status, "<title>" in page) == (200, True)


async def test_a_manifest_that_is_changed_is_obeyed_at_once(tmp_path: Path) -> None:
    """With an hour between passes, a new wish is read from the changed file and brought about by an early pass."""
    async with stage(tmp_path) as here:
        here.write("manifest.toml", manifest(here.world, share(here.world, "accepted", projects=["payments"])))
        async with serving(here) as daemon:
            await daemon.heard("pass.finished", desired=4)
            here.write("manifest.toml", manifest(here.world))
            await daemon.heard("files.reloaded", shares=8)
            await daemon.heard("pass.finished", desired=8)
            assert here.all_are("accepted")


async def test_a_signal_reads_the_files_again_and_a_pass_follows_if_they_ask_for_anything_new(tmp_path: Path) -> None:
    """SIGHUP with files that say what they said brings no pass; one follows as soon as they wish for something else."""
    world = fleet(4)
    some = manifest(world, share(world, "accepted", images=["golden-001"]))
    async with stage(tmp_path, world, text=some) as here, serving(here) as daemon:
        await daemon.heard("pass.finished")
        seen = len(daemon.lines)
        daemon.running.send(signal.SIGHUP)
        await daemon.heard("files.reloaded", since=seen)
        # Longer than a pass that is asked for early is held back.
        await asyncio.sleep(3.0)
        assert not [line for line in daemon.lines[seen:] if line["event"] == "pass.started"]
        here.write("manifest.toml", manifest(world))
        daemon.running.send(signal.SIGHUP)
        await daemon.heard("pass.finished", since=seen, desired=8)


async def test_a_change_that_a_signal_follows_is_told_once(tmp_path: Path) -> None:
    """The watcher, which sees it a moment later, finds that it has been read; the next change is seen as ever."""
    async with stage(tmp_path) as here, serving(here) as daemon:
        await daemon.heard("pass.finished")
        for text, event in (("[[share]]\nimages = 1\n", "files.refused"), (manifest(here.world), "files.reloaded")):
            seen = len(daemon.lines)
            here.write("manifest.toml", text)
            daemon.running.send(signal.SIGHUP)
            await daemon.heard(event, since=seen)
            # Longer than the watcher waits for quiet.
            await asyncio.sleep(1.5)
            assert [line["event"] for line in daemon.lines[seen:] if line["event"].startswith("files.")] == [event]
        seen = len(daemon.lines)
        here.write("manifest.toml", "[[share]]\nimages = 2\n")
        await daemon.heard("files.refused", since=seen)


async def test_a_bad_file_keeps_the_old_state_and_is_shown_everywhere(tmp_path: Path) -> None:
    """Log, readiness, metric and status name file, line and value; the daemon goes on, and forgets it once mended."""
    async with stage(tmp_path) as here, serving(here, settings=OFTEN) as daemon:
        await daemon.heard("pass.finished")
        here.write("manifest.toml", manifest(here.world).replace('status = "accepted"', 'status = "acceptd"'))
        line = await daemon.heard("files.refused")
        for words in ("manifest.toml:", "acceptd", "did you mean"):
            assert words in line["reason"]
        ready = await daemon.json("/readyz")
        assert ready["ready"]
        assert "acceptd" in ready["reload_error"]
        assert "acceptd" in (await daemon.json("/api/status"))["reload_error"]["reason"]
        found = await daemon.metrics()
        assert (found["reload_failed"], found['reloads_total{result="bad"}']) == (1, 1)
        await daemon.heard("pass.finished", since=len(daemon.lines), desired=8)
        here.write("manifest.toml", manifest(here.world))
        await daemon.heard("files.reloaded")
        assert (await daemon.metrics())["reload_failed"] == 0
        assert (await daemon.json("/readyz"))["reload_error"] == ""


async def test_a_config_that_is_changed_takes_effect(tmp_path: Path) -> None:
    """A shorter interval, a lower limit and a new address hold from the next pass on, without a restart."""
    async with stage(tmp_path) as here, serving(here) as daemon:
        await daemon.heard("pass.finished")
        assert (await daemon.metrics())['limit_calls{account="default",group="members_put"}'] == 200
        here.configure(here.cloud.url, '[limits]\nmembers_put = "7/1m"\n[server.extra]\n')
        assert "server" in (await daemon.heard("files.refused"))["reason"]
        here.configure(here.cloud.url, '[limits]\nmembers_put = "7/1m"\n')
        await daemon.heard("files.reloaded")

        async def limited() -> bool:
            return (await daemon.metrics()).get('limit_calls{account="default",group="members_put"}') == 7

        await daemon.until(limited)


async def test_a_config_map_that_is_swapped_is_noticed(tmp_path: Path) -> None:
    """Kubernetes puts new files beside the old ones and turns a symbolic link: that is a change like any other."""
    async with stage(tmp_path) as here:
        whole, part = manifest(here.world), manifest(here.world, share(here.world, "accepted", projects=["ledger"]))
        for name, text in (("..first", part), ("..second", whole)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "manifest.toml").write_text(text)
        (tmp_path / "manifest.toml").unlink()
        (tmp_path / "..data").symlink_to("..first")
        (tmp_path / "manifest.toml").symlink_to("..data/manifest.toml")
        async with serving(here) as daemon:
            await daemon.heard("pass.finished", desired=4)
            (tmp_path / "..turned").symlink_to("..second")
            (tmp_path / "..turned").rename(tmp_path / "..data")
            await daemon.heard("pass.finished", desired=8)


async def test_a_secret_that_is_renewed_is_used(tmp_path: Path) -> None:
    """The key is in a file; when the cloud refuses it and a new one is put there, the daemon works again at once."""
    async with stage(tmp_path) as here:
        config = (tmp_path / "config.toml").read_text()
        here.write("config.toml", config.replace(f'secret_key = "{SECRET_KEY}"', 'secret_key_file = "key"'))
        here.write("key", "outdated-key")
        async with serving(here, settings=OFTEN) as daemon:
            await daemon.heard("pass.finished", unknown=8)
            assert (await daemon.metrics())['credential_refused{credential="default"}'] == 1
            refused = here.cloud.ledger.count(Group.IMAGES_LIST)
            await daemon.heard("pass.finished", since=len(daemon.lines), unknown=8)
            assert here.cloud.ledger.count(Group.IMAGES_LIST) == refused, "refused keys are not tried again and again"
            here.write("key", SECRET_KEY)
            await daemon.heard("pass.finished", converged=0, changed=8)
            assert (await daemon.metrics())['credential_refused{credential="default"}'] == 0


async def test_a_manifest_that_is_broken_holds_back_no_new_key(tmp_path: Path) -> None:
    """A refused key is replaced while the manifest is broken: the last good wishes are met with it, and all is told."""
    async with stage(tmp_path) as here:
        config = (tmp_path / "config.toml").read_text()
        here.write("config.toml", config.replace(f'secret_key = "{SECRET_KEY}"', 'secret_key_file = "key"'))
        here.write("key", "outdated-key")
        async with serving(here) as daemon:
            await daemon.heard("pass.finished", unknown=8)
            here.write("manifest.toml", manifest(here.world).replace('status = "accepted"', 'status = "acceptd"'))
            await daemon.heard("files.refused")
            seen = len(daemon.lines)
            here.write("key", SECRET_KEY)
            await daemon.heard("pass.finished", since=seen, changed=8)
            assert here.all_are("accepted")
            await daemon.heard("files.refused", since=seen)
            assert "acceptd" in (await daemon.json("/readyz"))["reload_error"]
            found = await daemon.metrics()
            assert (found["reload_failed"], found['credential_refused{credential="default"}']) == (1, 0)


@pytest.mark.parametrize("wrong", ["config", "key"])
async def test_a_config_that_is_broken_holds_back_no_new_wish(tmp_path: Path, wrong: str) -> None:
    """A manifest that is changed while config or key cannot be used is obeyed with the settings of before."""
    async with stage(tmp_path) as here:
        config = (tmp_path / "config.toml").read_text()
        config = config.replace(f'secret_key = "{SECRET_KEY}"', 'secret_key_file = "key"')
        here.write("config.toml", config)
        here.write("key", SECRET_KEY)
        here.write("manifest.toml", manifest(here.world, share(here.world, "accepted", projects=["payments"])))
        async with serving(here) as daemon:
            await daemon.heard("pass.finished", desired=4)
            if wrong == "key":
                (tmp_path / "key").unlink()
            else:
                here.write("config.toml", config.replace("[guards]", "[gards]"))
            reason = (await daemon.heard("files.refused"))["reason"]
            assert ("gards" if wrong == "config" else "secret_key_file") in reason
            seen = len(daemon.lines)
            here.write("manifest.toml", manifest(here.world))
            await daemon.heard("pass.finished", since=seen, desired=8)
            assert here.all_are("accepted")
            await daemon.heard("files.refused", since=seen, reason=reason)
            assert (await daemon.json("/readyz"))["reload_error"] == reason


async def test_passes_do_not_wait_for_the_jobs_of_earlier_ones(tmp_path: Path) -> None:
    """While a job hangs, what is shared later is accepted by later passes; the job's end is noticed beside them."""
    world = fleet(2, ["payments"], seconds=ENDLESS)
    late = Image(image_id("late"), "late", OWNER)
    world.add(late)
    async with stage(tmp_path, world) as here, serving(here, settings={**OFTEN, "polling.max": "300ms"}) as daemon:
        await daemon.heard("batch.taken_up")
        document = await daemon.json("/api/status")
        assert [flight["images"] for flight in document["in_flight"]] == [2]
        world.rules = replace(world.rules, seconds=(0.1, 0.2))
        world.share(late.id, project_id("payments"), Answer.PENDING)
        await daemon.heard("pass.finished", changed=1)
        assert here.read()["payments"] == {**dict.fromkeys(image_names(2), "pending"), "late": "accepted"}
        here.end_jobs()
        await daemon.heard("job.settled", state="succeeded", images=2)
        await daemon.until(lambda: converged(daemon))
        assert here.puts() == 2
        assert here.sent_while_alive() == []


async def test_the_journal_is_taken_up_after_a_kill(tmp_path: Path) -> None:
    """A daemon that is killed leaves its job in the journal; the next one follows it and sends nothing again."""
    async with stage(tmp_path, fleet(3, ["payments"], seconds=ENDLESS)) as here:
        async with serving(here) as daemon:
            await daemon.heard("batch.submitted")
        async with serving(here) as daemon:
            await daemon.heard("daemon.at_work", unclean=True)
            await daemon.heard("batch.taken_up", images=3)
            await daemon.heard("pass.finished", unsettled=3)
            here.end_jobs()
            await daemon.heard("job.settled", state="succeeded")

            async def shown() -> bool:
                return bool((await daemon.json("/api/status"))["counts"]["converged"] == 3)

            await daemon.until(shown)
            assert here.puts() == 1


async def test_a_stand_by_is_ready_and_says_what_it_is(tmp_path: Path) -> None:
    """It answers on an address of its own, names the holder, and is at work once the other has ended."""
    async with stage(tmp_path) as here, serving(here) as first:
        await first.heard("pass.finished")
        async with serving(here) as second:
            await second.heard("daemon.standing_by")
            status, _ = await second.get("/readyz")
            ready = await second.json("/readyz")
            assert (status, ready["stand_by"], "serve" in ready["waits_for"]) == (200, True, True)
            assert (await second.metrics())["at_work"] == 0
            first.running.send(signal.SIGTERM)
            assert await first.ended() == 0
            await second.heard("daemon.at_work")
            assert (await second.json("/readyz"))["stand_by"] is False


async def test_an_address_in_use_is_had_as_soon_as_it_is_free(tmp_path: Path) -> None:
    """Two daemons of one machine share a config: the stand-by works without HTTP, and answers when the first ends."""
    async with stage(tmp_path) as here, serving(here) as first:
        await first.heard("pass.finished")
        running = await here.start("serve", "--log-format", "json", settings={"server.listen": first.address})
        second = Served(running, first.session, address=first.address)
        assert running.process.stderr is not None
        heard = ""
        while "tried again" not in heard:
            heard = (await running.process.stderr.readline()).decode()
        first.running.send(signal.SIGTERM)
        assert await first.ended() == 0
        while "http.listening" not in heard:
            heard = (await running.process.stderr.readline()).decode()
        assert (await second.get("/livez"))[0] == 200


@pytest.mark.parametrize("address", ["192.0.2.1:9180", "127.0.0.1:99999", "not-an-address"])
async def test_an_address_that_cannot_be_used_is_an_error_at_once(tmp_path: Path, address: str) -> None:
    """The exit status is 2, and the message has the key and the value."""
    async with stage(tmp_path) as here:
        ended = await here.run("serve", settings={"server.listen": address})
        assert ended.status == 2
        assert "LISTEN" in ended.err.upper()


async def test_a_cloud_that_cannot_be_reached_is_not_the_daemon_s_death(tmp_path: Path) -> None:
    """Alive and ready all the while; no success is claimed; it converges when the cloud is back."""
    async with stage(tmp_path, faults=[Fault(Refuse(status=503))]) as here, serving(here, settings=OFTEN) as daemon:
        await daemon.heard("pass.finished", unknown=8)
        assert (await daemon.get("/livez"))[0] == (await daemon.get("/readyz"))[0] == 200
        found = await daemon.metrics()
        assert (found["last_success_timestamp_seconds"], found['drift_shares{project="ledger"}']) == (0, 0)
        assert found['unreadable_projects{credential="default"}'] == 2
        document = await daemon.json("/api/status")
        assert all("503" in row["unreadable"] for row in document["projects"])
        here.cloud.set_faults(())
        await daemon.until(lambda: converged(daemon))


async def test_a_refused_plan_is_shown_with_the_way_out(tmp_path: Path) -> None:
    """The guards refuse to reject everything; the status has the digest, and an approval lets the next pass go."""
    world = fleet(4, status=Answer.ACCEPTED)
    text = manifest(world, share(world, "rejected"))
    async with (
        stage(tmp_path, world, text=text) as here,
        serving(here, settings={**OFTEN, "guards.max_reject": "10%"}) as daemon,
    ):
        await daemon.heard("pass.finished", result="refused")
        document = await daemon.json("/api/status")
        assert document["refused"]
        assert (await daemon.metrics())['passes_total{result="refused"}'] >= 1
        assert (await here.run("approve", document["digest"])).status == 0
        await daemon.heard("pass.finished", result="converged", changed=8)
        assert here.all_are("rejected")


async def test_a_signal_drains_what_is_followed_within_the_grace(tmp_path: Path) -> None:
    """Nothing more is sent, a job that ends in time is settled, and the exit status is 0."""
    async with stage(tmp_path, fleet(2, ["payments"], seconds=ENDLESS)) as here:
        async with serving(here, settings={**OFTEN, "polling.max": "300ms", "schedule.grace": "5m"}) as daemon:
            await daemon.heard("batch.taken_up")
            daemon.running.send(signal.SIGTERM)
            await daemon.heard("daemon.stopping")
            here.end_jobs()
            await daemon.heard("job.settled", state="succeeded")
            assert await daemon.ended() == 0
        assert (await here.run("run")).status == 0
        assert here.puts() == 1


async def test_a_grace_that_ends_leaves_the_job_to_the_journal(tmp_path: Path) -> None:
    """A job that hangs holds the daemon for the grace and no longer; it is still in flight afterwards."""
    faults = [Fault(Stuck())]
    async with stage(tmp_path, fleet(2, ["payments"]), faults) as here:
        async with serving(here, settings={**OFTEN, "polling.max": "300ms", "schedule.grace": "1s"}) as daemon:
            await daemon.heard("batch.taken_up")
            daemon.running.send(signal.SIGTERM)
            assert await daemon.ended() == 0
        assert "job.settled" not in {line["event"] for line in daemon.lines}
        assert await daemon.heard("job.unsettled", images=2)
        flights = (await here.run("status", "--json")).document["in_flight"]
        assert [len(flight["images"]) for flight in flights] == [2]


async def test_credentials_of_a_new_account_are_taken_with_the_manifest(tmp_path: Path) -> None:
    """A manifest that begins to use another credential of the config is obeyed without a restart."""
    world = fleet(2, ["payments", "ledger"])
    world.add(Account("AKOFANOTHERACCOUNT", SECRET_KEY))
    async with stage(tmp_path, world) as here:
        other = '[credentials.other]\nkind = "static"\naccess_key = "{}"\nsecret_key = "{}"\naccount = "other"\n'
        here.configure(here.cloud.url, other.format("AKOFANOTHERACCOUNT", SECRET_KEY))
        here.write("manifest.toml", manifest(world, share(world, "accepted", projects=["payments"])))
        async with serving(here) as daemon:
            await daemon.heard("pass.finished", desired=2)
            text = manifest(world)
            row = f'[projects.ledger]\nid = "{project_id("ledger")}"\n'
            assert row in text
            here.write("manifest.toml", text.replace(row, f'{row}credential = "other"\n'))
            await daemon.heard("pass.finished", desired=4, changed=2)
            assert 'limit_calls{account="other",group="members_put"}' in await daemon.metrics()


async def test_another_journal_is_not_taken_while_the_daemon_runs(tmp_path: Path) -> None:
    """It knows nothing of the jobs in flight: the change is reported, the old journal stays, nothing is sent twice."""
    async with (
        stage(tmp_path, fleet(2, ["payments"], seconds=ENDLESS)) as here,
        serving(here, settings={**OFTEN, "polling.max": "300ms"}) as daemon,
    ):
        await daemon.heard("batch.taken_up")
        config = (tmp_path / "config.toml").read_text()
        here.write("config.toml", config.replace("journal.db", "other.db"))
        assert "other.db" in (await daemon.heard("files.refused"))["reason"]
        await daemon.heard("pass.finished", since=len(daemon.lines), unsettled=2)
        assert here.puts() == 1


async def test_a_journal_that_is_removed_is_noticed(tmp_path: Path) -> None:
    """Another worker could open a new one: the daemon lets go of the old, takes the new, and goes on."""
    async with stage(tmp_path) as here, serving(here, settings=OFTEN) as daemon:
        await daemon.heard("pass.finished")
        for name in here.files():
            if name.startswith("journal.db"):
                (tmp_path / name).unlink()
        assert "removed" in (await daemon.heard("daemon.standing_by"))["reason"]
        await daemon.heard("pass.finished", since=len(daemon.lines))
        assert (tmp_path / "journal.db").exists()


async def test_a_comment_that_changes_makes_no_pass(tmp_path: Path) -> None:
    """The files are read again, but as nothing new is asked for, the schedule goes on."""
    async with stage(tmp_path) as here, serving(here) as daemon:
        await daemon.heard("pass.finished")
        lists = here.cloud.ledger.count(Group.IMAGES_LIST)
        here.write("manifest.toml", f"# reviewed\n{manifest(here.world)}")
        await daemon.heard("files.reloaded")
        here.write("manifest.toml", "version = 1\n[[share]]\n")
        await daemon.heard("files.refused")
        assert here.cloud.ledger.count(Group.IMAGES_LIST) == lists


async def test_a_new_address_is_listened_at_before_the_old_one_is_left(tmp_path: Path) -> None:
    """One that cannot be had is reported where the daemon answers still; a good one is taken."""
    async with stage(tmp_path) as here, serving(here) as daemon:
        await daemon.heard("pass.finished")
        config = (tmp_path / "config.toml").read_text()
        here.write("config.toml", config.replace("127.0.0.1:0", "192.0.2.1:0"))
        await daemon.heard("trouble")
        assert (await daemon.get("/livez"))[0] == 200
        seen = len(daemon.lines)
        here.write("config.toml", config.replace("127.0.0.1:0", "127.0.0.2:0"))
        daemon.address = (await daemon.heard("http.listening", since=seen))["address"]
        assert daemon.address.startswith("127.0.0.2:")
        assert (await daemon.get("/livez"))[0] == 200


async def test_a_log_that_nobody_reads_is_no_reason_to_stop(tmp_path: Path) -> None:
    """The reader of the log has gone; the daemon makes its passes all the same."""
    async with stage(tmp_path, fleet(2, ["payments"])) as here:
        running = await here.start("serve", settings=OFTEN)
        assert running.process.stderr is not None
        await running.process.stderr.readline()
        running.process.stderr._transport.close()
        await here.until(lambda: here.all_are("accepted"), running)
        before = here.cloud.ledger.count(Group.IMAGES_LIST)
        await here.until(lambda: here.cloud.ledger.count(Group.IMAGES_LIST) > before + 6, running)
        running.send(signal.SIGTERM)
        assert await running.process.wait() == 0


@pytest.mark.parametrize("delay", [0.3, 0.6, 0.9])
async def test_a_daemon_that_is_stopped_while_it_starts_ends_in_order(tmp_path: Path, delay: float) -> None:
    """Whatever it is at, importing or reading its files: it has begun nothing, and ends with 0."""
    async with stage(tmp_path) as here:
        running = await here.start("serve", launcher=MODULE)
        await asyncio.sleep(delay)
        running.send(signal.SIGTERM)
        assert (await running.finished()).status in {0, -signal.SIGTERM}


@pytest.mark.parametrize("way", ["at once", "in a destructor"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_signal_that_comes_while_the_event_loop_is_made_is_not_lost(
    tmp_path: Path, moment: str, way: str
) -> None:
    """Wherever the interpreter happens to be, in a destructor too, where an exception would be lost."""
    stopped_as_the_loop_is_made = f"""
import os, signal
from worker.__main__ import main
from worker.session.threads import Loop

class Stopped(Loop):
    def __init__(self):
        if {moment == "after"}:
            super().__init__()
        self.dying = Dying()
        if {way == "at once"}:
            stop()
        else:
            del self.dying
        if {moment == "before"}:
            super().__init__()

class Dying:
    def __del__(self):
        if {way == "in a destructor"}:
            stop()

def stop():
    os.kill(os.getpid(), signal.SIGTERM)

import worker.session.threads
worker.session.threads.Loop = Stopped
main()
"""
    async with stage(tmp_path) as here:
        running = await here.start("serve", launcher=("-c", stopped_as_the_loop_is_made))
        assert await running.finished() == Finished(0, "", "")
