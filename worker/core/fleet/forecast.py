"""What is still to be called, and what the limits let through → how long it takes, and what makes it wait.

The calls that are in the windows already count: a run takes as long as the call that may leave last, of the group that
is slowest, plus the job that is followed last. What is sent waits for what is read first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from worker.core.batch import Batch
from worker.core.calls import CallGroup
from worker.core.limits import Room
from worker.core.timing import moment, roughly

TYPICAL_JOB = 2.0
"""Seconds that a job takes, as long as nobody has seen one end."""
POLLS_PER_JOB = 2
LISTS_PER_PROJECT = 3
_WORTH_SAYING = 1.0
"""Seconds that a limit must make a run wait to be named."""
_OVERDUE = 2.0
"""So many times a job may take what others took, beside others; of one that takes longer nobody knows when it ends."""
_LIMITS = {
    CallGroup.MEMBERS_PUT: "the PUT limit",
    CallGroup.JOB_GET: "the limit of job queries",
    CallGroup.JOB_PROGRESS: "the limit of job queries",
    CallGroup.IMAGES_LIST: "the limit of image lists",
    CallGroup.TOKEN: "the limit of tokens",
    CallGroup.VAULTS_LIST: "the limit of vault lists",
    CallGroup.PROJECTS_LIST: "the limit of project lists",
}
_TOGETHER = "the limit of all calls together"
_JOBS = "jobs of the cloud"
_READING = "lists of images"


@dataclass(frozen=True, slots=True)
class AccountRoom:
    """What the limits of an account let through: of each call group, and of all calls together."""

    groups: Mapping[CallGroup, Room]
    together: Room


@dataclass(frozen=True, slots=True)
class Shape:
    """How calls are counted: images per list page and per PUT, and by which query jobs are asked about."""

    page_size: int
    max_images: int
    poll_group: CallGroup


@dataclass(frozen=True, slots=True)
class Load:
    """What is still to be called, by account and group, and the seconds that pass after the last call.

    `tail` is None where nobody knows: a job that is waited for takes longer than others did. `is_all` is false while
    there are projects whose changes nobody knows yet. `reading` counts the lists, by account, that come before the
    first PUT. `held` are the calls that only the limits keep from leaving, where these are not all: the others come
    once a job has ended or a list is answered.
    """

    calls: Mapping[str, Mapping[CallGroup, int]]
    tail: float | None = 0.0
    is_all: bool = True
    reading: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, Mapping[CallGroup, int]] | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is still to be called, and how long it takes from `made_at` (seconds since the epoch) on.

    `seconds` is None where nobody knows, and the least that it takes unless `is_all`. `cause` names what is waited for
    longest, where anything is, and `until` when a limit lets go of the last call that it holds up.
    """

    calls: int
    seconds: float | None
    cause: str = ""
    until: float | None = None
    made_at: float = 0.0
    is_all: bool = True

    def left(self, now: float) -> float | None:
        """Return the seconds that are left of it: fewer from moment to moment, and none once they are over."""
        return None if self.seconds is None else max(0.0, self.made_at + self.seconds - now)

    def sentence(self, now: float) -> str:
        """Say what is waited for, and how long it takes from now on."""
        until = f" until {moment(self.until, now)}" if self.until is not None and self.until > now else ""
        waits = f"waiting for {self.cause}{until}" if self.cause and (until or self.until is None) else ""
        left = self.left(now)
        to_go = f"{'about' if self.is_all else 'at least'} {roughly(left)} to go" if left else ""
        return "; ".join(filter(None, (waits, to_go)))


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run would do, by project id: the images that each is offered, its batches, and the jobs it would follow.

    `in_flight` has when each of these jobs was sent, in seconds since the epoch. `lists_made` is what reading all of
    them cost this time.
    """

    offers: Mapping[str, int]
    batches: Iterable[Batch]
    in_flight: Mapping[str, Collection[float]]
    lists_made: int


def load_of_run(expected: Expected, account_of: Mapping[str, str], shape: Shape, now: float) -> Load:
    """Count the calls of a run that starts at `now`: reading, PUTs, polls, and reading again what was changed."""
    calls: dict[str, Counter[CallGroup]] = {}

    def count(project_id: str, group: CallGroup, many: int) -> None:
        calls.setdefault(account_of.get(project_id, ""), Counter())[group] += many

    for project_id, lists in _shared_out(expected, shape).items():
        count(project_id, CallGroup.IMAGES_LIST, lists)
    reading = {account: groups[CallGroup.IMAGES_LIST] for account, groups in calls.items()}
    sent_at = [at for jobs in expected.in_flight.values() for at in jobs]
    jobs = Counter({project_id: len(of_project) for project_id, of_project in expected.in_flight.items()})
    for project_id in {batch.project_id for batch in expected.batches if batch.vault_id}:
        count(project_id, CallGroup.VAULTS_LIST, 1)
    is_any_due = False
    for batch in expected.batches:
        is_any_due = True
        count(batch.project_id, CallGroup.MEMBERS_PUT, 1)
        jobs[batch.project_id] += 1
    for project_id, number in jobs.items():
        if number:
            count(project_id, shape.poll_group, number * POLLS_PER_JOB)
            count(project_id, CallGroup.IMAGES_LIST, 1 + expected.offers.get(project_id, 0) // shape.page_size)
    return Load(calls, _tail(None, sent_at, now, is_any_due=is_any_due), reading=reading)


def _shared_out(expected: Expected, shape: Shape) -> dict[str, int]:
    """Share the lists that were made out to the projects, by how many pages each of them has."""
    pages = {
        project_id: LISTS_PER_PROJECT + offers // shape.page_size for project_id, offers in expected.offers.items()
    }
    total, given, before = sum(pages.values()), 0, 0
    shared = {}
    for project_id, of_project in sorted(pages.items()):
        before += of_project
        shared[project_id] = expected.lists_made * before // total - given
        given += shared[project_id]
    return shared


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of a pass under way, by project id.

    `due` counts the images that are yet to be sent, of each operation, `jobs` has when each job that is waited for was
    sent, in seconds since the epoch, and `offers` how many images a project is offered. `unread` counts the projects
    that are yet to be read. `took` is how long jobs took in the mean, None where none has ended.
    """

    due: Mapping[str, Iterable[int]] = field(default_factory=dict)
    jobs: Mapping[str, Iterable[float]] = field(default_factory=dict)
    offers: Mapping[str, int] = field(default_factory=dict)
    unread: int = 0
    took: float | None = None


