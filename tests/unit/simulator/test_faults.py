"""The faults document, and when its faults strike."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from worker.simulator import faults as module
from worker.simulator.document import DocumentError
from worker.simulator.effects import EFFECTS
from worker.simulator.effects.calls import Delay, Poison, Refuse, Reset
from worker.simulator.effects.jobs import Stuck
from worker.simulator.faults import Fault, FaultPlan, FaultSet, Moment, load_faults, parse_faults
from worker.simulator.model import Image
from worker.simulator.options import Group
from worker.simulator.world import World

PUT, LIST, JOB = Group.MEMBERS_PUT, Group.IMAGES_LIST, Group.JOB_GET


@pytest.fixture
def world() -> World:
    """Return a world with two projects and two images."""
    world = World(lambda: 0.0)
    for project_id, name in (("p1", "payments"), ("p2", "edge")):
        world.add_project(project_id, name)
    for image_id, name in (("i1", "golden-windows"), ("i2", "golden-ubuntu")):
        world.add(Image(image_id, name, "owner"))
    return world


def moment(group: Group = PUT, *images: str, project: str = "p1", key: str = "AK", seconds: float = 0.0) -> Moment:
    """Return a call as faults see it."""
    return Moment(group, project, images, key, seconds)


def pattern(world: World, fault: Fault, calls: int, seed: int = 0) -> str:
    """Return one letter per call: x where the fault struck."""
    plan = FaultPlan(world, FaultSet((fault,), seed))
    return "".join("x" if plan.strike(moment()) else "." for _ in range(calls))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(Reset()), "xxxxxxxx"),
        (Fault(Reset(), times=2), "xx......"),
        (Fault(Reset(), skip=3), "...xxxxx"),
        (Fault(Reset(), every=3), "..x..x.."),
        (Fault(Reset(), skip=1, every=2, times=2), "..x.x..."),
        (Fault(Reset(), probability=0.0), "........"),
    ],
)
def test_how_often_a_fault_strikes(world: World, fault: Fault, expected: str) -> None:
    """Skip, every and times count matching calls, and work together."""
    assert pattern(world, fault, 8) == expected


def test_chance_comes_from_the_seed(world: World) -> None:
    """The same seed strikes the same calls, another one others, and about as often as asked."""
    fault = Fault(Reset(), probability=0.3)
    first = pattern(world, fault, 400, seed=1)
    assert first == pattern(world, fault, 400, seed=1)
    assert first != pattern(world, fault, 400, seed=2)
    assert 80 < first.count("x") < 160


@pytest.mark.parametrize(
    ("fault", "strikes", "spares"),
    [
        (Fault(Reset(), on=(LIST, JOB)), moment(JOB), moment(PUT)),
        (Fault(Stuck()), moment(PUT), moment(JOB)),
        (Fault(Reset(), project=("payments",)), moment(), moment(project="p2")),
        (Fault(Reset(), project=("p2",)), moment(project="p2"), moment()),
        (Fault(Reset(), image=("golden-windows",)), moment(PUT, "i2", "i1"), moment(PUT, "i2")),
        (Fault(Reset(), image=("i2",)), moment(PUT, "i2"), moment(PUT)),
        (Fault(Reset(), access_key=("AK",)), moment(), moment(key="OTHER")),
        (Fault(Reset(), after=10.0), moment(seconds=10.0), moment(seconds=9.9)),
        (Fault(Reset(), until=10.0), moment(seconds=9.9), moment(seconds=10.0)),
        (Fault(Reset(), on=(Group.TOKEN, Group.STS)), moment(Group.STS), moment(PUT)),
        (Fault(Reset(), access_key=("robot",)), moment(Group.TOKEN, key="robot"), moment(Group.TOKEN)),
    ],
)
def test_where_a_fault_strikes(world: World, fault: Fault, strikes: Moment, spares: Moment) -> None:
    """Group, project, image, key and time each select, names and ids alike."""
    plan = FaultPlan(world, FaultSet((fault,)))
    assert plan.strike(spares) == ()
    assert [strike.effect for strike in plan.strike(strikes)] == [fault.effect]


def test_a_strike_tells_the_images_it_is_aimed_at(world: World) -> None:
    """Of the call's images only the named ones are aimed at, by id."""
    plan = FaultPlan(world, FaultSet((Fault(Poison(), image=("golden-windows",)),)))
    assert plan.strike(moment(PUT, "i1", "i2"))[0].aimed == {"i1"}


