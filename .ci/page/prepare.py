# ruff: noqa: INP001 - a script, in no package
"""Lay out what the page's checks read: its scripts and styles, and what they cannot know by themselves.

That is the generated script, the element of each id, documents as the daemon writes them, and all scripts as one: what
a script declares and another uses is unused to whoever reads but the one.

    prepare.py FOLDER
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec

import worker.telemetry.page
from worker.core import daemon_events
from worker.core.instruction import Instruction, InstructionKind
from worker.telemetry.page.joined import joined_page, joined_script
from worker.telemetry.page.statuses import status_script

ROOT = Path(__file__).parents[2]
PAGE = Path(worker.telemetry.page.__file__).parent
sys.path.insert(0, str(ROOT / "tests"))
from boards import NOW, all_is_well, document, numbered, some_of_everything  # noqa: E402 - as the line above lets it


class Ids(HTMLParser):
    """Collects the tag of each element that has an id."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take one element."""
        if name := dict(attrs).get("id"):
            self.tags[name] = tag


def ids() -> str:
    """Return the interface that gives each id of the markup the type of its element."""
    found = Ids()
    found.feed(joined_page().decode())
    lines = (f'  "{name}": HTMLElementTagNameMap["{tag}"];\n' for name, tag in sorted(found.tags.items()))
    return f"interface Ids {{\n{''.join(lines)}}}\n"


def documents() -> str:
    """Return documents that have, between them, something of all that a daemon may say, as a script that types them."""
    busy, quiet = some_of_everything(numbered("team", 9), numbered("image", 30)), all_is_well()
    pause = Instruction(1, InstructionKind.PAUSE, "ann@host", NOW - 60)
    for event in (
        daemon_events.AskedFor(pause),
        daemon_events.PauseBegan(pause),
        daemon_events.ReloadFailed("line 3 is no TOML"),
    ):
        busy(event)
    told = msgspec.json.encode([document(busy), document(quiet)]).decode()
    return f"const documents: Daemon[] = {told};\nexport default documents;\n"


def main(folder: Path) -> None:
    """Write the files."""
    (folder / "page").mkdir()
    for source in PAGE.glob("*.*s"):
        (folder / "page" / source.name).write_text(source.read_text())
    (folder / "statuses.js").write_text(status_script())
    (folder / "joined.mjs").write_text(joined_script())
    (folder / "ids.d.ts").write_text(ids())
    (folder / "documents.ts").write_text(documents())


main(Path(sys.argv[1]))
