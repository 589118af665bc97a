"""Manifest and observed → desired state.

For `[[share]]` blocks this is the identity. It takes the observed state all the same, and everything downstream
goes through it, because a rule such as "all images of this owner" means what is there to be had.
"""

from __future__ import annotations

from worker.core.manifest import Manifest
from worker.core.state import DesiredState, ObservedState


def resolve(manifest: Manifest, observed: ObservedState) -> DesiredState:  # noqa: ARG001 - what a rule means depends on it
    """Return what the manifest asks for, given what the projects are offered."""
    return DesiredState(manifest.projects, manifest.wishes, manifest.image_names)
