"""Current rows of whole tables, before and after compactions: the same as the catalog will have."""

import pytest

from media_assets.storage.catalog import compact, read_current
from media_assets.storage.errors import CatalogError, ObjectMissing
from media_assets.storage.objects import ObjectStore, open_store
from media_assets.storage.present_table import present_folders, read_present
from media_assets.storage.tables import PartWriter
from media_assets_tests.unit.storage.table_rows import at, renditions, row

COLUMNS = ("media_id", "kind")
A, B, C = (f"{name}-000000000000" for name in "abc")


@pytest.fixture
def store() -> ObjectStore:
    """A store that is not local, with rows in two months, some of them replaced, some removed."""
    store = open_store("memory://")
    writer = PartWriter(store, "run-1")
    writer.append("renditions", "2024-05", renditions(A, ["thumb_150", "preview"], 0))
    writer.append("renditions", "2024-05", renditions(A, ["optimized"], 0, asset="optimized"))
    writer.append("renditions", "2024-06", renditions(B, ["thumb_150"], 1))
    writer.append("renditions", "2024-06", renditions(C, ["thumb_150"], 1))
    return store


def shown(store: ObjectStore) -> list[tuple[object, ...]]:
    return [tuple(one.values()) for one in read_present(store, "renditions", COLUMNS).to_pylist()]


def test_it_is_what_the_next_compaction_makes_and_stays_so(store: ObjectStore) -> None:
    first = shown(store)
    assert first == [(A, "optimized"), (A, "preview"), (A, "thumb_150"), (B, "thumb_150"), (C, "thumb_150")]
    compact(store)
    assert shown(store) == first
    writer = PartWriter(store, "run-2")
    writer.append("renditions", "2024-05", renditions(A, ["preview"], 5))
    writer.remove("renditions", "2024-06", [B], at(9))
    pending = shown(store)
    assert pending == [(A, "optimized"), (A, "preview"), (C, "thumb_150")]
    compact(store)
    assert shown(store) == pending
    assert read_present(store, "renditions", COLUMNS).equals(read_current(store, "renditions", COLUMNS))


def test_columns_come_in_the_order_that_was_asked_for_and_tables_may_be_empty() -> None:
    store = open_store("memory://")
    assert read_present(store, "safety", ("score", "media_id")).column_names == ["score", "media_id"]
    PartWriter(store, "run-1").append("safety", "2024-05", [row("safety", A, score=0.25)])
    assert read_present(store, "safety", ("score", "media_id")).to_pylist() == [{"score": 0.25, "media_id": A}]


def test_a_file_that_a_compaction_replaced_is_looked_for_anew(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    compact(store)
    get_bytes, failures = store.get_bytes, iter([True])

    def replaced_once(key: str) -> bytes:
        if key.endswith(".parquet") and next(failures, False):
            raise ObjectMissing(f"{key} does not exist.", key)
        return get_bytes(key)

    monkeypatch.setattr(store, "get_bytes", replaced_once)
    assert len(shown(store)) == 5


def test_what_cannot_be_read_is_an_error_that_says_what_to_do(store: ObjectStore) -> None:
    with pytest.raises(CatalogError, match="There is no table"):
        read_present(store, "wishes", COLUMNS)
    compact(store)
    (file,) = [one.key for one in store.list(present_folders("renditions")[1]) if "2024-05" in one.key]
    store.put_bytes(file, b"damaged")
    with pytest.raises(CatalogError, match="Materialize the asset `catalog`"):
        shown(store)
