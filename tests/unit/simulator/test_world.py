"""The simulated cloud's state: jobs take effect when they end, and only on what is still offered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.simulator.jobs import HOSTILE_JOB_IDS, Fate, Job, JobRules, JobState, Order
from worker.simulator.model import Answer, Image, Vault
from worker.simulator.world import World

OWNER, PROJECT = "owner", "project"
TEN_SECONDS = JobRules(seconds=(10.0, 10.0))


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        """Return the time it was set to."""
        return self.at


@pytest.fixture
def clock() -> Clock:
    """Return a standing clock."""
    return Clock()


def world_of(clock: Clock, *names: str, rules: JobRules = TEN_SECONDS, whole: bool = False) -> World:
    """Return a world in which PROJECT is offered images of these ids."""
    world = World(clock, rules)
    world.add_project(PROJECT, "payments")
    for name in names:
        world.add(Image(name, name, OWNER, full_ecs=whole))
        world.share(name, PROJECT)
    return world


def accept(*names: str, vault_id: str = "") -> Order:
    """Return the order to accept these images."""
    return Order(PROJECT, names, Answer.ACCEPTED, vault_id)


def state(world: World, job: Job) -> JobState:
    """Return a job's state as it is now."""
    found = world.job(job.id)
    assert found is not None
    return found.state


def test_a_job_goes_through_its_life_and_works_at_its_end(clock: Clock) -> None:
    """INIT, RUNNING, SUCCESS follow the clock, and the share changes with the last of them."""
    world = world_of(clock, "a")
    job = world.submit(accept("a"))
    seen = []
    for at in (1000.0, 1005.0, 1009.9, 1010.0):
        clock.at = at
        seen.append((state(world, job), world.status("a", PROJECT)))
    assert seen == [
        (JobState.INIT, Answer.PENDING),
        (JobState.RUNNING, Answer.PENDING),
        (JobState.RUNNING, Answer.PENDING),
        (JobState.SUCCESS, Answer.ACCEPTED),
    ]


def test_the_list_follows_the_job_after_the_lag(clock: Clock) -> None:
    """Between a job's end and the lag the job is done and the share still looks as before."""
    world = world_of(clock, "a", rules=JobRules(seconds=(10.0, 10.0), lag=5.0))
    job = world.submit(accept("a"))
    clock.at = 1012.0
    assert (state(world, job), world.status("a", PROJECT)) == (JobState.SUCCESS, Answer.PENDING)
    clock.at = 1015.0
    assert world.status("a", PROJECT) is Answer.ACCEPTED


def test_a_share_revoked_during_the_job_fails_alone(clock: Clock) -> None:
    """An image whose offer is withdrawn fails in the job, does not come back, and leaves the others alone."""
    world = world_of(clock, "a", "b")
    job = world.submit(accept("a", "b"))
    world.revoke("a", PROJECT)
    clock.at = 1010.0
    assert state(world, job) is JobState.FAIL
    assert job.results == {"a": False, "b": True}
    assert job.code == "IMG.0144"
    assert dict(world.shares(PROJECT)) == {"b": Answer.ACCEPTED}


def test_a_stuck_job_never_ends(clock: Clock) -> None:
    """A stuck job is running still after a year, and has changed nothing."""
    world = world_of(clock, "a")
    job = world.submit(accept("a"), Fate(stuck=True))
    clock.at += 365 * 86400.0
    assert state(world, job) is JobState.RUNNING
    assert world.status("a", PROJECT) is Answer.PENDING


def test_a_hollow_job_claims_what_it_did_not_do(clock: Clock) -> None:
    """A hollow job ends as SUCCESS for its image, which stays as it was."""
    world = world_of(clock, "a")
    job = world.submit(accept("a"), Fate(hollow=True))
    clock.at = 1010.0
    assert state(world, job) is JobState.SUCCESS
    assert job.results == {"a": True}
    assert world.status("a", PROJECT) is Answer.PENDING


@pytest.mark.parametrize("overall", ["SUCCESS", "FAIL"])
def test_a_partial_job_does_the_rest(clock: Clock, overall: str) -> None:
    """Whatever word it ends with, a partial job changes the images that do not fail, and only those."""
    world = world_of(clock, "a", "b")
    fate = Fate(failing=frozenset({"b"}), overall="SUCCESS" if overall == "SUCCESS" else "FAIL")
    job = world.submit(accept("a", "b"), fate)
    clock.at = 1010.0
    assert state(world, job) == overall
    assert dict(world.shares(PROJECT)) == {"a": Answer.ACCEPTED, "b": Answer.PENDING}


