"""Tables that are computed from other tables of the whole library, and written only where they change.

Shared by people and near-duplicates. One run at a time makes such a table; before it the tables that it reads are
compacted, after it its own, so that it sees everything and what it did is seen.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.liveness import is_dead_holder, new_holder
from media_assets.storage import catalog
from media_assets.storage.tables import PartWriter

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]
"""Rows by media id."""

_FILES_PER_PART = 20_000
_LEASE_ATTEMPTS, _LEASE_WAIT_S = 120, 0.5


class TableBusyError(Exception):
    """Another process is computing the table right now."""


@dataclass(frozen=True)
class TableChanges:
    """What was written.

    Attributes:
        files_written: Files whose rows are new or others than before.
        files_removed: Files that have no rows any more.
    """

    files_written: int
    files_removed: int


@contextmanager
def maintained(library: Library, table: str, reads: Iterable[str]) -> Iterator[None]:
    """Make the body the only one that computes ``table``, with compacted tables before and after it.

    Args:
        library: The library.
        table: What is computed.
        reads: The tables that it is computed from.

    Raises:
        TableBusyError: Another process is computing it.
        CompactionBusyError: The catalog is being compacted and does not become free.
        StorageError: A table cannot be read or written.
    """
    with library.ledger.lease(table, new_holder(), is_dead=is_dead_holder) as obtained:
        if not obtained:
            raise TableBusyError(f"Another process is computing {table}. Wait for it and try again.")
        compact_tables(library, [*reads, table])
        yield
        compact_tables(library, [table])


def compact_tables(library: Library, tables: Sequence[str]) -> None:
    """Compact some tables, as soon as nobody else is compacting.

    Raises:
        CompactionBusyError: Somebody else has been compacting for a minute.
        StorageError: A table cannot be read or written.
    """
    for _ in range(_LEASE_ATTEMPTS):
        with library.ledger.lease("catalog", new_holder(), is_dead=is_dead_holder) as obtained:
            if obtained:
                catalog.compact(library.store, list(dict.fromkeys(tables)))
                return
        time.sleep(_LEASE_WAIT_S)
    raise CompactionBusyError("Another process is compacting the catalog. Wait for it and try again.")


def rows_by_media(library: Library, table: str) -> dict[str, list[Row]]:
    """Return the current rows of a table by media id.

    Raises:
        StorageError: The catalog cannot be read.
    """
    found: dict[str, list[Row]] = defaultdict(list)
    for batch in catalog.read_current(library.store, table).to_batches():
        for row in batch.to_pylist():
            found[row["media_id"]].append(row)
    return dict(found)


def write_changes(
    library: Library, table: str, run_id: str, *, before: Rows, after: Rows, compared: Sequence[str]
) -> TableChanges:
    """Write the rows of those files that differ from before, and tombstones of those that have none any more.

    Args:
        library: The library.
        table: Where to.
        run_id: Who writes.
        before: The current rows.
        after: What they shall be, without ``run_id`` and ``computed_at``.
        compared: Columns that decide whether the rows of a file differ.

    Raises:
        StorageError: The rows cannot be written; a part of them may be.
    """
    changed = [
        media_id
        for media_id, rows in after.items()
        if _content(rows, compared) != _content(before.get(media_id, ()), compared)
    ]
    gone = sorted(before.keys() - after.keys())
    at = datetime.now(UTC)
    writer = PartWriter(library.store, run_id)
    for month, media_ids in _by_month(library, changed):
        rows = [{**row, "computed_at": at} for media_id in media_ids for row in after[media_id]]
        writer.append(table, month, rows)
    for month, media_ids in _by_month(library, gone):
        writer.remove(table, month, media_ids, at)
    return TableChanges(len(changed), len(gone))


def _content(rows: Iterable[Row], compared: Sequence[str]) -> list[str]:
    """The compared columns in one form, whatever the order of the rows."""
    return sorted(repr([row.get(name) for name in compared]) for row in rows)


def _by_month(library: Library, media_ids: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield media ids by the month in which they were first seen, a bounded number at a time."""
    ordered = sorted(media_ids)
    for first in range(0, len(ordered), _FILES_PER_PART):
        some = ordered[first : first + _FILES_PER_PART]
        months: dict[str, list[str]] = defaultdict(list)
        entries = library.ledger.entries(some)
        for media_id in some:
            # A file that the ledger has forgotten has no other rows left either; its month cannot be told.
            if media_id in entries:
                months[entries[media_id].month].append(media_id)
        yield from sorted(months.items())
