"""What the daemon's passes listen to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Triggers:
    """`pass_now` asks for a pass before its time; `reloaded` says that files were read again.

    `reopen` says that journal or cloud are to be others, so that they have to be opened anew.
    """

    pass_now: asyncio.Event = field(default_factory=asyncio.Event)
    reloaded: asyncio.Event = field(default_factory=asyncio.Event)
    reopen: asyncio.Event = field(default_factory=asyncio.Event)
