"""What to do about each cause, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from worker.errors import Cause

_RENEWS_ITSELF: Final = frozenset({"password", "agency", "metadata", "pod-identity", "oidc"})
_ADVICE: Final[Mapping[Cause, str]] = {
    Cause.BLOCKED_KEY: "Find who presents it with a wrong secret, mend that, and try again five minutes later.",
    Cause.WRONG_KEY: "Compare access and secret key with the console's list of access keys, and make new ones if in "
    "doubt; temporary ones need their security token.",
    Cause.EXPIRED: "Replace the temporary keys and their security token, or take a kind of credential that renews "
    "itself: agency, metadata, pod-identity or oidc.",
    Cause.WRONG_PASSWORD: "Correct user, domain (the account's name) or password; it must be an IAM user's, not the "
    "account's own.",
    Cause.SECOND_FACTOR: "Take a user for programs, who needs no second factor.",
    Cause.WRONG_TOKEN: "See that region and iam_endpoint in [cloud] are those of the project, and that the user was "
    "not changed meanwhile.",
    Cause.WRONG_REGION: "Give the project its region in the manifest, or correct region and iam_endpoint in [cloud].",
    Cause.CLOCK: "Set the clock of this machine by NTP, and look at its time zone.",
    Cause.NO_AGENCY: "Set an agency on this server in the console, or take another kind of credential.",
    Cause.AGENCY: "In the account that delegates, let the agency trust the caller's account, give the caller "
    "sts:agencies:assume, and compare agency, domain and external_id with the config.",
    Cause.TOKEN_FILE: "Mount the token where the config or the variable says that it is, readable for this user.",
    Cause.OTHER_PROJECT: "Give the project a credential of its own: a user or an agency with rights in that very "
    'project, by `credential = "NAME"` in its table of the manifest; an owner\'s will not do.',
    Cause.NO_SUCH_PROJECT: "Correct the name in the manifest, or give the credential that finds projects a role in "
    "that one.",
    Cause.ENDPOINT: "Correct region, cloud or the endpoint in [cloud].",
    Cause.UNKNOWN_HOST: "Correct region, cloud or the endpoint in [cloud]; if they are right, look at this machine's "
    "name server.",
    Cause.UNREACHABLE: "See that a firewall lets this machine out to that host and port, or name a proxy in "
    "HTTPS_PROXY.",
    Cause.NO_ANSWER: "Try again; if it stays so, look at firewall and proxy on the way, and at the cloud's own status.",
    Cause.PROXY: "Correct address and login in HTTPS_PROXY, have the proxy let CONNECT through to that host, or put "
    "the host into NO_PROXY.",
    Cause.CERTIFICATE: "Give the authority that signed it as ca_file in [cloud]; a proxy that opens TLS has one of "
    "its own.",
    Cause.NOT_THE_API: "See that the endpoint in [cloud] is that of the API, and that no proxy or portal answers in "
    "its place.",
    Cause.THROTTLED: "Wait until others have made fewer calls, or ask about fewer projects with --project.",
    Cause.CLOUD: "Try again later, and show the cloud's support the id of a request if it stays so.",
    Cause.UNAVAILABLE: "Look in the console whether the project is frozen or disabled, or the account in arrears.",
    Cause.QUOTA: "Have the quota raised in the console, or give up what is not needed of what it counts.",
    Cause.REFUSED: "Look up the code in the cloud's API reference; with -v each call is logged.",
    Cause.UNSAID: "Look up the code in the cloud's API reference; with -v each call is logged.",
    Cause.SETTINGS: "Correct the config or the environment; `ims-share-worker check` shows the place of what is in "
    "the files.",
    Cause.SEES_EVERYTHING: "Give the worker a user or an agency of the project that has ims:images:list and "
    "ims:images:share there, and no administrator's role.",
    Cause.VAULT_MISSING: "Correct the vault's id in the manifest: it must be one of the project, in its region.",
    Cause.VAULT_FULL: "Enlarge the vault, have it expand by itself, or name another.",
    Cause.VAULT_TYPE: "Name a vault for backups of servers.",
    Cause.VAULT_STATE: "Put the vault in order in the console, or name another.",
}
_OF_IDENTITY: Final[Mapping[str, str]] = {
    "metadata": "See that this machine is a cloud server, with an agency, from which 169.254.169.254 can be reached.",
    "pod-identity": "See that the pod's service account has an agency, and that its endpoint can be reached.",
}
_AWAY: Final = frozenset(
    {
        *(Cause.UNREACHABLE, Cause.NO_ANSWER, Cause.UNKNOWN_HOST, Cause.NOT_THE_API, Cause.ENDPOINT),
        *(Cause.PERMISSION, Cause.REFUSED, Cause.CLOUD),
    }
)
"""Causes that are not the credential's own, where it is a machine or a pod that gives it."""


def advice(cause: Cause, kind: str, permission: str, *, of_identity: bool) -> str:
    """Return what to do about a cause; `kind` is that of the credential, `permission` the right that may be missing.

    `of_identity` tells that it is the credential that could not be obtained.
    """
    if of_identity and cause in _AWAY and kind in _OF_IDENTITY:
        return _OF_IDENTITY[kind]
    if cause is Cause.PERMISSION and permission:
        return (
            f"Grant {permission} in this project to the user or agency of the credential; where rights are granted by "
            "enterprise project, set enterprise_project."
        )
    if cause is Cause.PERMISSION:
        return "Grant the credential's user or agency the right in this project that the answer speaks of."
    if cause is Cause.EXPIRED and kind in _RENEWS_ITSELF:
        return "Look at what it stands on: the token or the keys that it presents have ended, and are not replaced."
    return _ADVICE[cause]
