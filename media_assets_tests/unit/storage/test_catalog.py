import hashlib
import pickle
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from media_assets.storage import catalog, schemas
from media_assets.storage.catalog import check_unique, compact, current_files, pending_parts, read_current
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore, open_store
from media_assets.storage.schemas import TABLES
from media_assets.storage.tables import PartWriter, list_parts, read_part
from media_assets_tests.unit.storage.catalog_probe import JUNE, MAY, WatchedStore, kinds_of, manifest, visible
from media_assets_tests.unit.storage.table_rows import at, renditions, row

# ---------------------------------------------------------------- what is current


def test_the_latest_computation_replaces_all_rows_of_the_one_before(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("renditions", MAY, renditions("a-1", ["thumb_150", "preview", "poster"], 1, width_px=1))
    writer.append("renditions", MAY, renditions("b-1", ["preview"], 1, width_px=1))
    compact(store)
    PartWriter(store, "run-0").append("renditions", MAY, renditions("a-1", ["preview", "clip"], 2, width_px=2))
    assert kinds_of(store) == [
        ("a-1", "poster", 1),
        ("a-1", "preview", 1),
        ("a-1", "thumb_150", 1),
        ("b-1", "preview", 1),
    ]
    compact(store)
    assert kinds_of(store) == [("a-1", "clip", 2), ("a-1", "preview", 2), ("b-1", "preview", 1)]


@pytest.mark.parametrize("between", [False, True], ids=["at once", "one by one"])
def test_an_older_computation_that_arrives_late_changes_nothing(store: ObjectStore, between: bool) -> None:
    PartWriter(store, "run-2").append("renditions", MAY, renditions("a-1", ["preview"], 9, width_px=9))
    if between:
        compact(store)
    PartWriter(store, "run-3").append("renditions", MAY, renditions("a-1", ["preview", "clip"], 5, width_px=5))
    compact(store)
    assert kinds_of(store) == [("a-1", "preview", 9)]


@pytest.mark.parametrize("between", [False, True], ids=["at once", "one by one"])
def test_of_one_instant_the_later_part_counts(store: ObjectStore, between: bool) -> None:
    writer = PartWriter(store, "run-1")
    for width in range(12):  # "run-1-10" sorts before "run-1-9" as text
        writer.append("renditions", MAY, renditions("a-1", ["preview"], 5, width_px=width))
        if between:
            compact(store)
    compact(store)
    assert kinds_of(store) == [("a-1", "preview", 11)]


@pytest.mark.parametrize("between", [False, True], ids=["at once", "one by one"])
@pytest.mark.parametrize(("removed_at", "left"), [(4, 1), (5, 0), (6, 0)])
def test_a_tombstone_takes_what_is_not_younger(store: ObjectStore, between: bool, removed_at: int, left: int) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("files", MAY, [row("files", "a-1", computed_at=at(5))])
    if between:
        compact(store)
    writer.remove("files", MAY, ["a-1", "never-there-1"], at(removed_at))
    compact(store)
    assert read_current(store, "files").num_rows == left


def test_a_tombstone_still_counts_for_rows_that_arrive_after_it_was_absorbed(store: ObjectStore) -> None:
    PartWriter(store, "run-1").remove("files", MAY, ["a-1"], at(5))
    compact(store)
    PartWriter(store, "run-2").append("files", MAY, [row("files", "a-1", computed_at=at(4))])
    compact(store)
    assert read_current(store, "files").num_rows == 0
    PartWriter(store, "run-3").append("files", MAY, [row("files", "a-1", computed_at=at(6))])
    compact(store)
    assert read_current(store, "files").num_rows == 1


def test_a_late_older_row_does_not_come_back_when_the_newer_one_is_removed(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("files", MAY, [row("files", "a-1", computed_at=at(5))])
    writer.remove("files", MAY, ["a-1"], at(6))
    writer.append("files", MAY, [row("files", "a-1", computed_at=at(1))])
    compact(store)
    assert read_current(store, "files").num_rows == 0


def test_rows_are_complete_sorted_and_of_the_declared_schema(store: ObjectStore) -> None:
    ids = [f"m-{n:012x}" for n in range(50)]
    rows = [row("metadata", media_id, keywords=["a", "ä"], tags_json='{"x": "y"}') for media_id in ids]
    for start in (25, 0):
        PartWriter(store, "run-1").append("metadata", MAY, rows[start : start + 25][::-1])
    compact(store)
    data = read_current(store, "metadata")
    assert data.schema.equals(TABLES["metadata"].schema, check_metadata=True)
    assert data["media_id"].to_pylist() == ids
    assert data["keywords"].to_pylist() == [["a", "ä"]] * 50
    (key,) = current_files(store, "metadata")
    entry = manifest(store, "metadata")["months"][MAY]
    content = store.get_bytes(key)
    assert (entry["file"], entry["rows"], entry["size_bytes"]) == (key, 50, len(content))
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert entry["parts"] == ["run-1-0.parquet", "run-1-1.parquet"]


def test_large_months_are_written_in_several_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))
    monkeypatch.setattr(catalog, "_ROWS_PER_GROUP", 7)
    PartWriter(store, "run-1").append("files", MAY, [row("files", f"m-{n:02d}") for n in range(20)])
    compact(store)
    (key,) = current_files(store, "files")
    with pq.ParquetFile(tmp_path / key) as file:
        assert file.num_row_groups == 3
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert read_current(store, "files", ["media_id"]).to_pylist() == [{"media_id": f"m-{n:02d}"} for n in range(20)]
    assert list((tmp_path / ".spool").glob("*")) == []


