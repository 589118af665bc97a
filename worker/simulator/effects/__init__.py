"""What can go wrong with a call, in place of the cloud's own answer: a class each, and its name in a document."""

from __future__ import annotations

from worker.simulator.effects.bodies import Drip, Gigantic, Mistyped, Page, Truncated
from worker.simulator.effects.calls import Delay, Expired, Hang, Poison, Redirect, Refuse, Reset, Skew, Throttle
from worker.simulator.effects.effect import Effect
from worker.simulator.effects.jobs import Failed, Hollow, Lost, Partial, Stuck

EFFECTS: dict[str, type[Effect]] = {
    "status": Refuse,
    "reset": Reset,
    "hang": Hang,
    "delay": Delay,
    "throttle": Throttle,
    "poison": Poison,
    "partial-job": Partial,
    "failed-job": Failed,
    "hollow-success": Hollow,
    "stuck-job": Stuck,
    "lost-job": Lost,
    "expired-credential": Expired,
    "clock-skew": Skew,
    "html": Page,
    "redirect": Redirect,
    "truncated": Truncated,
    "drip": Drip,
    "gigantic": Gigantic,
    "mistyped": Mistyped,
}
