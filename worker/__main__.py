"""`python -m worker` is the same command as `ims-share-worker`."""

from __future__ import annotations

import sys

from worker.cli import run_command


def main() -> None:
    """Run the command line and leave with its exit status."""
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
