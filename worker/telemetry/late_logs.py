"""The logs of who has nothing to log: they take long to import, and are set up only if a library has a word to say."""

from __future__ import annotations

import logging
from collections.abc import Callable


class _SetsUpLogs(logging.Handler):
    """Sets up the logs for the first record of a library, and gives way to them."""

    def __init__(self, set_up: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._set_up = set_up

    def emit(self, record: logging.LogRecord) -> None:
        """Have the record written as a log line."""
        self._set_up()
        give_way()
        logging.getLogger().handle(record)


def when_needed(set_up: Callable[[], None]) -> None:
    """Have the logs set up for the first warning of a library or of Python itself."""
    give_way()
    logging.captureWarnings(capture=True)
    logging.getLogger().addHandler(_SetsUpLogs(set_up))


def give_way() -> None:
    """Leave what libraries say to the logs, which are set up by now, or are by somebody else."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _SetsUpLogs)]:
        root.removeHandler(handler)
