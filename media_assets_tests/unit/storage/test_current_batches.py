import pytest

from media_assets.storage import catalog
from media_assets.storage.current_batches import current_batches
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore
from media_assets.storage.tables import PartWriter
from media_assets_tests.unit.storage.table_rows import row


def test_the_batches_together_are_the_current_rows(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_ROWS_PER_GROUP", 2)
    writer = PartWriter(store, "run")
    for month in ("2026-04", "2026-05"):
        writer.append("files", month, [row("files", f"{month}-{n}") for n in range(5)])
    assert list(current_batches(store, "files", ["media_id"])) == []
    catalog.compact(store)
    batches = list(current_batches(store, "files", ["size_bytes", "media_id"]))
    assert [one.num_rows for one in batches] == [2, 2, 1] * 2
    assert batches[0].column_names == ["size_bytes", "media_id"]
    expected = catalog.read_current(store, "files")["media_id"].to_pylist()
    assert [name for one in batches for name in one["media_id"].to_pylist()] == expected


def test_a_damaged_file_is_named(store: ObjectStore) -> None:
    PartWriter(store, "run").append("files", "2026-05", [row("files")])
    catalog.compact(store)
    (key,) = catalog.current_files(store, "files")
    store.put_bytes(key, b"no parquet")
    with pytest.raises(CatalogError, match=key):
        list(current_batches(store, "files", ["media_id"]))
