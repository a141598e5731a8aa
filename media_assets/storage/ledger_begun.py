"""Versions in the ledger whose rows were begun: what a run that dies may have written without having told of it.

Statements only. What becomes of them is decided in ``pipeline.interrupted``.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger_engine import LedgerEngine, chunks


@dataclass(frozen=True)
class BegunVersion:
    """A version of an upload whose original is stored and whose rows may be written.

    Attributes:
        media_id: The file.
        etag: The version, as the inbox showed it.
        sha256: Of its bytes, 64 hex digits.
        original_key: Where they are stored.
    """

    media_id: str
    etag: str
    sha256: str
    original_key: str


class BegunLedger(LedgerEngine):
    """The part of the ledger that knows which rows were begun."""

    def note_begun(self, versions: Iterable[BegunVersion]) -> None:
        """Record versions of stored uploads before their rows are written.

        A later version of a file takes the place of the one before: so do its rows.
        """
        rows = [asdict(one) for one in versions]
        if not rows:
            return
        statement = self._insert(schema.begun)
        changed = {name: statement.excluded[name] for name in ("etag", "sha256", "original_key")}
        with self._transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=[schema.begun.c.media_id], set_=changed), rows
            )

    def begun(self, media_ids: Iterable[str]) -> dict[str, BegunVersion]:
        """Return, by media id, the versions of those files whose rows were begun and never told of."""
        found: dict[str, BegunVersion] = {}
        with self._transaction() as connection:
            for chunk in chunks(sorted(media_ids)):
                statement = sa.select(schema.begun).where(schema.begun.c.media_id.in_(chunk))
                found |= {row.media_id: BegunVersion(**row._asdict()) for row in connection.execute(statement)}
        return found

    def _forget_begun(self, connection: sa.Connection, media_ids: Iterable[str]) -> None:
        for chunk in chunks(sorted(media_ids)):
            connection.execute(sa.delete(schema.begun).where(schema.begun.c.media_id.in_(chunk)))
