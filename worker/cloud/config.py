"""What the client of the cloud needs to know, in plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from worker.cloud.auth.flow import Kind
from worker.cloud.regions import Endpoints
from worker.cloud.request import Connections
from worker.core.calls import CallGroup, CallRecord
from worker.core.fleet.shards import Split
from worker.core.job import JobApi
from worker.core.limits import Rate
from worker.core.timing import RetryPolicy


@dataclass(frozen=True, slots=True)
class AccountCredential:
    """A credential, and the name of the account whose limits its calls count against.

    `enterprise_project` goes with each list; an id, "0" or "all_granted_eps", or empty for none. `domain_id` is the id
    of the account at the cloud, which calls it a domain, or empty where it is not known.
    """

    account: str
    kind: Kind
    enterprise_project: str = ""
    domain_id: str = ""


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """All that the client needs to know.

    `endpoints` tell where each service is. `limits` and `burst` hold per account; of those, and of what a throttle
    teaches, this process may use the part that `splits` gives it, by account, or all. `clock` is the wall clock in
    seconds since the epoch. `observer` gets a record of each attempt at a call. `learn` tells whether throttle answers
    teach what the limits are.
    """

    credentials: Mapping[str, AccountCredential]
    limits: Mapping[CallGroup, Rate]
    burst: Rate
    learn: bool
    retry: RetryPolicy
    endpoints: Endpoints
    page_size: int
    job_api: JobApi
    connections: Connections
    clock: Callable[[], float]
    observer: Callable[[CallRecord], None]
    splits: Mapping[str, Split] = field(default_factory=dict)

    def split(self, account: str) -> Split:
        """Return how the limits of an account are shared with other processes."""
        return self.splits.get(account, Split())
