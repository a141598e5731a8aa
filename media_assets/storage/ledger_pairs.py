"""Pairs in the ledger: what is known of the halves, who is whose partner, and which rows do not say so yet.

Statements only. Which files make a pair is decided by the function that ``pipeline.pairs`` passes in.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TypeAlias

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger_engine import LedgerEngine, chunks
from media_assets.storage.ledger_schema import MediaEntry, PairFacts

_ROUNDS = 4  # from a file to those of its name, on to those of their identifiers, and so on
_MOST_FILES = 5000
"""Files that one look-up considers. One identifier in very many files is no pair but a mistake."""

Match: TypeAlias = Callable[[Sequence[PairFacts]], Mapping[str, str]]
"""From files to the partner of each that has one, by media id; the order of the files must not matter."""

_FACTS = tuple(schema.pair.c[name] for name in PairFacts.__dataclass_fields__)


class PairLedger(LedgerEngine):
    """The part of the ledger that is about pairs."""

    def partners_of(self, facts: Sequence[PairFacts], match: Match) -> dict[str, str]:
        """Return the partners of files as they would be with these facts; nothing is recorded."""
        with self._transaction() as connection:
            known = self._related(connection, facts)
        partners = match(_ordered({**known, **{one.media_id: one for one in facts}}))
        return {one.media_id: partners[one.media_id] for one in facts if one.media_id in partners}

    def record_pairs(self, facts: Sequence[PairFacts], written: Mapping[str, str], match: Match) -> None:
        """Record what decides about pairs, and whose row has to be written again because its partner is another one.

        Args:
            facts: Files whose rows in ``metadata`` were written just now.
            written: The partners that these rows name.
            match: See :data:`Match`.
        """
        if not facts:
            return
        table = schema.pair
        with self._transaction() as connection:
            if connection.dialect.name == "postgresql":
                # Two halves that are recorded at the same time would not see each other. SQLite has one writer anyway.
                connection.execute(sa.text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))
            # Before the facts are replaced: who was the partner until now has to be looked at too.
            before = self._related(connection, facts)
            rows = [
                {
                    **asdict(one),
                    "partner_id": written.get(one.media_id),
                    "written_id": written.get(one.media_id),
                    "is_written": True,
                }
                for one in facts
            ]
            statement = self._insert(table)
            changed = {name: statement.excluded[name] for name in rows[0] if name != "media_id"}
            connection.execute(statement.on_conflict_do_update(index_elements=[table.c.media_id], set_=changed), rows)
            files = self._related(connection, [*before.values(), *facts])
            partners = match(_ordered(files))
            for chunk in chunks(sorted(files)):
                present = sa.select(table.c.media_id, table.c.partner_id).where(table.c.media_id.in_(chunk))
                for media_id, partner_id in connection.execute(present).all():
                    if partner_id != partners.get(media_id):
                        connection.execute(_set_partner(media_id, partners.get(media_id)))

    def unwritten_pairs(self, limit: int) -> list[tuple[MediaEntry, str | None]]:
        """Return files whose row in ``metadata`` names another partner than they have, and their partner."""
        table = schema.pair
        statement = (
            sa.select(table.c.partner_id.label("partner"), schema.media)
            .join_from(table, schema.media, table.c.media_id == schema.media.c.media_id)
            .where(table.c.is_written.is_(False))
            .limit(limit)
        )
        found: list[tuple[MediaEntry, str | None]] = []
        with self._transaction() as connection:
            for row in connection.execute(statement):
                values = row._asdict()
                partner = values.pop("partner")
                found.append((MediaEntry(**values), partner))
        return found

    def pairs_written(self, written: Iterable[tuple[str, str | None]]) -> None:
        """Record which partners rows in ``metadata`` name now; a file that has got another one meanwhile stays due."""
        table = schema.pair
        with self._transaction() as connection:
            for media_id, partner_id in written:
                is_written = table.c.partner_id.is_not_distinct_from(partner_id)
                connection.execute(
                    sa.update(table)
                    .where(table.c.media_id == media_id)
                    .values(written_id=partner_id, is_written=is_written)
                )

    def _related(self, connection: sa.Connection, facts: Iterable[PairFacts]) -> dict[str, PairFacts]:
        """Return the recorded files that share a name or an identifier with these, or with those, and so on.

        The facts that the ledger has of these files themselves are among them: what they were before.
        """
        table = schema.pair
        found: dict[str, PairFacts] = {}
        asked: set[str] = set()
        given = list(facts)
        for chunk in chunks([one.media_id for one in given]):
            for row in connection.execute(sa.select(*_FACTS).where(table.c.media_id.in_(chunk))):
                found[row.media_id] = PairFacts(**row._asdict())
        new = [*given, *found.values()]
        for _ in range(_ROUNDS):
            wanted = {one.name_key for one in new} | {one.live_key for one in new if one.live_key is not None}
            wanted -= asked
            if not wanted or len(found) >= _MOST_FILES:
                break
            asked |= wanted
            new = []
            for chunk in chunks(sorted(wanted)):
                shared = sa.or_(table.c.name_key.in_(chunk), table.c.live_key.in_(chunk))
                for row in connection.execute(sa.select(*_FACTS).where(shared).limit(_MOST_FILES)):
                    if row.media_id not in found:
                        found[row.media_id] = PairFacts(**row._asdict())
                        new.append(found[row.media_id])
        return found


def _set_partner(media_id: str, partner_id: str | None) -> sa.Update:
    table = schema.pair
    is_written = table.c.written_id.is_not_distinct_from(partner_id)
    return sa.update(table).where(table.c.media_id == media_id).values(partner_id=partner_id, is_written=is_written)


def _ordered(files: Mapping[str, PairFacts]) -> list[PairFacts]:
    return [files[media_id] for media_id in sorted(files)]
