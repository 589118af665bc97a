"""Settings become the times that the passes, and what happens within one, go by."""

from __future__ import annotations

from worker.core.schedule import Cron, Interval, Schedule
from worker.core.timing import PollPolicy, QuarantinePolicy, RetryPolicy, Timings
from worker.settings import Settings


def schedule_of(settings: Settings) -> Schedule:
    """Return when the daemon's passes begin."""
    schedule = settings.schedule
    if schedule.cron is not None:
        return Cron(schedule.cron, schedule.timezone)
    return Interval(schedule.every or 0.0)


def timings(settings: Settings) -> Timings:
    """Return how patient a pass is. Two calls may fail for their time-outs before a silence counts."""
    polling, retry, cloud = settings.polling, settings.retry, settings.cloud
    return Timings(
        polling=PollPolicy(polling.first, polling.factor, polling.max),
        retry=RetryPolicy(retry.attempts, retry.base, retry.max),
        deadline=polling.deadline,
        verify=polling.verify,
        unknown=polling.unknown,
        abandon=polling.abandon,
        quarantine=QuarantinePolicy(settings.quarantine.first, settings.quarantine.max),
        silence=2 * (cloud.connect_timeout + cloud.read_timeout),
    )
