"""The tables of a seed that say who there is. Without any of them, and without an `[[account]]`, everybody is let in.

Enough for a user with a password, and a project for it (`[projects.NAME]` may say whose it is and that it is disabled):

    [projects.eu-west-101_payments]

    [[user]]
    name = "robot"
    password = "s3cret"

The tables, each of them optional; a key with a default may be left out:

    [domains.acme]                  # an account, which is a domain for IAM; needed for an id that matters, or for
    id = ""                         # one that has no projects; made of the name when left out

    [[user]]
    name = "robot"
    domain = "default"
    password = ""                   # for tokens; needs one, or a key, or both
    access_key = ""
    secret_key = ""
    security_token = ""             # makes it a temporary key
    life = inf                      # seconds until the key ends, from the start on
    mfa = false                     # the password alone is not enough
    blocked = false                 # has failed too often already
    projects = []                   # of its domain, where it has rights: names, ids or patterns; none: all
    deny = []                       # actions or patterns: iam:projects:listProjects, sts:agencies:assume,
                                    # ims:images:list, ims:images:share, ims:imageJobs:getPercentage, cbr:vaults:list,
                                    # cbr:vaults:get
    enterprise_projects = []        # ids; rights by enterprise project: lists must name one, or all_granted_eps
    administrator = false           # sees every image in every list

    [[agency]]                      # has projects, deny, enterprise_projects and administrator like a user
    name = "ims-share"
    domain = "default"              # the delegating account
    trusts = []                     # domains whose users may assume it; none: any
    external_id = ""                # by the STS only: what its caller must say besides

    [server]                        # the cloud server of the metadata service
    agency = "ims-share"
    domain = "default"              # of the agency

    [[workload]]                    # a pod, which shows a token of its cluster to the STS or to its own endpoint
    agency = "ims-share"
    domain = "default"              # of the agency
    tokens = []                     # any of these is good, until the end that it names if it is a JWT; none: any JWT
    provider = ""                   # the name that provider_urn ends in; empty: any

    [identity]                      # lives, lockouts, and how this cloud differs: see worker.simulator.identity.rules
    token_life = 86400.0

All services are at the simulator's one address: IMS, IAM, STS, the backup service, the metadata service, and a pod's
endpoint, whose path is /v1/pod-identity/credentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from worker.simulator.document import Document
from worker.simulator.identity.model import DEFAULT_DOMAIN, Agency, Rights, Server, User, Workload
from worker.simulator.world import World

TABLES = ("domains", "user", "agency", "workload", "server", "identity")
Holder = TypeVar("Holder", User, Agency)
_RIGHTS = tuple(field.name for field in fields(Rights))


@dataclass(frozen=True, slots=True)
class _Domain:
    id: str = ""


def read_identity(document: Document, world: World) -> None:
    """Put into the world who there is; its projects must be in it already. Problems are noted in the document."""
    for name, table in document.named("domains").items():
        if (domain := document.strict(_Domain, table, f"domains.{name}")) is not None:
            world.directory.name_domain(name, domain.id)
    users = _holders(document, world, "user", User)
    agencies = _holders(document, world, "agency", Agency)
    _see_that_keys_differ(document, world, users)
    _see_that_domains_are_known(document, world, users, agencies)
    workloads = {place: document.strict(Workload, table, place) for place, table in document.tables("workload")}
    server = document.table("server")
    servers = {"server": document.strict(Server, server, "server")} if server else {}
    known = {(agency.domain, agency.name) for agency in agencies.values()}
    for place, having in (workloads | servers).items():
        if having is not None and (having.domain, having.agency) not in known:
            named = ", ".join(sorted(f"{name} of {domain}" for domain, name in known)) or "none"
            document.problem(f"{place}.agency", f"{having.agency!r} of {having.domain} is not known, known are {named}")
    things = (*users.values(), *agencies.values(), *workloads.values(), *servers.values())
    world.add(*(thing for thing in things if thing is not None))


def _holders(document: Document, world: World, key: str, kind: type[Holder]) -> dict[str, Holder]:
    """Return by place those who have rights, each name of a domain once."""
    found: dict[str, Holder] = {}
    allowed: tuple[str, ...] = tuple(field.name for field in fields(kind) if field.name != "rights")
    for place, table in document.tables(key):
        document.only(table, place, (*allowed, *_RIGHTS))
        rights = _rights(document, world, place, table)
        holder = document.build(kind, table, place, rights=rights)
        if holder is None:
            continue
        for other, earlier in found.items():
            if (earlier.domain, earlier.name) == (holder.domain, holder.name):
                document.problem(f"{place}.name", f"{holder.name!r} is {other} already")
        found[place] = holder
    return found


def _see_that_keys_differ(document: Document, world: World, users: Mapping[str, User]) -> None:
    """Note an access key that two users have, or a user and an account."""
    taken = set(world.accounts)
    for place, user in users.items():
        if user.access_key and user.access_key in taken:
            document.problem(f"{place}.access_key", f"{user.access_key!r} is in use already")
        taken.add(user.access_key)


def _rights(document: Document, world: World, place: str, table: Mapping[str, Any]) -> Rights:
    rights = document.build(Rights, table, place) or Rights()
    domain = table.get("domain", DEFAULT_DOMAIN)
    own = {key: name for key, name in world.projects.items() if world.tenancies[key].domain == domain}
    return replace(rights, projects=tuple(document.chosen(f"{place}.projects", rights.projects, own)))


def _see_that_domains_are_known(
    document: Document, world: World, users: Mapping[str, User], agencies: Mapping[str, Agency]
) -> None:
    """Note a delegating account without projects, and a trust in an account that nothing else names: a slip each."""
    owners = {project.domain for project in world.tenancies.values()}
    known = {DEFAULT_DOMAIN, *owners, *document.named("domains"), *(user.domain for user in users.values())}
    for place, agency in agencies.items():
        if agency.domain not in known & {*owners, *document.named("domains")}:
            named = ", ".join(sorted(owners)) or "none"
            document.problem(f"{place}.domain", f"no project is of {agency.domain!r}, there are some of {named}")
        for stranger in sorted({*agency.trusts} - known):
            document.problem(f"{place}.trusts", f"{stranger!r} is not known, known are {', '.join(sorted(known))}")
