"""The faults document (`simulate --faults FILE`): what goes wrong in the simulated cloud, where, and how often.

Two faults, and nothing else is needed:

    [[fault]]
    what = "reset"                  # the connection dies
    on = "members_put"              # at the PUT
    after_work = true               # when the job has been started: the answer is lost
    times = 2                       # twice, then never again

    [[fault]]
    what = "poison"                 # any PUT with this image is refused as a whole
    image = "golden-windows"
    code = "IMG.0066"

The top level may have `seed = 7`, which fixes what `probability` chooses. Where and how often a fault strikes:

    on             call groups: members_put, images_list, job_get, job_progress, and beside IMS token, projects (of
                   IAM), sts, metadata (also a pod's identity), vaults; one or a list (default: all that fit)
    project        only calls for these projects: names or ids, one or a list
    image          only PUTs with, and queries of jobs about, these images: names or ids, one or a list
    access_key     only calls with these access keys, or that ask for a token for these users or agencies
    after = 0.0    only from so many seconds after the start
    until = inf    only until so many seconds after the start
    skip = 0       let so many matching calls pass first
    every = 1      strike at every so many-th matching call
    probability = 1.0
    times = 0      strike so many times; 0: without end

What it does is the word in `what`, with keys of its own (here with their defaults):

    status              an error status: status = 500, body = "ims" (or gateway, iam, glance, html), code = "",
                        message, after_work = false (true: the work is done all the same)
    reset               the connection is reset: after_work = false (true: the answer is lost)
    hang                no answer ever comes: after_work = false
    delay               the call takes longer: seconds = 1.0
    throttle            429, or with style = "ims" (default gateway) a 400 with IMG.0060: limit = "200/5m",
                        retry_after = 0 (seconds; 0: no such header)
    poison              400 for the whole PUT, needs `image`: code = "IMG.0144", empty for none; names = "none" (or
                        first, all: which of these images the refusal names)
    partial-job         some images of the job fail, those of `image` or every second one: overall = "FAIL" (or
                        SUCCESS), code = "IMG.0112", reason
    failed-job          the job fails as a whole: code = "IMG.0112", reason
    hollow-success      the job says SUCCESS and does nothing
    stuck-job           the job never ends
    lost-job            the job is not found: polls = 0 (found so many times before), style = "IMG.0023" (or 404)
    expired-credential  401
    clock-skew          the server's clock is off, its Date says so, and it judges by it: seconds = 3600.0
    html                a web page with status 200
    redirect            to another host: location, status = "307" (or 301, 302, 308)
    truncated           half of the answer: announced = false (true: the connection closes in its middle)
    drip                the answer byte by byte: seconds = 1.0 (between each and the next)
    gigantic            the answer after so many blanks: megabytes = 64
    mistyped            the answer, wrongly typed: shape = "images-object" (an unknown shape is told all shapes: of
                        lists, jobs, tokens, keys, projects and vaults)

The first fault that strikes wins, in the order of the document; delays add up before it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from worker.simulator.document import Document, DocumentError
from worker.simulator.effects import EFFECTS
from worker.simulator.effects.calls import Delay, Poison
from worker.simulator.effects.effect import Effect
from worker.simulator.options import Group
from worker.simulator.places import Places
from worker.simulator.world import World


@dataclass(frozen=True, slots=True)
class Fault:
    """An effect, where it strikes and how often; the keys are those of the faults document."""

    effect: Effect
    on: tuple[Group, ...] = ()
    project: tuple[str, ...] = ()
    image: tuple[str, ...] = ()
    access_key: tuple[str, ...] = ()
    after: float = 0.0
    until: float = inf
    skip: int = 0
    every: int = 1
    probability: float = 1.0
    times: int = 0

    def __post_init__(self) -> None:
        if self.until <= self.after:
            raise ValueError("until is later than after")
        if self.every < 1 or self.skip < 0 or self.times < 0 or self.after < 0:
            raise ValueError("every is at least 1; skip, times and after are not negative")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability is from 0 to 1")
        if strange := set(self.on) - set(self.effect.groups):
            allowed = ", ".join(self.effect.groups)
            raise ValueError(f"on: {', '.join(sorted(strange))} does not fit, allowed are {allowed}")
        if isinstance(self.effect, Poison) and not self.image:
            raise ValueError("image: a poison needs one")


@dataclass(frozen=True, slots=True)
class FaultSet:
    """What a faults document says; `file` is what errors call it, `places` knows its lines."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0
    file: str = "faults"
    places: Places = field(default=Places(""), compare=False)


