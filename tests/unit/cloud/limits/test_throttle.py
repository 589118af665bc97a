"""Nothing leaves too early, nobody is forgotten, and projects share fairly. All of it in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from types import SimpleNamespace

import asyncio_throttle.throttler
import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.cloud.limits.pool import Pool
from worker.cloud.limits.throttle import Course, Throttle
from worker.core.calls import CallGroup
from worker.core.learned_limit import Step
from worker.core.limits import MARGIN, LimitStanding, Rate

pytestmark = pytest.mark.looptime

PUT, JOB, TOKEN = CallGroup.MEMBERS_PUT, CallGroup.JOB_GET, CallGroup.TOKEN
WIDE = Rate(10_000, 1.0)
FOREVER = 1e9
HOST = "https://ims.example"


async def no_sleep(seconds: float) -> None:
    """Stand in for the sleep of a call that found its inner gate shut."""
    raise AssertionError(f"a call waits {seconds} s in an inner gate")


@pytest.fixture(scope="module", autouse=True)
def gates_in_virtual_time() -> Iterator[None]:
    """Let the inner gates go by the loop's clock, and fail whenever a call waits in one."""
    with pytest.MonkeyPatch.context() as patch:
        clock = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
        patch.setattr(asyncio_throttle.throttler, "time", clock)
        patch.setattr(asyncio_throttle.throttler, "asyncio", SimpleNamespace(sleep=no_sleep))
        yield


def throttled(limits: Mapping[CallGroup, Rate], burst: Rate, connections: int = 10_000) -> Throttle:
    """Return a throttle whose account has the connections for itself, and more of them than it needs."""
    return Throttle(limits, burst, Pool(connections).of_account("account"))


def always(rate: Rate, seconds: float = FOREVER) -> Course:
    """Return what was learned of a rate that stays as it is for some seconds."""
    until = now() + seconds
    return lambda at: Step(rate, until) if at < until else None


def now() -> float:
    """Return the loop's time in seconds."""
    return asyncio.get_running_loop().time()


@dataclass(slots=True)
class Log:
    """Who left when, through one throttle."""

    throttle: Throttle
    left: list[tuple[str, float]] = field(default_factory=list)

    async def call(self, group: CallGroup, key: str, seconds: float = 0.0) -> None:
        """Make one call that has its answer after some seconds."""
        async with self.throttle.slot(group, HOST, key):
            self.left.append((key, now()))
            await asyncio.sleep(seconds)

    @property
    def times(self) -> list[float]:
        """Return when calls left, in seconds."""
        return [at for _, at in self.left]

    @property
    def keys(self) -> str:
        """Return whose calls left, in order."""
        return "".join(key for key, _ in self.left)


async def test_calls_leave_as_early_as_their_rate_allows() -> None:
    """Each window is used up at once, and the next one begins a margin after it."""
    log = Log(throttled({PUT: Rate(2, 10.0)}, WIDE))
    await asyncio.gather(*(log.call(PUT, "a") for _ in range(5)))
    span = 10.0 + MARGIN
    assert log.times == pytest.approx([0, 0, span, span, 2 * span])


async def test_a_slot_is_held_until_the_answer_is_there() -> None:
    """A slow call keeps the next one back for its whole journey and a window more."""
    log = Log(throttled({PUT: Rate(1, 10.0)}, WIDE))
    await asyncio.gather(log.call(PUT, "a", seconds=100.0), log.call(PUT, "b"))
    assert log.times == pytest.approx([0, 110.0 + MARGIN])


async def test_groups_do_not_wait_for_each_other_but_share_the_burst() -> None:
    """A full group leaves the others alone, and the burst holds them all together, in turns."""
    log = Log(throttled({PUT: Rate(1, 1000.0)}, burst=Rate(2, 1.0)))
    log.throttle.pause(PUT, 0.5)
    log.throttle.pause(JOB, 0.5)
    calls = [log.call(group, key) for group, key in [(PUT, "p"), (PUT, "p"), (JOB, "j"), (JOB, "j")]]
    await asyncio.gather(*calls, log.call(TOKEN, "t"))
    span = 1.0 + MARGIN
    assert log.keys == "tpjjp"
    assert log.times[:4] == pytest.approx([0, 0.5, span, 0.5 + span])


