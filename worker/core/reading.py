"""What IMS said of a project: the images that it is offered, and what it has answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.share import MemberStatus
from worker.core.status import ShareStatus
from worker.core.vault import NO_VAULTS, VaultsRead

CUT_SHORT = "the pass was told to stop before it was read"
"""Why a project was not read that nobody tried to read to the end: nothing is known of it, and nothing was amiss."""


@dataclass(frozen=True, slots=True)
class ObservedImage:
    """An image as one project's list shows it.

    `full_ecs` tells whether it is a full-ECS image, and is None where the list did not say. `state` is what the cloud
    calls an image that is not active, such as `deactivated`, or that its owner hides; else it is empty.
    """

    id: str
    name: str
    owner: str
    full_ecs: bool | None = None
    state: str = ""


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

    `statuses` are those that were not as desired.
    """

    at: float
    desired: int
    statuses: tuple[ShareStatus, ...] = ()
