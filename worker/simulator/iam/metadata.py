"""The metadata service of a cloud server, and the endpoint that gives a pod its identity.

Keys are replaced some time before they end, and the earlier ones stay good until then. Source: user guide of ECS and
the vendor's SDK. What a pod's endpoint answers is known from what that SDK reads, which is three shapes.
"""

from __future__ import annotations

import secrets

from worker.simulator.calls import Call
from worker.simulator.iam.answers import key_body, key_body_flat, key_body_v5
from worker.simulator.iam.pods import workload_of
from worker.simulator.identity.issued import TemporaryKey
from worker.simulator.identity.model import Agency
from worker.simulator.replies import Reply, error, json_reply
from worker.simulator.world import World

LIFE, LONGEST_TOKEN = 3_600.0, 21_600
_NO_AGENCY = "Please configure Cloud Service Agency first"
_SHAPES = {"credential": key_body, "credentials": key_body_v5, "flat": key_body_flat}


class Metadata:
    """Gives the server, and each pod, of one world the keys of its agency."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tokens: dict[str, float] = {}
        self._current: dict[tuple[str, str], TemporaryKey] = {}

    def token(self, call: Call) -> Reply:
        """Return a token for the other call, unless the service is too old to have them."""
        mode = self._world.identity.metadata
        if mode in {"404", "405", "503"}:
            return error("html", int(mode), "", "")
        text = call.request.headers.get("x-metadata-token-ttl-seconds", "")
        seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not 1 <= seconds <= LONGEST_TOKEN:
            return _text(400, f"X-Metadata-Token-Ttl-Seconds is from 1 to {LONGEST_TOKEN}")
        token = secrets.token_urlsafe(32)
        self._tokens[token] = self._world.now() + seconds
        return _text(200, token)

    def security_key(self, call: Call) -> Reply:
        """Return the keys of the agency that is set on the server."""
        mode, token = self._world.identity.metadata, call.request.headers.get("x-metadata-token")
        asked = mode == "token" or (mode == "optional" and token is not None)
        if asked and self._world.now() >= self._tokens.get(token or "", 0.0):
            return _text(401, "The metadata token is missing, wrong, or over")
        agency = self._agency()
        if agency is None:
            return _text(401, _NO_AGENCY)
        return json_reply(key_body(self._key(agency), self._world.identity))

    def pod(self, call: Call) -> Reply:
        """Return the keys of the agency of the pod whose token this is."""
        found = workload_of(self._world, call.request.headers.get("authorization", ""))
        if isinstance(found, str):
            return error("gateway", 401, "", f"The token of the pod is not accepted: {found}")
        agency = self._world.directory.agency(found.domain, found.agency)
        if agency is None:
            return error("gateway", 404, "", f"The agency {found.agency} does not exist")
        shape = _SHAPES[self._world.identity.pod_answer]
        return json_reply(shape(self._key(agency), self._world.identity))

    def _agency(self) -> Agency | None:
        directory = self._world.directory
        if directory.server is None:
            return directory.agency("default", "server") if directory.open else None
        return directory.agency(directory.server.domain, directory.server.agency)

    def _key(self, agency: Agency) -> TemporaryKey:
        """Return the keys that this agency has at the moment, new ones if these end soon or have ended."""
        rules = self._world.identity
        life = min(LIFE, rules.key_life)
        key = self._current.get((agency.domain, agency.name))
        if key is None or key.ends_at - self._world.now() <= min(rules.rotate_before, life / 6):
            key = self._world.issued.key(self._world.directory.acting(agency), life)
            self._current[agency.domain, agency.name] = key
        return key


def _text(status: int, text: str) -> Reply:
    return Reply(status, text.encode(), "text/plain")
