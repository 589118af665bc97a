"""What was last known of projects, in numbers."""

from __future__ import annotations

from worker.core.fleet.last_read import LastRead, in_all, last_read_of
from worker.core.operation import Operation
from worker.core.reading import LastReading
from worker.core.share import Share
from worker.core.status import ShareStatus, Status


def test_of_several_projects_the_numbers_are_summed_and_the_oldest_reading_counts() -> None:
    """Nobody may think that what is told is newer than it is."""
    amiss = (ShareStatus(Share("p", "a"), Status.FAILED, Operation.ACCEPT),)
    reads = [last_read_of(LastReading(900.0, 1200, amiss)), last_read_of(LastReading(800.0, 40))]
    assert reads == [LastRead(900.0, 1200, 1199), LastRead(800.0, 40, 40)]
    total = in_all(reads)
    assert total == LastRead(800.0, 1240, 1239)
    assert str(total) == "1,239 of 1,240 shares as desired"
    assert in_all(()) is None
