"""Who there is in the cloud, and what each may do: users, agencies, workloads, and the projects of an account.

IAM calls an account a domain; so do the documents, whose `[[account]]` is an access key without a user.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import inf

DEFAULT_DOMAIN = "default"
_REGION = re.compile(r"[a-z]{2}-[a-z]+[0-9]*(-[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Project:
    """A project as IAM knows it: an account's own for a region, which bears its name, or one below that."""

    id: str
    name: str
    domain: str = DEFAULT_DOMAIN
    enabled: bool = True

    @property
    def region(self) -> str:
        """The region that the name begins with, empty where it begins with none."""
        first = self.name.partition("_")[0]
        return first if _REGION.fullmatch(first) else ""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a user, an agency or a key may do.

    `projects` are ids, none: all of its domain. `deny` are actions or patterns of them, such as `cbr:vaults:*`. Where
    rights are granted by `enterprise_projects`, a list must name one of them or all. An `administrator` sees every
    image in every list.
    """

    projects: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    enterprise_projects: tuple[str, ...] = ()
    administrator: bool = False

    def allows(self, action: str) -> bool:
        """Tell whether no pattern denies the action."""
        return not any(fnmatchcase(action, pattern) for pattern in self.deny)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts, with which rights: a user, an agency somebody assumed, or a bare key.

    Those of one `account` share its limits. Without a `domain` the projects of every domain are its own.
    """

    name: str
    account: str
    domain: str = ""
    rights: Rights = Rights()

    def owns(self, project: Project) -> bool:
        """Tell whether the project is one of its domain."""
        return self.domain in {"", project.domain}

    def may_act_in(self, project: Project) -> bool:
        """Tell whether it has rights in the project."""
        return project.id in self.rights.projects if self.rights.projects else self.owns(project)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user of a domain, with a password, an access key, or both.

    `life` ends the key so many seconds after the start; with a `security_token` it is a temporary one. One with `mfa`
    needs a second factor beside the password. One who is `blocked` has failed too often already.
    """

    name: str
    domain: str = DEFAULT_DOMAIN
    password: str = field(default="", repr=False)
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    security_token: str = field(default="", repr=False)
    life: float = inf
    mfa: bool = False
    blocked: bool = False
    rights: Rights = Rights()

    def __post_init__(self) -> None:
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError("access_key and secret_key go together")
        if not self.access_key and not self.password:
            raise ValueError("a user has a password, or access_key and secret_key, or all of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agency:
    """An agency of a domain: what those may do who assume it, users of the domains that it `trusts` (none: of any)."""

    name: str
    domain: str = DEFAULT_DOMAIN
    trusts: tuple[str, ...] = ()
    external_id: str = ""
    rights: Rights = Rights()

    def may_be_assumed_by(self, caller: Principal) -> bool:
        """Tell whether the agency trusts the caller's account, and the caller has the right to assume any."""
        trusted = not self.trusts or caller.account in self.trusts
        return trusted and caller.rights.allows("sts:agencies:assume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A pod that shows a token of its cluster and gets the keys of an agency.

    Any of its `tokens` is good, so that they can rotate; without any, each well-formed one is. A `provider` is the name
    that the caller must give in `provider_urn`; empty: any.
    """

    agency: str
    domain: str = DEFAULT_DOMAIN
    tokens: tuple[str, ...] = field(default=(), repr=False)
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The cloud server that the metadata service belongs to, and the agency that is set on it."""

    agency: str
    domain: str = DEFAULT_DOMAIN
