"""What the simulated cloud holds: projects, images, shares, vaults, and jobs that take their time.

Plain state behind one injected clock, seconds since the epoch. Nothing runs in the background: each reading first
brings the state up to the clock, so a job has ended exactly when its time is over, and has then done its work.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

FIRST_CREATED = 1_735_689_600.0
HOSTILE_JOB_IDS = (
    "../../v2/images/",
    "a/b?c=d&e#",
    "%2e%2e%2f",
    "crlf\r\nX-Injected: 1 ",
    "'; DROP TABLE jobs; --",
    "<script>alert(1)</script>",
    "\u202eabc\u0000",
    "lone surrogate \ud800",
    "x" * 2000,
)


class Answer(StrEnum):
    """What a project has said to a share. Source: API reference of IMS, `member_status`."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class JobState(StrEnum):
    """A job's word for itself. Source: API reference of IMS, job query."""

    INIT = "INIT"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Account:
    """An access key, its secret, and the projects (by id) it may act for; none named means all.

    Keys of the same `name` are one account and share its limits. A key with a `security_token` is a temporary one.
    """

    access_key: str
    secret_key: str = field(repr=False)
    name: str = "default"
    security_token: str = field(default="", repr=False)
    projects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """An image. `owner` is the owner's project id, `whole` a full-ECS image; `attributes` override its body."""

    id: str
    name: str
    owner: str
    whole: bool = False
    created_at: float = FIRST_CREATED
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vault:
    """A backup vault of a project; a `full` one cannot take another image."""

    id: str
    project_id: str
    full: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """What one PUT asks for: images of one project to become one status."""

    project_id: str
    images: tuple[str, ...]
    status: Answer
    vault_id: str = ""


@dataclass(frozen=True, slots=True)
class Fate:
    """What is to go wrong with a job.

    A `stuck` job never ends, a `hollow` one ends well and does nothing. `failing` images are not done, and the job then
    ends as `overall` says, with `code` and `reason`.
    """

    stuck: bool = False
    hollow: bool = False
    failing: frozenset[str] = frozenset()
    overall: Literal["SUCCESS", "FAIL"] = "FAIL"
    code: str = "IMG.0112"
    reason: str = "Failed to update the image members."


NO_FATE = Fate()


@dataclass(slots=True)
class Job:
    """The work for one order. Times are seconds since the epoch; `ends_at` is infinite for a stuck job."""

    id: str
    order: Order
    fate: Fate
    begun_at: float
    ends_at: float
    state: JobState = JobState.INIT
    results: dict[str, bool] = field(default_factory=dict)
    code: str = ""
    reason: str = ""
    polls: int = 0

    @property
    def ended(self) -> bool:
        """Tell whether the job has reached its last state."""
        return self.state in {JobState.SUCCESS, JobState.FAIL}


@dataclass(frozen=True, slots=True)
class JobRules:
    """How jobs live: between two `seconds` each, chosen with `seed`; the list follows `lag` seconds after the end.

    Hostile `ids` are texts that a careless client would put into a URL, a log or a query.
    """

    seconds: tuple[float, float] = (0.6, 0.9)
    lag: float = 0.0
    ids: Literal["hex", "hostile"] = "hex"
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.seconds
        if not 0 <= low <= high or self.lag < 0:
            raise ValueError("seconds and lag cannot be negative, nor seconds run backwards")


