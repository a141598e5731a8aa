"""What a table of the library is declared with: column types, columns, and those that all tables have.

Rules of all tables: missing is null, never "", NaN or 0; integers are int64, so that no file can overflow a column
(but for 64-bit hashes, which are uint64); vectors are lists of float32, as their length depends on the model;
a column added later is nullable, because older parts do not have it.
"""

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

STRING = pa.string()
INT = pa.int64()
FLOAT = pa.float64()
BOOL = pa.bool_()
UTC_TIME = pa.timestamp("us", tz="UTC")
LOCAL_TIME = pa.timestamp("us")
STRINGS = pa.list_(pa.string())
VECTOR = pa.list_(pa.float32())
HASH = pa.uint64()
COLORS = pa.list_(pa.struct([pa.field("rgb_hex", pa.string()), pa.field("share", pa.float64())]))


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Column name; a unit is part of it.
        type: Arrow type.
        description: What the value is and what null means; one or two sentences.
        source: Where the value comes from: a tag, a specification, another part of the project.
        unit: Unit of the number; ``None`` where there is none.
        nullable: Whether null is allowed.
        filled_since: First release that computes the column; ``None`` while nothing does and every value is null.
    """

    name: str
    type: pa.DataType
    description: str
    source: str
    unit: str | None = None
    nullable: bool = True
    filled_since: str | None = "0.1.0"


@dataclass(frozen=True)
class Table:
    """One table: append-only parts below ``tables/``, one current row per key below ``catalog/``.

    Attributes:
        name: Table name.
        grain: What one row is.
        key: Columns that identify a current row; the first is ``media_id``.
        columns: In the order of the files; the common columns come first.
        is_register: Whether its rows are copied whole from elsewhere in the library, without parts and media ids.
        split: Column by which several assets share the table, each replacing its own rows of a media file only, and
            the asset of rows in which it is null. ``None``: a computation replaces all rows of its media file.
    """

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    split: tuple[str, str] | None = None
    is_register: bool = False

    @cached_property
    def schema(self) -> pa.Schema:
        """Arrow schema; each field carries ``description``, ``source`` and, where there is one, ``unit``."""
        return pa.schema([_field(column) for column in self.columns], metadata={"table": self.name})


def _field(column: Column) -> "pa.Field[pa.DataType]":
    facts = {"description": column.description, "source": column.source}
    if column.unit is not None:
        facts["unit"] = column.unit
    return pa.field(column.name, column.type, nullable=column.nullable, metadata=dict(facts))


def required(name: str, type_: pa.DataType, description: str, source: str, unit: str | None = None) -> Column:
    """Return a column that is never null."""
    return Column(name, type_, description, source, unit, nullable=False)


def later(name: str, type_: pa.DataType, description: str, source: str, unit: str | None = None) -> Column:
    """Return a column that nothing computes yet."""
    return Column(name, type_, description, source, unit, filled_since=None)


def common(*, input_always_known: bool = True) -> tuple[Column, ...]:
    """Return the columns that all tables begin with.

    Args:
        input_always_known: Whether each row has a version of the bytes it is about.
    """
    # What could not be read (a broken link, a name that is not UTF-8) has no version of its bytes: only `rejected`.
    input_version = "SHA-256 of the bytes that the row was computed from, 64 hex digits."
    return (
        required("media_id", STRING, "Identity of the media file; the partition key in Dagster.", "object key"),
        required("owner", STRING, "Whose file it is: first folder in the inbox, else `default`.", "object key"),
        required("input_version", STRING, input_version, "bytes of the upload")
        if input_always_known
        else Column("input_version", STRING, f"{input_version} Null: they cannot be read.", "bytes of the upload"),
        required("code_version", STRING, "Version of the code and parameters that decide the result.", "asset"),
        Column("model", STRING, "Model that made the row, with revision. Null: no model took part.", "model registry"),
        required("run_id", STRING, "Run that wrote the row.", "Dagster"),
        required("computed_at", UTC_TIME, "When the row was computed; the latest one is the current one.", "clock"),
    )
