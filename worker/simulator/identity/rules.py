"""How identity differs from cloud to cloud, and how long what it hands out lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityRules:
    """The choices of one simulated IAM, STS and metadata service; every default is the documented or likeliest one.

    Lives, in seconds: `token_life` of each token; `key_life` is the longest a temporary key lives, whatever was asked
    for; a server's and a pod's keys are replaced `rotate_before` their end, or a sixth of their life if that is less.

    `token_length` is in characters: the samples of the API reference begin as a signed message of 9120 does, which is
    more than some HTTP libraries take in a header by default.

    Lockouts: after `block_after` failures in a row (0: never) a key or a password is blocked for `block_for` seconds.

    `fractions` is what follows the seconds in a date. `expired_token` is the gateway's code for a token that is over,
    `no_access` IAM's status for a scope in which the caller has no rights. `sts` may be absent. `metadata` has its own
    token, needs none (`optional`), or is an old one, which answers the request for a token with that status.
    `pod_answer` is how a pod's keys are wrapped and named. `auth_projects` is the list of one's own projects, which may
    be forbidden or absent; with `domain_header` a signed request for projects must name its account. `region` is the
    region that this cloud is, if any: tokens of another's projects are refused.
    """

    token_life: float = 86_400.0
    key_life: float = 86_400.0
    rotate_before: float = 600.0
    token_length: int = 9120
    block_after: int = 5
    block_for: float = 300.0
    fractions: Literal["microseconds", "milliseconds", "absent"] = "microseconds"
    expired_token: Literal["APIGW.0301", "APIGW.0307"] = "APIGW.0301"  # noqa: S105 - a code
    no_access: Literal["403", "401"] = "403"
    sts: Literal["present", "absent"] = "present"
    metadata: Literal["token", "optional", "404", "405", "503"] = "token"
    pod_answer: Literal["credential", "credentials", "flat"] = "credential"
    auth_projects: Literal["present", "forbidden", "absent"] = "present"
    domain_header: Literal["optional", "required"] = "optional"
    region: str = ""

    def __post_init__(self) -> None:
        if min(self.token_life, self.key_life) <= 0 or min(self.rotate_before, self.block_for) < 0:
            raise ValueError("token_life and key_life are more than 0; rotate_before and block_for are not negative")
        if not 100 <= self.token_length <= 100_000:
            raise ValueError("token_length is from 100 to 100000")
        if self.block_after < 0:
            raise ValueError("block_after cannot be negative")
