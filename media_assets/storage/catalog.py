"""The catalog: append-only parts compacted to exactly one current row per key, one file per table and month.

Here live the manifest ``CURRENT.json``, the merge and its atomic swap; SQL over the result lives in ``query``. The
catalog can always be made again from the parts; nothing is in it alone (DESIGN.md section 7).
"""

import errno
import hashlib
import re
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from media_assets.storage import keys
from media_assets.storage.catalog_manifest import (
    REBUILD,
    Manifest,
    Month,
    columns_version,
    load_manifest,
    manifest_for_readers,
    save_manifest,
    table_folder,
)
from media_assets.storage.columns import Table
from media_assets.storage.current_rows import current_rows
from media_assets.storage.errors import CatalogError, ObjectMissing, StoreFull
from media_assets.storage.objects import ObjectStore
from media_assets.storage.schemas import TABLES, table_named
from media_assets.storage.tables import (
    REMOVED_SCHEMA,
    conform,
    duplicate_keys,
    list_parts,
    read_parquet,
    read_part,
)

_OURS = re.compile(r"month=(?P<month>[0-9-]{7})/[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}\.parquet")
_ROWS_PER_GROUP = 16_384  # rows times the longest tags_json stay below Arrow's 2 GiB of text per chunk
_READ_ATTEMPTS = 5


@dataclass(frozen=True)
class TableCompaction:
    """What a compaction did to one table.

    Attributes:
        months_rewritten: Months that got a new file, sorted; empty when nothing was pending.
        rows: Current rows of all months.
        parts_absorbed: Parts (tombstones too) that were new.
        seconds: Wall-clock time.
    """

    months_rewritten: tuple[str, ...]
    rows: int
    parts_absorbed: int
    seconds: float


@dataclass(frozen=True)
class CompactionReport:
    """What a compaction did, by table name."""

    tables: Mapping[str, TableCompaction]


def compact(store: ObjectStore, tables: Sequence[str] | None = None) -> CompactionReport:
    """Bring the catalog up to date with all parts that are there now. Doing it again does nothing.

    Only months with new parts are rewritten. Killed at any moment, the state before stays valid and the next call
    completes and cleans up. Parts may be appended meanwhile: what is not seen now is taken next time. Two compactions
    must not run at once: the caller holds a lease (``Ledger.lease``). Should one expire, the worst is a current file
    that is gone, which the next call makes again from the parts.

    Args:
        store: The library.
        tables: Names of tables; ``None`` means all.

    Raises:
        CatalogError: A part or the catalog is not usable; its table is left as it was, the other tables are done.
        StorageError: The store could not be read or written.
    """
    reports: dict[str, TableCompaction] = {}
    problems: list[CatalogError] = []
    for table in [table_named(name) for name in (TABLES if tables is None else tables)]:
        if table.is_register:
            continue
        try:
            reports[table.name] = _compact_table(store, table)
        except CatalogError as problem:  # one bad part must not hold up the other tables
            problems.append(problem)
    if problems:
        raise problems[0] if len(problems) == 1 else CatalogError(" ".join(problem.message for problem in problems))
    return CompactionReport(reports)


def pending_parts(store: ObjectStore) -> int:
    """Number of parts of all tables that the catalog has not absorbed yet."""
    return sum(pending_by_month(store).values())


def pending_by_month(store: ObjectStore) -> dict[str, int]:
    """Number of parts of all tables that the catalog has not absorbed yet, of each month that has any."""
    pending: Counter[str] = Counter()
    for table in [one for one in TABLES.values() if not one.is_register]:
        months = (load_manifest(store, table) or Manifest()).months
        for month, parts in parts_by_month(store, table).items():
            pending[month] += len(set(parts) - set(months[month].parts if month in months else ()))
    return dict(+pending)


def current_files(store: ObjectStore, table: str) -> list[str]:
    """Keys of the current files of a table, by month; empty before the first compaction.

    Raises:
        CatalogError: There is no such table, or its manifest is damaged.
    """
    months = manifest_for_readers(store, table_named(table)).months
    return [months[month].file for month in sorted(months)]


def row_count(store: ObjectStore, table: str) -> int:
    """Number of current rows of a table, from its manifest alone.

    Raises:
        CatalogError: There is no such table, or its manifest is damaged.
    """
    return sum(month.rows for month in manifest_for_readers(store, table_named(table)).months.values())


