import dataclasses
import subprocess
import sys
import types
from datetime import UTC, datetime
from typing import Any, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pytest

from media_assets.media.errors import ReasonCode
from media_assets.media.records import FileFacts, Metadata, Rendition
from media_assets.storage.columns import Column
from media_assets.storage.dictionary import data_dictionary
from media_assets.storage.errors import CatalogError
from media_assets.storage.schemas import TABLES, rows_to_table, table_named
from media_assets_tests.unit.storage.table_rows import EPOCH, row

COMMON = ["media_id", "owner", "input_version", "code_version", "model", "run_id", "computed_at"]
ALL_COLUMNS = [(table.name, column) for table in TABLES.values() for column in table.columns]


def full_row(table: str, **values: object) -> dict[str, object]:
    return row(table, run_id="run-1", **values)


def arrow_types(annotation: Any, column: Column) -> pa.DataType:
    """The type that a field of a record must have in its table."""
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    (python,) = [option for option in options if option is not type(None)]
    if python is datetime:
        return pa.timestamp("us") if column.name.endswith("_local") else pa.timestamp("us", tz="UTC")
    if python == tuple[str, ...]:
        return pa.list_(pa.string())
    names = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    return names[python] if python in names else pa.string()  # Literal of strings


@pytest.mark.parametrize(
    ("record", "table", "elsewhere"),
    [
        (Metadata, "metadata", set()),
        (FileFacts, "files", {"extension"}),  # part of original_path
        (Rendition, "renditions", {"file_name", "crop"}),  # a scratch file; the columns crop_*
    ],
)
def test_every_field_of_the_records_has_its_column(record: type, table: str, elsewhere: set[str]) -> None:
    columns = {column.name: column for column in TABLES[table].columns}
    hints = get_type_hints(record)
    for field in dataclasses.fields(record):
        if field.name in elsewhere:
            continue
        assert field.name in columns, f"{record.__name__}.{field.name} has no column"
        column = columns[field.name]
        assert column.type == arrow_types(hints[field.name], column), field.name
        assert column.nullable == (type(None) in get_args(hints[field.name])), field.name


def test_every_metadata_column_is_computed_by_a_decoder_process_or_by_the_run() -> None:
    fields = {field.name for field in dataclasses.fields(Metadata)}
    without = {column.name for column in TABLES["metadata"].columns} - fields - set(COMMON)
    later = {column.name for column in TABLES["metadata"].columns if column.filled_since is None}
    # From the position, and from the other files of the folder: the run adds them, no decoder process knows them.
    assert without == {"place_city", "place_region", "place_country_code", "pair_media_id"}
    assert later == set()


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_tables_start_with_the_common_columns_and_their_key_is_required(table: Any) -> None:
    # A register is copied whole: no run computes its rows, and they are about owners, not about files.
    assert table.is_register or table.schema.names[: len(COMMON)] == COMMON
    assert len(set(table.schema.names)) == len(table.schema.names)
    assert table.key[0] == ("owner" if table.is_register else "media_id")
    # Rows about pictures have no time of a frame; a picture has no frames beside, so the key still names one row.
    assert [name for name in table.key if table.schema.field(name).nullable] in ([], ["frame_s"])


@pytest.mark.parametrize(("table", "column"), ALL_COLUMNS, ids=lambda value: getattr(value, "name", value))
def test_every_column_is_described_and_its_unit_is_in_its_name(table: str, column: Column) -> None:
    assert column.description.endswith(".")
    assert column.source
    assert column.nullable or column.filled_since is not None
    suffix = {"px": "_px", "bytes": "_bytes", "s": "_s", "deg": "_deg", "m": "_m", "mm": "_mm", "Hz": "_hz"}.get(
        column.unit or "", ""
    )
    assert column.name.endswith(suffix)
    metadata = TABLES[table].schema.field(column.name).metadata
    assert metadata[b"description"].decode() == column.description
    assert metadata.get(b"unit", b"").decode() == (column.unit or "")


def test_rows_become_a_table_of_exactly_the_schema() -> None:
    captured = datetime(2024, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - wall time
    data = rows_to_table(
        TABLES["metadata"], [full_row("metadata", captured_at_local=captured, keywords=("a", "b"), iso=100)]
    )
    assert data.schema.equals(TABLES["metadata"].schema, check_metadata=True)
    got = data.to_pylist()[0]
    assert (got["captured_at_local"], got["keywords"], got["iso"]) == (captured, ["a", "b"], 100)
    assert got["computed_at"] == EPOCH
    assert got["computed_at"].tzinfo is not None
    assert got["title"] is None


def test_no_rows_make_an_empty_table() -> None:
    assert rows_to_table(TABLES["files"], []).schema == TABLES["files"].schema


def test_missing_has_one_form() -> None:
    got = rows_to_table(
        TABLES["metadata"],
        [full_row("metadata", title="", keywords=[], f_number=float("nan"), latitude_deg=float("inf"))],
    ).to_pylist()[0]
    assert [got[name] for name in ("title", "keywords", "f_number", "latitude_deg")] == [None] * 4


def test_enum_values_are_stored_as_text() -> None:
    data = rows_to_table(TABLES["rejected"], [full_row("rejected", reason_code=ReasonCode.EMPTY_FILE)])
    assert data["reason_code"].to_pylist() == ["empty_file"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"shutter": 1}, "'shutter'"),
        ({"owner": None}, "metadata.owner"),
        ({"owner": ""}, "metadata.owner"),
        ({"iso": 1.5}, "metadata.iso"),
        ({"iso": True}, "metadata.iso"),
        ({"iso": 2**70}, "metadata.iso"),
        ({"iso": "100"}, "metadata.iso"),
        ({"title": b"x"}, "metadata.title"),
        ({"title": "\ud800"}, "metadata.title"),
        ({"f_number": "2.8"}, "metadata.f_number"),
        ({"flash_fired": 1}, "metadata.flash_fired"),
        ({"keywords": "ab"}, "metadata.keywords"),
        ({"keywords": [1]}, "metadata.keywords"),
        ({"captured_at": datetime(2024, 1, 1)}, "metadata.captured_at"),  # noqa: DTZ001 - what must be refused
        ({"captured_at_local": datetime(2024, 1, 1, tzinfo=UTC)}, "metadata.captured_at_local"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_its_column_named(values: dict[str, object], named: str) -> None:
    with pytest.raises(CatalogError, match=named.replace(".", r"\.")):
        rows_to_table(TABLES["metadata"], [full_row("metadata"), full_row("metadata", **values)])


def test_a_forgotten_required_column_is_named() -> None:
    incomplete = full_row("files")
    del incomplete["sha256"]
    with pytest.raises(CatalogError, match=r"files\.sha256 must not be null"):
        rows_to_table(TABLES["files"], [incomplete])


def test_an_unknown_table_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CatalogError, match=f"'photos'.*{', '.join(TABLES)}"):
        table_named("photos")


def test_the_dictionary_has_one_line_per_column() -> None:
    text = data_dictionary()
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(lines) == len(ALL_COLUMNS)
    assert all(line.count("|") - line.count("\\|") == 7 for line in lines)
    assert "| `size_bytes` | int64 | bytes | no |" in text
    assert "| `rating` | int64 |  | yes | Rating, 0-5; -1 is rejected by the photographer. | " in text
    assert "| `ssim` | double |  | yes | Structural similarity to the original at the same size, 0-1. Null" in text
    assert all(f"\n## {name}\n" in text for name in TABLES)


def test_the_dictionary_is_printed_by_its_module() -> None:
    command = [sys.executable, "-m", "media_assets.storage.dictionary"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == data_dictionary()
