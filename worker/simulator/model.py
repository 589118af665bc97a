"""What a cloud has: accounts, images, vaults, and what a project has said to a share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

FIRST_CREATED = 1_735_689_600.0


class Answer(StrEnum):
    """What a project has said to a share. Source: API reference of IMS, `member_status`."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


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
    """An image. `owner` is the owner's project id, `full_ecs` a full-ECS image; `attributes` override its body.

    `created_at` is in seconds since the epoch, and each of its `tags` is written `key=value`.
    """

    id: str
    name: str
    owner: str
    full_ecs: bool = False
    created_at: float = FIRST_CREATED
    os_type: Literal["Linux", "Windows", "Other"] = "Linux"
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vault:
    """A backup vault of a project: `size` in GB, `used` in MB, both as the backup service tells them.

    A `full` one has no room left; another than a server's backup vault, or one that is not available, takes no image.
    `locked` only protects its backups from being deleted.
    """

    id: str
    project_id: str
    full: bool = False
    name: str = ""
    object_type: Literal["server", "disk", "turbo", "workspace", "vmware", "rds", "file"] = "server"
    protect_type: Literal["backup", "replication", "hybrid"] = "backup"
    status: Literal["available", "lock", "frozen", "deleting", "error"] = "available"
    locked: bool = False
    size: int = 100
    used: int = 0

    def __post_init__(self) -> None:
        if self.size < 1 or self.used < 0:
            raise ValueError("size is at least 1, and used is not negative")

    @property
    def fits(self) -> bool:
        """Tell whether it is a server's backup vault, which is the only kind that takes an image."""
        return (self.object_type, self.protect_type) == ("server", "backup")

    @property
    def used_up(self) -> int:
        """How much is used, in MB."""
        return max(self.used, self.size * 1024) if self.full else self.used
