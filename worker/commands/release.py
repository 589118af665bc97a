"""`release`: free shares from quarantine, or one from a job that never ends."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from worker.commands.verb import JOURNAL_AWAY, UNWRITTEN, Verb, add_names, name
from worker.core.exit import Exit
from worker.core.facts import many
from worker.core.text import visible
from worker.errors import Problem, SettingsError

if TYPE_CHECKING:
    from worker.commands.command import Command
    from worker.core.instruction import Presence
    from worker.core.manifest.model import Manifest
    from worker.core.quarantine import Quarantined
    from worker.core.share import Share


SCHEMA = "ims-share-worker/release/1"
_SHOWN = 10
_USAGE = "name IMAGE and PROJECT, or some of --project, --image and --reason, or --all"


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image_name", nargs="?", type=name, metavar="IMAGE", help="name or id")
    parser.add_argument("project_name", nargs="?", type=name, metavar="PROJECT", help="name or id")
    add_names(parser, "of the quarantine, this")
    what = "of the quarantine, what failed with this code"
    parser.add_argument("--reason", action="append", default=[], metavar="CODE", help=what)
    parser.add_argument("--all", action="store_true", dest="every", help="all of the quarantine")


async def release(command: Command) -> Exit:
    """Free a share from quarantine and from what is in flight; or quarantined shares, by project, image or reason."""
    from worker.commands.journal_row import journal_to_write, presence_after
    from worker.core.manifest.named import share_of
    from worker.session.finding import known_names
    from worker.wiring import journal_url

    _see_what_is_asked(command.options)
    if command.options.image_name is None:
        return await _release_quarantined(command)
    loaded = command.configure()
    share = share_of(await known_names(loaded), command.options.image_name, command.options.project_name)
    url = journal_url(loaded.settings)
    async with journal_to_write(url) as journal:
        command.note(journal.notes)
        freed = await journal.releases.free(share, command.by, time.time())
        presence = await presence_after(url, journal)
    document = {
        "schema": SCHEMA,
        **share._asdict(),
        "freed_from": list(freed),
        **_told(command.by, (share,), freed, presence),
    }
    said = (
        f"Freed from {visible(', '.join(freed))}. {presence.takes_effect()}"
        if freed
        else "The share was neither quarantined nor in flight."
    )
    return command.show(document, lambda: print(said))


async def _release_quarantined(command: Command) -> Exit:
    from worker.commands.journal_row import journal_to_write, presence_after
    from worker.render.names import Names
    from worker.session.finding import known_names
    from worker.wiring import journal_url

    loaded = command.configure()
    manifest = await known_names(loaded)
    is_meant, url = _chosen(command.options, manifest), journal_url(loaded.settings)
    async with journal_to_write(url) as journal:
        command.note(journal.notes)
        freed = await journal.releases.free_quarantined(is_meant, command.by, time.time())
        presence = await presence_after(url, journal)
    document = {"schema": SCHEMA, **_told(command.by, freed, freed, presence)}

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


def _told(by: str, shares: Iterable[Share], freed: Iterable[object], presence: Presence) -> dict[str, object]:
    """Return what every document of a release has; who is at work matters where something was freed."""
    from worker.commands.journal_row import presence_json

    is_any = any(True for _ in freed)
    return {
        "released": [share._asdict() for share in shares] if is_any else [],
        "released_by": by,
        "at_work": presence_json(presence),
        "begins_a_pass": is_any and presence.begins_a_pass,
    }


def _see_what_is_asked(options: argparse.Namespace) -> None:
    """Raise SettingsError unless exactly one way of saying what is meant is used."""
    named = (options.image_name is not None, options.project_name is not None)
    ways = [any(named), bool(options.project or options.image or options.reason), options.every]
    if ways.count(True) != 1 or any(named) != all(named):
        raise SettingsError((Problem.about("release", "it must be clear what is to be released", hint=_USAGE),))
    if not all(code.strip() for code in options.reason):
        hint = "give the code that `status` shows, such as IMG.0144"
        raise SettingsError((Problem.about("--reason", "a reason is a code of the cloud", hint=hint),))


def _chosen(options: argparse.Namespace, manifest: Manifest) -> Callable[[Quarantined], bool]:
    """Return what tells whether a quarantined share is meant; raise SettingsError for names that nobody knows."""
    from worker.core.manifest.named import image_of, project_of

    projects = {project_of(manifest, each, "--project") for each in options.project}
    images = {image_of(manifest, each, "--image") for each in options.image}

    def is_meant(held: Quarantined) -> bool:
        return (
            (not projects or held.share.project_id in projects)
            and (not images or held.share.image_id in images)
            and (not options.reason or any(held.failed_with(code.strip()) for code in options.reason))
        )

    return is_meant


VERB = Verb(
    "release",
    "free shares from quarantine, or one from a job that never ends",
    release,
    "What is freed is tried again in the next pass, which a running serve begins at once.",
    ("release golden-ubuntu payments-prod", "release --reason IMG.0144", "release --all"),
    {0: "freed, or there was nothing to free", 1: UNWRITTEN, **JOURNAL_AWAY},
    add_options=_add_options,
    logs=False,
)
