"""Answers of online geocoders in the ledger, and whose turn it is to ask: statements only.

Positions are kept rounded to a thousandth of a degree (about 100 m). What is asked, and when, is decided in
``pipeline.places``.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TypeAlias

import sqlalchemy as sa

from media_assets.media.places import Place
from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger_engine import LedgerEngine, chunks

Cell: TypeAlias = tuple[int, int]
"""Latitude and longitude in thousandths of a degree."""

# Kept for ever: places do not move, and a backfill must ask nothing twice. Empty the table to ask again.
place = sa.Table(
    "ma_place",
    schema.metadata,
    sa.Column("geocoder", sa.Text, primary_key=True),
    sa.Column("latitude_mdeg", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("longitude_mdeg", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("city", sa.Text),
    sa.Column("region", sa.Text),
    sa.Column("country_code", sa.String(2)),
    sa.Column("answered_at", schema.UtcDateTime, nullable=False),
)

# One row per geocoder: from when on the next request may be sent, by any process that shares the ledger.
turn = sa.Table(
    "ma_geocoder",
    schema.metadata,
    sa.Column("geocoder", sa.Text, primary_key=True),
    sa.Column("free_at", schema.UtcDateTime, nullable=False),
)


class PlaceLedger(LedgerEngine):
    """The part of the ledger that is about online geocoders, each named by its URL."""

    def known_places(self, geocoder: str, cells: Collection[Cell]) -> dict[Cell, Place]:
        """Return what ``geocoder`` has answered for ``cells`` before; the answer can be that there is no name."""
        found: dict[Cell, Place] = {}
        where = sa.tuple_(place.c.latitude_mdeg, place.c.longitude_mdeg)
        with self._transaction() as connection:
            for chunk in chunks(sorted(cells)):
                statement = sa.select(place).where(place.c.geocoder == geocoder, where.in_(list(chunk)))
                for row in connection.execute(statement):
                    found[row.latitude_mdeg, row.longitude_mdeg] = Place(row.city, row.region, row.country_code)
        return found

    def remember_place(self, geocoder: str, cell: Cell, answer: Place, at: datetime) -> None:
        """Keep the answer of ``geocoder`` for ``cell``; another process may have been first, with the same answer."""
        values = {
            "geocoder": geocoder,
            "latitude_mdeg": cell[0],
            "longitude_mdeg": cell[1],
            "city": answer.city,
            "region": answer.region,
            "country_code": answer.country_code,
            "answered_at": at,
        }
        with self._transaction() as connection:
            connection.execute(self._insert(place).values(values).on_conflict_do_nothing())

    def take_turn(self, geocoder: str, now: datetime, spacing: timedelta, latest: datetime) -> datetime | None:
        """Return when the caller may send its next request to ``geocoder``, or ``None`` if that is after ``latest``.

        Turns are ``spacing`` apart over all processes that share the ledger; a turn that is returned is taken.
        """
        with self._transaction() as connection:
            # Makes the row, or locks it (Postgres): two processes never read the same turn.
            row = self._insert(turn).values(geocoder=geocoder, free_at=now)
            kept = row.on_conflict_do_update(index_elements=[turn.c.geocoder], set_={"geocoder": row.excluded.geocoder})
            connection.execute(kept)
            free_at = connection.scalar(sa.select(turn.c.free_at).where(turn.c.geocoder == geocoder))
            mine = now if free_at is None else max(now, free_at)
            if mine > latest:
                return None
            connection.execute(sa.update(turn).where(turn.c.geocoder == geocoder).values(free_at=mine + spacing))
        return mine
