"""What can go wrong, as one tree.

```
WorkerError
├── SettingsError             the config, the environment or an option; all problems at once
├── ManifestError             the manifest; all problems at once
├── OutputError               a result cannot be written to standard output
├── JournalError              the journal cannot be read or written
│   ├── JournalLocked         another worker holds it
│   ├── JournalMissing        there is none yet, and who looks for it makes none
│   └── JournalUnreachable    it does not answer now: its server is away, its file locked
└── CloudError                a call failed
    ├── TransientCloudError   connect, time-out, throttle, 5xx: it may be asked again
    │   └── ListBrokenOff     a list cannot go on where it was: it may be read from its beginning
    └── TerminalCloudError    asking again changes nothing
        ├── AuthFailed        401: the credential is wrong, expired or blocked
        │   └── CredentialRefused  so that nothing more is sent with it
        ├── Forbidden         403: it may not do this
        ├── NotFound          404: the thing itself, not the path to it
        ├── BadRequest        another 4xx
        └── UnexpectedReply   an answer that is not what the API promises
```

A failed *call* is one of these; the result of a *share* is a value (`worker.core.outcome`), and so is a guard's
refusal (`worker.core.guard`): the pass that is refused still has a report.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self


class Excerpt(NamedTuple):
    """The part of a document in which a problem is: what is to be marked, and what stands before and after it."""

    before: str
    marked: str
    after: str


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a document a person wrote, and the way out of it.

    `line` and `column` count from 1, and are 0 where the place is not known (the environment, a missing file). `file`
    is empty where there is none. `excerpt` is what may be shown of the document, if there is one.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    value: str = ""
    hint: str = ""
    excerpt: Excerpt | None = field(default=None, compare=False)

    @classmethod
    def about(cls, what: str, message: str, *, path: str = "", value: str = "", hint: str = "") -> Self:
        """Return a problem that has no line: with an option, a variable, a journal, or a file as it lies there."""
        return cls(what, 0, 0, path, message, value, hint)

    def __str__(self) -> str:
        place = self.file + (f":{self.line}:{self.column}" if self.line else "")
        hint = f" ({self.hint})" if self.hint else ""
        return ": ".join(filter(None, (place, self.path, f"{self.message}{hint}")))


class Scope(StrEnum):
    """What a refusal of the cloud is about; it decides whether a smaller batch could fare better."""

    IMAGE = "image"
    SIZE = "size"
    UNSAID = "unsaid"
    REQUEST = "request"
    PROJECT = "project"
    VAULT = "vault"
    PERMISSION = "permission"
    CREDENTIAL = "credential"
    THROTTLE = "throttle"


class Cause(StrEnum):
    """What an operator has to mend: the word for it in a document. Failed calls carry those that are known of them."""

    UNSAID = "unsaid"
    BLOCKED_KEY = "blocked-key"
    WRONG_KEY = "wrong-key"
    EXPIRED = "expired"
    WRONG_PASSWORD = "wrong-password"  # noqa: S105 - a word
    SECOND_FACTOR = "second-factor"
    WRONG_TOKEN = "wrong-token"  # noqa: S105 - a word
    WRONG_REGION = "wrong-region"
    CLOCK = "clock"
    NO_AGENCY = "no-agency"
    AGENCY = "agency-refused"
    TOKEN_FILE = "token-file"  # noqa: S105 - a word
    OTHER_PROJECT = "other-project"
    NO_SUCH_PROJECT = "no-such-project"
    ENDPOINT = "wrong-endpoint"
    UNKNOWN_HOST = "unknown-host"
    UNREACHABLE = "unreachable"
    NO_ANSWER = "no-answer"
    PROXY = "proxy"
    CERTIFICATE = "certificate"
    NOT_THE_API = "not-the-api"
    THROTTLED = "throttled"
    CLOUD = "cloud-in-trouble"
    PERMISSION = "permission"
    UNAVAILABLE = "project-unavailable"
    QUOTA = "quota"
    REFUSED = "refused"
    SETTINGS = "settings"
    SEES_EVERYTHING = "sees-everything"
    VAULT_MISSING = "vault-missing"
    VAULT_FULL = "vault-full"
    VAULT_TYPE = "vault-type"
    VAULT_STATE = "vault-state"


class WorkerError(Exception):
    """The root of everything this package raises on purpose."""


class _DocumentError(WorkerError):
    """One or more problems in documents that people wrote."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SettingsError(_DocumentError):
    """The config, the environment or a command-line option is wrong."""


class ManifestError(_DocumentError):
    """The manifest is wrong."""


class OutputError(WorkerError):
    """A result cannot be written to standard output."""


class JournalError(WorkerError):
    """The journal cannot be opened, read or written."""


