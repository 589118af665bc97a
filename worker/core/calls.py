"""The calls that share one published limit, and how many of each were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from worker.core.learned_limit import LearnedLimit


class CallGroup(StrEnum):
    """Calls that share one published limit. Source: flow control in the vendor's OpenAPI files of IMS."""

    MEMBERS_PUT = "members_put"
    JOB_GET = "job_get"
    JOB_PROGRESS = "job_progress"
    IMAGES_LIST = "images_list"
    TOKEN = "token"  # noqa: S105 - the name of a call group
    VAULTS_LIST = "vaults_list"
    PROJECTS_LIST = "projects_list"


WITHOUT_LIMIT: Final = frozenset({CallGroup.TOKEN, CallGroup.VAULTS_LIST, CallGroup.PROJECTS_LIST})
"""Calls whose limits are published nowhere: only that of all calls together holds them up."""


class LimitKey(NamedTuple):
    """Whose limit it is, and of which calls."""

    account: str
    group: CallGroup


@dataclass(frozen=True, slots=True)
class CallCounts:
    """How many calls of each group left the process, how many were throttled, how many were repeats."""

    made: Mapping[CallGroup, int] = field(default_factory=dict)
    throttled: int = 0
    retried: int = 0

    def since(self, earlier: CallCounts) -> CallCounts:
        """Return what was counted after `earlier`, an older value of the same counters."""
        made = {group: self.made.get(group, 0) - earlier.made.get(group, 0) for group in CallGroup}
        return CallCounts(made, self.throttled - earlier.throttled, self.retried - earlier.retried)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One attempt at a call, when it is over.

    `status` is 0 where no answer came. `seconds` passed from its sending to the end of the answer. `attempt` counts
    from 1; a repeat after a throttle is the same attempt. `error` is empty for a success, `server_date` the Date of
    the answer. `learned` is what is known of the group's limit by now, where the answer has taught something of it.
    """

    account: str
    group: CallGroup
    project_id: str
    status: int
    seconds: float
    attempt: int
    throttled: bool = False
    error: str = ""
    server_date: str = ""
    learned: LearnedLimit | None = None
