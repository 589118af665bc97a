"""A batch that failed as a whole → the parts to send next, until the images to blame stand alone.

A part is halved when it fails, one half first. As soon as any part has passed, all others go side by side; before that,
nothing tells a bad image from a cloud that takes none of them. So when a single image has failed and nothing has
passed yet, other single images are asked, spread over the batch: if all of them fail too, the division stops.

With `n` images and `L = ceil(log2 n)`: up to `L + 2` bad images, wherever they lie, are found for at most `2 L + 1`
PUTs each, the first one included; where everything fails, it stops after at most `2 L + 3`. Where both halves of a
*refused* part have passed, its size was to blame, and that is what the division says last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Verdict(StrEnum):
    """What became of a part.

    REFUSED is the PUT's own answer, for which its size may be to blame; FAILED is about the images alone (an image
    code, or a job that was taken and failed). What is UNDECIDED taught nothing: its answer was lost, or it was not
    sent. HOPELESS is a refusal for which no image is to blame: the others would be refused alike.
    """

    PASSED = "passed"
    REFUSED = "refused"
    FAILED = "failed"
    UNDECIDED = "undecided"
    HOPELESS = "hopeless"


@dataclass(frozen=True, slots=True)
class Part:
    """Images of the batch that go in one PUT. `half_of` is the refused part that it is a half of, if it is one."""

    images: tuple[str, ...]
    half_of: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Division:
    """How far a division has come: what is `due` to be sent, smallest first, and `waiting` until something passes.

    `left` are the images that it gives up on when it stops. `refused_size` is the size that was found to be too large;
    the rest is then `undivided`: to be sent anew, in batches of a size that is taken. `in_vain` counts the single
    images that failed while nothing had passed.
    """

    due: tuple[Part, ...] = ()
    waiting: tuple[Part, ...] = ()
    left: tuple[str, ...] = ()
    undivided: tuple[str, ...] = ()
    refused_size: int | None = None
    any_passed: bool = False
    in_vain: int = 0
    most_in_vain: int = 0
    passed_halves: frozenset[tuple[str, ...]] = frozenset()

    def sent(self, part: Part) -> Division:
        """Return the division when a part that is due has been sent."""
        return replace(self, due=tuple(each for each in self.due if each != part))


def divide(images: tuple[str, ...], verdict: Verdict, named: Collection[str] = ()) -> Division:
    """Return the division of a batch that failed as a whole; `named` are the images that the failure itself names."""
    most_in_vain = (len(images) - 1).bit_length() + 2
    return answered(Division(most_in_vain=most_in_vain), Part(images), verdict, named)


def answered(division: Division, part: Part, verdict: Verdict, named: Collection[str] = ()) -> Division:
    """Return the division after a part that was sent has ended one way or another.

    A part whose PUT was taken has passed as far as the cloud's refusals go, and may be told of a second time when its
    job fails.
    """
    match verdict:
        case Verdict.PASSED:
            return _passed(division, part)
        case Verdict.UNDECIDED:
            return division if division.any_passed else _next_waiting(division)
        case Verdict.HOPELESS:
            return _stopped(division)
        case _:
            return _failed(division, part, verdict, named)


def _passed(division: Division, part: Part) -> Division:
    division = replace(division, any_passed=True, due=division.due + division.waiting, waiting=())
    if not part.half_of:
        return division
    if part.half_of not in division.passed_halves:
        return replace(division, passed_halves=division.passed_halves | {part.half_of})
    # Both halves were taken, and so nothing but the size of the whole was wrong.
    return replace(
        division,
        due=(),
        undivided=division.undivided + _images(division.due),
        refused_size=min(len(part.half_of), division.refused_size or len(part.half_of)),
    )


def _failed(division: Division, part: Part, verdict: Verdict, named: Collection[str]) -> Division:
    if verdict is Verdict.REFUSED and division.refused_size is not None and len(part.images) >= division.refused_size:
        # It was on its way when its size was found to be too large.
        return replace(division, undivided=tuple(sorted((*division.undivided, *part.images))))
    rest = tuple(image for image in part.images if image not in named)
    if len(rest) < len(part.images):
        division = _counted(division)
        if division.any_passed or division.in_vain <= division.most_in_vain:
            return replace(division, due=division.due + ((Part(rest),) if rest else ()))
        return _stopped(replace(division, waiting=(Part(rest), *division.waiting)))
    if len(part.images) == 1:
        return division if division.any_passed else _ask_another(division)
    middle = len(part.images) // 2
    whole = part.images if verdict is Verdict.REFUSED else ()
    halves = tuple(Part(images, whole) for images in (part.images[:middle], part.images[middle:]))
    if division.any_passed:
        return replace(division, due=halves + division.due)
    return replace(division, due=halves[:1] + division.due, waiting=(halves[1], *division.waiting))


def _counted(division: Division) -> Division:
    return division if division.any_passed else replace(division, in_vain=division.in_vain + 1)


def _ask_another(division: Division) -> Division:
    """Ask another single image whether anything can pass at all; after so many in vain, stop."""
    if not division.waiting or division.in_vain >= division.most_in_vain:
        return _stopped(division)
    division = replace(division, in_vain=division.in_vain + 1)
    nearest = division.waiting[0]
    if len(nearest.images) == 1:
        return replace(division, due=(*division.due, nearest), waiting=division.waiting[1:])
    undecided = _images(division.waiting)
    image = undecided[_spread(division.in_vain, division.most_in_vain, len(undecided))]
    waiting = tuple(
        replace(part, images=tuple(each for each in part.images if each != image)) for part in division.waiting
    )
    return replace(
        division, due=(*division.due, Part((image,))), waiting=tuple(part for part in waiting if part.images)
    )


def _spread(number: int, of: int, count: int) -> int:
    """Return the place of the `number`-th (from 1) of so many places that are spread over `count`."""
    return (2 * number - 1) * count // (2 * of)


def _next_waiting(division: Division) -> Division:
    return replace(division, due=division.due + division.waiting[:1], waiting=division.waiting[1:])


def _stopped(division: Division) -> Division:
    unasked = _images((*division.due, *division.waiting))
    return replace(division, due=(), waiting=(), left=division.left + unasked)


def _images(parts: Iterable[Part]) -> tuple[str, ...]:
    return tuple(sorted(image for part in parts for image in part.images))
