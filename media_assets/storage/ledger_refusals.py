"""Uploads that were erased from the library and still lie in an inbox: they are not taken in again.

Statements only. What is remembered of one is a hash of its key together with its version, so that the record tells
nobody that there was such a file unless he has the very file in its inbox. Another version under the same key is a new
upload.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger_engine import LedgerEngine, chunks

refusal = sa.Table(
    "ma_refusal",
    schema.metadata,
    sa.Column("mark", sa.String(64), primary_key=True),
    sa.Column("erasure_id", sa.String(32), nullable=False),
    sa.Column("at", schema.UtcDateTime, nullable=False),
)


def refusal_mark(source_key: str, etag: str, size_bytes: int) -> str:
    """Return what is remembered of one version of an upload: 64 hex digits."""
    text = f"refusal\x00{source_key}\x00{etag}\x00{size_bytes}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class RefusalLedger(LedgerEngine):
    """The part of the ledger that knows what must not come back."""

    def refuse(self, marks: Iterable[str], erasure_id: str) -> None:
        """Remember versions of uploads; those that are known already stay as they are."""
        now = datetime.now(UTC)
        rows = [{"mark": mark, "erasure_id": erasure_id, "at": now} for mark in sorted(set(marks))]
        with self._transaction() as connection:
            if rows:
                connection.execute(self._insert(refusal).on_conflict_do_nothing(), rows)

    def lift_refusals(self, erasure_id: str) -> int:
        """Forget what an erasure has remembered; return how many versions may come in again."""
        with self._transaction() as connection:
            return int(connection.execute(sa.delete(refusal).where(refusal.c.erasure_id == erasure_id)).rowcount)

    def lift_marks(self, marks: Sequence[str]) -> None:
        """Forget versions of uploads that are in no inbox any more."""
        with self._transaction() as connection:
            for chunk in chunks(marks):
                connection.execute(sa.delete(refusal).where(refusal.c.mark.in_(chunk)))

    def refusal_count(self) -> int:
        """Return how many versions of uploads are remembered."""
        with self._transaction() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(refusal)) or 0

    def _without_refused(self, connection: sa.Connection, objects: Sequence[InboxObject]) -> Sequence[InboxObject]:
        """Leave out of a listing what was erased."""
        if connection.scalar(sa.select(refusal.c.mark).limit(1)) is None:
            return objects
        marks = [refusal_mark(one.source_key, one.etag, one.size_bytes) for one in objects]
        refused: set[str] = set()
        for chunk in chunks(marks):
            refused.update(connection.scalars(sa.select(refusal.c.mark).where(refusal.c.mark.in_(chunk))))
        return [one for one, mark in zip(objects, marks, strict=True) if mark not in refused]
