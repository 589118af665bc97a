"""What `[[discover]]` says, before anything is found: which names may be found, and which wishes cannot go together.

Which projects there are is known only when the cloud has been asked; what contradicts itself whatever is found is known
before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from worker.core.documents import At, Document, Finding, problems_of, quote
from worker.core.globs import normal
from worker.core.manifest.ids import PROJECT
from worker.core.manifest.model import Discovery, Manifest, OpenShare
from worker.errors import Problem

_REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+(?=_|$)")
_SPECIAL = re.compile(r"[*?\[]")
ALL = "every project that is found"


def credentials_of(manifest: Manifest) -> tuple[str, ...]:
    """Return the credentials whose projects are to be found, in the order of their blocks."""
    return tuple(dict.fromkeys(each.credential for each in manifest.discoveries))


def region_of(discovery: Discovery, default: str) -> str:
    """Return the region whose projects a block finds: the one that its glob begins with, or else the config's.

    Empty where neither says one. A project's name is that of its region, or begins with it and `_`.
    """
    pattern = discovery.glob.pattern
    special = _SPECIAL.search(pattern)
    spelled = _REGION.match(pattern[: special.start()] if special else pattern)
    # What ends before a wildcard may go on: `eu-west-10*` is no region, and `eu-west-10_*` is one.
    is_whole = spelled is not None and (special is None or spelled.end() < special.start())
    return spelled[0] if spelled is not None and is_whole else default


def may_find(discovery: Discovery, text: str) -> bool:
    """Tell whether a block may find a project of this name or id, or of this name after that of its credential."""
    own = text.removeprefix(f"{discovery.credential}/")
    return PROJECT.id_in(text) is not None or any(discovery.glob.matches(normal(name)) for name in {text, own})


def without_region(manifest: Manifest, region: str, documents: Sequence[Document] = ()) -> tuple[Problem, ...]:
    """Return a problem for each block that is of no region; placed if the documents are given."""
    hint = 'set [cloud] region, or begin the name with the region, as in "eu-west-101_*"'
    what = "the name of a project begins with its region, and nothing says which that is"
    findings = [
        Finding(each.at.child("name"), what, quote(each.glob.pattern), hint)
        for each in manifest.discoveries
        if not region_of(each, region)
    ]
    return problems_of(findings, documents)


def to_be_found(manifest: Manifest, documents: Sequence[Document]) -> tuple[Problem, ...]:
    """Return, for a look without the cloud, each name in a share or rule that nothing declares; with its place."""
    named = [
        (name, share.at.child("projects", index))
        for share in manifest.open_shares
        for name, index in (share.names or {}).items()
    ]
    named += [(name, rule.place.child("projects")) for rule in manifest.rules for name in sorted(rule.names)]
    what = "is not declared: whether it is found, a pass will tell"
    return problems_of([Finding(at, f"{quote(name)} {what}") for name, at in named], documents)


def clashes(
    discoveries: Sequence[Discovery], shares: Sequence[OpenShare]
) -> Iterator[tuple[OpenShare, OpenShare, str, str]]:
    """Yield two shares that wish differently for an image wherever it is found: earlier, later, image, and in what.

    That depends on the default vault of what is found, so each is tried that may be.
    """
    everywhere = [share for share in shares if share.names is None]
    named: dict[str, list[OpenShare]] = {}
    for share in shares:
        for name in share.names or ():
            named.setdefault(name, []).append(share)
    for vault_id in sorted({each.vault_id for each in discoveries}):
        of_all: dict[str, OpenShare] = {}
        yield from _clashes_of(everywhere, of_all, {}, vault_id, ALL)
        finding = [each for each in discoveries if each.vault_id == vault_id]
        for name, those in named.items():
            if any(may_find(each, name) for each in finding):
                yield from _clashes_of(those, {}, of_all, vault_id, quote(name))


def _clashes_of(
    shares: Iterable[OpenShare], held: dict[str, OpenShare], of_all: Mapping[str, OpenShare], vault_id: str, where: str
) -> Iterator[tuple[OpenShare, OpenShare, str, str]]:
    for share in shares:
        wish = share.wish(vault_id)
        for image_id in share.images:
            earlier = of_all.get(image_id) or held.setdefault(image_id, share)
            if earlier is not share and earlier.wish(vault_id) != wish:
                yield earlier, share, image_id, where


def place_of(at: At) -> str:
    """Say in a few words where a block stands."""
    return f"{at.file}: {at.path[0]}[{at.path[1]}]"
