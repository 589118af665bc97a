"""The seed document (`simulate --seed FILE`): what the simulated cloud holds when it starts.

Two kinds of file are taken. A manifest of the worker (it begins with `version = 1`) is offered as it stands: each of
its images is pending in each project that its shares name, with the vaults they name. An image counts as a full-ECS
one if a share names a vault for it and each project that accepts it has one. Several manifests are merged.

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

    [[image]]
    name = "golden"
    count = 1                       # more than one: the names get numbers
    id = ""                         # made of the name when left out
    owner = ""                      # a project id; by default one outside the projects
    whole = false                   # a full-ECS image, which needs a vault to be accepted

    [[share]]
    projects = ["*"]                # names, ids or patterns; one or a list
    images = ["golden*"]            # as above
    status = "pending"              # or accepted, rejected

    [[vault]]
    id = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000"
    project = "payments-prod"       # name, id or pattern
    full = false

    [[account]]
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

    [jobs]
    seconds = [0.6, 0.9]            # how long a job takes: a number or a range
    lag = 0.0                       # seconds from the end of a job to its effect on the list
    ids = "hex"                     # or hostile: texts that a careless client trips over
    seed = 0                        # fixes what chance decides

    [options]                       # how this cloud differs from the next: see worker.simulator.options
    page_cap = 0

Without an `[[account]]` any access key and secret are let in: a call must still carry a well-formed signature header
and a date that is right, but nobody can check a secret that nobody knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from worker.simulator.document import Document, DocumentError
from worker.simulator.naming import OWNER, image_id, project_id
from worker.simulator.options import Limits, Options
from worker.simulator.rehearsal import offer
from worker.simulator.world import FIRST_CREATED, Account, Answer, Image, JobRules, Vault, World

T = TypeVar("T")
_TABLES = ("projects", "image", "share", "vault", "account", "limits", "jobs", "options")


@dataclass(frozen=True, slots=True)
class Seed:
    """A world, and how the cloud around it behaves."""

    world: World
    options: Options = field(default_factory=Options)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class _Project:
    id: str = ""


@dataclass(frozen=True, slots=True)
class _Images:
    name: str
    count: int = 1
    id: str = ""
    owner: str = ""
    whole: bool = False

    def __post_init__(self) -> None:
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
class _Vault:
    id: str
    project: str
    full: bool = False


def load_seed(*paths: Path, now: Callable[[], float] = time.time) -> Seed:
    """Read a seed, or one or more manifests; raise DocumentError with all that is wrong."""
    texts: dict[str, str] = {}
    for path in paths:
        try:
            texts[str(path)] = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DocumentError([f"{path}: cannot be read: {error}"]) from error
    return parse_seed(texts, now)


def parse_seed(texts: Mapping[str, str], now: Callable[[], float] = time.time) -> Seed:
    """Read the texts of one seed or of manifests, by the name that errors call them."""
    documents = [Document(text, file) for file, text in texts.items()]
    if all("version" in document.root for document in documents):
        return Seed(offer(documents, World(now)))
    if len(documents) > 1:
        raise DocumentError([f"{', '.join(texts)}: only manifests can be merged, and one of these is a seed"])
    return _read(documents[0], now)


def _read(document: Document, now: Callable[[], float]) -> Seed:
    document.only(document.root, "", _TABLES)
    rules = document.strict(JobRules, document.table("jobs"), "jobs") or JobRules()
    limits = document.strict(Limits, document.table("limits"), "limits") or Limits()
    options = document.strict(Options, document.table("options"), "options") or Options()
    world = World(now, rules)
    for name, table in document.named("projects").items():
        if (project := document.strict(_Project, table, f"projects.{name}")) is not None:
            world.add_project(project.id or project_id(name), name)
    for _, images in _each(document, "image", _Images):
        _add_images(world, images)
    for place, shares in _each(document, "share", _Shares):
        _share(document, place, world, shares)
    for place, vault in _each(document, "vault", _Vault):
        for receiver in _chosen(document, f"{place}.project", (vault.project,), world.projects):
            world.add_vault(Vault(vault.id, receiver, vault.full))
    for _, account in _each(document, "account", Account):
        world.add_account(account)
    document.finish()
    return Seed(world, options, limits)


def _each(document: Document, key: str, kind: type[T]) -> Iterator[tuple[str, T]]:
    """Yield place and content of each table of `[[key]]` that could be read."""
    for place, table in document.tables(key):
        if (built := document.strict(kind, table, place)) is not None:
            yield place, built


def _add_images(world: World, images: _Images) -> None:
    for found_id, name in images.each():
        created = FIRST_CREATED + 60.0 * len(world.images)
        world.add_image(Image(found_id, name, images.owner or OWNER, whole=images.whole, created_at=created))


def _share(document: Document, place: str, world: World, shares: _Shares) -> None:
    names = {image.id: image.name for image in world.images.values()}
    receivers = _chosen(document, f"{place}.projects", shares.projects, world.projects)
    for chosen in _chosen(document, f"{place}.images", shares.images, names):
        for receiver in receivers:
            world.share(chosen, receiver, shares.status)


def _chosen(document: Document, place: str, patterns: tuple[str, ...], names: Mapping[str, str]) -> list[str]:
    """Return the ids whose id or name matches one of the patterns; each pattern must match something."""
    chosen: dict[str, None] = {}
    for pattern in patterns:
        found = [key for key, name in names.items() if fnmatchcase(name, pattern) or fnmatchcase(key, pattern)]
        if not found:
            known = ", ".join(sorted(names.values())[:20]) or "none"
            document.problem(place, f"{pattern!r} matches nothing, known are {known}")
        chosen |= dict.fromkeys(found)
    return list(chosen)
