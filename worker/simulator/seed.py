"""The seed document (`simulate --seed FILE`): what the simulated cloud holds when it starts.

Two kinds of file are taken. A manifest of the worker (it begins with `version = 1`) is offered as it stands: each of
its images is pending in each project that its shares name, with the vaults they name. An image counts as a full-ECS
one if a share names a vault for it and each project that accepts it has one. Several manifests are merged, and one seed
may go with them, which then adds to what they name: such as the projects that a `[[discover]]` finds, which are offered
what the shares wish there.

Anything else is a seed of its own, of which ten lines are enough:

    [projects.payments-prod]
    id = "edc89b490d7d4392898e19b2deb34797"

    [[image]]
    name = "golden"
    count = 60                      # golden-001 ... golden-060

    [[share]]
    projects = ["payments-prod"]
    images = ["golden-*"]

The tables, each of them optional; a key with a default may be left out:

    [projects.payments-prod]
    id = ""                         # made of the name when left out
    name = ""                       # as IAM knows it; that of the table when left out
    domain = "default"              # the account that it is of
    enabled = true

    [[image]]
    name = "golden"
    count = 1                       # more than one: the names get numbers
    id = ""                         # made of the name when left out
    owner = ""                      # a project id; by default one outside the projects
    whole = false                   # a full-ECS image, which needs a vault to be accepted
    created = ""                    # such as "2026-01-15T08:30:00Z"; of several the first, then one a minute
    os = "Linux"                    # or Windows, Other
    tags = []                       # each "key=value"

    [[share]]
    projects = ["*"]                # names, ids or patterns; one or a list
    images = ["golden*"]            # as above
    status = "pending"              # or accepted, rejected

    [[vault]]
    id = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000"
    project = "payments-prod"       # name, id or pattern
    full = false
    name = ""                       # its id when left out
    object_type = "server"          # or disk, turbo, workspace, vmware, rds, file
    protect_type = "backup"         # or replication, hybrid
    status = "available"            # or lock, frozen, deleting, error
    locked = false                  # its backups are protected from being deleted
    size = 100                      # GB
    used = 0                        # MB

    [[account]]                     # a key without a user; users are in worker.simulator.iam.seed
    access_key = "AK"
    secret_key = "SK"
    name = "default"                # keys of one name share their limits
    security_token = ""             # makes it a temporary key
    projects = []                   # ids; none: all

    [limits]                        # per account; these are the published ones
    members_put = "200/5m"
    job_get = "1400/1m"
    job_progress = "200/5m"
    images_list = "1400/1m"
                                    # token, projects, sts, metadata, vaults: none is published, so that none applies

    [jobs]
    seconds = [0.6, 0.9]            # how long a job takes: a number or a range
    lag = 0.0                       # seconds from the end of a job to its effect on the list
    ids = "hex"                     # or hostile: texts that a careless client trips over
    seed = 0                        # fixes what chance decides

    [options]                       # how this cloud differs from the next: see worker.simulator.options
    page_cap = 0

Who there is beside that, users, agencies, pods and a cloud server, is told by the tables that are described in
worker.simulator.iam.seed. Without any of them and without an `[[account]]` any access key and secret are let in,
and so is any password: a call must still carry a well-formed signature header and a date that is right, but nobody can
check a secret that nobody knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from worker.simulator.document import Document, DocumentError
from worker.simulator.iam.seed import TABLES, read_identity
from worker.simulator.identity.model import DEFAULT_DOMAIN, Project
from worker.simulator.identity.rules import IdentityRules
from worker.simulator.jobs import JobRules
from worker.simulator.model import FIRST_CREATED, Account, Answer, Image, Vault
from worker.simulator.naming import OWNER, image_id, project_id
from worker.simulator.options import Limits, Options
from worker.simulator.rehearsal import declare, offer
from worker.simulator.world import World

T = TypeVar("T")
_TABLES = ("projects", "image", "share", "vault", "account", "limits", "jobs", "options", *TABLES)


@dataclass(frozen=True, slots=True)
class Seed:
    """A world, and how the cloud around it behaves."""

    world: World
    options: Options = field(default_factory=Options)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class _Project:
    id: str = ""
    name: str = ""
    domain: str = DEFAULT_DOMAIN
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class _Images:
    name: str
    count: int = 1
    id: str = ""
    owner: str = ""
    whole: bool = False
    created: str = ""
    os: Literal["Linux", "Windows", "Other"] = "Linux"
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.created:
            _moment(self.created)
        if self.count < 1 or (self.count > 1 and self.id):
            raise ValueError("count is at least 1, and an image with an id is only one")

    def each(self) -> list[tuple[str, str]]:
        """Return id and name of each image of this table."""
        width = max(3, len(str(self.count)))
        names = [f"{self.name}-{number:0{width}}" for number in range(1, self.count + 1)]
        return [(self.id or image_id(name), name) for name in (names if self.count > 1 else [self.name])]


@dataclass(frozen=True, slots=True)
class _Shares:
    projects: tuple[str, ...]
    images: tuple[str, ...]
    status: Answer = Answer.PENDING


@dataclass(frozen=True, slots=True)
class _Receiver:
    project: str


def load_seed(*paths: Path, now: Callable[[], float] = time.time) -> Seed:
    """Read manifests, a seed, or both; raise DocumentError with all that is wrong."""
    texts: dict[str, str] = {}
    for path in paths:
        try:
            texts[str(path)] = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DocumentError([f"{path}: cannot be read: {error}"]) from error
    return parse_seed(texts, now)


def parse_seed(texts: Mapping[str, str], now: Callable[[], float] = time.time) -> Seed:
    """Read the texts of manifests, of one seed, or of both, by the name that errors call them."""
    documents = [Document(text, file) for file, text in texts.items()]
    manifests = [document for document in documents if "version" in document.root]
    seeds = [document for document in documents if document not in manifests]
    if len(seeds) > 1:
        raise DocumentError([f"{', '.join(texts)}: only manifests can be merged, and more than one of these is a seed"])
    if not seeds:
        world = World(now)
        return Seed(offer(manifests, world, declare(manifests, world)))
    return _read(seeds[0], manifests, now)


def _read(document: Document, manifests: list[Document], now: Callable[[], float]) -> Seed:
    document.only(document.root, "", _TABLES)
    rules = document.strict(JobRules, document.table("jobs"), "jobs") or JobRules()
    limits = document.strict(Limits, document.table("limits"), "limits") or Limits()
    options = document.strict(Options, document.table("options"), "options") or Options()
    identity = document.strict(IdentityRules, document.table("identity"), "identity") or IdentityRules()
    world = World(now, rules, identity)
    receivers = declare(manifests, world)
    for label, table in document.named("projects").items():
        if (project := document.strict(_Project, table, f"projects.{label}")) is not None:
            _add_project(world, label, project)
    offer(manifests, world, receivers)
    for _, images in _each(document, "image", _Images):
        _add_images(world, images)
    for place, shares in _each(document, "share", _Shares):
        _share(document, place, world, shares)
    for place, table in document.tables("vault"):
        _add_vaults(document, place, world, table)
    for _, account in _each(document, "account", Account):
        world.add(account)
    read_identity(document, world)
    document.finish()
    return Seed(world, options, limits)


def _add_project(world: World, label: str, project: _Project) -> None:
    declared = next((key for key, name in world.projects.items() if name == label), "")
    chosen = project.id or declared or project_id(label)
    world.add_project(chosen, label, Project(chosen, project.name or label, project.domain, project.enabled))


def _add_vaults(document: Document, place: str, world: World, table: dict[str, Any]) -> None:
    """Put a vault into each project that its pattern matches."""
    allowed = tuple(field.name for field in fields(Vault) if field.name != "project_id")
    document.only(table, place, (*allowed, "project"))
    receiver_named = document.build(_Receiver, table, place)
    vault = document.build(Vault, table, place, project_id="")
    if receiver_named is not None and vault is not None:
        for receiver in document.chosen(f"{place}.project", (receiver_named.project,), world.projects):
            world.add(replace(vault, project_id=receiver))


def _each(document: Document, key: str, kind: type[T]) -> Iterator[tuple[str, T]]:
    """Yield place and content of each table of `[[key]]` that could be read."""
    for place, table in document.tables(key):
        if (built := document.strict(kind, table, place)) is not None:
            yield place, built


def _add_images(world: World, images: _Images) -> None:
    before = len(world.images) if images.created else 0
    first = _moment(images.created) if images.created else FIRST_CREATED
    for found_id, name in images.each():
        world.add(
            Image(
                found_id,
                name,
                images.owner or OWNER,
                full_ecs=images.whole,
                created_at=first + 60.0 * (len(world.images) - before),
                os_type=images.os,
                tags=images.tags,
            )
        )


def _moment(text: str) -> float:
    """Return a time in seconds since the epoch, UTC where it does not say; raise ValueError for what is none."""
    told = datetime.fromisoformat(text)
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()


def _share(document: Document, place: str, world: World, shares: _Shares) -> None:
    names = {image.id: image.name for image in world.images.values()}
    receivers = document.chosen(f"{place}.projects", shares.projects, world.projects)
    for chosen in document.chosen(f"{place}.images", shares.images, names):
        for receiver in receivers:
            world.share(chosen, receiver, shares.status)