@pytest.mark.parametrize(
    ("vault", "code"),
    [(None, "IMG.0184"), (Vault("v", PROJECT, full=True), "IMG.0182"), (Vault("v", "other"), "IMG.0184")],
)
def test_a_full_server_image_needs_a_vault_that_can_take_it(clock: Clock, vault: Vault | None, code: str) -> None:
    """Without a vault of its project that has room, the accept of a full-ECS image fails and changes nothing."""
    world = world_of(clock, "a", whole=True)
    if vault is not None:
        world.add(vault)
    job = world.submit(accept("a", vault_id="v"))
    clock.at = 1010.0
    assert state(world, job) is JobState.FAIL
    assert job.code == code
    assert world.status("a", PROJECT) is Answer.PENDING


def test_a_good_vault_lets_a_full_server_image_in(clock: Clock) -> None:
    """With a vault of its own project the accept succeeds."""
    world = world_of(clock, "a", whole=True)
    world.add(Vault("v", PROJECT))
    world.submit(accept("a", vault_id="v"))
    clock.at = 1010.0
    assert world.status("a", PROJECT) is Answer.ACCEPTED


def test_a_reject_asks_for_no_vault(clock: Clock) -> None:
    """A full-ECS image is rejected without a vault."""
    world = world_of(clock, "a", whole=True)
    world.submit(Order(PROJECT, ("a",), Answer.REJECTED))
    clock.at = 1010.0
    assert world.status("a", PROJECT) is Answer.REJECTED


def test_durations_come_from_the_seed(clock: Clock) -> None:
    """Two worlds of one seed give their jobs the same ids and durations, within the range."""
    worlds = [world_of(clock, "a", rules=JobRules(seconds=(1.0, 9.0), seed=3)) for _ in range(2)]
    lives = [[(job.id, job.ends_at) for job in (world.submit(accept("a")) for _ in range(20))] for world in worlds]
    assert lives[0] == lives[1]
    assert len({ends for _, ends in lives[0]}) == 20
    assert all(1001.0 <= ends <= 1009.0 for _, ends in lives[0])


def test_hostile_ids_are_all_met_and_distinct(clock: Clock) -> None:
    """Hostile job ids cover the whole list of texts, and no two jobs share one."""
    world = world_of(clock, "a", rules=JobRules(ids="hostile"))
    ids = [world.submit(accept("a")).id for _ in range(30)]
    assert len(set(ids)) == 30
    assert all(any(job_id.startswith(text) for job_id in ids) for text in HOSTILE_JOB_IDS)


def test_deleting_an_image_ends_its_shares(clock: Clock) -> None:
    """A deleted image is offered to nobody and seen by nobody, its owner included."""
    world = world_of(clock, "a", "b")
    world.delete("a")
    assert world.status("a", PROJECT) is None
    assert [image.id for image in world.visible(OWNER)] == ["b"]


def test_sharing_what_is_unknown_is_a_mistake_of_the_caller() -> None:
    """A share of an unknown image is refused rather than kept for later."""
    world = world_of(Clock(), "a")
    with pytest.raises(KeyError):
        world.share("zzz", PROJECT)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["accept", "reject", "revoke", "share", "wait"]),
            st.sets(st.sampled_from("abcde"), min_size=1),
        ),
        max_size=30,
    )
)
def test_the_last_job_to_end_decides(steps: list[tuple[str, set[str]]]) -> None:
    """With jobs of one length the state is what the steps, applied in the order of their effects, come to."""
    clock = Clock()
    world = world_of(clock, *"abcde")
    expected = dict.fromkeys("abcde", "pending")
    running: list[tuple[float, str, set[str]]] = []
    for verb, images in steps:
        clock.at += 3.0
        while running and running[0][0] <= clock.at:
            _, status, done = running.pop(0)
            expected |= {image: status for image in done if image in expected}
        match verb:
            case "accept" | "reject":
                status = f"{verb}ed"
                world.submit(Order(PROJECT, tuple(sorted(images)), Answer(status)))
                running.append((clock.at + 10.0, status, images))
            case "revoke":
                for image in images:
                    world.revoke(image, PROJECT)
                    expected.pop(image, None)
            case "share":
                for image in images:
                    world.share(image, PROJECT)
                    expected[image] = "pending"
        assert dict(world.shares(PROJECT)) == expected
