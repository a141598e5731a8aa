"""Engines that keep their connections, and are safe in a process that forks.

Dagster opens a new connection for each statement. A connection that is kept must never be used by two processes: after
a fork the child lets go of what it inherited, without closing it, and opens its own.
"""

import os
import weakref
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.pool import Pool, QueuePool

# SQLite's limit for a writer that waits for another one, as Dagster sets it for events.
SQLITE_BUSY_TIMEOUT_S = 30

# Run as ``DAGSTER_EVENT_BATCH_SIZE``: Dagster hands over at most so many events at once. A chunk of a run has 64 files
# by default; 1,000 events with previews are about 10 MB.
EVENT_BATCH_SIZE = 1000


class Forked(Protocol):
    """Holds something that a forked process must not share with its parent."""

    def after_fork(self) -> None:
        """Replace it, in the child."""


_engines: "weakref.WeakSet[sa.Engine]" = weakref.WeakSet()
_others: "weakref.WeakSet[Forked]" = weakref.WeakSet()
# Pools of the parent of this process. They stay referenced: SQLite would close, and so disturb, the parent's files.
_inherited: list[Pool] = []


def _let_go() -> None:
    for engine in list(_engines):
        _inherited.append(engine.pool)
        engine.dispose(close=False)
    for other in list(_others):
        other.after_fork()


os.register_at_fork(after_in_child=_let_go)


def track(engine: sa.Engine) -> sa.Engine:
    """Make ``engine`` safe in a process that forks, and return it."""
    _engines.add(engine)
    return engine


def renew_after_fork(holder: Forked) -> None:
    """Call ``after_fork`` of ``holder``, as long as it lives, in each process that this one forks."""
    _others.add(holder)


def sqlite_engine(url: str, size: int) -> sa.Engine:
    """Return an engine for an SQLite file that keeps up to ``size`` connections and opens more when they are in use."""
    return track(
        sa.create_engine(
            url,
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=-1,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S, "check_same_thread": False},
        )
    )


def enable_batches() -> None:
    """Let Dagster hand over events in batches in this process and those that it starts, unless the user chose a size.

    There is no setting for it in ``dagster.yaml``. Called by storages that write a batch in one transaction.
    """
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENT_BATCH_SIZE))