async def test_a_busy_group_leaves_the_burst_to_the_others_too() -> None:
    """Where two groups want more than the burst gives, each gets half."""
    log = Log(throttled({}, burst=Rate(1, 1.0)))
    await asyncio.gather(*(log.call(PUT, "p") for _ in range(9)), *(log.call(JOB, "j") for _ in range(3)))
    assert log.keys == "pjpjpjpppppp"


async def test_a_single_call_does_not_queue_behind_a_thousand_of_another_project() -> None:
    """Keys take turns: the newcomer goes second, and the others keep their order."""
    log = Log(throttled({PUT: Rate(1, 1.0)}, WIDE))
    async with asyncio.TaskGroup() as tasks:
        crowd = [tasks.create_task(log.call(PUT, "a")) for _ in range(1000)]
        await asyncio.sleep(5.0)
        before = len(log.left)
        tasks.create_task(log.call(PUT, "b"))
        await asyncio.sleep(5.0)
        assert "b" in log.keys[before : before + 2]
        for task in crowd:
            task.cancel()


async def test_a_token_has_no_limit_but_the_burst() -> None:
    """A group that the limits do not name stands and goes as the burst does."""
    log = Log(throttled({PUT: Rate(1, 60.0)}, burst=Rate(3, 1.0)))
    assert log.throttle.standing(TOKEN) == LimitStanding(Rate(3, 1.0), 3, 0, 0.0, Rate(3, 1.0))
    await asyncio.gather(*(log.call(TOKEN, "t") for _ in range(4)))
    assert log.times == pytest.approx([0, 0, 0, 1.0 + MARGIN])


async def test_standing_tells_what_is_left_who_waits_and_for_how_long() -> None:
    """The numbers are those of the instant, so that people can see why nothing moves."""
    log = Log(throttled({PUT: Rate(2, 60.0)}, WIDE))
    async with asyncio.TaskGroup() as tasks:
        for key in "abc":
            tasks.create_task(log.call(PUT, key, seconds=10.0))
        await asyncio.sleep(1.0)
        log.throttle.pause(PUT, 100.0)
        await asyncio.sleep(1.0)
        assert log.throttle.standing(PUT) == LimitStanding(Rate(2, 60.0), 0, 1, 99.0, Rate(2, 60.0))
    assert log.times == pytest.approx([0, 0, 101.0])
    assert log.throttle.standing(PUT) == LimitStanding(Rate(2, 60.0), 1, 0, 0.0, Rate(2, 60.0))


async def test_a_pause_holds_its_group_only_and_is_never_shortened() -> None:
    """The longer of two pauses counts, whichever came first, and other groups go on."""
    log = Log(throttled({PUT: Rate(9, 1.0)}, WIDE))
    log.throttle.pause(PUT, 30.0)
    log.throttle.pause(PUT, 5.0)
    await asyncio.gather(log.call(PUT, "p"), log.call(JOB, "j"))
    assert log.left == [("j", 0.0), ("p", pytest.approx(30.0))]


async def test_a_pause_holds_those_who_wait_already() -> None:
    """A caller whose time was set waits for the pause too."""
    log = Log(throttled({PUT: Rate(1, 10.0)}, WIDE))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(log.call(PUT, "p"))
        await asyncio.sleep(1.0)
        log.throttle.pause(PUT, 50.0)
    assert log.times == pytest.approx([0, 51.0])


async def test_a_stricter_rate_is_learned_with_the_calls_that_count() -> None:
    """Calls made before count against what a refusal taught, and calls on their way as well."""
    log = Log(throttled({PUT: Rate(5, 10.0)}, WIDE))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(log.call(PUT, "a"))
        tasks.create_task(log.call(PUT, "a", seconds=4.0))
        await asyncio.sleep(1.0)
        log.throttle.learn(PUT, always(Rate(2, 100.0)))
        assert log.throttle.standing(PUT).left == 0
        for _ in range(2):
            tasks.create_task(log.call(PUT, "b"))
    assert log.times == pytest.approx([0, 0, 100.0 + MARGIN, 104.0 + MARGIN])


async def test_rates_over_different_windows_hold_together() -> None:
    """A learned rate that is stricter over another window stands beside the configured one."""
    log = Log(throttled({PUT: Rate(2, 1.0)}, WIDE))
    log.throttle.learn(PUT, always(Rate(3, 60.0)))
    assert log.throttle.standing(PUT).rate == Rate(3, 60.0)
    await asyncio.gather(*(log.call(PUT, "a") for _ in range(4)))
    assert log.times == pytest.approx([0, 0, 1.0 + MARGIN, 60.0 + MARGIN])


