"""`python -m worker` is the same command as `ims-share-worker`."""

from __future__ import annotations

import os
import sys

from worker.cli import run_command
from worker.render.output import set_up_output
from worker.telemetry.standard_error import standard_error


def main() -> None:
    """Run the command line and leave with its exit status.

    The process ends at once then: a thread that a dead disk holds, or that still imports what nobody needs any more,
    must not disturb the end.
    """
    with standard_error(sys.argv[1:], os.environ):
        set_up_output()
        status = run_command(sys.argv[1:])
    os._exit(status)


if __name__ == "__main__":
    main()
