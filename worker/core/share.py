"""A share, and what its receiving project has said to it."""

from __future__ import annotations

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
