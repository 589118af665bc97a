"""How this cloud differs from the next: what the API reference leaves open, or its editions contradict.

Every default is the documented or the likeliest behaviour; the others are met in some region or may be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

_RATE = re.compile(r"([0-9]+)/([0-9]*)(s|m|h)")
_UNITS = {"s": 1, "m": 60, "h": 3600}


class Group(StrEnum):
    """The calls that share one limit, a ledger's count, and the reach of a fault.

    `token` is IAM's handing out of tokens and temporary keys, `projects` its lists, `sts` the STS, `metadata` the
    service of a cloud server with the endpoint of a pod's identity, `vaults` those of the backup service.
    """

    MEMBERS_PUT = "members_put"
    JOB_GET = "job_get"
    JOB_PROGRESS = "job_progress"
    IMAGES_LIST = "images_list"
    TOKEN = "token"  # noqa: S105 - a name
    PROJECTS = "projects"
    STS = "sts"
    METADATA = "metadata"
    VAULTS = "vaults"


IMS = frozenset({Group.MEMBERS_PUT, Group.JOB_GET, Group.JOB_PROGRESS, Group.IMAGES_LIST})


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` calls in any `seconds`."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: Any) -> Rate:
        """Read a rate such as `200/5m` or `100/s`; raise ValueError."""
        match = _RATE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError("expected a rate such as 200/5m")
        return cls(int(match[1]), int(match[2] or 1) * _UNITS[match[3]])


UNLIMITED = Rate(10**9, 1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Calls per account and window. Source: flow control in the vendor's OpenAPI files of IMS.

    Those of identity and of vaults are published nowhere, so that they have no limit unless one is given.
    """

    members_put: Rate = Rate(200, 300)
    job_get: Rate = Rate(1400, 60)
    job_progress: Rate = Rate(200, 300)
    images_list: Rate = Rate(1400, 60)
    token: Rate = UNLIMITED
    projects: Rate = UNLIMITED
    sts: Rate = UNLIMITED
    metadata: Rate = UNLIMITED
    vaults: Rate = UNLIMITED

    def of(self, group: Group) -> Rate:
        """Return the limit of a call group."""
        rate: Rate = getattr(self, group.value)
        return rate


NO_LIMITS = Limits(UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The choices of one simulated cloud.

    Lists: `page_cap` is the most images on a page, whatever `limit` asks (0: no cap); `page_info` says whether and how
    a page names the next; `marker` may be ignored; `whole_attribute` is how an image says that it is a full-ECS image,
    if at all; `whole_filter` is what the query `__whole_image` does.

    Jobs: `legacy` is the query with per-image results, `progress` the one without; either may be absent or forbidden.
    `results` is what the first one says of the images, `result_project` adds the project to each, `job_words` and
    `result_words` are the case of the states, `job_missing` the answer for an unknown job.

    PUT: `unknown_image` refuses the whole request or fails that image in the job; `vault_refusal` is where an unfit
    vault is noticed; `vault_required` makes `vault_id` mandatory for each accept; `max_images` is the most images of
    one request (0: no limit), and `too_many` how more are refused: by the gateway as 413, as IMG.0001, or as a 400
    without a code.

    Vaults: `vault_missing` is the status for one that is not there.

    Limits: `throttle` is how a call beyond one is refused: by the gateway's 429 that states the limit, by one that does
    not, or by IMS's own 400 with IMG.0060, which does not either.
    """

    page_cap: int = 0
    page_info: Literal["object", "array", "absent"] = "object"
    marker: Literal["obeyed", "ignored"] = "obeyed"
    whole_attribute: Literal["absent", "boolean", "string"] = "absent"
    whole_filter: Literal["obeyed", "ignored"] = "obeyed"
    legacy: Literal["present", "absent", "forbidden"] = "present"
    progress: Literal["present", "absent", "forbidden"] = "present"
    results: Literal["present", "empty", "absent"] = "present"
    result_project: bool = False
    job_words: Literal["upper", "lower"] = "upper"
    result_words: Literal["upper", "lower"] = "lower"
    job_missing: Literal["IMG.0023", "404"] = "IMG.0023"
    unknown_image: Literal["refuse", "partial"] = "refuse"
    vault_refusal: Literal["job", "at-once"] = "job"
    vault_required: bool = False
    max_images: int = 0
    too_many: Literal["413", "IMG.0001", "unsaid"] = "413"
    vault_missing: Literal["404", "400"] = "404"
    throttle: Literal["stated", "unstated", "IMG.0060"] = "stated"

    def __post_init__(self) -> None:
        if self.page_cap < 0 or self.max_images < 0:
            raise ValueError("page_cap and max_images cannot be negative")