def load_of_rest(
    rest: Rest,
    waiting: Mapping[str, Mapping[CallGroup, int]],
    account_of: Mapping[str, str],
    shape: Shape,
    now: float,
) -> Load:
    """Count the calls that are left of a pass under way; `waiting` are the callers that wait for their turn."""
    left: dict[str, tuple[int, int, int]] = {}
    sent_at: list[float] = []
    for project_id in {*rest.due, *rest.jobs}:
        account = account_of.get(project_id, "")
        puts = sum(-(-images // shape.max_images) for images in rest.due.get(project_id, ()))
        jobs = tuple(rest.jobs.get(project_id, ()))
        sent_at += jobs
        before = left.get(account, (0, 0, 0))
        pages = 1 + rest.offers.get(project_id, 0) // shape.page_size
        left[account] = before[0] + puts, before[1] + len(jobs), before[2] + pages
    calls = {account: _calls(*left.get(account, (0, 0, 0)), shape) for account in {*waiting, *left}}
    held: dict[str, dict[CallGroup, int]] = {account: {} for account in waiting}
    for account, groups in waiting.items():
        for group, callers in groups.items():
            # Parts of a batch that failed were foreseen by nobody, and who waits for a first list has more to read.
            is_reading = rest.unread and group is CallGroup.IMAGES_LIST
            held[account][group] = callers * LISTS_PER_PROJECT if is_reading else callers
            calls[account][group] = max(calls[account].get(group, 0), held[account][group])
    is_any_due = any(of_account[CallGroup.MEMBERS_PUT] for of_account in calls.values())
    tail = _tail(rest.took, sent_at, now, is_any_due=is_any_due)
    return Load(calls, tail, is_all=not rest.unread, held=None if is_any_due and not rest.unread else held)


def _calls(puts: int, jobs: int, pages: int, shape: Shape) -> dict[CallGroup, int]:
    """Count the calls of so many PUTs, of jobs in flight, and of pages that are read again."""
    return {
        CallGroup.MEMBERS_PUT: puts,
        shape.poll_group: puts * POLLS_PER_JOB + jobs,
        CallGroup.IMAGES_LIST: pages,
    }


def _tail(took: float | None, sent_at: Collection[float], now: float, *, is_any_due: bool) -> float | None:
    """Return the seconds that the job takes which ends last; None where one takes longer than others `took`."""
    typical = TYPICAL_JOB if took is None else took
    ages = [max(now - at, 0.0) for at in sent_at]
    if any(age > _OVERDUE * typical for age in ages):
        return None
    if is_any_due or not ages:
        return typical if is_any_due else 0.0
    # The last one that is waited for: once it takes longer than others did, there is nothing left to count down.
    left = typical - min(ages)
    return left if left > 0 else None


@dataclass(frozen=True, slots=True)
class _Hold:
    """A limit, in how many seconds its last call may leave, and how many of these the limit itself is to blame for."""

    name: str
    wait: float
    own: float


def forecast(load: Load, rooms: Mapping[str, AccountRoom], now: float) -> Forecast:
    """Foretell how long the calls take from `now` on (seconds since the epoch), by what the limits let through."""
    total = sum(sum(groups.values()) for groups in load.calls.values())
    slowest, longest = 0.0, _Hold("", 0.0, 0.0)
    for account, groups in sorted((load.calls if load.held is None else load.held).items()):
        if account not in rooms:
            continue
        holds = tuple(_holds(rooms[account], groups, load.reading.get(account, 0)))
        if (wait := max(hold.wait for hold in holds)) > slowest:
            slowest, longest = wait, max(holds, key=lambda hold: hold.own)
    is_all = load.is_all and load.tail is not None
    if _is_the_cause(longest, load):
        return Forecast(total, slowest + (load.tail or 0.0), longest.name, now + longest.wait, now, is_all)
    seconds = slowest + load.tail if is_all and load.tail is not None else None
    return Forecast(total, seconds, _cause_beside_limits(load), None, now, is_all)


def _is_the_cause(longest: _Hold, load: Load) -> bool:
    """Tell whether a limit holds things up for longer than the jobs do that are waited for."""
    if longest.own < _WORTH_SAYING:
        return False
    if load.tail is None:
        # What all calls share lets go within moments, a job that is late does not.
        return longest.name != _TOGETHER
    return load.held is None or not load.is_all or longest.own > load.tail


def _holds(room: AccountRoom, calls: Mapping[CallGroup, int], reading: int) -> Iterable[_Hold]:
    lists = room.groups.get(CallGroup.IMAGES_LIST)
    is_read_in = lists.wait(reading) if lists else 0.0
    for group, many in calls.items():
        if group in room.groups and many:
            after = 0.0 if group is CallGroup.IMAGES_LIST else is_read_in
            wait = room.groups[group].wait(many, after)
            yield _Hold(_LIMITS[group], wait, wait - after)
    wait = room.together.wait(sum(calls.values()))
    yield _Hold(_TOGETHER, wait, wait)


def _cause_beside_limits(load: Load) -> str:
    """Name what is waited for where no limit makes anything wait; nothing, where there are PUTs to be sent."""
    if not load.is_all:
        return _READING
    return _JOBS if load.tail is None or (load.held is not None and load.tail > 0) else ""
