"""The fleet that `demo` runs on: always the same, small enough to read, with one of each thing that can be amiss.

Two images appear in the manifest for the sake of what goes wrong with them: one that nobody offers, and one that makes
the cloud refuse any request it is in. Everything else converges in one pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.simulator.effects.calls import Poison
from worker.simulator.faults import Fault
from worker.simulator.jobs import JobRules
from worker.simulator.model import FIRST_CREATED, Answer, Image, Vault
from worker.simulator.naming import OWNER, image_id, project_id, vault_id
from worker.simulator.world import World

PAYMENTS, ANALYTICS, EDGE = "payments-prod", "analytics", "edge"
_OTHER_ACCOUNT = "retail"
_PLAIN = tuple(
    f"{system}-{number:02}"
    for system in ("ubuntu-24.04", "debian-12", "rocky-9", "windows-2022")
    for number in range(1, 15)
)
_FULL_ECS = tuple(f"ledger-backup-{number:02}" for number in range(1, 7))
_SCRATCH = tuple(f"scratch-{number:02}" for number in range(1, 5))
_ABSENT = "ubuntu-26.04-preview"
_POISONED = "debian-12-broken"
_RETIRED = "centos-7-final"
_VAULT = "nightly"


@dataclass(frozen=True, slots=True)
class Demo:
    """A world with its fault, the manifest to run on it (TOML), and the ids of the two images that cannot converge.

    `credential` is the name of the one that the manifest has besides the default: it is of another account.
    """

    world: World
    faults: tuple[Fault, ...]
    manifest: str
    poisoned: str
    absent: str
    credential: str


def demo(now: Callable[[], float] = time.time) -> Demo:
    """Build the fleet: three projects, 68 images, some shares accepted already, some unmanaged, one to be rejected."""
    world = World(now, JobRules(seconds=(0.2, 0.5)))
    for name in (PAYMENTS, ANALYTICS, EDGE):
        world.add_project(project_id(name), name)
    for name in (*_PLAIN, *_FULL_ECS, *_SCRATCH, _POISONED, _RETIRED):
        created = FIRST_CREATED + 3600.0 * len(world.images)
        world.add(Image(image_id(name), name, OWNER, full_ecs=name in _FULL_ECS, created_at=created))
    world.add(Vault(vault_id(_VAULT), project_id(PAYMENTS)))
    for project in (PAYMENTS, ANALYTICS, EDGE):
        for name in _PLAIN:
            world.share(image_id(name), project_id(project), _already(project, name))
    for name in _FULL_ECS:
        world.share(image_id(name), project_id(PAYMENTS))
    for name in _SCRATCH:
        world.share(image_id(name), project_id(EDGE))
    world.share(image_id(_POISONED), project_id(ANALYTICS))
    world.share(image_id(_RETIRED), project_id(EDGE), Answer.ACCEPTED)
    poison = Fault(Poison(code="IMG.0066"), image=(image_id(_POISONED),))
    return Demo(world, (poison,), _manifest(), image_id(_POISONED), image_id(_ABSENT), _OTHER_ACCOUNT)


def _already(project: str, name: str) -> Answer:
    return Answer.ACCEPTED if project == EDGE and name.startswith("ubuntu") else Answer.PENDING


def _manifest() -> str:
    images = (*_PLAIN, *_FULL_ECS, _POISONED, _RETIRED, _ABSENT)
    lines = ["version = 1", "", "[images]"]
    lines += [f'"{name}" = "{image_id(name)}"' for name in images]
    lines += ["", "[vaults]", f'{_VAULT} = "{vault_id(_VAULT)}"']
    for project in (PAYMENTS, ANALYTICS, EDGE):
        lines += ["", f"[projects.{project}]", f'id = "{project_id(project)}"']
        lines += [f'vault = "{_VAULT}"'] if project == PAYMENTS else []
        lines += [f'credential = "{_OTHER_ACCOUNT}"'] if project == EDGE else []
    lines += _share("*", _PLAIN, Answer.ACCEPTED)
    lines += _share(PAYMENTS, _FULL_ECS, Answer.ACCEPTED)
    lines += _share(ANALYTICS, (_POISONED, _ABSENT), Answer.ACCEPTED)
    lines += _share(EDGE, (_RETIRED,), Answer.REJECTED)
    return "\n".join(lines) + "\n"


def _share(project: str, images: tuple[str, ...], status: Answer) -> list[str]:
    return [
        "",
        "[[share]]",
        f'projects = ["{project}"]',
        "images = [",
        *(f'  "{name}",' for name in images),
        "]",
        f'status = "{status}"',
    ]