async def test_what_was_learned_is_over_with_time() -> None:
    """Who waits for it is let go then, in a moment, and the configured rate holds."""
    log = Log(throttled({PUT: Rate(9, 1.0)}, WIDE))
    log.throttle.learn(PUT, always(Rate(1, 10_000.0), 100.0))
    await asyncio.gather(*(log.call(PUT, "a") for _ in range(3)))
    assert log.times == pytest.approx([0, 100, 100])
    assert log.throttle.standing(PUT).rate == log.throttle.standing(PUT).configured == Rate(9, 1.0)


async def test_a_rate_that_grows_lets_go_of_who_waits_for_it() -> None:
    """One call more leaves as soon as there is one more in the window, without anybody stirring."""
    log = Log(throttled({PUT: Rate(9, 1000.0)}, WIDE))
    log.throttle.learn(PUT, lambda at: Step(Rate(1 + int(at // 10), 1000.0), 10.0 * (1 + at // 10)))
    await asyncio.gather(*(log.call(PUT, "a") for _ in range(4)))
    assert log.times == pytest.approx([0, 10, 20, 30], abs=0.002)


async def test_of_many_rates_the_last_is_kept() -> None:
    """There is one beside the configured one; another takes its place, stricter or not, and lets go of who waits."""
    log = Log(throttled({PUT: Rate(100, 1.0)}, WIDE))
    log.throttle.learn(PUT, always(Rate(1, 20.0)))
    calls = [asyncio.create_task(log.call(PUT, "a")) for _ in range(3)]
    await asyncio.sleep(5.0)
    log.throttle.learn(PUT, always(Rate(3, 20.0)))
    assert log.throttle.standing(PUT).rate == Rate(3, 20.0)
    await asyncio.gather(*calls)
    assert log.times == pytest.approx([0, 5, 5])


async def test_a_lesson_counts_the_calls_that_any_window_remembers() -> None:
    """What the shorter window has forgotten, the longer one tells."""
    log = Log(throttled({PUT: Rate(2, 1.0)}, WIDE))
    log.throttle.learn(PUT, always(Rate(9, 60.0)))
    await log.call(PUT, "a")
    await asyncio.sleep(30.0)
    assert log.throttle.standing(PUT).left == 2
    log.throttle.learn(PUT, always(Rate(1, 100.0)))
    await log.call(PUT, "a")
    assert log.times == pytest.approx([0, 100.0 + MARGIN])


async def test_calls_of_an_earlier_process_are_remembered() -> None:
    """A fresh process waits for what the one before it used up, in the group and in the burst."""
    log = Log(throttled({PUT: Rate(2, 60.0)}, burst=Rate(2, 10.0)))
    log.throttle.remember(PUT, iter([50.0, 5.0]))
    log.throttle.remember(JOB, iter([1.0]))
    await asyncio.gather(log.call(PUT, "p"), log.call(TOKEN, "t"))
    assert log.left == [("t", pytest.approx(5.0 + MARGIN)), ("p", pytest.approx(10.0 + MARGIN))]


async def test_a_caller_cancelled_in_the_queue_leaves_no_trace() -> None:
    """Nobody waits for the one who left, no room is lost, and no timer stays behind."""
    log = Log(throttled({PUT: Rate(1, 10.0)}, WIDE))
    first = asyncio.create_task(log.call(PUT, "a"))
    tasks = [asyncio.create_task(log.call(PUT, "b")) for _ in range(3)]
    await asyncio.sleep(1.0)
    for task in tasks[:2]:
        task.cancel()
    await asyncio.wait(tasks[:2])
    assert log.throttle.standing(PUT).waiting == 1
    await asyncio.gather(first, tasks[2])
    assert log.left == [("a", 0.0), ("b", pytest.approx(10.0 + MARGIN))]


async def test_a_call_cancelled_as_its_turn_comes_counts_as_made() -> None:
    """When turn and cancellation meet, the window counts the call, and gives its room back in time."""
    log = Log(throttled({PUT: Rate(1, 10.0)}, WIDE))
    holder = asyncio.create_task(log.call(PUT, "a"))
    unlucky = asyncio.create_task(log.call(PUT, "b"))
    span = 10.0 + MARGIN
    await asyncio.sleep(0)
    # Too close for the loop to tell apart, so it serves both timers, the throttle's first, before any task.
    asyncio.get_running_loop().call_at(math.nextafter(span, math.inf), unlucky.cancel)
    await asyncio.wait([holder, unlucky])
    assert unlucky.cancelled()
    assert now() == pytest.approx(span)
    await log.call(PUT, "c")
    assert log.left == [("a", 0.0), ("c", pytest.approx(2 * span))]


async def test_a_caller_cancelled_just_before_its_turn_is_passed_over() -> None:
    """When the turn comes before the cancelled caller could leave the queue, the next one has it."""
    log = Log(throttled({PUT: Rate(1, 10.0)}, WIDE))
    holder = asyncio.create_task(log.call(PUT, "a"))
    unlucky = asyncio.create_task(log.call(PUT, "b"))
    lucky = asyncio.create_task(log.call(PUT, "c"))
    span = 10.0 + MARGIN
    await asyncio.sleep(0)
    # Too close for the loop to tell apart, so it serves both timers, the throttle's last, before any task.
    asyncio.get_running_loop().call_at(math.nextafter(span, 0), unlucky.cancel)
    await asyncio.wait([holder, unlucky, lucky])
    assert unlucky.cancelled()
    assert log.left == [("a", 0.0), ("c", pytest.approx(span))]


async def test_a_call_that_fails_gives_its_slot_back() -> None:
    """An error of the caller passes through, and the room returns after the window."""
    log = Log(throttled({PUT: Rate(1, 10.0)}, WIDE))
    with pytest.raises(RuntimeError, match="no answer"):
        async with log.throttle.slot(PUT, HOST, "a"):
            raise RuntimeError("no answer")
    await log.call(PUT, "b")
    assert log.times == pytest.approx([10.0 + MARGIN])


async def test_hosts_take_turns() -> None:
    """Many projects of one host do not keep the few of another one waiting."""
    log = Log(throttled({PUT: Rate(1, 1.0)}, WIDE))

    async def call(host: str, key: str) -> None:
        async with log.throttle.slot(PUT, host, key):
            log.left.append((key, now()))

    await asyncio.gather(*(call(HOST, key) for key in "aabbcc"), *(call("elsewhere", key) for key in "xxy"))
    assert log.keys == "aaxbycxbc"


async def test_a_key_that_is_paused_loses_its_turn_and_nobody_else_does() -> None:
    """Its callers wait for the end of the pause, those who queued before as well; a pause is never shortened."""
    log = Log(throttled({PUT: Rate(9, 1.0)}, WIDE))
    log.throttle.pause(PUT, 1.0)
    async with asyncio.TaskGroup() as tasks:
        for key in "abab":
            tasks.create_task(log.call(PUT, key))
        await asyncio.sleep(0.5)
        log.throttle.pause_key(PUT, "a", 30.0)
        log.throttle.pause_key(PUT, "a", 5.0)
    assert log.left == [("b", 1.0), ("b", 1.0), ("a", 30.5), ("a", 30.5)]


async def test_a_project_that_hangs_leaves_connections_to_the_others() -> None:
    """Its next calls wait, and hold no room of the window; as one of its own ends, one of them follows."""
    log = Log(throttled({PUT: Rate(100, 1000.0)}, WIDE, connections=4))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(log.call(PUT, "a", seconds=100.0))
        await asyncio.sleep(1.0)
        assert (log.keys, log.throttle.standing(PUT).left) == ("a", 99)
        tasks.create_task(log.call(PUT, "b", seconds=1.0))
        await asyncio.sleep(101.0)
        assert log.keys[:3] == "aba"
    assert len(log.left) == 21


@dataclass(frozen=True, slots=True)
class Trip:
    """One call of the property below; times in seconds, `cancel_after` from its start."""

    gap: float
    group: CallGroup
    key: str
    there: float
    back: float
    cancel_after: float


@dataclass(frozen=True, slots=True)
class Event:
    """A pause of `seconds`, or a learned `rate`, `at` some time."""

    at: float
    group: CallGroup
    rate: Rate | None
    seconds: float


SECONDS = st.one_of(st.just(0.0), st.sampled_from([0.01, 0.5, 1.0, 1.0 + MARGIN, 3.0]), st.floats(0, 4))
GROUPS = st.sampled_from([PUT, JOB, TOKEN])
RATES = st.builds(Rate, st.integers(1, 4), st.sampled_from([0.5, 1.0, 3.0]))
TRIPS = st.builds(Trip, SECONDS, GROUPS, st.sampled_from("ab"), SECONDS, SECONDS, st.just(math.inf) | st.floats(0, 20))
EVENTS = st.builds(Event, st.floats(0, 20), GROUPS, st.none() | RATES, SECONDS)


@dataclass(slots=True)
class Cloud:
    """What the cloud sees of calls that take time to get there, and what the throttle had promised."""

    throttle: Throttle
    arrived: list[tuple[CallGroup, float, float]] = field(default_factory=list)
    granted: dict[tuple[CallGroup, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    pauses: list[tuple[CallGroup, float, float]] = field(default_factory=list)

    async def travel(self, number: int, trip: Trip) -> None:
        """Make one call; given up on its way, it arrives at that moment, which is the worst it may do."""
        async with self.throttle.slot(trip.group, HOST, trip.key):
            left = now()
            self.granted[trip.group, trip.key].append(number)
            try:
                await asyncio.sleep(trip.there)
            finally:
                self.arrived.append((trip.group, left, now()))
            await asyncio.sleep(trip.back)

    def happen(self, event: Event) -> None:
        """Teach or pause the throttle."""
        if event.rate is not None:
            self.throttle.learn(event.group, always(event.rate))
        else:
            self.throttle.pause(event.group, event.seconds)
            self.pauses.append((event.group, now(), now() + event.seconds))

    def crowds(self, rate: Rate, group: CallGroup | None = None, since: float = -1.0) -> list[float]:
        """Return from when on a window holds too many of the calls that left after `since`."""
        times = sorted(at for who, left, at in self.arrived if group in {None, who} and left > since)
        return [a for a, b in zip(times, times[rate.count :], strict=False) if b - a <= rate.window]


async def play(cloud: Cloud, trips: list[Trip], events: list[Event]) -> list[int]:
    """Make all trips while the events happen; return the numbers of those that were not given up."""
    loop = asyncio.get_running_loop()
    for event in events:
        loop.call_at(event.at, cloud.happen, event)
    starts = itertools.accumulate(trip.gap for trip in trips)
    tasks = []
    for number, (start, trip) in enumerate(zip(starts, trips, strict=True)):
        await asyncio.sleep(start - now())
        task = asyncio.create_task(cloud.travel(number, trip))
        if trip.cancel_after < math.inf:
            loop.call_later(trip.cancel_after, task.cancel)
        tasks.append(task)
    async with asyncio.timeout(10_000):
        await asyncio.gather(*tasks, return_exceptions=True)
    return [number for number, task in enumerate(tasks) if not task.cancelled()]


@settings(deadline=None)
@given(
    limits=st.dictionaries(st.sampled_from([PUT, JOB]), RATES),
    burst=RATES,
    trips=st.lists(TRIPS, max_size=25),
    events=st.lists(EVENTS, max_size=3),
)
def test_whatever_happens_every_rate_is_kept_and_everybody_served(
    limits: dict[CallGroup, Rate], burst: Rate, trips: list[Trip], events: list[Event]
) -> None:
    """Random arrivals, journeys, cancels, knowledge and pauses break no rate, and lose nobody and nothing."""

    async def main() -> None:
        cloud = Cloud(throttled(limits, burst))
        finished = await play(cloud, trips, events)

        assert cloud.crowds(burst) == []
        assert [group for group, rate in limits.items() if cloud.crowds(rate, group)] == []
        knowledge = [(event, event.rate) for event in events if event.rate is not None]
        assert [event for event, rate in knowledge if cloud.crowds(rate, event.group, event.at)] == []
        assert [
            left
            for group, left, _ in cloud.arrived
            for paused, start, end in cloud.pauses
            if group is paused and start < left < end
        ] == []

        numbers = list(cloud.granted.values())
        assert numbers == [sorted(line) for line in numbers]
        assert set(finished) <= set(itertools.chain(*numbers))

        await asyncio.sleep(100)
        for group in CallGroup:
            standing = cloud.throttle.standing(group)
            assert standing.waiting == 0
            assert standing.left >= 1
            if not knowledge:
                assert standing.left == limits.get(group, burst).count

    with closing(looptime.new_event_loop(start=0.0)) as loop:
        loop.run_until_complete(main())


@dataclass(frozen=True, slots=True)
class Put:
    """One PUT of the property below: whole or a part, `at` some time, answered after `seconds`."""

    at: float
    key: str
    is_part: bool
    seconds: float


@dataclass(slots=True)
class Puts:
    """The PUTs that left through one throttle: when, whether each was a part, and how many whole ones waited then."""

    throttle: Throttle
    left: list[tuple[float, bool, int]] = field(default_factory=list)
    whole_waiting: int = 0

    async def make(self, put: Put) -> None:
        """Make one PUT at its time."""
        await asyncio.sleep(put.at)
        self.whole_waiting += not put.is_part
        async with self.throttle.slot(PUT, HOST, put.key, is_part=put.is_part):
            self.whole_waiting -= not put.is_part
            self.left.append((now(), put.is_part, self.whole_waiting))
            await asyncio.sleep(put.seconds)

    def parts_too_many(self, rate: Rate) -> list[float]:
        """Return when a part left while a whole one waited, and the window before had its quarter of parts."""
        most = max(1, rate.count // 4)
        parts: list[float] = []
        found = []
        for at, is_part, waiting in self.left:
            if not is_part:
                continue
            parts.append(at)
            if waiting and sum(at - rate.window < each for each in parts) > most:
                found.append(at)
        return found


PUTS = st.builds(
    Put, st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from("abc"), st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 1.0])
)


@settings(deadline=None)
@given(
    rate=st.builds(Rate, st.integers(1, 12), st.sampled_from([1.0, 3.0])),
    learned=st.none() | st.builds(Rate, st.integers(1, 8), st.sampled_from([1.0, 5.0])),
    puts=st.lists(PUTS, max_size=60),
)
def test_parts_take_a_quarter_while_whole_batches_wait(rate: Rate, learned: Rate | None, puts: list[Put]) -> None:
    """Of each rate in force, learned ones included, parts have at most a quarter then; all leave in the end."""

    async def main() -> None:
        made = Puts(throttled({PUT: rate}, WIDE))
        if learned is not None:
            made.throttle.learn(PUT, always(learned))
        async with asyncio.timeout(10_000):
            await asyncio.gather(*map(made.make, puts))
        assert len(made.left) == len(puts)
        assert [
            made.parts_too_many(each) for each in (rate, learned) if each is not None and made.parts_too_many(each)
        ] == []
        assert made.throttle.standing(PUT).waiting == 0

    with closing(looptime.new_event_loop(start=0.0)) as loop:
        loop.run_until_complete(main())


async def test_whole_batches_go_first_and_parts_have_the_rest() -> None:
    """Of eight a window two are parts while whole ones wait, in turns of their projects; then parts have all eight."""
    made = Log(throttled({PUT: Rate(8, 1.0)}, WIDE))

    async def part(key: str) -> None:
        async with made.throttle.slot(PUT, HOST, key, is_part=True):
            made.left.append((key, now()))

    async with asyncio.TaskGroup() as tasks:
        for key in "xxxxxxyyyyyy":
            tasks.create_task(part(key))
        for _ in range(10):
            tasks.create_task(made.call(PUT, "w"))
        await asyncio.sleep(0.5)
        assert made.throttle.standing(PUT).waiting == 22 - len(made.left)
    span = 1.0 + MARGIN
    by_window = ["".join(key for key, at in made.left if at == pytest.approx(number * span)) for number in range(3)]
    assert by_window == ["xxxxxxyy", "yywwwwww", "yywwww"]


async def test_one_call_a_window_is_not_all_for_parts() -> None:
    """Where the rate has fewer than four calls, whole batches have three turns of four."""
    made = Log(throttled({PUT: Rate(1, 1.0)}, WIDE))

    async def part() -> None:
        async with made.throttle.slot(PUT, HOST, "x", is_part=True):
            made.left.append(("p", now()))

    await asyncio.gather(*(part() for _ in range(3)), *(made.call(PUT, "w") for _ in range(9)))
    assert made.keys.startswith("pwwwpwwwp")
