"""Which part of identity answers which path."""

from __future__ import annotations

from worker.simulator.calls import POD_IDENTITY, Call
from worker.simulator.iam.authentication import Authentication
from worker.simulator.iam.metadata import Metadata
from worker.simulator.iam.projects import Projects
from worker.simulator.iam.sts import Sts
from worker.simulator.iam.temporary_keys import TemporaryKeys
from worker.simulator.iam.tokens import Tokens
from worker.simulator.options import Group
from worker.simulator.replies import Reply, no_route
from worker.simulator.world import World


class IdentityService:
    """The IAM, the STS and the metadata service of one world."""

    def __init__(self, world: World, authentication: Authentication) -> None:
        self._world = world
        self._authentication = authentication
        self._tokens = Tokens(world, authentication)
        keys, projects = TemporaryKeys(world, authentication, self._tokens), Projects(world, authentication)
        sts, metadata = Sts(world, authentication), Metadata(world)
        self._calls = {
            "/v3/auth/tokens": self._tokens.issue,
            "/v3.0/OS-CREDENTIAL/securitytokens": keys.issue,
            "/v3/auth/projects": projects.own,
            "/v3/projects": projects.all,
            "/v3/auth/domains": projects.domains,
            "/v5/agencies/assume": sts.assume,
            "/v5/agencies/assume-with-oidc": sts.assume_with_oidc,
            "/v5/caller-identity": sts.caller_identity,
            "/meta-data/latest/api/token": metadata.token,
            "/openstack/latest/securitykey": metadata.security_key,
            POD_IDENTITY: metadata.pod,
        }

    def project(self, call: Call) -> str:
        """Return the id of the project that a call asks a token for, empty where it asks for none."""
        return self._tokens.named_project(call)

    def denial(self, call: Call, now: float) -> Reply | None:
        """Return why a call that must be authenticated, or was tried to be, is not believed."""
        if call.group is Group.STS and self._world.identity.sts == "absent":
            return no_route()
        if call.group is Group.METADATA or call.path == "/v5/agencies/assume-with-oidc":
            return None
        if call.group is Group.TOKEN and not call.request.headers.keys() & {"authorization", "x-auth-token"}:
            return None
        signed_only = call.group is Group.STS
        return self._authentication.refusal(call, now, signed_only=signed_only)

    def reply(self, call: Call) -> Reply:
        """Do what the call asks and return the answer."""
        return self._calls[call.path](call)
