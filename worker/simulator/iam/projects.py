"""`GET /v3/auth/projects` and `GET /v3/projects`: the projects one may act in, and those of an account.

Each account has one more of the name `MOS`, which belongs to the object storage. Source: API reference of IAM.
"""

from __future__ import annotations

from typing import Any

from worker.simulator.calls import Call
from worker.simulator.iam.answers import FORBIDDEN, UNAUTHORIZED, iam_error
from worker.simulator.iam.authentication import Authentication
from worker.simulator.identity.model import DEFAULT_DOMAIN, Principal, Project
from worker.simulator.naming import project_id
from worker.simulator.replies import Reply, json_reply, no_route
from worker.simulator.world import World

LIST_PROJECTS = "iam:projects:listProjects"
_MOST = 5000
_HOST = "https://iam.example"


class Projects:
    """Lists the projects of one world."""

    def __init__(self, world: World, authentication: Authentication) -> None:
        self._world = world
        self._authentication = authentication

    def own(self, call: Call) -> Reply:
        """Return the projects that the caller may act in; that needs no right."""
        presence = self._world.identity.auth_projects
        if presence == "absent":
            return no_route()
        caller = self._authentication.claimed(call)
        if presence == "forbidden":
            return iam_error(403, FORBIDDEN)
        if (refusal := self._wrong_domain(call, caller)) is not None:
            return refusal
        return self._listed(
            call, [each for each in self._of_domain(caller) if _is_mos(each) or caller.may_act_in(each)]
        )

    def all(self, call: Call) -> Reply:
        """Return the projects of the caller's account that the query asks for, a page of them if it says so."""
        caller = self._authentication.claimed(call)
        if (refusal := self._wrong_domain(call, caller)) is not None:
            return refusal
        asked = call.query.get("domain_id")
        if not caller.rights.allows(LIST_PROJECTS) or asked not in {None, *self._domain_ids(caller)}:
            return iam_error(403, f"Policy doesn't allow {LIST_PROJECTS} to be performed.")
        if call.query.get("enabled", "true") not in {"true", "false"}:
            return iam_error(400, "Invalid input for field 'enabled'.")
        page = _page(call)
        if page is None:
            return iam_error(400, f"page is at least 1, together with per_page, which is from 1 to {_MOST}.")
        matching = [project for project in self._of_domain(caller) if self._matches(call, project)]
        return self._listed(call, matching[page])

    def domains(self, call: Call) -> Reply:
        """Return the account of the caller."""
        name = self._authentication.claimed(call).account
        body = {"id": self._world.directory.domain_id(name), "name": name, "enabled": True, "description": ""}
        return json_reply({"links": _links(call), "domains": [body]})

    def _wrong_domain(self, call: Call, caller: Principal) -> Reply | None:
        given = call.request.headers.get("x-domain-id")
        if given is not None and given not in self._domain_ids(caller):
            return iam_error(403, FORBIDDEN)
        named = given or call.project_id
        if call.authorization and not named and self._world.identity.domain_header == "required":
            return iam_error(401, UNAUTHORIZED)
        project = self._world.tenancies.get(call.project_id)
        if given is None and call.project_id and not (project and caller.may_act_in(project)):
            return iam_error(403, FORBIDDEN)
        return None

    def _domain_ids(self, caller: Principal) -> set[str]:
        """Return the ids of the account; for a key that belongs to none, those of every account."""
        names = [caller.domain] if caller.domain else [project.domain for project in self._world.tenancies.values()]
        return {self._world.directory.domain_id(name) for name in (*names, caller.account)}

    def _of_domain(self, caller: Principal) -> list[Project]:
        domain = caller.domain or DEFAULT_DOMAIN
        mos = Project(project_id(f"MOS.{domain}"), "MOS", domain)
        return [*(project for project in self._world.tenancies.values() if caller.owns(project)), mos]

    def _matches(self, call: Call, project: Project) -> bool:
        query = call.query
        return (
            query.get("name", project.name) == project.name
            and query.get("parent_id", self._parent(project)) == self._parent(project)
            and query.get("enabled", str(project.enabled).lower()) == str(project.enabled).lower()
            and query.get("domain_id", self._world.directory.domain_id(project.domain))
            == self._world.directory.domain_id(project.domain)
        )

    def _parent(self, project: Project) -> str:
        """Return the id of the region's own project for one below it, of the account for all others."""
        region, _, rest = project.name.partition("_")
        if not rest:
            return self._world.directory.domain_id(project.domain)
        siblings = self._world.tenancies.values()
        own = (each.id for each in siblings if (each.name, each.domain) == (region, project.domain))
        return next(own, project_id(f"{region}.{project.domain}"))

    def _listed(self, call: Call, projects: list[Project]) -> Reply:
        return json_reply({"links": _links(call), "projects": [self._body(project) for project in projects]})

    def _body(self, project: Project) -> dict[str, Any]:
        return {
            "id": project.id,
            "name": project.name,
            "domain_id": self._world.directory.domain_id(project.domain),
            "parent_id": self._parent(project),
            "enabled": project.enabled,
            "is_domain": False,
            "description": "",
            "links": {"self": f"{_HOST}/v3/projects/{project.id}"},
        }


def _is_mos(project: Project) -> bool:
    return project.name == "MOS"


def _links(call: Call) -> dict[str, str | None]:
    return {"self": f"{_HOST}{call.path}", "previous": None, "next": None}


def _page(call: Call) -> slice | None:
    """Return which part of the list is asked for, None if it is asked for wrongly."""
    if "page" not in call.query and "per_page" not in call.query:
        return slice(None)
    page, size = (_number(call.query.get(key, "")) for key in ("page", "per_page"))
    return slice((page - 1) * size, page * size) if page and 0 < size <= _MOST else None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
