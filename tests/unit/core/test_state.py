"""The nouns: how large a desired state is, and when two wishes are the same."""

from __future__ import annotations

from hypothesis import given
from strategies import desired_states

from worker.core.state import DesiredState, MemberStatus, Share, Wish


@given(desired_states)
def test_a_desired_state_is_as_large_as_its_shares_are_many(desired: DesiredState) -> None:
    """Its length counts pairs of project and image."""
    assert len(desired) == len(
        {Share(project, image) for project in desired.wishes for image in desired.wishes[project]}
    )


def test_wishes_are_the_same_wherever_they_are_written() -> None:
    """The place is for messages; status, vault and patience are what is wished."""
    wish = Wish(MemberStatus.ACCEPTED, "vault", False, "a.toml: share[0]")
    assert wish == Wish(MemberStatus.ACCEPTED, "vault", False, "b.toml: share[7]")
    assert wish != Wish(MemberStatus.ACCEPTED, "other", False, "a.toml: share[0]")
    assert wish != Wish(MemberStatus.ACCEPTED, "vault", True, "a.toml: share[0]")
    assert wish != Wish(MemberStatus.REJECTED, "vault", False, "a.toml: share[0]")
