"""The STS: temporary keys for an agency, by a signed call or by a pod's token.

Source: API reference of IAM, fifth version. It gives the code for an agency that is not there, the one for a lack of
rights, and the bounds of a duration; the code of a wrong parameter is ours.
"""

from __future__ import annotations

import re
from typing import Any

from worker.simulator.calls import Call, dig, text_at
from worker.simulator.iam.answers import key_body_v5, sts_error
from worker.simulator.iam.authentication import Authentication
from worker.simulator.iam.pods import workload_of
from worker.simulator.iam.tokens import user_id
from worker.simulator.identity.model import Agency
from worker.simulator.replies import Reply, json_reply
from worker.simulator.world import World

SHORTEST, LONGEST, LONGEST_OF_A_CHAIN, USUAL = 900, 43_200, 3_600, 3_600
_URN = re.compile(r"iam::(?P<domain>[^:]+):agency:(?P<name>[^:]+)")
_SESSION = re.compile(r"[\w+=,.@-]{2,64}")
_WRONG, _MISSING, _DENIED = "STS5.1001", "STS5.1106", "PAP5.0001"


class Sts:
    """Lets callers assume the agencies of one world."""

    def __init__(self, world: World, authentication: Authentication) -> None:
        self._world = world
        self._authentication = authentication

    def assume(self, call: Call) -> Reply:
        """Return keys of the agency that the call names, if its caller may assume it."""
        agency = self._agency(call, self._longest(call))
        if isinstance(agency, Reply):
            return agency
        denied = sts_error(403, _DENIED, f"access denied: sts:agencies:assume on {text_at(call.body, 'agency_urn')}")
        if not agency.may_be_assumed_by(self._authentication.claimed(call)):
            return denied
        if agency.external_id and text_at(call.body, "external_id") != agency.external_id:
            return denied
        return self._keys(call, agency)

    def assume_with_oidc(self, call: Call) -> Reply:
        """Return keys of the agency that the call names, if its token is one of a pod that has this agency."""
        if not text_at(call.body, "provider_urn") or not text_at(call.body, "id_token"):
            return sts_error(400, _WRONG, "provider_urn and id_token are mandatory")
        agency = self._agency(call, LONGEST)
        if isinstance(agency, Reply):
            return agency
        found = workload_of(self._world, text_at(call.body, "id_token"), agency)
        if isinstance(found, str):
            return sts_error(401, _DENIED, f"the id_token is not accepted: {found}")
        provider = re.split("[:/]", text_at(call.body, "provider_urn"))[-1]
        if found.provider not in {"", provider}:
            return sts_error(403, _DENIED, "access denied: sts:agencies:assumeWithOIDC")
        return self._keys(call, agency)

    def caller_identity(self, call: Call) -> Reply:
        """Return who calls."""
        caller = self._authentication.claimed(call)
        account = self._world.directory.domain_id(caller.account)
        urn = f"iam::{account}:user:{caller.name}"
        return json_reply(
            {"account_id": account, "principal_urn": urn, "principal_id": user_id(caller.account, caller.name)}
        )

    def _longest(self, call: Call) -> int:
        """Return the longest duration: keys that were themselves assumed give only short-lived ones."""
        return LONGEST_OF_A_CHAIN if "x-security-token" in call.request.headers else LONGEST

    def _agency(self, call: Call, longest: int) -> Agency | Reply:
        urn, session = text_at(call.body, "agency_urn"), text_at(call.body, "agency_session_name")
        seconds = call.body.get("duration_seconds", USUAL)
        named = _URN.fullmatch(urn)
        if named is None:
            return sts_error(400, _WRONG, "agency_urn is not valid")
        if not _SESSION.fullmatch(session):
            return sts_error(400, _WRONG, "agency_session_name is not valid")
        if type(seconds) is not int or not SHORTEST <= seconds <= longest:
            return sts_error(400, _WRONG, f"duration_seconds is from {SHORTEST} to {longest}")
        if dig(call.body, "policy") and not text_at(call.body, "policy"):
            return sts_error(400, _WRONG, "policy is not valid")
        domain = self._world.directory.domain_name({"id": named["domain"]})
        agency = self._world.directory.agency(domain, named["name"]) if domain else None
        return agency or sts_error(404, _MISSING, f"the agency '{urn}' cannot be found")

    def _keys(self, call: Call, agency: Agency) -> Reply:
        acting, session = self._world.directory.acting(agency), text_at(call.body, "agency_session_name")
        key = self._world.issued.key(acting, call.body.get("duration_seconds", USUAL))
        account = self._world.directory.domain_id(agency.domain)
        body: dict[str, Any] = {
            "source_identity": "",
            "assumed_agency": {
                "urn": f"sts::{account}:assumed-agency:{agency.name}/{session}",
                "id": f"{user_id(agency.domain, agency.name)}:{session}",
            },
            **key_body_v5(key, self._world.identity),
        }
        return json_reply(body)
