"""The nouns everything else is about: shares, wishes, and what was observed or is still in flight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class MemberStatus(StrEnum):
    """What the receiving project has said to a share. Source: API reference of IMS, `member_status`."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Share(NamedTuple):
    """One image offered to one project: the unit of desire and of outcome."""

    project_id: str
    image_id: str


@dataclass(frozen=True, slots=True)
class Project:
    """A receiving project. `region` is empty where the config's region holds."""

    id: str
    name: str
    credential: str = "default"
    region: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a share should be. `vault_id` is for accepting a full-ECS image; `source` is where it is written."""

    status: MemberStatus
    vault_id: str | None = None
    waits: bool = False
    source: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What should be true: for each project, by id, the wish for each of its images, by id."""

    projects: Mapping[str, Project]
    wishes: Mapping[str, Mapping[str, Wish]]
    image_names: Mapping[str, str]

    def __len__(self) -> int:
        return sum(len(wishes) for wishes in self.wishes.values())


@dataclass(frozen=True, slots=True)
class ObservedImage:
    """An image as one project's list shows it.

    `whole` tells whether it is a full-ECS image, and is None where the list did not say. `state` is what the cloud
    calls an image that is not active, such as `deactivated`, or that its owner hides; else it is empty.
    """

    id: str
    name: str
    owner: str
    whole: bool | None = None
    state: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a project has said to an image it is offered."""

    image: ObservedImage
    status: MemberStatus


@dataclass(frozen=True, slots=True)
class ObservedState:
    """What IMS reported in this pass.

    `offers` has the offered images, by id, of each project that could be read in full; `unreadable` the reason for
    each that could not. Every project asked is in one of the two.
    """

    offers: Mapping[str, Mapping[str, Offer]]
    unreadable: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One share that is to become something else."""

    share: Share
    before: MemberStatus
    after: MemberStatus
    vault_id: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Images with one project, status and vault: one PUT. `images` is sorted and never empty."""

    project_id: str
    status: MemberStatus
    vault_id: str | None
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InFlight:
    """A batch that was, or may have been, sent and is not settled; as the journal remembers it.

    `key` is the journal's, `run_id` the pass that sent it. Times are seconds since the epoch. Without a `job_id` the
    answer to its PUT is unknown; with one, `submitted_at` is when it came.
    """

    key: int
    batch: Batch
    intent_at: float
    job_id: str | None = None
    submitted_at: float | None = None
    run_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A share that kept failing: it is tried again later and later, at `next_try` (seconds since the epoch).

    `together` is how many images failed with it as one, itself included.
    """

    share: Share
    status: MemberStatus
    attempts: int
    first_reason: str
    last_reason: str
    next_try: float
    together: int = 1