class JournalMissing(JournalError):  # noqa: N818 - a state, not a fault of the worker
    """There is no journal yet, where one was looked for that a pass has made."""


class JournalUnreachable(JournalError):  # noqa: N818 - a state, not a fault of the worker
    """The journal does not answer now, or lets nobody in: its server is away, its file locked, its disk full."""


class JournalLocked(JournalError):  # noqa: N818 - the word operators know
    """Another worker holds the journal."""


class CloudError(WorkerError):
    """A call to the cloud failed. `status` is 0 where no answer came; `code` is the cloud's own, if any.

    `nothing_done` is true when it is certain that the call had no effect: the cloud said so, or it never got there.
    `identity_host` is where an authorization was asked for in vain, if that is what failed. `server_date` is the Date
    of the answer. `said` is what the message says beside what was added for who knows no more than it.
    """

    nothing_done: bool = False
    cause: Cause = Cause.UNSAID
    identity_host: str = ""
    said: str = ""
    server_date: str = ""

    def __init__(
        self, message: str, *, status: int = 0, code: str = "", scope: Scope = Scope.UNSAID, request_id: str = ""
    ) -> None:
        self.message = message
        self.status = status
        self.code = code
        self.scope = scope
        self.request_id = request_id
        super().__init__(message)

    def caused(self, cause: Cause) -> Self:
        """Return the error, which is one of this cause."""
        self.cause = cause
        return self

    def __str__(self) -> str:
        parts = [f"HTTP {self.status}" if self.status else "", self.code]
        what = " ".join(part for part in parts if part)
        tail = f" [request {self.request_id}]" if self.request_id else ""
        return f"{what}: {self.message}{tail}" if what else f"{self.message}{tail}"


class TransientCloudError(CloudError):
    """The call may succeed when it is made again; a write only where `nothing_done` says that the first had no effect.

    `retry_after` is in seconds, or None where the cloud did not say.
    """

    def __init__(  # noqa: PLR0913 - its parent's arguments and two of its own, all by name
        self,
        message: str,
        *,
        nothing_done: bool = False,
        retry_after: float | None = None,
        status: int = 0,
        code: str = "",
        scope: Scope = Scope.UNSAID,
        request_id: str = "",
    ) -> None:
        super().__init__(message, status=status, code=code, scope=scope, request_id=request_id)
        self.nothing_done = nothing_done
        self.retry_after = retry_after


class ListBrokenOff(TransientCloudError):  # noqa: N818 - named as the design does
    """The image after which a list was to go on is gone: what has been read of the list is no part of a whole."""


class TerminalCloudError(CloudError):
    """The call fails however often it is made."""

    nothing_done = True


class AuthFailed(TerminalCloudError):  # noqa: N818 - named as the design does
    """The cloud does not accept the credential."""

    @staticmethod
    def of(error: CloudError) -> AuthFailed:
        """Return the refusal of what was presented that a failed call is, whatever its status."""
        refused = AuthFailed(
            error.message, status=error.status, code=error.code, scope=error.scope, request_id=error.request_id
        )
        return refused.caused(error.cause)


class CredentialRefused(AuthFailed):
    """The cloud has refused a credential, or none can be made of it, and nothing more is sent with it."""

    def __init__(self, credential: str, why: AuthFailed) -> None:
        self.credential = credential
        super().__init__(why.message, status=why.status, code=why.code, scope=why.scope, request_id=why.request_id)
        self.cause = why.cause

    def __str__(self) -> str:
        if not self.status:
            return f'credential "{self.credential}" cannot be used: {self.message}'
        answer = f"{self.status} {self.code}".strip()
        tail = f" [request {self.request_id}]" if self.request_id else ""
        return f'credential "{self.credential}" was refused ({answer}): {self.message}{tail}'


class Forbidden(TerminalCloudError):  # noqa: N818 - as above
    """The credential is known, and may not do this. `permission` is the right that it may lack, where that is known."""

    permission: str = ""


class NotFound(TerminalCloudError):  # noqa: N818 - as above
    """There is no such thing."""


class BadRequest(TerminalCloudError):  # noqa: N818 - as above
    """The cloud refused the request itself."""


class UnexpectedReply(TerminalCloudError):  # noqa: N818 - as above
    """The answer is not what the API promises: not JSON, wrongly typed, cut off, too large, a redirect.

    A write may have been done. A read may be made again, unless `lasting` says that the same would come again.
    """

    nothing_done = False

    def __init__(
        self,
        message: str,
        *,
        lasting: bool = False,
        status: int = 0,
        code: str = "",
        scope: Scope = Scope.UNSAID,
        request_id: str = "",
    ) -> None:
        super().__init__(message, status=status, code=code, scope=scope, request_id=request_id)
        self.lasting = lasting