def read_current(store: ObjectStore, table: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the current rows of a table: by month, then sorted by key.

    Args:
        store: The library.
        table: Name of the table.
        columns: Names in the wanted order; ``None`` means all.

    Returns:
        The rows with the schema of ``storage.schemas``; no rows before the first compaction.

    Raises:
        CatalogError: The table or a column does not exist, or the catalog is damaged.
        StorageError: The store could not be read.
    """
    declared = table_named(table)
    names = declared.schema.names if columns is None else list(columns)
    if unknown := [name for name in names if name not in declared.schema.names]:
        raise CatalogError(
            f"Table {table} has no column {unknown[0]!r}. Use one of: {', '.join(declared.schema.names)}."
        )
    schema = pa.schema([declared.schema.field(name) for name in names], metadata={"table": table})
    for _ in range(_READ_ATTEMPTS):
        try:
            months = [conform(read_parquet(store, key, names), schema, key) for key in current_files(store, table)]
        except ObjectMissing:
            continue  # a compaction has replaced the file since the manifest was read
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(f"The catalog of table {table} cannot be read ({error}). {REBUILD}") from error
        return pa.concat_tables(months) if months else schema.empty_table()
    raise CatalogError(f"A current file of table {table} is gone. {REBUILD}")


def current_months(store: ObjectStore, table: str) -> dict[str, str]:
    """Key of the current file of each month of a table; empty before the first compaction.

    Raises:
        CatalogError: There is no such table, or its manifest is damaged.
    """
    months = manifest_for_readers(store, table_named(table)).months
    return {month: months[month].file for month in sorted(months)}


def read_month(store: ObjectStore, table: str, month: str, columns: Sequence[str]) -> pa.Table:
    """Read the current rows of one month of a table; no rows if it has none.

    Raises:
        CatalogError: The table does not exist, or the catalog is damaged.
        StorageError: The store could not be read.
    """
    declared = table_named(table)
    schema = pa.schema([declared.schema.field(name) for name in columns], metadata={"table": table})
    key = current_months(store, table).get(month)
    if key is None:
        return schema.empty_table()
    try:
        return conform(read_parquet(store, key, columns), schema, key)
    except (ObjectMissing, pa.ArrowException, OSError) as error:
        raise CatalogError(f"The catalog of table {table} cannot be read ({error}). {REBUILD}") from error


def month_sources(store: ObjectStore, table: str, month: str) -> list[str]:
    """Keys of what holds the current rows of a month: its current file, and the parts that it has not absorbed.

    Raises:
        CatalogError: There is no such table, or its manifest is damaged.
    """
    current = manifest_for_readers(store, table_named(table)).months.get(month)
    absorbed = set(current.parts) if current is not None else set()
    parts = parts_by_month(store, table_named(table)).get(month, {})
    return [*([current.file] if current is not None else []), *(parts[name] for name in sorted({*parts} - absorbed))]


def check_unique(store: ObjectStore, table: str) -> list[tuple[object, ...]]:
    """Keys that more than one current row has, over all months; empty is what is promised.

    A media id that was written into two months shows up here: months are compacted independently.

    Raises:
        CatalogError: There is no such table, or the catalog is damaged.
    """
    declared = table_named(table)
    return duplicate_keys(declared, read_current(store, table, declared.key))


def publish_register(store: ObjectStore, name: str, data: pa.Table) -> bool:
    """Replace the rows of a table that is a register; return whether they were others before.

    Args:
        store: The library.
        name: Name of the table.
        data: All its rows.

    Raises:
        CatalogError: The table is none that is published so.
        StorageError: The store could not be read or written.
    """
    table = table_named(name)
    if not table.is_register:
        raise CatalogError(f"Table {name} is made of parts. Append to it.")
    before = load_manifest(store, table) or Manifest()
    if data.equals(_register_rows(store, table, before)):
        return False
    now = datetime.now(UTC)
    month, version = f"{now:%Y-%m}", f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    key = keys.catalog_key(name, month, version)
    size_bytes, sha256 = write_rows(store, key, data, np.arange(data.num_rows, dtype=np.int64))
    entry = Month(
        file=key, rows=data.num_rows, size_bytes=size_bytes, sha256=sha256, columns=columns_version(table), parts=[]
    )
    after = Manifest(version=version, updated_at=now, months={month: entry})
    save_manifest(store, table, after)
    sweep(store, table, {info.key for info in store.list(table_folder(table))}, after)
    return True


def _register_rows(store: ObjectStore, table: Table, manifest: Manifest) -> pa.Table:
    """The rows that a register shows now; none where its file is lost, so that it is written again."""
    bases = [read_base(store, table, month, ()) for month in manifest.months.values()]
    found = [base for base in bases if base is not None]
    return pa.concat_tables(found) if found else table.schema.empty_table()


# ---------------------------------------------------------------- one table


def _compact_table(store: ObjectStore, table: Table) -> TableCompaction:
    started = time.perf_counter()
    listed = {info.key for info in store.list(table_folder(table))}
    before = load_manifest(store, table) or Manifest()
    parts = parts_by_month(store, table)
    now = datetime.now(UTC)
    version = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    rewritten: dict[str, Month] = {}
    absorbed = 0
    for month in sorted({*parts, *before.months}):
        old = before.months.get(month)
        names = parts.get(month, {})
        new = set(names) - set(old.parts if old is not None else ())
        if old is None or new or old.columns != columns_version(table) or old.file not in listed:
            key = keys.catalog_key(table.name, month, version)
            try:
                rewritten[month] = _rewrite_month(store, table, key, old, names)
            except CatalogError:
                for done in rewritten.values():
                    store.delete(done.file)
                raise
            absorbed += len(new)
    after = before
    if rewritten:
        after = Manifest(version=version, updated_at=now, months={**before.months, **rewritten})
        save_manifest(store, table, after)
    # Analysts glob the folder. Last, because a kill before this line must leave the files that CURRENT names.
    sweep(store, table, listed, after)
    rows = sum(month.rows for month in after.months.values())
    return TableCompaction(tuple(rewritten), rows, absorbed, time.perf_counter() - started)


def _rewrite_month(store: ObjectStore, table: Table, key: str, old: Month | None, parts: Mapping[str, str]) -> Month:
    """Write the current rows of one month under ``key``; nothing refers to it yet. ``parts``: name to key."""
    absorbed = set() if old is None else set(old.parts)
    base = None if old is None else read_base(store, table, old, absorbed - set(parts))
    sources = [] if base is None else [(-1, base)]
    removed = [REMOVED_SCHEMA.empty_table()]
    for name, part_key in sorted(parts.items()):
        part = keys.parse_part_key(part_key)
        if part is not None and part.removed:
            # Read again each time: a slow run may deliver rows that are older than a tombstone absorbed long ago.
            removed.append(read_part(store, part_key))
        elif part is not None and (base is None or name not in absorbed):
            sources.append((part.n, read_part(store, part_key)))
    data = pa.concat_tables([table.schema.empty_table(), *(rows for _, rows in sources)])
    numbers = np.repeat([n for n, _ in sources], [rows.num_rows for _, rows in sources]).astype(np.int64)
    order = current_rows(table, data, numbers, pa.concat_tables(removed))
    size_bytes, sha256 = write_rows(store, key, data, order)
    return Month(
        file=key,
        rows=len(order),
        size_bytes=size_bytes,
        sha256=sha256,
        columns=columns_version(table),
        parts=sorted(absorbed.union(parts)),
    )


def read_base(store: ObjectStore, table: Table, old: Month, gone: Collection[str]) -> pa.Table | None:
    """Rows that were current before; ``None`` when the file is lost but all parts are there to make it again."""
    try:
        return conform(read_parquet(store, old.file), table.schema, old.file)
    except (ObjectMissing, pa.ArrowException, OSError) as error:
        if not gone:
            return None
        raise CatalogError(
            f"{old.file} is damaged and {len(gone)} of its parts are gone, so that it cannot be made again. "
            "Restore it from a backup."
        ) from error


def write_rows(store: ObjectStore, key: str, data: pa.Table, order: npt.NDArray[np.int64]) -> tuple[int, str]:
    """Store the rows of ``data`` at the positions ``order`` as one Parquet object; return its length and SHA-256."""
    schema = data.schema
    # take() joins all chunks of a column first, and plain strings can hold 2 GiB in one piece.
    wide = pa.schema([f.with_type(pa.large_string()) if f.type == pa.string() else f for f in schema])
    data = data.cast(wide).combine_chunks()
    path = store.scratch_dir() / f"catalog-{secrets.token_hex(8)}.parquet"
    try:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for start in range(0, len(order), _ROWS_PER_GROUP):
                rows = data.take(order[start : start + _ROWS_PER_GROUP])
                writer.write_table(rows.cast(schema))
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = path.stat().st_size
        store.put_file(key, path, consume=True)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(f"No space left in {path.parent} to compact a table. Free space and try again.") from error
        raise CatalogError(f"{path.parent} cannot be written ({error.strerror}). Make it writable.") from error
    finally:
        path.unlink(missing_ok=True)
    return size_bytes, sha256


# ---------------------------------------------------------------- manifest and listings


def parts_by_month(store: ObjectStore, table: Table) -> dict[str, dict[str, str]]:
    """Parts of a table: month to name to key."""
    months: dict[str, dict[str, str]] = defaultdict(dict)
    for key in list_parts(store, table.name):
        part = keys.parse_part_key(key)
        if part is not None:
            months[part.month][key.rpartition("/")[2]] = key
    return months


def sweep(store: ObjectStore, table: Table, listed: Iterable[str], manifest: Manifest) -> None:
    """Delete those of the listed files that a compaction wrote and the manifest has replaced."""
    current = {month.file for month in manifest.months.values()}
    for key in listed:
        ours = _OURS.fullmatch(key.removeprefix(f"{table_folder(table)}/"))
        # A month that the manifest does not know is left alone: if its parts are lost, the file is all there is.
        if ours is not None and ours["month"] in manifest.months and key not in current:
            store.delete(key)
