"""A journal on a PostgreSQL server: how it is reached, and its errors in words, without what the URL keeps secret."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from worker.errors import JournalError
from worker.journal.engine import Database, with_way_out

SCHEME = "postgresql"
_DRIVER = "postgresql+psycopg"
_WAYS_OUT = {
    "": "see that journal.url names a server, a database and a user that are there",
    "42": "let its user create tables there",
    "53": "make room on its disk, or let it take more connections",
}
"""What to do about an error of PostgreSQL, by the class of its SQLSTATE; a connection that fails has none."""
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that is gone must be noticed within seconds, or a stand-by would wait for minutes."""
_LOCKED_FOR = "10s"
"""How long a row is waited for that another one holds, who may have been stopped."""
_HOPELESS = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|does not exist|is not permitted to log in"
    r"|permission denied|does not support (?:SSL|GSS)|certificate|SSL error|invalid [a-z_ ]+(?:value|number|option)"
    r"|service .* not found|channel binding|auth(?:entication)? method"
)
"""What is said of a connection that fails until somebody mends the config, or the server's.

Such a failure has no SQLSTATE, only words, which may be foreign: what is not known here may pass by itself.
"""
_MOMENTARY = re.compile("08|53|57|58|40|55|25006")
"""SQLSTATEs, or their classes, of what may pass by itself: the connection, resources, the operator, the system, others
who write, and a server that is only a copy for now."""
_SAYS_NOTHING = frozenset(
    {"allow", "disable", "prefer", "require", "verify-ca", "verify-full", "read-write", "read-only"}
)
"""Values of options that are nothing to hide, and that errors have for reasons of their own."""
_LEAST_TOLD_APART = 3


def open_server(url: str) -> Database:
    """Return the database at `postgresql://...`; raise JournalError."""
    try:
        parsed = make_url(url).set(drivername=_DRIVER)
        _see_that_options_are_known(parsed)
        engine = create_engine(parsed, poolclass=StaticPool, connect_args=_CONNECTION)
    except ModuleNotFoundError as error:
        raise JournalError(
            f"a journal on PostgreSQL needs the driver: pip install 'ims-share-worker[postgres]' ({error})"
        ) from error
    except (ArgumentError, ValueError):
        # The error may repeat the URL, and with it the password.
        raise JournalError("journal.url is not a URL of PostgreSQL") from None

    @event.listens_for(engine, "connect")
    def _bounded(connection: Any, _record: Any) -> None:
        connection.execute(f"SET lock_timeout = '{_LOCKED_FOR}'")
        connection.commit()

    hidden = _hidden(parsed)
    port = f":{parsed.port}" if parsed.port else ""
    where = f"{SCHEME}://{parsed.host or 'localhost'}{port}/{parsed.database or ''}"
    return Database(engine, where, _passes, lambda _: False, "", lambda error: _explained(error, hidden))


def _see_that_options_are_known(url: URL) -> None:
    """Raise JournalError for what is no option of a connection: the driver would take some for arguments of its own."""
    from psycopg.pq import Conninfo  # noqa: PLC0415 - the driver is only there with an extra

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    for key, values in url.normalized_query.items():
        if key not in known:
            raise JournalError("journal.url (postgresql://...) has an option that PostgreSQL's library does not know")
        if len(values) > 1 and key not in {"host", "port"}:
            raise JournalError(f"journal.url has the option {key} twice")


def _hidden(url: URL) -> re.Pattern[str] | None:
    """Return what matches each part of the URL that nobody may see: the password, and what options are set to."""
    values = [value for each in url.normalized_query.values() for value in each]
    words = {word for value in values for word in re.split(r"[\s=,]+", value) if len(word) >= _LEAST_TOLD_APART}
    secrets = ({url.password or "", *values} | words) - _SAYS_NOTHING - {""}
    longest_first = sorted(map(re.escape, secrets), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)", re.IGNORECASE) if secrets else None


def _passes(error: SQLAlchemyError) -> bool:
    state = _state(error)
    if state:
        return _MOMENTARY.match(state) is not None
    return isinstance(error, DBAPIError) and not _HOPELESS.search(_text(error))


def _explained(error: SQLAlchemyError, hidden: re.Pattern[str] | None) -> str:
    text = _text(error)
    return with_way_out(hidden.sub("***", text) if hidden else text, _state(error)[:2], _WAYS_OUT)


def _text(error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause) or type(cause).__name__


def _state(error: SQLAlchemyError) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""