@dataclass(frozen=True, slots=True)
class Moment:
    """What faults look at: the call's group, project, images and key, and the `seconds` since the start."""

    group: Group
    project_id: str
    images: tuple[str, ...]
    access_key: str
    seconds: float


class Strike(NamedTuple):
    """An effect that befalls a call, and those of its images that the fault names."""

    effect: Effect
    aimed: frozenset[str]


def load_faults(path: Path) -> FaultSet:
    """Read a faults document; raise DocumentError with all that is wrong in it."""
    try:
        return parse_faults(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError([f"{path}: cannot be read: {error}"]) from error


def parse_faults(text: str, file: str = "faults") -> FaultSet:
    """Read the text of a faults document; `file` is what errors call it."""
    document = Document(text, file)
    document.only(document.root, "", ("fault", "seed"))
    seed = document.root.get("seed", 0)
    if type(seed) is not int:
        document.problem("seed", f"expected a whole number, not {seed!r}")
    found = [_fault(document, place, table) for place, table in document.tables("fault")]
    document.finish()
    return FaultSet(tuple(fault for fault in found if fault is not None), seed, file, document.places)


def _fault(document: Document, place: str, table: dict[str, Any]) -> Fault | None:
    what = table.get("what")
    kind = EFFECTS.get(what) if isinstance(what, str) else None
    if kind is None:
        document.problem(f"{place}.what", f"expected one of {', '.join(EFFECTS)}, not {what!r}")
        return None
    own = tuple(field.name for field in fields(kind))  # type: ignore[arg-type]
    aim = tuple(field.name for field in fields(Fault) if field.name != "effect")
    document.only(table, place, ("what", *own, *aim))
    effect = document.build(kind, table, place)
    return document.build(Fault, table, place, effect=effect) if effect is not None else None


class FaultPlan:
    """Decides, call by call, which faults strike; keeps count of what each has done."""

    def __init__(self, world: World, chosen: FaultSet) -> None:
        self._world = world
        self._random = random.Random(chosen.seed)  # noqa: S311 - chance in a simulation
        self._states = [_State(fault) for fault in chosen.faults]
        _check_targets(world, chosen)

    def strike(self, moment: Moment) -> tuple[Strike, ...]:
        """Return what befalls a call: any number of delays, then at most one other effect."""
        strikes: list[Strike] = []
        for state in self._states:
            fault = state.fault
            if self._matches(fault, moment) and state.strikes(self._random):
                strikes.append(Strike(fault.effect, self._aimed(fault, moment)))
                if not isinstance(fault.effect, Delay):
                    break
        return tuple(strikes)

    def _matches(self, fault: Fault, moment: Moment) -> bool:
        if moment.group not in (fault.on or fault.effect.groups) or not fault.after <= moment.seconds < fault.until:
            return False
        if fault.access_key and moment.access_key not in fault.access_key:
            return False
        project = {moment.project_id, self._world.projects.get(moment.project_id)}
        if fault.project and not project.intersection(fault.project):
            return False
        return not fault.image or bool(self._aimed(fault, moment))

    def _aimed(self, fault: Fault, moment: Moment) -> frozenset[str]:
        """Return those images of the call that the fault names, by id or by name."""
        names = {
            image_id: self._world.images[image_id].name for image_id in moment.images if image_id in self._world.images
        }
        return frozenset(image_id for image_id in moment.images if {image_id, names.get(image_id)} & {*fault.image})


@dataclass(slots=True)
class _State:
    fault: Fault
    matched: int = 0
    struck: int = 0

    def strikes(self, chance: random.Random) -> bool:
        self.matched += 1
        counted = self.matched - self.fault.skip
        if counted <= 0 or counted % self.fault.every or (self.fault.times and self.struck >= self.fault.times):
            return False
        if self.fault.probability < 1 and chance.random() >= self.fault.probability:
            return False
        self.struck += 1
        return True


def _check_targets(world: World, chosen: FaultSet) -> None:
    """Raise DocumentError where a fault names a project or image that is not there: it would never strike."""
    projects = world.projects.keys() | world.projects.values()
    images = world.images.keys() | {image.name for image in world.images.values()}
    problems = [
        f"{chosen.places.named(chosen.file, f'fault[{index}].{key}')}: {name!r} is not in the simulated cloud"
        for index, fault in enumerate(chosen.faults)
        for key, names, known in (("project", fault.project, projects), ("image", fault.image, images))
        for name in names
        if name not in known
    ]
    if problems:
        raise DocumentError(problems)
