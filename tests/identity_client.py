"""Calls of IAM, STS, the metadata service and IMS to a simulated cloud without sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from worker.simulator.api import Api
from worker.simulator.calls import Call, read_call
from worker.simulator.options import Options
from worker.simulator.seed import parse_seed
from worker.simulator.signature import Request, signature

START = 1_768_465_800.0
TOKENS, KEYS = "/v3/auth/tokens?nocatalog", "/v3.0/OS-CREDENTIAL/securitytokens"
RIGHT = "right"
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error, whatever its shape."""
        found = self.json.get("error_code", self.json.get("error", {}).get("code"))
        return str(found)


@dataclass(frozen=True)
class Key:
    """What signs a call."""

    access_key: str
    secret_key: str
    security_token: str = ""


@dataclass
class Cloud:
    """One simulated cloud of a seed, whose clock stands until it is moved; `skew` is how far the caller's is off."""

    seed: str
    options: Options = field(default_factory=Options)
    at: float = START
    skew: float = 0.0
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        self.world = parse_seed({"seed.toml": self.seed}, lambda: self.at).world
        self.api = Api(self.world, self.options)

    def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        by: Key | str | None = None,
        headers: Mapping[str, str] = NOTHING,
    ) -> Answer:
        """Send a call that is signed by a key, shows a token, or neither; return the answer."""
        located = self.api.located(self.read(method, target, body, by=by, headers=headers))
        reply = self.api.denial(located, self.at) or self.api.reply(located)
        return Answer(reply.status, reply.body, reply.headers)

    def read(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        by: Key | str | None = None,
        headers: Mapping[str, str] = NOTHING,
    ) -> Call:
        """Return a call as the simulator reads it."""
        payload = b"" if body is None else json.dumps(body).encode()
        sent = {"host": "cloud"} | {name.lower(): value for name, value in headers.items()}
        if isinstance(by, str):
            sent["x-auth-token"] = by
        elif by is not None:
            sent |= self._signed(method, target, payload, sent, by)
        read = read_call(Request(method, target, sent, payload))
        assert read is not None, f"{method} {target} is no route"
        return read

    def _signed(self, method: str, target: str, body: bytes, sent: Mapping[str, str], key: Key) -> dict[str, str]:
        date = datetime.fromtimestamp(self.at + self.skew, UTC).strftime("%Y%m%dT%H%M%SZ")
        token = {"x-security-token": key.security_token} if key.security_token else {}
        headers = {**sent, "x-sdk-date": date, **token}
        names = tuple(sorted(headers))
        made = signature(Request(method, target, headers, body), names, key.secret_key)
        shown = f"SDK-HMAC-SHA256 Access={key.access_key}, SignedHeaders={';'.join(names)}, Signature={made}"
        return {**headers, "authorization": shown}

    def images(self, by: Key | str, project: str = "", status: str = "pending", **query: str) -> Answer:
        """List the images of a project that are offered and have this status."""
        asked = {"__imagetype": "shared", "visibility": "shared", "member_status": status, **query}
        target = "/v2/cloudimages?" + "&".join(f"{name}={value}" for name, value in asked.items())
        return self.call("GET", target, by=by, headers={"X-Project-Id": project} if project else {})

    def token(self, user: str = "robot", *, password: str = RIGHT, of: str = "default", **scope: Any) -> Answer:
        """Ask for a token by password of a user of a domain; `scope` is what the body's scope holds, if anything."""
        return self.call("POST", TOKENS, by_password(user, password, {"name": of}, **scope))


def by_password(user: str, password: str, of: Mapping[str, str], **scope: Any) -> dict[str, Any]:
    """Return the body that asks for a token by password."""
    identity = {
        "methods": ["password"],
        "password": {"user": {"name": user, "password": password, "domain": dict(of)}},
    }
    return {"auth": {"identity": identity, **({"scope": scope} if scope else {})}}


def by_agency(agency: str, scope: Mapping[str, Any] | None = None, **asked: Any) -> dict[str, Any]:
    """Return the body that asks for a token, or for temporary keys, of an agency."""
    identity = {"methods": ["assume_role"], "assume_role": {"agency_name": agency, **asked}}
    return {"auth": {"identity": identity, **({"scope": scope} if scope else {})}}


def key_of(answer: Answer) -> Key:
    """Return the temporary key of an answer of IAM, the STS, the metadata service, or a pod's endpoint."""
    body = answer.json
    found = body.get("credential", body.get("credentials", body))
    names = (("access", "access_key_id", "accessKeyId"), ("secret", "secret_access_key", "secretAccessKey"))
    access, secret = (next(found[name] for name in each if name in found) for each in names)
    token = next(found[name] for name in ("securitytoken", "security_token", "securityToken") if name in found)
    return Key(access, secret, token)
