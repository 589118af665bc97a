"""Shares that are told of and left alone, and who wishes a share, for people and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from worker.core.facts import many
from worker.core.fleet.noticed import NoticedBy, Unsolicited, by_owner, by_rule
from worker.core.project.noticed import Noticed
from worker.core.source import Source
from worker.render.names import Names, plain
from worker.render.shares import LINES_SHOWN

_LISTED = 100
"""Owners, or rules, that the daemon lists."""


def source_json(source: Source | None) -> dict[str, Any] | None:
    """Return who wishes a share as JSON: file, line, and the name of the rule, null for a `[[share]]`."""
    if source is None:
        return None
    return {"file": source.file, "line": source.line or None, "rule": source.rule or None}


def reported_json(reported: Sequence[Noticed], image_names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the shares that rules report as JSON."""
    return [
        {
            "project_id": each.share.project_id,
            "project": each.project,
            "owner": each.owner,
            "image_id": each.share.image_id,
            "image": _name(each.share.image_id, each.name, image_names),
            "observed": each.observed.value,
            "source": source_json(each.source),
        }
        for each in reported
    ]


def unsolicited_json(unsolicited: Sequence[Unsolicited], image_names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what nothing in the manifest speaks of as JSON, by owner and image."""
    return [
        {
            "owner": each.owner,
            "image_id": each.image_id,
            "image": _name(each.image_id, each.name, image_names),
            "projects": list(each.projects),
        }
        for each in unsolicited
    ]


def print_noticed(
    reported: Sequence[Noticed], unsolicited: Sequence[Unsolicited], names: Names, console: Console
) -> None:
    """Print what rules report, by rule, and what nothing speaks of, by owner. Print nothing where there is neither."""
    _print("Reported", "rule", by_rule(reported, names.images), lambda rule: rule, console)
    title = "Unsolicited: pending, and nothing in the manifest speaks of it"
    _print(title, "owner", by_owner(unsolicited, names.images), names.owner, console)


def _print(title: str, noun: str, found: Sequence[NoticedBy], called: Callable[[str], str], console: Console) -> None:
    if found:
        console.print(plain(title, style="bold yellow"))
    for each in found[:LINES_SHOWN]:
        where = f"{many(each.shares, 'share')} in {many(each.projects, 'project')}"
        more = f" and {each.images - len(each.named):,} more" if each.images > len(each.named) else ""
        console.print(plain(f"  {called(each.by)}: {where}: {', '.join(each.named)}{more}"))
    if rest := len(found[LINES_SHOWN:]):
        console.print(plain(f"  and of {many(rest, f'more {noun}')} (--json shows all)", style="dim"))


def noticed_json(found: Sequence[NoticedBy], by: str) -> list[dict[str, Any]]:
    """Return what is told of in short as JSON: under the key `by` who it is of, and the first of the images."""
    return [
        {
            by: each.by,
            "images": each.images,
            "shares": each.shares,
            "projects": each.projects,
            "named": list(each.named),
        }
        for each in found[:_LISTED]
    ]


def _name(image_id: str, observed: str, image_names: Mapping[str, str]) -> str:
    return image_names.get(image_id) or observed or image_id
