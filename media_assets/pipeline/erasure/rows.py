"""Rows of files that are to be erased: what they say of versions, names, objects and positions, and how they go.

All tables of ``storage.schemas``, every part and every current file, tombstones too: what is superseded is personal
data as well.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from media_assets.pipeline.places import cell_of
from media_assets.storage import keys
from media_assets.storage.catalog import current_files
from media_assets.storage.catalog_editing import edit_current
from media_assets.storage.columns import STRING, Table
from media_assets.storage.erasure_records import ErasurePlan
from media_assets.storage.errors import CatalogError, ObjectMissing
from media_assets.storage.objects import ObjectStore
from media_assets.storage.schemas import TABLES
from media_assets.storage.tables import list_parts, read_parquet, read_part, replace_part

_ID, _OWNER, _VERSION, _SHA256 = "media_id", "owner", "input_version", "sha256"
_OBJECTS = ("original_path", "path")
_NAMES = ("source_key",)
_DUPLICATE_OF = "duplicate_of"
_POSITION = ("latitude_deg", "longitude_deg")
_COLUMNS = (_ID, _OWNER, _VERSION, _SHA256, *_OBJECTS, *_NAMES, *_POSITION)


@dataclass
class RowFacts:
    """What rows say of files.

    Attributes:
        media_ids: The files.
        versions: SHA-256 of their versions, with the owner of the row.
        object_keys: Objects that rows name.
        source_keys: Names of their uploads.
        cells: Rounded positions.
    """

    media_ids: set[str] = field(default_factory=set)
    versions: set[tuple[str, str]] = field(default_factory=set)
    object_keys: set[str] = field(default_factory=set)
    source_keys: set[str] = field(default_factory=set)
    cells: set[tuple[int, int]] = field(default_factory=set)


def facts_of(store: ObjectStore, media_ids: Collection[str], owner: str | None) -> RowFacts:
    """Read what all tables say of some files, or of all files of an owner.

    Raises:
        CatalogError: A part or a current file cannot be read; it is named.
        StorageError: The store could not be read.
    """
    facts = RowFacts(set(media_ids))
    for table in TABLES:
        for _, data in all_rows(store, table, _COLUMNS):
            for row in data.filter(selected(data, media_ids, owner)).to_pylist():
                _note(facts, row)
    return facts


def versions_of_others(
    store: ObjectStore, sha256s: Collection[str], media_ids: Collection[str], owner: str | None
) -> set[tuple[str, str]]:
    """Return owner and SHA-256 of those contents of table ``files`` that rows of other files name.

    Raises:
        CatalogError: A part or a current file cannot be read.
        StorageError: The store could not be read.
    """
    found: set[tuple[str, str]] = set()
    wanted = pa.array(sorted(sha256s), pa.string())
    for _, data in all_rows(store, "files", (_ID, _OWNER, _SHA256)):
        if _SHA256 not in data.column_names:
            continue  # tombstones
        others = pc.and_(pc.is_in(data[_SHA256], value_set=wanted), pc.invert(selected(data, media_ids, owner)))
        found |= {(row[_OWNER], row[_SHA256]) for row in data.filter(others).to_pylist()}
    return found


def selected(data: pa.Table, media_ids: Collection[str], owner: str | None) -> Any:
    """Return for each row whether it is of one of these files, or of this owner."""
    chosen: Any = pa.chunked_array([pa.array([False] * data.num_rows, pa.bool_())])
    if _ID in data.column_names:
        of_files = pc.is_in(data[_ID], value_set=pa.array(sorted(media_ids), pa.string()))
        chosen = pc.or_(chosen, _is_true(of_files))
    if owner is not None and _OWNER in data.column_names:
        chosen = pc.or_(chosen, _is_true(pc.equal(data[_OWNER], pa.scalar(owner))))
    return chosen


def _is_true(values: Any) -> Any:
    """Null counts as false."""
    return values.fill_null(pa.scalar(value=False))


def all_rows(store: ObjectStore, table: str, columns: Collection[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
    """Yield key and content of every part and every current file of a table, tombstones too.

    Args:
        store: The library.
        table: Name of the table.
        columns: Those that are wanted, where they exist; ``None``: all.

    Raises:
        CatalogError: One of them cannot be read; it is named.
        StorageError: The store could not be read.
    """
    for key in [*list_parts(store, table), *_files_of(store, table)]:
        try:
            yield key, read_parquet(store, key, None if columns is None else list(columns))
        except ObjectMissing:
            continue  # compacted meanwhile: what it held is in another file, which is read too or is proven at the end
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(
                f"{key} cannot be read ({error}), so nobody can tell what it holds. Restore it from a backup or delete "
                "it, then erase again."
            ) from error


def _files_of(store: ObjectStore, table: str) -> list[str]:
    """Current files, and those that a compaction has replaced and not deleted yet."""
    folder = keys.catalog_manifest_key(table).rpartition("/")[0]
    listed = {info.key for info in store.list(folder) if info.key.endswith(".parquet")}
    return sorted(listed | set(current_files(store, table)))


def _note(facts: RowFacts, row: dict[str, Any]) -> None:
    facts.media_ids.update([row[_ID]] if row.get(_ID) else [])
    owner = row.get(_OWNER)
    if owner is not None:
        versions = [row[name] for name in (_VERSION, _SHA256) if row.get(name)]
        facts.versions.update((owner, version) for version in versions if keys.is_sha256(version))
    facts.object_keys.update(row[name] for name in _OBJECTS if row.get(name))
    facts.source_keys.update(row[name] for name in _NAMES if row.get(name))
    latitude, longitude = (row.get(name) for name in _POSITION)
    if latitude is not None and longitude is not None:
        facts.cells.add(cell_of((latitude, longitude)))


def erase_rows(store: ObjectStore, plan: ErasurePlan) -> dict[str, int]:
    """Take the rows of files out of all parts and current files, and out of other rows what names them.

    Doing it again changes nothing. A row that cannot be without the name that it holds goes as well: it is computed
    anew with its table.

    Args:
        store: The library; the caller holds the lease of the catalog.
        plan: What is erased.

    Returns:
        Rows that were deleted, by table: those of parts, tombstones and superseded rows included.

    Raises:
        CatalogError: A part or the catalog is damaged.
        StorageError: The store refused.
    """
    deleted: dict[str, int] = {}
    for table in TABLES.values():
        edit = _Edit(table, plan)
        for key in list_parts(store, table.name):
            before = read_part(store, key)
            after = edit(before)
            if after is not before:
                replace_part(store, key, after)
        if edit.deleted:
            deleted[table.name] = edit.deleted
        edit_current(store, table.name, edit)
    return deleted


class _Edit:
    """Takes erased files out of the rows of one table.

    Attributes:
        deleted: Rows that were taken out so far.
    """

    def __init__(self, table: Table, plan: ErasurePlan) -> None:
        self.deleted = 0
        self._plan = plan
        self._ids = pa.array(plan.media_ids, pa.string())
        self._heirs = {(one.owner, one.sha256): one.heir for one in plan.contents}
        # What a row says of other files.
        self._references = [
            column for column in table.columns if column.type == STRING and column.name.endswith(("_of", "media_id"))
        ]

    def __call__(self, data: pa.Table) -> pa.Table:
        """Return the rows without those of erased files; the very same table when nothing changes."""
        gone = selected(data, self._plan.media_ids, self._plan.owner)
        named = [one for one in self._references if one.name != _ID and one.name in data.column_names]
        for column in named:
            if not column.nullable:
                gone = pc.or_(gone, pc.is_in(data[column.name], value_set=self._ids))
        count = pc.sum(gone).as_py() or 0
        self.deleted += count
        left = data.filter(pc.invert(gone)) if count else data
        for column in named:
            if column.nullable and pc.any(pc.is_in(left[column.name], value_set=self._ids)).as_py():
                left = self._without(left, column.name)
        return left

    def _without(self, data: pa.Table, name: str) -> pa.Table:
        """Let a column name heirs instead of erased files, or nobody."""
        erased = set(self._plan.media_ids)
        values = data[name].to_pylist()
        contents = zip(data[_OWNER].to_pylist(), data[_VERSION].to_pylist(), data[_ID].to_pylist(), strict=True)
        for at, (owner, version, media_id) in enumerate(contents):
            if values[at] in erased:
                heir = self._heirs.get((str(owner), str(version))) if name == _DUPLICATE_OF else None
                values[at] = None if heir == media_id else heir
        field = data.schema.field(name)
        return data.set_column(data.schema.get_field_index(name), field, pa.array(values, field.type))