class World:
    """The cloud's state and the owner's hand on it: `share` and `revoke` may happen at any moment.

    `versions` has a number per project that changes whenever its lists could. Without accounts any access key is let
    in.
    """

    def __init__(self, now: Callable[[], float] = time.time, rules: JobRules = JobRules()) -> None:
        self.now = now
        self.rules = rules
        self.versions: dict[str, int] = defaultdict(int)
        self.accounts: dict[str, Account] = {}
        self.projects: dict[str, str] = {}
        self.images: dict[str, Image] = {}
        self.vaults: dict[tuple[str, str], Vault] = {}
        self.jobs: dict[str, Job] = {}
        self._shares: dict[str, dict[str, Answer]] = defaultdict(dict)
        self._receivers: dict[str, set[str]] = defaultdict(set)
        self._owned: dict[str, set[str]] = defaultdict(set)
        self._random = random.Random(rules.seed)  # noqa: S311 - durations and ids of a simulation
        self._due: list[tuple[float, int, Job]] = []
        self._visible_later: list[tuple[float, int, Job]] = []

    def add_account(self, account: Account) -> None:
        """Let an access key in; from then on unknown ones are refused."""
        self.accounts[account.access_key] = account

    def add_project(self, project_id: str, name: str = "") -> None:
        """Make a project known."""
        self.projects[project_id] = name or project_id

    def add_image(self, image: Image) -> None:
        """Put an image into its owner's project; nobody else sees it until it is shared."""
        self.images[image.id] = image
        self._owned[image.owner].add(image.id)
        self._changed(image.owner, *self._receivers[image.id])

    def add_vault(self, vault: Vault) -> None:
        """Create a vault in its project."""
        self.vaults[vault.project_id, vault.id] = vault

    def share(self, image_id: str, project_id: str, status: Answer = Answer.PENDING) -> None:
        """Offer an image to a project, or set what the project has said to it; raise KeyError if either is unknown."""
        if project_id not in self.projects or image_id not in self.images:
            raise KeyError((image_id, project_id))
        self._catch_up()
        self._shares[project_id][image_id] = status
        self._receivers[image_id].add(project_id)
        self._changed(project_id, self.images[image_id].owner)

    def revoke(self, image_id: str, project_id: str) -> None:
        """Withdraw an offer, whatever the project has said to it; raise KeyError if there is no such image."""
        self._catch_up()
        self._shares[project_id].pop(image_id, None)
        self._receivers[image_id].discard(project_id)
        self._changed(project_id, self.images[image_id].owner)

    def delete(self, image_id: str) -> None:
        """Delete an image and with it all its shares; raise KeyError if there is no such image."""
        for project_id in sorted(self._receivers[image_id]):
            self.revoke(image_id, project_id)
        owner = self.images.pop(image_id).owner
        self._owned[owner].discard(image_id)
        self._changed(owner)

    def status(self, image_id: str, project_id: str) -> Answer | None:
        """Return what the project has said to the image, or None if it is not offered."""
        return self.shares(project_id).get(image_id)

    def shares(self, project_id: str) -> Mapping[str, Answer]:
        """Return what the project is offered: image ids, and what it has said to each."""
        self._catch_up()
        return MappingProxyType(self._shares[project_id])

    def visible(self, project_id: str) -> list[Image]:
        """Return the images that the project owns or is offered, in no particular order."""
        return [self.images[image_id] for image_id in self._owned[project_id] | self.shares(project_id).keys()]

    def shared_out(self, image_id: str) -> bool:
        """Tell whether an image is offered to anyone."""
        self._catch_up()
        return bool(self._receivers.get(image_id))

    def missing(self, order: Order) -> tuple[str, ...]:
        """Return those images of the order that its project is not offered."""
        offered = self.shares(order.project_id)
        return tuple(image_id for image_id in order.images if image_id not in offered)

    def vault_trouble(self, order: Order) -> tuple[str, str] | None:
        """Return code and reason if the order accepts full-ECS images and its vault cannot take them."""
        if order.status is not Answer.ACCEPTED or not any(self._is_whole(image_id) for image_id in order.images):
            return None
        vault = self.vaults.get((order.project_id, order.vault_id))
        if vault is None:
            return "IMG.0184", f"Failed to query the vault {order.vault_id or '(none given)'}."
        if vault.full:
            return "IMG.0182", f"The capacity of the vault {vault.id} is insufficient."
        return None

    def submit(self, order: Order, fate: Fate = NO_FATE) -> Job:
        """Start the job of an order; its effect on the shares comes when it ends."""
        begun = self.now()
        seconds = float("inf") if fate.stuck else self._random.uniform(*self.rules.seconds)
        job = Job(self._next_id(), order, fate, begun, begun + seconds)
        self.jobs[job.id] = job
        heapq.heappush(self._due, (job.ends_at, len(self.jobs), job))
        return job

    def job(self, job_id: str) -> Job | None:
        """Return a job as it is now, or None if there is none of that id."""
        self._catch_up()
        job = self.jobs.get(job_id)
        if job is not None and not job.ended:
            first_part = min(0.1 * (job.ends_at - job.begun_at), 1.0)
            waiting = self.now() < job.begun_at + first_part
            job.state = JobState.INIT if waiting else JobState.RUNNING
        return job

    def _is_whole(self, image_id: str) -> bool:
        image = self.images.get(image_id)
        return image is not None and image.whole

    def _next_id(self) -> str:
        if self.rules.ids == "hostile":
            number = len(self.jobs)
            return f"{HOSTILE_JOB_IDS[number % len(HOSTILE_JOB_IDS)]}{number}"
        return f"{self._random.getrandbits(128):032x}"

    def _catch_up(self) -> None:
        now = self.now()
        while self._due and self._due[0][0] <= now:
            _, number, job = heapq.heappop(self._due)
            self._end(job)
            heapq.heappush(self._visible_later, (job.ends_at + self.rules.lag, number, job))
        while self._visible_later and self._visible_later[0][0] <= now:
            self._apply(heapq.heappop(self._visible_later)[2])

    def _end(self, job: Job) -> None:
        offered = self._shares[job.order.project_id]
        gone = {image_id for image_id in job.order.images if image_id not in offered}
        failing, code, reason = job.fate.failing | gone, job.fate.code, job.fate.reason
        if gone and not job.fate.failing:
            code, reason = "IMG.0144", "The image does not exist."
        if (trouble := self.vault_trouble(job.order)) is not None:
            failing, (code, reason) = frozenset(job.order.images), trouble
        job.results = {image_id: image_id not in failing for image_id in job.order.images}
        if not failing or (job.fate.failing and job.fate.overall == "SUCCESS"):
            job.state = JobState.SUCCESS
        else:
            job.state, job.code, job.reason = JobState.FAIL, code, reason

    def _apply(self, job: Job) -> None:
        if job.fate.hollow:
            return
        shares = self._shares[job.order.project_id]
        for image_id, done in job.results.items():
            if done and image_id in shares:
                shares[image_id] = job.order.status
        self._changed(job.order.project_id)

    def _changed(self, *project_ids: str) -> None:
        for project_id in project_ids:
            self.versions[project_id] += 1
