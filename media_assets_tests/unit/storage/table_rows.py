"""Rows for tests of the tables: every required column filled, nothing else."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from media_assets.storage.schemas import TABLES

EPOCH = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)

_VALUES: dict[pa.DataType, object] = {
    pa.string(): "x",
    pa.int64(): 7,
    pa.float64(): 0.5,
    pa.bool_(): True,
    pa.timestamp("us", tz="UTC"): EPOCH,
}


def at(seconds: int) -> datetime:
    """A point in time, so many seconds after EPOCH."""
    return EPOCH + timedelta(seconds=seconds)


def row(table: str, media_id: str = "a-000000000000", **values: object) -> dict[str, object]:
    """A valid row of a table, without run_id (the writer fills it in)."""
    required = {c.name: _VALUES[c.type] for c in TABLES[table].columns if not c.nullable and c.name != "run_id"}
    return {**required, "media_id": media_id, **values}


def renditions(media_id: str, kinds: Sequence[str], seconds: int, **values: object) -> list[dict[str, object]]:
    """The rows of one computation of table renditions."""
    return [row("renditions", media_id, kind=kind, computed_at=at(seconds), **values) for kind in kinds]
