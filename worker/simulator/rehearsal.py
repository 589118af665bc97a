"""Manifests of the worker → a world in which everything they name is offered, so that people can rehearse them.

Only what is needed for that is read; whether a manifest is right in all its parts is for the worker to check.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from worker.simulator.document import Document
from worker.simulator.model import FIRST_CREATED, Image, Vault
from worker.simulator.naming import OWNER
from worker.simulator.world import World

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Receiver:
    """A project that images are offered to, and the vault for full-ECS images."""

    id: str
    vault: str = ""


@dataclass(frozen=True, slots=True)
class _Finder:
    name: str
    credential: str = "default"
    vault: str = ""

    def own_name(self, name: str) -> str:
        """Return the name of a project, before which that of its credential may stand, as the cloud knows it."""
        return name.removeprefix(f"{self.credential}/")

    def may_find(self, name: str) -> bool:
        """Tell whether it may find a project of this name."""
        return fnmatchcase(self.own_name(name), self.name)


@dataclass(frozen=True, slots=True)
class _Wish:
    projects: tuple[str, ...]
    images: tuple[str, ...]
    status: Literal["accepted", "rejected"]
    vault: str = ""


@dataclass(slots=True)
class _Offers:
    """What the wishes add up to: the receivers of each image, and the vault of each accept ("" for none)."""

    receivers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    accepts: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    vaulted: set[str] = field(default_factory=set)
    vaults: set[tuple[str, str]] = field(default_factory=set)

    def is_full_ecs(self, image_id: str) -> bool:
        """Tell whether a share names a vault for the image and every accept of it has one."""
        return image_id in self.vaulted and all(self.accepts[image_id])


def declare(documents: Iterable[Document], world: World) -> dict[str, Receiver]:
    """Put the projects of the manifests into the world, and return them by name; problems are noted in the document."""
    receivers: dict[str, Receiver] = {}
    for document in documents:
        for name, table in document.named("projects").items():
            if (receiver := document.build(Receiver, table, f"projects.{name}")) is not None:
                receivers[name] = receiver
                world.add_project(receiver.id, name)
    return receivers


def offer(documents: Iterable[Document], world: World, declared: Mapping[str, Receiver]) -> World:
    """Fill the world with what the manifests name, all of it pending; raise DocumentError on what makes no sense.

    Its projects are in it already: those that the manifests have `declared`, and those that some `[[discover]]` finds.
    """
    documents = list(documents)
    images = _merged(documents, "images")
    vaults = _merged(documents, "vaults")
    finders = [
        finder
        for document in documents
        for place, table in document.tables("discover")
        if (finder := document.build(_Finder, table, place)) is not None
    ]
    receivers = {**_found(finders, world, {each.id for each in declared.values()}), **declared}
    offers = _Offers()
    for document in documents:
        for place, table in document.tables("share"):
            if (wish := document.build(_Wish, table, place)) is not None:
                chosen = _known(document, f"{place}.images", wish.images, images)
                names = list(receivers) if wish.projects == ("*",) else wish.projects
                there = [own for name in names if (own := _own_name(name, finders, receivers)) is not None]
                for name in _known(document, f"{place}.projects", there, {name: name for name in receivers}):
                    _collect(offers, receivers[name], wish, chosen, vaults)
    for document in documents:
        document.finish()
    _fill(world, offers, {image_id: name for name, image_id in images.items()})
    return world


def _own_name(name: str, finders: Iterable[_Finder], receivers: Collection[str]) -> str | None:
    """Return a project's name without that of its credential before it; None for one that is only found later."""
    if name in receivers:
        return name
    owns = [finder.own_name(name) for finder in finders if finder.may_find(name)]
    return next((own for own in owns if own in receivers), None if owns else name)


def _found(finders: Iterable[_Finder], world: World, declared: Collection[str]) -> dict[str, Receiver]:
    """Return the projects of the world that the first of these finds, by name, beside those that are declared."""
    found: dict[str, Receiver] = {}
    for finder in finders:
        for project in world.tenancies.values():
            if project.enabled and project.id not in declared and fnmatchcase(project.name, finder.name):
                found.setdefault(project.name, Receiver(project.id, finder.vault))
    return found


def _merged(documents: Iterable[Document], key: str) -> dict[str, str]:
    merged: dict[str, str] = {}
    for document in documents:
        for name, value in document.table(key).items():
            if not isinstance(value, str):
                document.problem(f"{key}.{name}", f"expected an id, not {value!r}")
            merged[name] = str(value)
    return merged


def _known(document: Document, place: str, names: Iterable[str], known: Mapping[str, Any]) -> list[str]:
    found = []
    for name in names:
        if name in known:
            found.append(known[name])
        elif _UUID.fullmatch(name):
            found.append(name)
        else:
            document.problem(place, f"{name!r} is not known, known are {', '.join(sorted(known)) or 'none'}")
    return found


def _collect(offers: _Offers, receiver: Receiver, wish: _Wish, chosen: list[str], vaults: Mapping[str, str]) -> None:
    named = wish.vault or receiver.vault
    vault_id = vaults.get(named, named)
    if vault_id:
        offers.vaults.add((receiver.id, vault_id))
    for image_id in chosen:
        offers.receivers[image_id].add(receiver.id)
        if wish.status == "accepted":
            offers.accepts[image_id].append(vault_id)
            offers.vaulted.update([image_id] if wish.vault else [])


def _fill(world: World, offers: _Offers, names: Mapping[str, str]) -> None:
    for image_id, receivers in sorted(offers.receivers.items()):
        name = names.get(image_id, image_id)
        created = FIRST_CREATED + 60.0 * len(world.images)
        world.add(Image(image_id, name, OWNER, full_ecs=offers.is_full_ecs(image_id), created_at=created))
        for receiver in sorted(receivers):
            world.share(image_id, receiver)
    for receiver, vault_id in sorted(offers.vaults):
        world.add(Vault(vault_id, receiver))
