"""List the projects that a credential may act in: the identity service, as far as projects are found and not listed.

A caller may always ask for its own projects; a cloud that has no such list, or refuses it, is asked for those of the
account, which takes a right. Neither names a project, so a signed call may have to name its account instead: where
that is refused for want of one, the cloud is asked which it is. Source: API reference of IAM, "Querying the Projects
Accessible to an IAM User", "Querying Project Information" and "Querying the Accounts Accessible to an IAM User".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from worker.cloud.auth.asking import place
from worker.cloud.client import Client
from worker.cloud.config import CloudConfig
from worker.cloud.permissions import LIST_PROJECTS
from worker.cloud.regions import Service
from worker.cloud.request import Call
from worker.cloud.wire import decoded
from worker.core.calls import CallGroup
from worker.core.manifest.ids import PROJECT
from worker.core.manifest.listed import Listed
from worker.errors import (
    AuthFailed,
    CloudError,
    CredentialRefused,
    TerminalCloudError,
    UnexpectedReply,
)

MOST_PROJECTS: Final = 10_000
"""Projects after which a list is given up."""

_OWN: Final = "/v3/auth/projects"
_OF_ACCOUNT: Final = "/v3/projects"
_ACCOUNTS: Final = "/v3/auth/domains"
_PAGE: Final = 1000
_MAX_PAGES: Final = 200
_MAX_BYTES: Final = 16 * 1024 * 1024
_MAX_VALUES: Final = 1_000_000
_LONGEST_NAME: Final = 255


class _Project(msgspec.Struct, gc=False):
    id: Any = None
    name: Any = None
    enabled: Any = True


class _Projects(msgspec.Struct):
    projects: list[_Project]
    links: Any = None


class _Account(msgspec.Struct):
    id: Any = None


class _Accounts(msgspec.Struct):
    domains: list[_Account]


_PROJECTS: Final = msgspec.json.Decoder(_Projects)
_DOMAINS: Final = msgspec.json.Decoder(_Accounts)


class _Page(NamedTuple):
    """The ids of a page, its projects that can be used, and the query of the next page as the answer has it."""

    ids: frozenset[str]
    projects: tuple[Listed, ...]
    following: tuple[tuple[str, str | int], ...]


async def list_projects(client: Client, config: CloudConfig, credential: str, region: str) -> tuple[Listed, ...]:
    """Return the enabled projects that a credential may act in, whatever their region; raise CloudError.

    `region` is that whose identity service is asked; empty for the config's. Failed calls are repeated.
    """
    domain_id = config.credentials[credential].domain_id
    call = Call(
        CallGroup.PROJECTS_LIST,
        "GET",
        place(config.endpoints, Service.IAM, region),
        _OWN,
        "",
        max_bytes=_MAX_BYTES,
        max_values=_MAX_VALUES,
        region=region,
        domain_id=domain_id,
    )
    client.account.connections.know(call.origin)
    try:
        return await _own(client, call)
    except CloudError as error:
        refused = error
    if isinstance(refused.__cause__, AuthFailed) and not domain_id:
        call = replace(call, domain_id=await client.fetch(replace(call, path=_ACCOUNTS), _read_account))
        try:
            return await _own(client, call)
        except CloudError as error:
            refused = error
    if not _is_refusal(refused):
        raise refused
    try:
        return await _of_account(client, replace(call, path=_OF_ACCOUNT))
    except TerminalCloudError as error:
        if _is_refusal(error):
            own = f"GET {_OWN}, which takes no right, was refused too: {refused}"
            error.message += f" (GET {_OF_ACCOUNT} takes {LIST_PROJECTS}; {own})"
        raise


def _is_refusal(error: CloudError) -> bool:
    """Tell whether a list is not to be had that way, so that another way may lead to it."""
    if isinstance(error, CredentialRefused | UnexpectedReply):
        return False
    return isinstance(error, TerminalCloudError) or error.status == 501


async def _own(client: Client, call: Call) -> tuple[Listed, ...]:
    """Return the caller's own projects; they come in one piece, unless the answer says that there are more.

    Where no account is named, a 401 may only mean that one should be.
    """
    call = replace(call, is_tentative=not call.domain_id)
    return await _pages(client, call)


async def _of_account(client: Client, call: Call) -> tuple[Listed, ...]:
    return await _pages(client, call, _PAGE)


async def _pages(client: Client, call: Call, size: int = 0) -> tuple[Listed, ...]:
    """Return all pages of a list: by number, with so many on each, or else as each answer says how it goes on.

    A server may put fewer on a page than it was asked for, so pages by number end with an empty one; or with one that
    brings nothing new, where all may have been on the first, because the server knows no pages.
    """
    found: dict[str, Listed] = {}
    seen: set[str] = set()
    query: tuple[tuple[str, str | int], ...] = ()
    for number in range(1, _MAX_PAGES + 1):
        if size:
            query = (("enabled", "true"), ("page", number), ("per_page", size))
        page = await client.fetch(replace(call, query=query), _read_projects)
        fresh = page.ids - seen
        seen |= fresh
        found |= {each.id: each for each in page.projects}
        query = page.following
        is_last = not page.ids if size else not query
        if is_last or (size and not fresh and len(seen) < size):
            return tuple(found.values())
        if not fresh or len(seen) > MOST_PROJECTS:
            break
    raise UnexpectedReply("the list of projects does not end", lasting=True)


def _read_projects(body: bytes, secrets: Sequence[str]) -> _Page:
    said = decoded(_PROJECTS, body, "list of projects", secrets)
    ids, usable = set(), []
    for each in said.projects:
        ident = PROJECT.id_in(each.id) if isinstance(each.id, str) else None
        if ident is None:
            continue
        ids.add(ident)
        is_named = isinstance(each.name, str) and 0 < len(each.name) <= _LONGEST_NAME
        if is_named and each.enabled in (True, "true", "True", None):
            usable.append(Listed(ident, each.name))
    links = said.links if isinstance(said.links, dict) else {}
    return _Page(frozenset(ids), tuple(usable), _query_of(links.get("next")))


def _query_of(link: object) -> tuple[tuple[str, str | int], ...]:
    """Return the query of a link. Nothing else of it is obeyed: it may lead anywhere."""
    if not isinstance(link, str):
        return ()
    try:
        return tuple(parse_qsl(urlsplit(link).query, max_num_fields=10))
    except ValueError:
        return ()


def _read_account(body: bytes, secrets: Sequence[str]) -> str:
    """Return the id of the caller's account; what would break out of a header is none."""
    found = [each.id for each in decoded(_DOMAINS, body, "list of accounts", secrets).domains]
    if len(found) == 1 and isinstance(found[0], str) and (ident := PROJECT.id_in(found[0])):
        return ident
    raise UnexpectedReply("the list of accounts does not say which one the caller is of", lasting=True)
