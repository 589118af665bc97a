"""`release`: free shares from quarantine, or one from a job that never ends."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable

from worker.commands.command import Command, who
from worker.commands.presence import presence_after, presence_json
from worker.commands.writing import journal_to_write
from worker.core.facts import many
from worker.core.fleet.report import Exit
from worker.core.instruction import Presence
from worker.core.manifest.model import Manifest
from worker.core.quarantine import Quarantined
from worker.core.share import Share
from worker.core.text import visible
from worker.errors import Problem, SettingsError
from worker.render.names import Names
from worker.wiring.site import image_of, journal_url, names_of, project_of, share_of

SCHEMA = "ims-share-worker/release/1"
_SHOWN = 10
_USAGE = "name IMAGE and PROJECT, or some of --project, --image and --reason, or --all"


async def release(command: Command) -> Exit:
    """Free a share from quarantine and from what is in flight; or quarantined shares, by project, image or reason."""
    _see_what_is_asked(command.options)
    if command.options.image_name is None:
        return await _release_quarantined(command)
    loaded = command.configure()
    share = share_of(names_of(loaded), command.options.image_name, command.options.project_name)
    url = journal_url(loaded.settings)
    async with journal_to_write(url) as journal:
        command.note(journal.notes)
        freed = await journal.release(share, who(), time.time())
        presence = await presence_after(url, journal)
    document = {"schema": SCHEMA, **share._asdict(), "freed_from": list(freed), **_told((share,), freed, presence)}
    said = (
        f"Freed from {visible(', '.join(freed))}. {presence.takes_effect()}"
        if freed
        else "The share was neither quarantined nor in flight."
    )
    return command.show(document, lambda: print(said))


async def _release_quarantined(command: Command) -> Exit:
    loaded = command.configure()
    manifest = names_of(loaded)
    is_meant, url = _chosen(command.options, manifest), journal_url(loaded.settings)
    async with journal_to_write(url) as journal:
        command.note(journal.notes)
        freed = await journal.release_quarantined(is_meant, who(), time.time())
        presence = await presence_after(url, journal)
    document = {"schema": SCHEMA, **_told(freed, freed, presence)}

    def as_text() -> None:
        if not freed:
            print("No share that is quarantined is meant.")
            return
        names = Names.of(manifest)
        print(f"Freed from quarantine: {many(len(freed), 'share')}. {presence.takes_effect()}")
        for share in freed[:_SHOWN]:
            print(visible(f"  {names.project(share.project_id)}: {names.image(share.image_id)}"))
        if len(freed) > _SHOWN:
            print(f"  and {len(freed) - _SHOWN} more (--json shows all)")

    return command.show(document, as_text)


def _told(shares: Iterable[Share], freed: Iterable[object], presence: Presence) -> dict[str, object]:
    """Return what every document of a release has; who is at work matters where something was freed."""
    is_any = any(True for _ in freed)
    return {
        "released": [share._asdict() for share in shares] if is_any else [],
        "released_by": who(),
        "at_work": presence_json(presence),
        "begins_a_pass": is_any and presence.begins_a_pass,
    }


def _see_what_is_asked(options: argparse.Namespace) -> None:
    """Raise SettingsError unless exactly one way of saying what is meant is used."""
    named = (options.image_name is not None, options.project_name is not None)
    ways = [any(named), bool(options.project or options.image or options.reason), options.every]
    if ways.count(True) != 1 or any(named) != all(named):
        raise SettingsError((Problem("release", 0, 0, "", "it must be clear what is to be released", "", _USAGE),))
    if not all(code.strip() for code in options.reason):
        hint = "give the code that `status` shows, such as IMG.0144"
        raise SettingsError((Problem("--reason", 0, 0, "", "a reason is a code of the cloud", "", hint),))


def _chosen(options: argparse.Namespace, manifest: Manifest) -> Callable[[Quarantined], bool]:
    """Return what tells whether a quarantined share is meant; raise SettingsError for names that nobody knows."""
    projects = {project_of(manifest, name, "--project") for name in options.project}
    images = {image_of(manifest, name, "--image") for name in options.image}

    def is_meant(held: Quarantined) -> bool:
        return (
            (not projects or held.share.project_id in projects)
            and (not images or held.share.image_id in images)
            and (not options.reason or any(held.failed_with(code.strip()) for code in options.reason))
        )

    return is_meant
