"""What is still to be called, and what the limits let through → how long it takes, and what makes it wait.

The calls that are in the windows already count: a run takes as long as the call that may leave last, of the group that
is slowest, plus the job that is followed last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
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
"""So many times a job may take what others took; of one that takes longer nobody knows when it ends."""
_LIMITS = {
    CallGroup.MEMBERS_PUT: "the PUT limit",
    CallGroup.JOB_GET: "the limit of job queries",
    CallGroup.JOB_PROGRESS: "the limit of job queries",
    CallGroup.IMAGES_LIST: "the limit of image lists",
    CallGroup.TOKEN: "the limit of tokens",
}
_TOGETHER = "the limit of all calls together"
_JOBS = "jobs of the cloud"


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
    there are projects whose changes nobody knows yet.
    """

    calls: Mapping[str, Mapping[CallGroup, int]]
    tail: float | None = 0.0
    is_all: bool = True


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is still to be called, and how long it takes from `made_at` (seconds since the epoch) on.

    `seconds` is None where nobody knows, and the least that it takes unless `is_all`. `cause` names what is waited for
    longest, where anything is, and `until` when that first lets go of a call that it holds up.
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

    `lists_made` is what reading all of them cost this time.
    """

    offers: Mapping[str, int]
    batches: Iterable[Batch]
    in_flight: Mapping[str, int]
    lists_made: int


def load_of_run(expected: Expected, account_of: Mapping[str, str], shape: Shape) -> Load:
    """Count the calls of a run that starts anew: reading, PUTs, polls, and reading again what was changed."""
    calls: dict[str, Counter[CallGroup]] = {}

    def count(project_id: str, group: CallGroup, many: int) -> None:
        calls.setdefault(account_of.get(project_id, ""), Counter())[group] += many

    for project_id, lists in _shared_out(expected, shape).items():
        count(project_id, CallGroup.IMAGES_LIST, lists)
    jobs = Counter(expected.in_flight)
    for batch in expected.batches:
        count(batch.project_id, CallGroup.MEMBERS_PUT, 1)
        jobs[batch.project_id] += 1
    for project_id, number in jobs.items():
        if number:
            count(project_id, shape.poll_group, number * POLLS_PER_JOB)
            count(project_id, CallGroup.IMAGES_LIST, 1 + expected.offers.get(project_id, 0) // shape.page_size)
    return Load(calls, TYPICAL_JOB if jobs.total() else 0.0)


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
    is_any_due = any(of_account[CallGroup.MEMBERS_PUT] for of_account in calls.values())
    for account, groups in waiting.items():
        for group, callers in groups.items():
            # Parts of a batch that failed were foreseen by nobody, and who waits for a first list has more to read.
            is_reading = rest.unread and group is CallGroup.IMAGES_LIST
            least = callers * LISTS_PER_PROJECT if is_reading else callers
            calls[account][group] = max(calls[account].get(group, 0), least)
    return Load(calls, _tail(rest, sent_at, now, is_any_due=is_any_due), is_all=not rest.unread)


def _calls(puts: int, jobs: int, pages: int, shape: Shape) -> dict[CallGroup, int]:
    """Count the calls of so many PUTs, of jobs in flight, and of pages that are read again."""
    return {
        CallGroup.MEMBERS_PUT: puts,
        shape.poll_group: puts * POLLS_PER_JOB + jobs,
        CallGroup.IMAGES_LIST: pages,
    }


def _tail(rest: Rest, sent_at: list[float], now: float, *, is_any_due: bool) -> float | None:
    """Return the seconds that the job takes which ends last; None for one that is overdue."""
    typical = TYPICAL_JOB if rest.took is None else rest.took
    if is_any_due or not sent_at:
        return typical if is_any_due else 0.0
    age = now - max(sent_at)
    return None if age > _OVERDUE * typical else max(typical - age, 0.0)


def forecast(load: Load, rooms: Mapping[str, AccountRoom], now: float) -> Forecast:
    """Foretell how long the calls take from `now` on (seconds since the epoch), by what the limits let through."""
    total, slowest, cause, until = 0, 0.0, "", None
    for account, groups in sorted(load.calls.items()):
        room = rooms.get(account)
        of_account = sum(groups.values())
        total += of_account
        if room is None:
            continue
        limits = [
            (_LIMITS[group], room.groups[group], calls) for group, calls in groups.items() if group in room.groups
        ]
        for name, limit, calls in (*limits, (_TOGETHER, room.together, of_account)):
            wait = limit.wait(calls)
            if wait > slowest:
                slowest = wait
                cause, until = (name, now + limit.first_wait(calls)) if wait >= _WORTH_SAYING else ("", None)
    if not cause and load.tail is None:
        cause = _JOBS
    seconds = None if load.tail is None and not until else slowest + (load.tail or 0.0)
    return Forecast(total, seconds, cause, until, now, load.is_all and load.tail is not None)
