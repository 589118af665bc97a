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


class _Holder(msgspec.Struct):
    """What a process writes down, as far as people are told."""

    verb: str
    pid: int
    host: str
    since: str


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
    """Tell people who wrote this, which may be anything; what cannot be read is somebody who has not said."""
    try:
        holder = msgspec.json.decode(introduction, type=_Holder)
    except (msgspec.DecodeError, UnicodeError, TypeError, RecursionError):
        return "somebody who has not said who it is"
    verb, host, since = (visible(text[:_AT_MOST]) for text in (holder.verb, holder.host, holder.since))
    return f"`{verb}`, process {holder.pid} on {host}, since {since}"
