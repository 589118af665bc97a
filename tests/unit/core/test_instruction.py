"""What people ask of the daemon: what stands of it, for how long, and what calls for a pass."""

from __future__ import annotations

import math

import pytest

from worker.core.instruction import Instruction, InstructionKind, Presence, begins_a_pass, end_of_pause, pause_of

NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""


def given(key: int, asked: InstructionKind, at: float = NOW, until: float | None = None) -> Instruction:
    """Return an instruction of Ann's."""
    return Instruction(key, asked, "ann@host", at, until)


def test_the_last_pause_or_resume_stands_whatever_came_after_it() -> None:
    """Instructions of their moment change nothing, nor do the clocks by which they were written."""
    paused = given(2, InstructionKind.PAUSE, NOW - 500)
    assert (
        pause_of(
            [
                given(1, InstructionKind.RESUME),
                paused,
                given(3, InstructionKind.RECONCILE),
                given(4, InstructionKind.RELEASE),
            ],
            NOW,
        )
        == paused
    )
    assert pause_of([paused, given(3, InstructionKind.RESUME, NOW - 900)], NOW) is None
    assert pause_of([], NOW) is None


def test_a_pause_holds_until_its_end() -> None:
    """Then work goes on, without the pause before it coming back."""
    pause = given(2, InstructionKind.PAUSE, NOW, NOW + 60)
    assert pause.left(NOW) == 60
    assert pause_of([given(1, InstructionKind.PAUSE), pause], NOW + 59) == pause
    assert pause_of([given(1, InstructionKind.PAUSE), pause], NOW + 60) is None
    assert given(1, InstructionKind.PAUSE).left(NOW) == math.inf


def test_by_a_clock_that_was_put_back_a_pause_is_no_longer_than_it_was_meant_to_be() -> None:
    """Who takes it over counts its own span from now."""
    assert given(1, InstructionKind.PAUSE, NOW, NOW + 60).left(NOW - 86400) == 60


def test_a_clock_that_was_set_moves_the_end_and_leaves_the_span() -> None:
    """Whichever way; what machines differ by is no step, and a pause without an end has none to move."""
    pause = given(1, InstructionKind.PAUSE, NOW, NOW + 60)
    assert pause.ending_in(50, NOW + 10.5) == pause
    assert pause.ending_in(50, NOW + 7210) == given(1, InstructionKind.PAUSE, NOW, NOW + 7260)
    assert pause.ending_in(50, NOW - 7190) == given(1, InstructionKind.PAUSE, NOW - 7190, NOW - 7140)
    assert given(1, InstructionKind.PAUSE).ending_in(math.inf, NOW + 7200) == given(1, InstructionKind.PAUSE)


def test_a_pause_that_cannot_be_read_says_so_in_its_reason() -> None:
    """By whom as far as that is known, and where the row is."""
    pause = Instruction(
        1, InstructionKind.PAUSE, "ann@host", NOW, odd="table instructions, row with key 1: until is missing"
    )
    assert pause.reason == (
        "paused by ann@host, as far as it can be read: table instructions, row with key 1: until is missing"
    )
    assert pause_of([pause], NOW + 1e9) == pause


def test_its_reason_says_who_and_until_when() -> None:
    """That stands at each share that was not sent."""
    assert given(1, InstructionKind.PAUSE).reason == "paused by ann@host"
    assert given(1, InstructionKind.PAUSE, NOW, NOW + 60).reason == "paused by ann@host until 2027-01-15T08:01:00Z"


@pytest.mark.parametrize(
    ("asked", "at_work", "paused"),
    [
        (InstructionKind.RECONCILE, True, True),
        (InstructionKind.RESUME, True, True),
        (InstructionKind.RELEASE, True, False),
        (InstructionKind.APPROVE, True, False),
        (InstructionKind.PAUSE, False, False),
    ],
)
def test_what_calls_for_a_pass_at_once(asked: InstructionKind, *, at_work: bool, paused: bool) -> None:
    """A paused pass could do nothing about a release or an approval."""
    assert begins_a_pass(given(1, asked), paused=False) is at_work
    assert begins_a_pass(given(1, asked), paused=True) is paused


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("90s", NOW + 90),
        ("2h", NOW + 7200),
        ("2027-01-15T08:00:01Z", NOW + 1),
        ("2027-01-15t09:00:30.5+01:00", NOW + 30.5),
        (" 2027-01-15 10:00:00Z ", NOW + 7200),
    ],
)
def test_the_end_of_a_pause_is_a_duration_or_rfc_3339(text: str, end: float) -> None:
    """In any zone, with a fraction, in either case."""
    assert end_of_pause(text, NOW) == end


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("soon", "RFC 3339"),
        ("", "RFC 3339"),
        ("\uff12h", "RFC 3339"),
        ("\u0662h", "RFC 3339"),
        ("2027-01-15T09:00:00", "RFC 3339"),
        ("2027-02-30T09:00:00Z", "day"),
        ("2027-01-15T08:00:00Z", "must lie ahead: now it is 2027-01-15T08:00:00Z"),
        ("0s", "must lie ahead"),
        ("9999999d", "ten years"),
        ("9999-12-31T23:59:59Z", "ten years"),
    ],
)
def test_what_cannot_be_the_end_of_a_pause_is_refused_with_the_way_out(text: str, why: str) -> None:
    """Neither a time without a zone, nor one that has passed, nor one that nobody will see."""
    with pytest.raises(ValueError, match=why):
        end_of_pause(text, NOW)


SERVE, RUN = "`serve`, process 1 on a, since x", "`run`, process 2 on b, since y"
PAUSE = given(1, InstructionKind.PAUSE)


@pytest.mark.parametrize(
    ("presence", "begins", "said"),
    [
        (Presence((SERVE,)), True, f"{SERVE} begins a pass now, or as soon as the one under way has ended."),
        (
            Presence((SERVE, "another", "a third")),
            True,
            f"{SERVE} (and 2 more) begins a pass now, or as soon as the one under way has ended.",
        ),
        (
            Presence((SERVE,), pause=PAUSE),
            False,
            f"The first pass after `resume` goes by it: {SERVE} is paused by ann@host.",
        ),
        (Presence((SERVE,), looks=False), False, f"The next pass goes by it; {SERVE} is at work."),
        (Presence((), (RUN,)), False, f"The next pass goes by it; {RUN} is at work."),
        (Presence(pause=PAUSE), False, "Nobody is at work: the next `run` or `serve` goes by it."),
    ],
)
def test_when_something_takes_effect_is_said(presence: Presence, *, begins: bool, said: str) -> None:
    """By who is at work, and whether a pause holds."""
    assert (presence.begins_a_pass, presence.takes_effect()) == (begins, said)


def test_where_nobody_is_at_work_that_is_said_and_who_is_there_instead() -> None:
    """A `run` goes by no such word."""
    assert Presence().nobody() == "nobody is at work: no `serve` holds the journal"
    assert Presence((), (RUN,)).nobody().endswith(f"; {RUN} is, and goes by no such word")
