"""`plan`: observe, and print what a run would do."""

from __future__ import annotations

import time

from worker.commands.command import Command
from worker.commands.plan_out import save, see_where_to_save
from worker.commands.watched import watched
from worker.core.fleet.report import Exit, exit_of_plan
from worker.core.job import underway
from worker.render.names import Names
from worker.render.plan import plan_json, print_plan, view_of
from worker.telemetry.logs import log_call
from worker.wiring import work
from worker.wiring.policies import cloud_config
from worker.wiring.site import load_site, order_of
from worker.wiring.times import timings


async def plan(command: Command) -> Exit:
    """Observe and diff, and print what a run would do; save it, where that is asked for."""
    see_where_to_save(command)
    site = load_site(command.configure())
    order = order_of(site, command.asked.aim)
    async with work.at_look(site, cloud_config(site, command.environ), order.selection.shard, log_call) as (
        journal,
        ims,
    ):
        async with watched(command, site, ims) as events:
            prepared, forecast = await work.plan(site, order, ims, journal, events)
        notes = (*prepared.plan.notes, *journal.notes, *await work.record_calls(journal))
    sent = prepared.plan.in_flight_of(order.selection.images)
    in_flight = underway(sent, time.time(), timings(site.settings))
    view = view_of(prepared, forecast, Names.of(site.manifest), notes, in_flight)
    command.note(notes)
    view, saved = save(command, view)
    shown = command.show(plan_json(view), lambda: print_plan(view, command.out))
    command.own_up(prepared.bugs)
    return (
        exit_of_plan(
            prepared.plan,
            refused=bool(prepared.verdict.refusals),
            fail_on_drift=command.options.fail_on_drift,
            broken=bool(prepared.bugs),
        )
        or saved
        or shown
    )
