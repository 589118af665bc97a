"""What the manifest asks for, given what is offered."""

from __future__ import annotations

from hypothesis import given
from strategies import observed_states

from worker.core.manifest import Manifest
from worker.core.resolve import resolve
from worker.core.state import DesiredState, MemberStatus, ObservedState, Project, Wish


@given(observed_states)
def test_share_blocks_mean_the_same_whatever_is_offered(observed: ObservedState) -> None:
    """What is written out, share by share, does not depend on what is there: a vanished image stays desired."""
    projects, wishes = {"p": Project("p", "payments")}, {"p": {"image-0": Wish(MemberStatus.ACCEPTED)}}
    manifest = Manifest(projects, wishes, {"image-0": "ubuntu"}, {"ubuntu": "image-0"}, {}, {})
    assert resolve(manifest, observed) == DesiredState(projects, wishes, {"image-0": "ubuntu"})
