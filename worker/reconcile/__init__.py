"""The verbs of a pass: tasks and time; no HTTP and no disk, which are reached through the protocols in `ports`."""
