"""Who holds the journal, as it is written down for those who come later and as they are told."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime

import msgspec

from worker.core.fleet.shards import Shard
from worker.core.text import visible

_AT_MOST = 256
"""Characters of each text that somebody else has written down."""


class Holder(msgspec.Struct, frozen=True):
    """What a process that holds the journal has written down, as far as people are told; it may be anything."""

    verb: str
    pid: int
    host: str
    since: str

    @property
    def is_daemon(self) -> bool:
        """Whether it is a `serve`."""
        return self.verb.partition(" ")[0] == "serve"

    def __str__(self) -> str:
        verb, host, since = (visible(text[:_AT_MOST]) for text in (self.verb, self.host, self.since))
        return f"`{verb}`, process {self.pid} on {host}, since {since}"


def introduction(verb: str, shard: Shard) -> str:
    """Return what this process writes down when it begins to hold the journal."""
    holder = {
        "verb": verb if shard.count == 1 else f"{verb} --shard {shard}",
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return json.dumps(holder)


def read_introduction(introduction: str) -> Holder | None:
    """Read what a holder has written down; None where that cannot be read."""
    try:
        return msgspec.json.decode(introduction, type=Holder)
    except (msgspec.DecodeError, UnicodeError, TypeError, RecursionError):
        return None


def described(introduction: str) -> str:
    """Tell people who wrote this, which may be anything; what cannot be read is somebody who has not said."""
    return str(read_introduction(introduction) or "somebody who has not said who it is")
