"""What a plan does with each image, for people: one line, whatever the number of projects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from worker.core.batch import Change
from worker.core.facts import first_few, many
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus
from worker.render.names import Names, plain

IMAGES_SHOWN = 60
_TAKES, _GIVES, _STAYS = "-", "+", "~"
_STYLES = {_TAKES: "magenta", _GIVES: "green", _STAYS: "yellow"}
"""The signs: what is taken from a project, is given to it, or stays though it is not as desired; the gravest first."""
_UNSAID = {_TAKES: MemberStatus.ACCEPTED, _GIVES: MemberStatus.PENDING}
"""What a share reads, as a rule, before it is taken or given."""


@dataclass(frozen=True, slots=True, order=True)
class _Part:
    """What happens to an image, the same in several projects: a sign, what is done, and what is said of it besides."""

    rank: int
    done: str
    besides: str

    @property
    def sign(self) -> str:
        return list(_STYLES)[self.rank]


@dataclass(slots=True)
class _Story:
    """All that happens to an image: the projects of each part."""

    parts: defaultdict[_Part, list[str]] = field(default_factory=lambda: defaultdict(list))

    def note(self, sign: str, share: Share, done: str, besides: str = "") -> None:
        self.parts[_Part(list(_STYLES).index(sign), done, besides)].append(share.project_id)


def print_by_image(
    changes: Iterable[Change], left: Iterable[ShareStatus], names: Names, console: Console, most: int
) -> None:
    """Print a line for each image of which a share changes or is `left` as it is, at `most` so many as they are drawn.

    What is taken from a project comes first, then what is given, then what only stays; each by name.
    """
    stories: defaultdict[str, _Story] = defaultdict(_Story)
    for change in changes:
        sign = _GIVES if change.operation.goal is MemberStatus.ACCEPTED else _TAKES
        vault = f", into vault {names.vault(change.vault_id)}" if change.vault_id else ""
        before = "" if change.before is _UNSAID[sign] else f", {change.before} before"
        stories[change.share.image_id].note(sign, change.share, change.operation.verb, before + vault)
    for each in left:
        stories[each.share.image_id].note(_STAYS, each.share, each.status.value.replace("_", " "))
    ordered = sorted(stories.items(), key=lambda each: (min(each[1].parts).rank, names.image(each[0]), each[0]))
    for index, (image_id, story) in enumerate(ordered):
        line = _line(names.image(image_id), story, names)
        most -= 1 if console.soft_wrap else len(console.render_lines(line))
        if most < 0:
            rest = many(len(ordered) - index, "more image")
            console.print(plain(f"and {rest} (--all shows every one)", style="dim"))
            break
        console.print(line)


def _line(image: str, story: _Story, names: Names) -> Text:
    parts = sorted(story.parts)
    line = plain(f"{parts[0].sign} {image}  ", style=_STYLES[parts[0].sign])
    told = (_told(part, sorted(map(names.project, story.parts[part]))) for part in parts)
    return line.append_text(plain("; ".join(told), "default"))


def _told(part: _Part, projects: list[str]) -> str:
    named = first_few(projects)
    where = named if len(projects) == 1 else f"{many(len(projects), 'project')} ({named})"
    return f"{part.done} in {where}{part.besides}"
