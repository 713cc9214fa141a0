"""Connections to PostgreSQL: what is asked of a session, how long anything may take, and what its errors mean.

A server can be away, slow, read-only or at the far end of a cable that was cut. Every wait therefore has an end: to
connect, for a lock, for an answer. A session that this process lost ends by itself within a minute on the server's
side, so that its locks do not outlive it.
"""

from __future__ import annotations

import json
import os
import socket
from functools import partial
from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from monitor.errors import ConfigurationError

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 45.0  # after which a server that says nothing is taken for gone
LOCK_SECONDS = 10  # how long a statement waits for a row or table that another session holds
APPLICATION = "newsquake"  # as PostgreSQL's list of sessions shows us
SETTINGS = {
    "lock_timeout": f"{LOCK_SECONDS}s",
    # Where this process hangs, or the network drops what it says, the server ends its session and lets its locks go.
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    # Our questions are many and small, of rows lately written: compiling one takes several times as long as answering
    # it, and a look by an index costs hardly more than the next page.
    "jit": "off",
    "random_page_cost": "1.1",
}
READERS, MORE_READERS = 4, 8  # connections of the readers that are kept, and further ones while many ask at once
READING_SECONDS = 30  # a question of the API that takes longer is given up

OPTIONS = ("host", "port", "user", "ssl", "sslmode", "target_session_attrs")  # that a URL may hold after its `?`

# By SQLSTATE, or its first two characters (https://www.postgresql.org/docs/current/errcodes-appendix.html): what may
# befall a good database in use. All else is a mistake of ours.
MEANINGS = {
    "53100": "the server's disk is full",
    "53300": "the server has no connection left",
    "53": "the server is short of resources",
    "25006": "the server is read-only: a standby, or not yet the new primary",
    "55P03": f"another session has kept a lock for {LOCK_SECONDS} s",
    "57014": f"the statement took longer than {READING_SECONDS} s and was given up",
    "57P01": "the server is shutting down",
    "57P02": "the server has crashed and is recovering",
    "57P03": "the server is starting or shutting down",
    "57P04": "the database was dropped",
    "57P05": "the server ended the session",
    "25P03": "the server ended the session, which was silent for too long",
    "08": "the connection was lost",
    "58": "the server cannot read or write its files",
    "XX001": "the database is damaged; restore a backup",
    "XX002": "an index of the database is damaged; run REINDEX DATABASE",
    "28": "the server refuses this user",
    "3D000": "there is no such database",
    "42501": "this user may not do that",
    "40": "the server undid the transaction in favour of another",
}
# What patience, or a new connection, mends.
AWAY = ("53300", "57P01", "57P02", "57P03", "57P05", "25006", "25P03", "08")

dumps = partial(json.dumps, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def whoami() -> str:
    """Return this process, as another one will name it: `process 4711 on desk-1`."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def locate(url: URL) -> URL:
    """Return the URL with its options as the driver names them. Raise ConfigurationError for one that is not known."""
    options = dict(url.query)
    if "sslmode" in options:  # as libpq names it
        options["ssl"] = options.pop("sslmode")
    for name in options:  # the value may be a secret: it is not repeated
        if name not in OPTIONS:
            raise ConfigurationError(f"store.url: found the option {name!r}; expected one of {', '.join(OPTIONS)}")
    return url.set(query=options)


def connect(url: URL, name: str, *, patient: bool = False, **options: Any) -> AsyncEngine:
    """Return an engine; nothing is connected yet. A patient one lets a statement take as long as it needs.

    Raise ConfigurationError where the driver is not installed.
    """
    answer = None if patient else ANSWER_SECONDS
    settings = {**SETTINGS, "application_name": f"{APPLICATION}: {whoami()}", **options.pop("settings", {})}
    try:
        return create_async_engine(
            url,
            json_serializer=dumps,
            pool_pre_ping=True,
            connect_args={"server_settings": settings, "timeout": CONNECT_SECONDS, "command_timeout": answer},
            **options,
        )
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name}: PostgreSQL needs the package {error.name}: pip install 'newsquake[postgresql]'"
        ) from error


def sqlstate(error: BaseException) -> str:
    """Return the five characters by which PostgreSQL names an error; empty where there are none."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) or ""


def meaning(error: BaseException) -> str | None:
    """Return what may have befallen a good server, in one line; None for what it does not know."""
    if is_cut(error):
        return MEANINGS["08"]
    state = sqlstate(error)
    found = MEANINGS.get(state) or MEANINGS.get(state[:2])
    if found is None:
        return None
    said = " ".join(str(getattr(error, "orig", error)).split())
    return f"{found} ({said})" if said else found


def is_cut(error: BaseException) -> bool:
    """Tell whether the connection broke under a statement. A value that cannot be sent is no such thing."""
    if not isinstance(error, DBAPIError):
        return False
    refused = isinstance(error.orig.__cause__, ValueError) if error.orig is not None else False
    return error.connection_invalidated or (isinstance(error, InterfaceError) and not refused)


def is_away(error: BaseException) -> bool:
    """Tell whether this connection is of no more use, and another one, now or later, may be."""
    return isinstance(error, OSError) or is_cut(error) or sqlstate(error).startswith(AWAY)
