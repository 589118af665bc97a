"""What an id looks like: nothing else may reach a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """What an id of one kind looks like: nothing else may reach a URL."""

    noun: str
    form: re.Pattern[str]
    shape: str

    def id_in(self, text: str) -> str | None:
        """Return the id that a text is, in the form in which ids are compared; None for what is none."""
        return text.lower() if self.form.fullmatch(text) else None


IMAGE = Kind(
    "image",
    re.compile("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"),
    "UUIDs, 8-4-4-4-12 hexadecimal digits",
)
VAULT = Kind(
    "vault",
    re.compile("[0-9a-zA-Z]{8}-(?:[0-9a-zA-Z]{4}-){3}[0-9a-zA-Z]{12}"),
    "8-4-4-4-12 letters and digits",
)
PROJECT = Kind("project", re.compile("[0-9a-fA-F]{32}"), "32 hexadecimal digits")
OWNER = Kind("owner", PROJECT.form, f"{PROJECT.shape}, those of the project that shares")


def is_account_id(text: str) -> bool:
    """Tell whether what names an account, which IAM calls a domain, is its id, and not a name that people gave it."""
    return PROJECT.form.fullmatch(text) is not None