def test_delays_add_up_and_the_first_other_wins(world: World) -> None:
    """All delays before the first other fault strike with it, and nothing after it."""
    chosen = tuple(Fault(effect) for effect in (Delay(1.0), Delay(2.0), Reset(), Refuse(), Delay(3.0)))
    struck = FaultPlan(world, FaultSet(chosen)).strike(moment())
    assert [strike.effect for strike in struck] == [Delay(1.0), Delay(2.0), Reset()]


def test_a_target_that_is_not_there_is_named(world: World) -> None:
    """A fault for an unknown project or image is an error, since it could never strike."""
    chosen = FaultSet((Fault(Reset(), project=("paymnts",)), Fault(Reset(), image=("i9",))), file="f.toml")
    with pytest.raises(DocumentError) as error:
        FaultPlan(world, chosen)
    assert error.value.problems == (
        "f.toml: fault[0].project: 'paymnts' is not in the simulated cloud",
        "f.toml: fault[1].image: 'i9' is not in the simulated cloud",
    )


def test_the_example_of_the_docstring_is_right() -> None:
    """The document shown to users reads as the text beside it says."""
    text = inspect.getdoc(module) or ""
    example = text[text.index("[[fault]]") : text.index("The top level")]
    assert parse_faults(example).faults == (
        Fault(Reset(after_work=True), on=(PUT,), times=2),
        Fault(Poison("IMG.0066"), image=("golden-windows",)),
    )


def test_the_docstring_names_every_word_and_key() -> None:
    """No effect, key of an effect or key of a fault is left undocumented."""
    text = inspect.getdoc(module) or ""
    names = {key.name for key in fields(Fault)} - {"effect"} | set(EFFECTS)
    for kind in EFFECTS.values():
        names |= {key.name for key in fields(kind)}  # type: ignore[arg-type]
    assert {name for name in names if name not in text} == set()


@pytest.mark.parametrize("what", list(EFFECTS))
def test_each_word_makes_its_effect(what: str) -> None:
    """Every word reads as a fault of its effect with the defaults."""
    aim = 'image = "x"' if what == "poison" else ""
    (fault,) = parse_faults(f'seed = 7\n[[fault]]\nwhat = "{what}"\n{aim}').faults
    assert fault.effect == EFFECTS[what]()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[fault]]\nwhat = "boom"', "f.toml:2: fault[0].what: expected one of status, reset"),
        ("[[fault]]\ntimes = 1", "fault[0].what: expected one of"),
        (
            '[[fault]]\nwhat = "reset"\ntime = 1',
            "fault[0].time: unknown key, allowed are access_key, after, ",
        ),
        ('[[fault]]\nwhat = "reset"\neffect = "x"', "fault[0].effect: unknown key"),
        ('[[fault]]\nwhat = "reset"\non = "put"', "fault[0].on: expected one of members_put, job_get"),
        ('[[fault]]\nwhat = "stuck-job"\non = "job_get"', "on: job_get does not fit, allowed are members_put"),
        ('[[fault]]\nwhat = "poison"', "image: a poison needs one"),
        ('[[fault]]\nwhat = "reset"\nevery = 0', "every is at least 1"),
        ('[[fault]]\nwhat = "reset"\nafter = 5\nuntil = 5', "until is later than after"),
        ('[[fault]]\nwhat = "reset"\nprobability = 2', "probability is from 0 to 1"),
        ('[[fault]]\nwhat = "status"\nstatus = 200', "status is from 400 to 511"),
        ('[[fault]]\nwhat = "status"\nbody = "xml"', "fault[0].body: expected one of ims, gateway, glance, html"),
        ('[[fault]]\nwhat = "mistyped"\nshape = "x"', "shape: expected one of list, null"),
        ('[fault]\nwhat = "reset"', "fault: write it as [[fault]]"),
        ("seed = 1.5", "seed: expected a whole number, not 1.5"),
        ("faults = []", "faults: unknown key, allowed are fault, seed"),
    ],
)
def test_a_wrong_document_is_told_what_is_right(text: str, said: str) -> None:
    """Every kind of mistake names the file, the key and what is allowed."""
    with pytest.raises(DocumentError) as error:
        parse_faults(text, "f.toml")
    assert said in str(error.value)
    assert str(error.value).startswith("f.toml:")


def test_a_file_is_read_and_named(tmp_path: Path) -> None:
    """A faults file is read with its seed, and one that is missing or no text is an error that names it."""
    path = tmp_path / "faults.toml"
    path.write_text('seed = 7\n[[fault]]\nwhat = "hang"\n', "utf-8")
    assert (load_faults(path).seed, len(load_faults(path).faults)) == (7, 1)
    path.write_bytes(b"\xff")
    for bad in (path, tmp_path / "missing.toml"):
        with pytest.raises(DocumentError, match=f"{bad.name}: cannot be read"):
            load_faults(bad)
