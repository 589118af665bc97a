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
from types import MappingProxyType

from worker.simulator.identity.directory import Directory
from worker.simulator.identity.issued import Issued
from worker.simulator.identity.lockouts import Lockouts
from worker.simulator.identity.model import DEFAULT_DOMAIN, Agency, Project, Server, User, Workload
from worker.simulator.identity.rules import IdentityRules
from worker.simulator.jobs import HOSTILE_JOB_IDS, NO_FATE, Fate, Job, JobRules, JobState, Order
from worker.simulator.model import Account, Answer, Image, Vault

_USUAL = JobRules()
_USUAL_IDENTITY = IdentityRules()


class World:
    """The cloud's state and the owner's hand on it: `share` and `revoke` may happen at any moment.

    `versions` has a number per project that changes whenever its lists could, `receivers` the projects that an image is
    offered to. `directory` knows who there is (without anybody in it everybody is let in), `issued` what they have been
    given, `lockouts` who is blocked, `tenancies` each project as IAM knows it.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        rules: JobRules = _USUAL,
        identity: IdentityRules = _USUAL_IDENTITY,
    ) -> None:
        self.now = now
        self.rules = rules
        self.identity = identity
        self.started = now()
        self.directory = Directory()
        self.issued = Issued(now, identity)
        self.lockouts = Lockouts(now, identity)
        self.tenancies: dict[str, Project] = {}
        self.versions: dict[str, int] = defaultdict(int)
        self.accounts: dict[str, Account] = {}
        self.projects: dict[str, str] = {}
        self.images: dict[str, Image] = {}
        self.vaults: dict[tuple[str, str], Vault] = {}
        self.jobs: dict[str, Job] = {}
        self._shares: dict[str, dict[str, Answer]] = defaultdict(dict)
        self.receivers: dict[str, set[str]] = defaultdict(set)
        self._owned: dict[str, set[str]] = defaultdict(set)
        self._random = random.Random(rules.seed)  # noqa: S311 - durations and ids of a simulation
        self._due: list[tuple[float, int, Job]] = []
        self._visible_later: list[tuple[float, int, Job]] = []

    def add(self, *things: Account | User | Agency | Workload | Server | Image | Vault) -> None:
        """Let an access key or somebody in, put an image into its owner's project, or a vault into its own.

        From the first key on unknown ones are refused; an image is seen by nobody else until it is shared.
        """
        for thing in things:
            match thing:
                case Account():
                    self.accounts[thing.access_key] = thing
                    self.directory.open = False
                case User() | Agency() | Workload() | Server():
                    self.directory.add(thing)
                case Vault():
                    self.vaults[thing.project_id, thing.id] = thing
                case Image():
                    self.images[thing.id] = thing
                    self._owned[thing.owner].add(thing.id)
                    self._changed(thing.owner, *self.receivers[thing.id])

    def add_project(self, project_id: str, name: str = "", tenancy: Project | None = None) -> None:
        """Make a project known, by default an enabled one of the default domain; a second time replaces it."""
        self.projects[project_id] = name or project_id
        self.tenancies[project_id] = tenancy or Project(project_id, name or project_id, DEFAULT_DOMAIN)

    def share(self, image_id: str, project_id: str, status: Answer = Answer.PENDING) -> None:
        """Offer an image to a project, or set what the project has said to it; raise KeyError if either is unknown."""
        if project_id not in self.projects or image_id not in self.images:
            raise KeyError((image_id, project_id))
        self._catch_up()
        self._shares[project_id][image_id] = status
        self.receivers[image_id].add(project_id)
        self._changed(project_id, self.images[image_id].owner)

    def revoke(self, image_id: str, project_id: str) -> None:
        """Withdraw an offer, whatever the project has said to it; raise KeyError if there is no such image."""
        self._catch_up()
        self._shares[project_id].pop(image_id, None)
        self.receivers[image_id].discard(project_id)
        self._changed(project_id, self.images[image_id].owner)

    def delete(self, image_id: str) -> None:
        """Delete an image and with it all its shares; raise KeyError if there is no such image."""
        for project_id in sorted(self.receivers[image_id]):
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
        if (trouble := vault_trouble(self, job.order)) is not None:
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


def vault_trouble(world: World, order: Order) -> tuple[str, str] | None:
    """Return code and reason if the order accepts full-ECS images and its vault cannot take them."""
    images = (world.images.get(image_id) for image_id in order.images)
    if order.status is not Answer.ACCEPTED or not any(image is not None and image.full_ecs for image in images):
        return None
    vault = world.vaults.get((order.project_id, order.vault_id))
    if vault is None:
        return "IMG.0184", f"Failed to query the vault {order.vault_id or '(none given)'}."
    if not vault.fits:
        return "IMG.0193", f"The vault {vault.id} is not a cloud server backup vault."
    if vault.status != "available":
        return "IMG.0188", f"The vault {vault.id} is not available."
    if vault.used_up >= vault.size * 1024:
        return "IMG.0182", f"The capacity of the vault {vault.id} is insufficient."
    return None
