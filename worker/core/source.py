"""Who says what a share should be: a `[[share]]` of the manifest, or a rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOLD = re.compile(r'(?P<file>.*?)(?::(?P<line>\d+))?: (?:(?P<block>share\[\d+\])|rule "(?P<rule>.*)")', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """A place in the manifest that wishes something; `rule` is the name of the rule that stands there, if one does.

    `block` is what else it is called, such as `share[3]`. `line` counts from 1, and is 0 where it is not known: it
    tells people where to look, and says nothing of what is wished.
    """

    file: str
    line: int = field(default=0, compare=False)
    block: str = ""
    rule: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(filter(None, (place, self.name)))

    @property
    def name(self) -> str:
        """What it is called in its file."""
        return f'rule "{self.rule}"' if self.rule else self.block


def source_of(text: str) -> Source | None:
    """Return what was written down as text, or None where that is empty; what is not understood stands as it is."""
    if not text:
        return None
    told = _TOLD.fullmatch(text)
    if told is None:
        return Source(text)
    return Source(told["file"], int(told["line"] or 0), told["block"] or "", told["rule"] or "")
