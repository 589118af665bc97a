"""Shares that are told of and left alone: what a rule only reports, and what neither a share nor a rule speaks of."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.core.manifest.model import Project
from worker.core.reading import Offer
from worker.core.rules.decide import Decisions
from worker.core.share import MemberStatus, Share
from worker.core.source import Source

_MAX_NAME = 128
"""Characters of an observed name that are kept: as many as the image service takes."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """A share that is told of: in which `project`, by name, by whom, how it calls the image, what it has said to it.

    `source` is the rule that reports it; None where nothing speaks of it.
    """

    share: Share
    project: str
    owner: str
    name: str
    observed: MemberStatus
    source: Source | None = None


def reported_of(
    project: Project, decided: Decisions, offers: Mapping[str, Offer], images: frozenset[str]
) -> tuple[Noticed, ...]:
    """Return what rules report of the images that are meant (none: all), in the order of the shares."""
    return tuple(
        _noticed(project, offers[image_id], decided.reported[image_id].source)
        for image_id in sorted(decided.reported)
        if not images or image_id in images
    )


def unsolicited_of(
    project: Project, decided: Decisions, offers: Mapping[str, Offer], images: frozenset[str]
) -> tuple[Noticed, ...]:
    """Return what is pending and nothing speaks of, of the images that are meant (none: all), in order."""
    return tuple(
        _noticed(project, offers[image_id])
        for image_id in sorted(decided.unsolicited)
        if not images or image_id in images
    )


def observed_names(
    image_ids: Iterable[str], offers: Mapping[str, Offer], known: Mapping[str, str]
) -> Mapping[str, str]:
    """Return what images are called that have no name in the manifest, as far as that was read."""
    return {
        image_id: name
        for image_id in image_ids
        if image_id not in known and image_id in offers and (name := _name(offers[image_id]))
    }


def _noticed(project: Project, offer: Offer, source: Source | None = None) -> Noticed:
    # Many projects are offered the same: its texts are kept once.
    image_id, owner = sys.intern(offer.image.id), sys.intern(offer.image.owner)
    return Noticed(Share(project.id, image_id), project.name, owner, _name(offer), offer.status, source)


def _name(offer: Offer) -> str:
    return sys.intern(offer.image.name[:_MAX_NAME])
