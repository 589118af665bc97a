"""Rules for tests: what a wish may be that depends on what is observed."""

from __future__ import annotations

from worker.core.globs import Glob
from worker.core.manifest.model import Rule
from worker.core.operation import Operation
from worker.core.source import Source

OWNER = "owner"
"""The owner of whatever the stand-ins offer."""


def rule(name: str = "all", operation: Operation | None = Operation.ACCEPT, image: str = "*", **more: object) -> Rule:
    """Return a rule about every project, and about the images of the one owner that there is."""
    parts: dict[str, object] = {
        "projects": None,
        "owner": OWNER,
        "source": Source("manifest.toml", 9, rule=name),
    }
    return Rule(name=name, image=Glob(image), operation=operation, **(parts | more))  # type: ignore[arg-type]


ALL = rule()
"""A rule that accepts whatever is offered, in every project."""
