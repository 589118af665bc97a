"""`POST /v3/auth/tokens`: a token for a password, or for an agency that is assumed.

Source: API reference of IAM. Which status an unknown password, a second factor that is missing, or a scope out of reach
has, it says only as 401 and 403; the words are ours.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping
from typing import Any

from worker.simulator.calls import Call, dig, text_at
from worker.simulator.iam.answers import FORBIDDEN, UNAUTHORIZED, date, iam_error
from worker.simulator.iam.authentication import Authentication
from worker.simulator.identity.issued import Token
from worker.simulator.identity.model import Agency, Principal, Project
from worker.simulator.replies import Reply, json_reply
from worker.simulator.world import World

_WRONG = "The username or password is wrong."
_LOCKED = "The account is locked after too many failed attempts. Try again later."
_SECOND_FACTOR = "Multi-factor authentication is required: totp is missing or wrong."


class Tokens:
    """Hands out the tokens of one world."""

    def __init__(self, world: World, authentication: Authentication) -> None:
        self._world = world
        self._authentication = authentication

    def issue(self, call: Call) -> Reply:
        """Return a token for the scope that the call names, or why there is none."""
        identity = dig(call.body, "auth", "identity")
        methods = dig(identity, "methods")
        if methods in (["password"], ["password", "totp"]):
            principal = self._by_password(identity, second_factor="totp" in methods)
        elif methods == ["assume_role"]:
            agency = self.assumed(call, dig(identity, "assume_role"))
            principal = self._world.directory.acting(agency) if isinstance(agency, Agency) else agency
        else:
            return iam_error(400, "The value of methods is invalid.")
        if isinstance(principal, Reply):
            return principal
        scope = self._scope(principal, dig(call.body, "auth", "scope"))
        if isinstance(scope, Reply):
            return scope
        token = self._world.issued.token(principal, scope.id if scope else "", tuple(methods))
        body = self._body(token, scope, catalog="nocatalog" not in call.query)
        reply = json_reply({"token": body}, 201)
        return Reply(reply.status, reply.body, headers={"X-Subject-Token": token.text})

    def assumed(self, call: Call, asked: Mapping[str, Any]) -> Agency | Reply:
        """Return the agency that is asked for, if the caller has shown who it is and may assume it."""
        if not call.authorization and not call.auth_token:
            return iam_error(401, UNAUTHORIZED)
        name, directory = text_at(asked, "agency_name"), self._world.directory
        domain = directory.domain_name({"name": dig(asked, "domain_name"), "id": dig(asked, "domain_id")})
        if not name or not (text_at(asked, "domain_name") or text_at(asked, "domain_id")):
            return iam_error(400, "agency_name, and domain_name or domain_id, are mandatory.")
        agency = directory.agency(domain, name)
        if agency is None:
            return iam_error(404, f"Could not find agency: {name}.")
        if agency.external_id or not agency.may_be_assumed_by(self._authentication.claimed(call)):
            return iam_error(403, FORBIDDEN)
        return agency

    def named_project(self, call: Call) -> str:
        """Return the id of the project that the call's scope names, empty where it names none that is there."""
        scope = dig(call.body, "auth", "scope", "project")
        if found := text_at(scope, "id"):
            return found
        domain = self._domain_of(call, scope)
        matching = self._projects(text_at(scope, "name"), domain)
        return matching[0].id if len(matching) == 1 else ""

    def _domain_of(self, call: Call, scope: Mapping[str, Any]) -> str:
        identity = dig(call.body, "auth", "identity")
        asked = dig(identity, "assume_role")
        assumed = {"name": dig(asked, "domain_name"), "id": dig(asked, "domain_id")} if asked else {}
        references = (dig(scope, "domain"), dig(identity, "password", "user", "domain"), assumed)
        return next((name for each in references if each and (name := self._domain(each))), "")

    def _domain(self, reference: Any) -> str:
        return self._world.directory.domain_name(reference) if isinstance(reference, dict) else ""

    def _projects(self, name: str, domain: str) -> list[Project]:
        """Return the projects of this name; of the domain alone, unless everybody is taken at their word."""
        anywhere = self._world.directory.open
        return [
            project
            for project in self._world.tenancies.values()
            if project.name == name and (anywhere or project.domain == domain)
        ]

    def _by_password(self, identity: Mapping[str, Any], *, second_factor: bool) -> Principal | Reply:
        given = dig(identity, "password", "user")
        name, password = text_at(given, "name"), text_at(given, "password")
        domain = self._domain(dig(given, "domain"))
        if not name or not password:
            return iam_error(400, "The user's name, password and domain are mandatory.")
        user = self._world.directory.user(domain, name)
        if user is None:
            return iam_error(401, _WRONG)
        who = f"{domain}/{name}"
        if user.blocked or self._world.lockouts.blocked(who):
            return iam_error(401, _LOCKED)
        right = self._world.directory.open or _same(password, user.password)
        self._world.lockouts.note(who, failed=not right)
        if not right:
            return iam_error(401, _WRONG)
        if user.mfa and not (second_factor and _is_passcode(text_at(identity, "totp", "user", "passcode"))):
            return iam_error(401, _SECOND_FACTOR)
        return self._world.directory.acting(user)

    def _scope(self, principal: Principal, scope: Mapping[str, Any]) -> Project | Reply | None:
        """Return the project that the token is to be for, None for one without."""
        status = int(self._world.identity.no_access)
        if "project" in scope:
            wanted = dig(scope, "project")
            domain = self._domain(dig(wanted, "domain")) or principal.account
            found = self._world.tenancies.get(text_at(wanted, "id"))
            matching = [found] if found else self._projects(text_at(wanted, "name"), domain)
            if not matching or not principal.may_act_in(matching[0]) or not matching[0].enabled:
                return iam_error(
                    status, f"{FORBIDDEN} There is no such project, or {principal.name} has no role in it."
                )
            return matching[0]
        if "domain" in scope and self._domain(dig(scope, "domain")) not in {principal.account, principal.domain}:
            return iam_error(status, FORBIDDEN)
        return None

    def _body(self, token: Token, project: Project | None, *, catalog: bool) -> dict[str, Any]:
        rules, directory = self._world.identity, self._world.directory
        account = token.principal.account
        domain = {"id": directory.domain_id(account), "name": account}
        name = token.principal.name if token.methods != ("assume_role",) else f"{account}/{token.principal.name}"
        body: dict[str, Any] = {
            "expires_at": date(token.ends_at, rules),
            "issued_at": date(token.issued_at, rules),
            "methods": list(token.methods),
            "roles": [{"id": "0", "name": "te_admin"}],
            "user": {"domain": domain, "id": user_id(account, token.principal.name), "name": name},
        }
        if token.methods == ("assume_role",):
            body["assumed_by"] = {"user": {"domain": domain, "name": token.principal.name}}
        if project is None:
            body["domain"] = domain
        else:
            owner = {"id": directory.domain_id(project.domain), "name": project.domain}
            body["project"] = {"domain": owner, "id": project.id, "name": project.name}
        if catalog:
            body["catalog"] = []
        return body


def user_id(account: str, name: str) -> str:
    """Return the id of a user or agency, made of its names."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{account}.user.example").hex


def _same(given: str, known: str) -> bool:
    return bool(known) and hmac.compare_digest(given.encode(), known.encode())


def _is_passcode(text: str) -> bool:
    """Tell whether it could be a code of the second factor; nobody knows which one would be right."""
    return len(text) == 6 and text.isascii() and text.isdigit()
