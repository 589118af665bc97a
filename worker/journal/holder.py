"""Who holds the journal, as it is written down for those who come later and as they are told."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime

from worker.core.target import Shard


def introduction(verb: str, shard: Shard) -> str:
    """Return what this process writes down when it begins to hold the journal."""
    holder = {
        "verb": verb if shard.count == 1 else f"{verb} --shard {shard}",
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return json.dumps(holder)


def described(introduction: str) -> str:
    """Tell people who wrote this; what cannot be read is somebody who has not said."""
    try:
        holder = json.loads(introduction)
        return f"`{holder['verb']}`, process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "somebody who has not said who it is"
