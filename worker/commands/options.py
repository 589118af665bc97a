"""What the options of a command ask for, read before any file is: all that is wrong with them at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from worker.core.fleet.selection import Selector
from worker.core.fleet.shards import Shard, parse_shard
from worker.core.timing import parse_duration
from worker.errors import Problem, SettingsError

T = TypeVar("T")
_LONGEST_DEADLINE = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Asked:
    """The part of the fleet that a command selects, and in how many seconds a pass is to end, if that was said."""

    selector: Selector = field(default_factory=Selector)
    deadline: float | None = None


def judge(options: argparse.Namespace) -> Asked:
    """Return what the options of any verb ask for; raise SettingsError with every problem.

    Whether there are projects and images of such names is for the manifest to say, later.
    """
    given = vars(options)
    problems: list[Problem] = []

    def read(option: str, parse: Callable[[str], T]) -> T | None:
        text = given.get(option)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            problems.append(Problem.about(f"--{option}", str(error), value=text))
            return None

    shard, deadline = read("shard", parse_shard), read("deadline", _deadline)
    if problems:
        raise SettingsError(tuple(problems))
    return Asked(Selector(tuple(given.get("project", ())), tuple(given.get("image", ())), shard or Shard()), deadline)


def _deadline(text: str) -> float:
    seconds = parse_duration(text)
    if not 0 < seconds <= _LONGEST_DEADLINE:
        raise ValueError("must be longer than nothing and at most 30d")
    return seconds
