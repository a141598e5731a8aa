"""Writes events into Postgres with COPY: the server has no statement with thousands of values to read.

https://www.postgresql.org/docs/current/sql-copy.html, text format.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from sqlalchemy.engine import Connection

from media_assets.defs.bookkeeping.rows import EventRow

_TABLE = SqlEventLogStorageTable.name
_NUMBERS = sa.text("SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :count)")


def copy_numbered(conn: Connection, rows: Sequence[EventRow]) -> list[int]:
    """Write events and return their numbers, which rise in the order of ``rows``.

    Args:
        conn: A transaction, of psycopg2.
        rows: What is written.
    """
    numbers = [int(number) for number in conn.execute(_NUMBERS, {"table": _TABLE, "count": len(rows)}).scalars()]
    copy_rows(conn, _TABLE, [{"id": number, **row.values} for number, row in zip(numbers, rows, strict=True)])
    return numbers


def copy_rows(conn: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that all have the same columns.

    Args:
        conn: A transaction, of psycopg2.
        table: Name of the table.
        rows: Values by column: text, whole numbers, times without a zone, ``None``.
    """
    lines = "\n".join("\t".join(map(_field, row.values())) for row in rows)
    with contextlib.closing(conn.connection.cursor()) as cursor:
        cursor.copy_expert(f"COPY {table} ({', '.join(rows[0])}) FROM STDIN", io.BytesIO(lines.encode()))


def _field(value: str | int | datetime | None) -> str:
    if value is None:
        return r"\N"
    if isinstance(value, str):
        return value.replace("\\", r"\\").replace("\n", r"\n").replace("\r", r"\r").replace("\t", r"\t")
    return value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)
