"""The contract with analysts: every table, its grain and key, and the check of rows against it (DESIGN.md section 8).

The columns are in modules ``..._tables``. How parts are written is in ``tables``, how they are compacted in
``catalog``; the data dictionary of the docs is generated from here by ``dictionary``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from media_assets.storage.columns import (
    BOOL,
    FLOAT,
    HASH,
    INT,
    LOCAL_TIME,
    STRING,
    STRINGS,
    UTC_TIME,
    Column,
    Table,
)
from media_assets.storage.consent_tables import CONSENTS, SKIPPED
from media_assets.storage.errors import CatalogError
from media_assets.storage.ingest_tables import (
    APPEARANCE,
    FILES,
    METADATA,
    REJECTED,
    RENDITIONS,
)
from media_assets.storage.review_tables import REVIEWS
from media_assets.storage.shareable_tables import SHAREABLE
from media_assets.storage.vision_tables import (
    EMBEDDINGS,
    FACES,
    NEAR_DUPLICATES,
    OBJECTS,
    PEOPLE,
    SAFETY,
    SCENES,
    TEXTS_READ,
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table("files", "One row per accepted media file.", ("media_id",), FILES),
        Table("metadata", "One row per accepted media file: what the file says of itself.", ("media_id",), METADATA),
        Table(
            "renditions",
            "One row per rendition of a media file.",
            ("media_id", "kind", "format"),
            RENDITIONS,
            split=("asset", "thumbnails"),
        ),
        Table(
            "appearance",
            "One row per accepted media file: how it looks. Of videos: the poster.",
            ("media_id",),
            APPEARANCE,
        ),
        Table(
            "embeddings", "One row per picture, or per analysed frame of a video.", ("media_id", "frame_s"), EMBEDDINGS
        ),
        Table("objects", "One row per object that was found.", ("media_id", "frame_s", "object_index"), OBJECTS),
        Table("faces", "One row per face that was found.", ("media_id", "frame_s", "face_index"), FACES),
        Table("scenes", "One row per label of a picture or frame.", ("media_id", "frame_s", "rank"), SCENES),
        Table("texts", "One row per line of text that was read.", ("media_id", "frame_s", "text_index"), TEXTS_READ),
        Table("safety", "One row per category and picture or frame.", ("media_id", "frame_s", "category"), SAFETY),
        Table(
            "people",
            "One row per face of an owner who consented to recognition, if it belongs to somebody.",
            ("media_id", "frame_s", "face_index"),
            PEOPLE,
        ),
        Table("near_duplicates", "One row per file that has near-duplicates.", ("media_id",), NEAR_DUPLICATES),
        Table("shareable", "One row per file that somebody wanted to share.", ("media_id",), SHAREABLE),
        Table("reviews", "One row per file about whose publication somebody decided.", ("media_id",), REVIEWS),
        Table(
            "skipped",
            "One row per result that was not computed because its owner has not consented.",
            ("media_id", "asset"),
            SKIPPED,
            split=("asset", ""),
        ),
        Table(
            "consents",
            "One row per record of the register of consents; nothing is ever removed from it but by an erasure.",
            ("owner", "purpose", "recorded_at"),
            CONSENTS,
            is_register=True,
        ),
        Table("rejected", "One row per media file whose present upload is rejected.", ("media_id",), REJECTED),
    )
}
"""Every table of the library by name, in the order of the data dictionary."""


def table_named(name: str) -> Table:
    """Look a table up.

    Raises:
        CatalogError: There is no such table.
    """
    try:
        return TABLES[name]
    except KeyError:
        raise CatalogError(f"There is no table {name!r}. Use one of: {', '.join(TABLES)}.") from None


def rows_to_table(table: Table, rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Turn rows into an Arrow table of exactly the table's schema.

    A column that a row lacks is null. "", an empty list and numbers that are not finite are stored as null too:
    missing has one form only.

    Args:
        table: The table they belong to.
        rows: Column name to value. Timestamps in UTC columns are aware, local ones naive.

    Returns:
        As many rows as came in, in their order.

    Raises:
        CatalogError: A column is unknown, a required one is null, or a value is of another type.
    """
    known = {column.name for column in table.columns}
    unknown = sorted({name for row in rows for name in row} - known)
    if unknown:
        raise CatalogError(
            f"Table {table.name} has no column {unknown[0]!r}. Declare it in media_assets/storage, or do not write it."
        )
    arrays = [_array(table, column, [_cell(row.get(column.name)) for row in rows]) for column in table.columns]
    return pa.Table.from_arrays(arrays, schema=table.schema)


def _cell(value: object) -> object:
    """Give missing its one form."""
    empty = value in ("", (), []) if isinstance(value, str | tuple | list) else False
    return None if empty or (isinstance(value, float) and not math.isfinite(value)) else value


def _array(table: Table, column: Column, values: list[object]) -> "pa.Array[pa.Scalar[pa.DataType]]":
    where = f"Column {table.name}.{column.name}"
    accepts = _ACCEPTS.get(column.type)
    for value in values:
        if value is None and not column.nullable:
            raise CatalogError(f"{where} must not be null. Give a value in every row.")
        # Arrow alone would cut 1.5 to 1, read naive times as UTC and split a string into a list of letters.
        if value is not None and accepts is not None and not accepts(value):
            raise CatalogError(f"{where} is {column.type}, got {type(value).__name__}. Convert the value first.")
    try:
        return pa.array(values, type=column.type)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError) as error:
        raise CatalogError(f"{where} is {column.type}: {error}. Correct the value before it is written.") from error


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_strings(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


_ACCEPTS: dict[pa.DataType, Callable[[object], bool]] = {
    STRING: lambda value: isinstance(value, str),
    INT: _is_int,
    FLOAT: lambda value: _is_int(value) or isinstance(value, float),
    BOOL: lambda value: isinstance(value, bool),
    UTC_TIME: lambda value: isinstance(value, datetime) and value.tzinfo is not None,
    LOCAL_TIME: lambda value: isinstance(value, datetime) and value.tzinfo is None,
    STRINGS: _is_strings,
    HASH: _is_int,
}
