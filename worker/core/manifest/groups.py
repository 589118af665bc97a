"""Name groups: which images are builds of one thing, by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from worker.core.globs import Glob, normal

_PART = re.compile(r"\{name\}|\*")
_FORMS = {"{name}": "([^-]+)", "*": ".+"}
NAME = "{name}"
MAX_STARS = 2
"""With more, to find the group of a name that somebody made up for that could take any time."""
_MAX_NAME = 256
"""Characters of a name that may be of a group that a pattern tells; the image service takes 128."""


@dataclass(frozen=True, slots=True)
class NameGroups:
    """Tells of names, in their normal form, which group they are of.

    `pattern` has one `{name}`, which stands for the group and has no hyphen, and stars; each stands for at least one
    character. Without one the group is the name up to its last hyphen.
    """

    pattern: str = ""
    _form: re.Pattern[str] | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        form, end = "", 0
        for part in _PART.finditer(normal(self.pattern)):
            form += re.escape(normal(self.pattern)[end : part.start()]) + _FORMS[part[0]]
            end = part.end()
        form += re.escape(normal(self.pattern)[end:])
        object.__setattr__(self, "_form", re.compile(form, re.DOTALL) if self.pattern else None)

    def may_be_of(self, glob: Glob) -> bool:
        """Tell whether a name that a glob matches may be of a group, as far as its beginning tells."""
        begins = _PART.split(normal(self.pattern))[0]
        return begins.startswith(glob.prefix) or glob.prefix.startswith(begins)

    def of(self, name: str) -> str | None:
        """Return the group of a name; None for one that the pattern does not fit."""
        if self._form is None:
            group, hyphen, _ = name.rpartition("-")
            return group if hyphen else name
        found = self._form.fullmatch(name) if len(name) <= _MAX_NAME else None
        return found[1] if found else None
