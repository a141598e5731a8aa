from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from media_assets.storage import keys
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore
from media_assets.storage.schemas import TABLES
from media_assets.storage.tables import REMOVED_SCHEMA, PartWriter, list_parts, read_part, read_parts
from media_assets_tests.unit.storage.table_rows import EPOCH, at, renditions, row


def put(store: ObjectStore, key: str, data: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(data, sink)
    store.put_bytes(key, sink.getvalue().to_pybytes())


def test_a_part_comes_back_as_it_was_written(store: ObjectStore) -> None:
    key = PartWriter(store, "run-1").append("files", "2024-05", [row("files", "b-1"), row("files", "a-1")])
    assert key == "tables/files/month=2024-05/run-1-0.parquet"
    data = read_part(store, key)
    assert data.schema.equals(TABLES["files"].schema, check_metadata=True)
    assert data["media_id"].to_pylist() == ["b-1", "a-1"]
    assert data["run_id"].to_pylist() == ["run-1", "run-1"]
    assert data["computed_at"].to_pylist() == [EPOCH, EPOCH]


def test_parts_are_zstd(store: ObjectStore) -> None:
    key = PartWriter(store, "run-1").append("files", "2024-05", [row("files")])
    metadata = pq.ParquetFile(pa.BufferReader(store.get_bytes(key))).metadata
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_numbers_grow_per_table_and_month_and_tombstones_share_them(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    written = [
        writer.append("files", "2024-05", [row("files")]),
        writer.remove("files", "2024-05", ["a-000000000000"], EPOCH),
        writer.append("files", "2024-05", [row("files")]),
        writer.append("files", "2024-06", [row("files")]),
        writer.append("metadata", "2024-05", [row("metadata")]),
    ]
    numbers = [(part.table, part.month, part.n, part.removed) for part in map(keys.parse_part_key, written) if part]
    assert numbers == [
        ("files", "2024-05", 0, False),
        ("files", "2024-05", 1, True),
        ("files", "2024-05", 2, False),
        ("files", "2024-06", 0, False),
        ("metadata", "2024-05", 0, False),
    ]


def test_a_restarted_run_goes_on_after_its_last_part(store: ObjectStore) -> None:
    first = PartWriter(store, "run-1")
    before = [first.append("files", "2024-05", [row("files", f"a-{n}")]) for n in range(11)]
    again = PartWriter(store, "run-1").append("files", "2024-05", [row("files", "z-1")])
    assert again == "tables/files/month=2024-05/run-1-11.parquet"
    assert len({*before, again}) == len(list_parts(store, "files")) == 12
    assert PartWriter(store, "run-10").append("files", "2024-05", [row("files")]).endswith("/run-10-0.parquet")


def test_a_name_that_is_taken_is_never_overwritten(store: ObjectStore) -> None:
    ours, theirs = PartWriter(store, "run-1"), PartWriter(store, "run-1")
    assert ours.append("files", "2024-05", [row("files", "a-1")]).endswith("-0.parquet")
    assert theirs.append("files", "2024-05", [row("files", "a-2")]).endswith("-1.parquet")
    assert ours.append("files", "2024-05", [row("files", "a-3")]).endswith("-2.parquet")
    ids = [data["media_id"].to_pylist() for _, data in read_parts(store, "files")]
    assert ids == [["a-1"], ["a-2"], ["a-3"]]


def test_threads_may_share_a_writer(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda n: writer.append("files", "2024-05", [row("files", f"a-{n}")]), range(20)))
    assert len(set(written)) == 20
    assert sorted(data["media_id"][0].as_py() for _, data in read_parts(store, "files")) == sorted(
        f"a-{n}" for n in range(20)
    )


def test_tombstones_are_written_once_per_media_id(store: ObjectStore) -> None:
    key = PartWriter(store, "run-1").remove("files", "2024-05", ["b-1", "a-1", "b-1"], at(5))
    assert key == "tables/files/month=2024-05/run-1-0.removed.parquet"
    data = read_part(store, key)
    assert data.schema == REMOVED_SCHEMA
    assert data.to_pylist() == [
        {"media_id": "a-1", "computed_at": at(5), "asset": None},
        {"media_id": "b-1", "computed_at": at(5), "asset": None},
    ]
    shared = PartWriter(store, "run-1").remove("renditions", "2024-05", ["a-1"], at(5), asset="optimized")
    assert read_part(store, shared)["asset"].to_pylist() == ["optimized"]


def test_what_does_not_fit_is_not_written(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    twice = renditions("a-1", ["preview", "preview"], 0)
    with pytest.raises(CatalogError, match=r"key \('a-1', 'preview', 'x'\)"):
        writer.append("renditions", "2024-05", twice)
    with pytest.raises(CatalogError, match="run-2"):
        writer.append("files", "2024-05", [row("files", run_id="run-2")])
    with pytest.raises(CatalogError, match="no table 'photos'"):
        writer.append("photos", "2024-05", [row("files")])
    with pytest.raises(ValueError, match="month"):
        writer.append("files", "May", [row("files")])
    with pytest.raises(ValueError, match="at least one row"):
        writer.append("files", "2024-05", [])
    with pytest.raises(ValueError, match="aware time"):
        writer.remove("files", "2024-05", ["a-1"], datetime(2024, 1, 1))  # noqa: DTZ001 - what must be refused
    with pytest.raises(ValueError, match="do not share"):
        writer.remove("files", "2024-05", ["a-1"], at(0), asset="optimized")
    assert list(store.list()) == []


def test_an_older_part_without_a_column_reads_as_null(store: ObjectStore) -> None:
    key = PartWriter(store, "run-1").append("files", "2024-05", [row("files", duration_s=1.0)])
    put(store, key, read_part(store, key).drop_columns(["duration_s"]))
    data = read_part(store, key)
    assert data.schema == TABLES["files"].schema
    assert data["duration_s"].to_pylist() == [None]


def test_a_part_of_another_schema_is_named(store: ObjectStore) -> None:
    key = PartWriter(store, "run-1").append("files", "2024-05", [row("files")])
    good = read_part(store, key)
    put(store, key, good.append_column("colour", pa.array(["red"])))
    with pytest.raises(CatalogError, match=rf"{key} has a column 'colour'.*Upgrade"):
        read_part(store, key)
    put(store, key, good.set_column(0, "media_id", pa.array([1])))
    with pytest.raises(CatalogError, match=rf"{key} has column media_id as int64"):
        read_part(store, key)
    put(store, key, good.drop_columns(["owner"]))
    with pytest.raises(CatalogError, match=rf"{key} has no value in column owner"):
        read_part(store, key)


@pytest.mark.parametrize("keep", [0, 3, 40, -1])
def test_a_truncated_part_is_named_with_the_next_action(store: ObjectStore, keep: int) -> None:
    key = PartWriter(store, "run-1").append("files", "2024-05", [row("files")])
    store.put_bytes(key, store.get_bytes(key)[:keep])
    with pytest.raises(CatalogError, match=rf"{key} cannot be read.*partitions of run run-1 again\.$"):
        read_part(store, key)


def test_a_part_that_is_gone_is_named(store: ObjectStore) -> None:
    with pytest.raises(CatalogError, match=r"run-1-0\.parquet cannot be read"):
        read_part(store, "tables/files/month=2024-05/run-1-0.parquet")
    with pytest.raises(CatalogError, match="not a part"):
        read_part(store, "catalog/files/CURRENT.json")


def test_objects_that_are_no_parts_are_left_out(store: ObjectStore) -> None:
    key = PartWriter(store, "run-1").append("files", "2024-05", [row("files")])
    store.put_bytes("tables/files/month=2024-05/notes.txt", b"x")
    store.put_bytes("tables/files2/month=2024-05/run-1-0.parquet", b"x")
    assert list_parts(store, "files") == [key]
    assert list_parts(store, "metadata") == []
