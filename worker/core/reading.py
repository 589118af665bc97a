"""What IMS said of a project: the images that it is offered, and what it has answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.core.share import MemberStatus
from worker.core.status import ShareStatus
from worker.core.vault import NO_VAULTS, VaultsRead

CUT_SHORT = "the pass was told to stop before it was read"
"""Why a project was not read that nobody tried to read to the end: nothing is known of it, and nothing was amiss."""


KEPT_MOVING = "images kept moving between the member lists while they were read"
SEES_EVERYTHING = (
    "the same images stand in several member lists, and stay there: the credential sees every image in every list, as "
    "an administrator's does, so that nobody can tell what is pending, accepted or rejected"
)
"""Why a project cannot be read whose lists contradict each other: that passes, and this does not."""

Facts = frozenset[str]
"""What is to be read of images beyond what any plan needs: fields of `ObservedImage`."""
NO_FACTS: Facts = frozenset()


@dataclass(frozen=True, slots=True)
class ObservedImage:
    """An image as one project's list shows it.

    `full_ecs` tells whether it is a full-ECS image, and is None where the list did not say. `state` is what the cloud
    calls an image that is not active, such as `deactivated`, or that its owner hides; else it is empty. What follows is
    there only where a rule asks for it: `created_at` is in seconds since the epoch, None where that is not known.
    """

    id: str
    name: str
    owner: str
    full_ecs: bool | None = None
    state: str = ""
    os_type: str = ""
    tags: tuple[str, ...] = ()
    created_at: float | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a project has said to an image it is offered."""

    image: ObservedImage
    status: MemberStatus


@dataclass(frozen=True, slots=True)
class Reading:
    """What was reported of one project in this pass: its offers by image id, or by `failure` why it was not read.

    `vaults` tells which of those that would be used cannot be.
    """

    offers: Mapping[str, Offer]
    failure: str = ""
    vaults: VaultsRead = NO_VAULTS


@dataclass(frozen=True, slots=True)
class LastReading:
    """What was last known of a project, in short: how many shares were wished there, at `at` (seconds since the epoch).

    `statuses` are those that were not as desired. `pending_since` tells of the shares that a rule waits for, by image
    id, when they were first seen pending, in seconds since the epoch.
    """

    at: float
    desired: int
    statuses: tuple[ShareStatus, ...] = ()
    pending_since: Mapping[str, float] = field(default_factory=dict)