# ---------------------------------------------------------------- incremental


def test_only_months_with_new_parts_are_rewritten(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("files", MAY, [row("files", "a-1")])
    writer.append("files", JUNE, [row("files", "b-1")])
    writer.append("metadata", JUNE, [row("metadata", "b-1")])
    assert pending_parts(store) == 3
    first = compact(store)
    assert first.tables["files"].months_rewritten == (MAY, JUNE)
    assert (first.tables["files"].rows, first.tables["files"].parts_absorbed) == (2, 2)
    assert first.tables["renditions"].months_rewritten == ()
    assert pending_parts(store) == 0
    may, june = current_files(store, "files")
    writer.append("files", JUNE, [row("files", "c-1")])
    assert pending_parts(store) == 1
    second = compact(store)
    assert second.tables["files"].months_rewritten == (JUNE,)
    assert (second.tables["files"].rows, second.tables["files"].parts_absorbed) == (3, 1)
    assert second.tables["metadata"].months_rewritten == ()
    assert current_files(store, "files")[0] == may
    assert current_files(store, "files")[1] != june
    assert visible(store, "files") == {MAY: [may], JUNE: [current_files(store, "files")[1]]}


def test_a_compaction_with_nothing_to_do_writes_nothing(store: ObjectStore) -> None:
    PartWriter(store, "run-1").append("files", MAY, [row("files", "a-1")])
    compact(store)
    before = {info.key: info for info in store.list()}
    report = compact(store)
    assert {info.key: info for info in store.list()} == before
    assert {
        name: (table.months_rewritten, table.parts_absorbed) for name, table in report.tables.items()
    } == dict.fromkeys([name for name, table in TABLES.items() if not table.is_register], ((), 0))
    assert report.tables["files"].rows == 1


def test_named_tables_only(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("files", MAY, [row("files", "a-1")])
    writer.append("metadata", MAY, [row("metadata", "a-1")])
    assert set(compact(store, ["files"]).tables) == {"files"}
    assert current_files(store, "metadata") == []
    with pytest.raises(CatalogError, match="no table 'photos'"):
        compact(store, ["photos"])


def test_a_month_of_an_older_schema_is_written_again(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = TABLES["files"]
    older = schemas.Table(now.name, now.grain, now.key, tuple(c for c in now.columns if c.name != "duration_s"))
    monkeypatch.setitem(schemas.TABLES, "files", older)
    PartWriter(store, "run-1").append("files", MAY, [row("files", "a-1")])
    compact(store)
    monkeypatch.setitem(schemas.TABLES, "files", now)
    assert read_current(store, "files")["duration_s"].to_pylist() == [None]
    assert compact(store).tables["files"].months_rewritten == (MAY,)
    (key,) = current_files(store, "files")
    (part,) = list_parts(store, "files")
    assert catalog.read_parquet(store, key).schema == read_part(store, part).schema == now.schema


def test_unique_keys_are_checked_over_all_months(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("renditions", MAY, renditions("a-1", ["preview", "clip"], 1))
    compact(store)
    assert check_unique(store, "renditions") == []
    writer.append("renditions", JUNE, renditions("a-1", ["preview"], 2))
    compact(store)
    assert check_unique(store, "renditions") == [("a-1", "preview", "x")]


# ---------------------------------------------------------------- damage


def test_a_corrupt_part_is_named_and_its_table_stays_as_it_was(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    for table in ("files", "metadata"):
        writer.append(table, MAY, [row(table, "a-1")])
    compact(store)
    writer.append("files", MAY, [row("files", "b-1")])
    bad = writer.append("files", JUNE, [row("files", "c-1")])
    writer.append("metadata", MAY, [row("metadata", "b-1")])
    store.put_bytes(bad, b"PAR1 not really PAR1")
    before = visible(store, "files"), store.get_bytes("catalog/files/CURRENT.json")
    with pytest.raises(CatalogError, match=rf"^{bad} cannot be read .*again\.$"):
        compact(store)
    assert (visible(store, "files"), store.get_bytes("catalog/files/CURRENT.json")) == before
    assert read_current(store, "files")["media_id"].to_pylist() == ["a-1"]
    assert read_current(store, "metadata")["media_id"].to_pylist() == ["a-1", "b-1"]
    store.delete(bad)
    compact(store)
    assert read_current(store, "files")["media_id"].to_pylist() == ["a-1", "b-1"]


def test_corrupt_parts_of_two_tables_are_both_named(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    bad = [writer.append(table, MAY, [row(table, "a-1")]) for table in ("files", "rejected")]
    for key in bad:
        store.put_bytes(key, b"")
    with pytest.raises(CatalogError) as caught:
        compact(store)
    assert all(key in caught.value.message for key in bad)
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


@pytest.mark.parametrize("damage", ["file gone", "file corrupt", "manifest corrupt", "manifest gone"])
def test_a_damaged_catalog_is_made_again_from_the_parts(store: ObjectStore, damage: str) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("files", MAY, [row("files", "a-1"), row("files", "b-1")])
    writer.remove("files", MAY, ["b-1"], at(1))
    compact(store)
    (file,) = current_files(store, "files")
    if damage == "file gone":
        store.delete(file)
        with pytest.raises(CatalogError, match="Materialize the asset `catalog`"):
            read_current(store, "files")
    elif damage == "file corrupt":
        store.put_bytes(file, store.get_bytes(file)[:-9])
        with pytest.raises(CatalogError, match="Materialize the asset `catalog`"):
            read_current(store, "files")
        writer.append("files", MAY, [row("files", "c-1")])
    elif damage == "manifest corrupt":
        store.put_bytes("catalog/files/CURRENT.json", b'{"format": 1, "months": [')
        with pytest.raises(CatalogError, match="Materialize the asset `catalog`"):
            current_files(store, "files")
        assert pending_parts(store) == 2
    else:
        store.delete("catalog/files/CURRENT.json")
    compact(store)
    expected = ["a-1", "c-1"] if damage == "file corrupt" else ["a-1"]
    assert read_current(store, "files")["media_id"].to_pylist() == expected
    assert visible(store, "files") == {MAY: current_files(store, "files")}


def test_nothing_is_made_again_from_parts_that_are_gone(store: ObjectStore) -> None:
    part = PartWriter(store, "run-1").append("files", MAY, [row("files", "a-1")])
    compact(store)
    (file,) = current_files(store, "files")
    store.delete(part)
    compact(store)
    assert current_files(store, "files") == [file]
    store.put_bytes("catalog/files/CURRENT.json", b"")
    compact(store)
    assert visible(store, "files") == {MAY: [file]}, "the last copy of the rows must stay"


def test_a_lost_file_whose_parts_are_gone_is_an_error(store: ObjectStore) -> None:
    part = PartWriter(store, "run-1").append("files", MAY, [row("files", "a-1")])
    compact(store)
    store.delete(part)
    PartWriter(store, "run-2").append("files", MAY, [row("files", "b-1")])
    compact(store)
    assert read_current(store, "files")["media_id"].to_pylist() == ["a-1", "b-1"]
    store.delete(current_files(store, "files")[0])
    with pytest.raises(CatalogError, match=r"1 of its parts are gone.*Restore it from a backup"):
        compact(store)


def test_a_catalog_of_a_newer_version_is_left_alone(store: ObjectStore) -> None:
    PartWriter(store, "run-1").append("files", MAY, [row("files", "a-1")])
    store.put_bytes("catalog/files/CURRENT.json", b'{"format": 2}')
    with pytest.raises(CatalogError, match="Upgrade media_assets"):
        compact(store)
    assert store.get_bytes("catalog/files/CURRENT.json") == b'{"format": 2}'


def test_files_of_others_are_not_swept(store: ObjectStore) -> None:
    PartWriter(store, "run-1").append("files", MAY, [row("files", "a-1")])
    store.put_bytes(f"catalog/files/month={MAY}/mine.parquet", b"x")
    store.put_bytes("catalog/files/notes.txt", b"x")
    compact(store)
    assert store.exists(f"catalog/files/month={MAY}/mine.parquet")
    assert store.exists("catalog/files/notes.txt")


def test_an_empty_library_has_tables_without_rows(store: ObjectStore) -> None:
    assert pending_parts(store) == 0
    assert read_current(store, "files").schema == TABLES["files"].schema
    assert read_current(store, "files", ["sha256", "media_id"]).schema.names == ["sha256", "media_id"]
    assert check_unique(store, "renditions") == []
    compact(store)
    assert [info.key for info in store.list()] == []
    with pytest.raises(CatalogError, match="'nope'"):
        read_current(store, "files", ["nope"])


def test_a_reader_is_not_disturbed_by_a_compaction_between_its_two_reads() -> None:
    store = WatchedStore(open_store("memory://"))
    writer = PartWriter(store.inner, "run-1")
    writer.append("files", MAY, [row("files", "a-1")])
    compact(store.inner)
    calls = 0

    def compact_after_the_manifest_was_read() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            writer.append("files", MAY, [row("files", "b-1")])
            compact(store.inner)

    store.before = compact_after_the_manifest_was_read
    assert read_current(store, "files")["media_id"].to_pylist() == ["a-1", "b-1"]
