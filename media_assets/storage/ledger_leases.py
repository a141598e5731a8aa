"""Leases: who may compact the catalog or link pairs, of all processes that share the ledger.

Lives here: statements only. Must not: know what is leased, or how a process is told to be dead.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger_engine import LedgerEngine


class LeaseLedger(LedgerEngine):
    """The part of the ledger that knows leases."""

    @contextmanager
    def lease(
        self,
        name: str,
        holder: str,
        ttl: timedelta = timedelta(minutes=30),
        *,
        is_dead: Callable[[str], bool] = lambda holder: False,
    ) -> Iterator[bool]:
        """Hold an exclusive lease for the body; yields whether it was obtained.

        Args:
            name: What is leased.
            holder: Who takes it; equal holders share it.
            ttl: After this, it is free for others, whatever became of the holder.
            is_dead: Returns whether a holder has certainly ended, so that its lease is free at once.
        """
        now = datetime.now(UTC)
        table = schema.lease
        present = sa.select(table.c.holder).where(table.c.name == name)
        with self._transaction() as connection:
            before = connection.scalar(present)
            # Compared with what was seen: of two processes that find the same dead holder, one follows it.
            free = table.c.holder.in_([holder, before] if before is not None and is_dead(before) else [holder])
            statement = self._insert(table).values(name=name, holder=holder, expires_at=now + ttl)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[table.c.name],
                    set_={"holder": holder, "expires_at": now + ttl},
                    where=(table.c.expires_at < now) | free,
                )
            )
            obtained = connection.scalar(present) == holder
        try:
            yield obtained
        finally:
            if obtained:
                with self._transaction() as connection:
                    connection.execute(sa.delete(table).where(table.c.name == name, table.c.holder == holder))
