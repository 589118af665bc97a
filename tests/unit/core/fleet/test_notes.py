"""Notes tell which desired images are offered and cannot be used, one note a fact."""

from __future__ import annotations

from dataclasses import replace

from passes import ACCEPT, manifest
from plans import planned

from worker.core.fleet.notes import denial_notes
from worker.core.manifest.model import Project
from worker.core.reading import ObservedImage, Offer, Reading
from worker.core.share import MemberStatus


def notes(states: dict[str, dict[str, str]], *, wished: tuple[str, ...] = (), names: tuple[str, ...] = ()) -> list[str]:
    """Return the notes of a fleet: by project and image, the state of what is offered; `wished` leaves out the rest."""
    readings = {
        project: Reading(
            {
                image: Offer(ObservedImage(image, image, "owner", state=state), MemberStatus.ACCEPTED)
                for image, state in images.items()
            }
        )
        for project, images in states.items()
    }
    wishes = {project: dict.fromkeys(wished or images, ACCEPT) for project, images in states.items()}
    desired = replace(
        manifest({**wishes, "unread": {"i": ACCEPT}}), image_names={name: f"golden-{name}" for name in names}
    )
    return list(planned(desired, {**readings, "unread": Reading({}, "away")}).plan.notes)


def test_active_images_need_no_word() -> None:
    """Nor do those that nobody wants."""
    assert notes({"p": {"a": "", "b": ""}}) == []
    assert notes({"p": {"a": "", "b": "killed"}}, wished=("a",)) == []


def test_each_state_has_one_note() -> None:
    """With the names of a few images, and in how many projects they are."""
    fleet = {"p": {"a": "killed", "b": "queued"}, "q": {"a": "killed", "c": ""}}
    assert notes(fleet, names=("a",)) == [
        "an image is offered that the cloud calls killed, not active, in 2 projects: golden-a",
        "an image is offered that the cloud calls queued, not active, in 1 project: b",
    ]
    (note,) = notes({"p": {f"i{number}": "hidden" for number in range(9)}})
    assert note.startswith("9 images are offered that the cloud calls hidden, not active, in 1 project: i0, i1, ")
    assert note.endswith(", i4 and 4 more")


def test_many_projects_without_a_permission_are_counted() -> None:
    """The first few are named, an unknown one by its id."""
    known = {f"{number}": Project(f"{number}", f"name {number}") for number in range(7)}
    (note,) = denial_notes({"ims:images:list": {*known, "8"}}, known)
    assert "in 8 projects (8, name 0, name 1, name 2, name 3 and 3 more): " in note
    assert denial_notes({}, known) == ()
