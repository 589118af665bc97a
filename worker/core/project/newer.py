"""A batch that was planned by older files → what of it the newest ones still wish.

Not to send is always safe: the next pass reads, and sends what is wished. So an image is sent only where the newest
files are known to wish for it what the batch does.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.core.batch import Batch
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.project.drift import VaultPolicy, vault_to_send, why_blocked
from worker.core.project.plan import Terms


def still_wished(batch: Batch, planned: Terms, newest: Terms) -> tuple[str, ...]:
    """Return the images of a batch for which the newest terms wish what it does, in their order.

    A `[[share]]` says so whatever is read. What a rule has decided rests on a reading, so it is still wished as long as
    the rules are the same and no `[[share]]` has come to speak of it.
    """
    project = newest.manifest.projects.get(batch.project_id)
    before = planned.manifest.projects.get(batch.project_id)
    if project is None or before is None or _route(project) != _route(before):
        return ()
    if batch.operation.takes_vault and planned.vaults is not newest.vaults:
        # A vault was sent, or left out, by a policy that does not hold any more.
        return ()
    declared = newest.manifest.wishes.get(project.id, {})
    by_rule = _decided_by_rule(batch, project, planned.manifest, newest.manifest)
    return tuple(
        image
        for image in batch.images
        if (not newest.images or image in newest.images)
        and (_asks_for(batch, declared[image], newest.vaults) if image in declared else image in by_rule)
    )


def wish_the_same(one: Terms, other: Terms) -> bool:
    """Tell whether the same is wished by both, and the same calls bring it about; names do not matter."""
    return (one.images, one.vaults, one.manifest.wishes, _ruled(one.manifest), _routes(one.manifest)) == (
        other.images,
        other.vaults,
        other.manifest.wishes,
        _ruled(other.manifest),
        _routes(other.manifest),
    )


def _ruled(manifest: Manifest) -> object:
    """Return all that the rules decide by that stands in the manifest; nothing where there are none."""
    vaults = {project.id: project.vault_id for project in manifest.projects.values()}
    return (manifest.rules, manifest.owner_names.keys(), vaults) if manifest.rules else None


def _decided_by_rule(batch: Batch, project: Project, planned: Manifest, newest: Manifest) -> frozenset[str]:
    """Return the images of a batch that a rule has decided, if it would decide them in the same way by now."""
    rules = newest.rules_of(project)
    is_decided_alike = (
        rules == planned.rules_of(project)
        and planned.owner_names.keys() == newest.owner_names.keys()
        and planned.projects[project.id].vault_id == project.vault_id
    )
    if not rules or not is_decided_alike:
        return frozenset()
    return frozenset(batch.images).difference(planned.wishes.get(project.id, {}))


def _asks_for(batch: Batch, wish: Wish, vaults: VaultPolicy) -> bool:
    """Tell whether a wish asks for what a batch does; one that was sent a vault is taken to need it."""
    full_ecs = batch.vault_id is not None
    return (
        wish.operation is batch.operation
        and not why_blocked(wish, vaults, full_ecs=full_ecs)
        and vault_to_send(wish, vaults, full_ecs=full_ecs) == batch.vault_id
    )


def _routes(manifest: Manifest) -> Mapping[str, tuple[str, str]]:
    """Return how the projects are reached that something may be wished of."""
    return {project_id: _route(manifest.projects[project_id]) for project_id in manifest.spoken_of}


def _route(project: Project) -> tuple[str, str]:
    return project.credential, project.region
