"""Current rows of a few files, from the catalog and from parts that it has not absorbed."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from media_assets.storage import catalog
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore, StoreOptions, open_store
from media_assets.storage.present import present_groups, present_rows
from media_assets.storage.tables import PartWriter
from media_assets_tests.unit.storage.table_rows import EPOCH, row

MONTH = "2026-05"


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "library") if request.param == "file" else "memory:///", StoreOptions())


def write(store: ObjectStore, run: str, at: datetime, **titles: str) -> None:
    rows = [row("metadata", media_id=media_id, title=title, computed_at=at) for media_id, title in titles.items()]
    PartWriter(store, run).append("metadata", MONTH, rows)


def titles(store: ObjectStore, *media_ids: str) -> dict[str, object]:
    return {media_id: found["title"] for media_id, found in present_rows(store, "metadata", MONTH, media_ids).items()}


def test_nothing_is_there_before_the_first_row(store: ObjectStore) -> None:
    assert titles(store, "a") == {}


def test_the_latest_row_counts_wherever_it_is(store: ObjectStore) -> None:
    write(store, "run-1", EPOCH, a="a1", b="b1", c="c1")
    assert titles(store, "a", "b", "x") == {"a": "a1", "b": "b1"}
    catalog.compact(store)
    assert titles(store, "a", "b") == {"a": "a1", "b": "b1"}
    write(store, "run-2", EPOCH + timedelta(seconds=1), a="a2")
    write(store, "run-0", EPOCH - timedelta(seconds=1), b="b0")
    assert titles(store, "a", "b") == {"a": "a2", "b": "b1"}
    catalog.compact(store)
    assert titles(store, "c", "a") == {"a": "a2", "c": "c1"}


def test_of_one_instant_the_later_part_counts(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    for number in range(12):  # by number, not by name
        writer.append("metadata", MONTH, [row("metadata", media_id="a", title=str(number))])
    assert titles(store, "a") == {"a": "11"}


def test_rows_are_whole_and_of_their_month(store: ObjectStore) -> None:
    write(store, "run-1", EPOCH, a="a1")
    (found,) = present_rows(store, "metadata", MONTH, ["a"]).values()
    assert (found["run_id"], found["title"]) == ("run-1", "a1")
    catalog.compact(store)
    assert catalog.read_current(store, "metadata").to_pylist() == [found]
    assert present_rows(store, "metadata", "2026-06", ["a"]) == {}


def test_a_damaged_part_is_named(store: ObjectStore) -> None:
    write(store, "run-1", EPOCH, a="a1")
    store.put_bytes(f"tables/metadata/month={MONTH}/run-2-0.parquet", b"no parquet")
    with pytest.raises(CatalogError, match=r"run-2-0\.parquet cannot be read"):
        titles(store, "a")


def labels(store: ObjectStore, *media_ids: str) -> dict[str, list[str]]:
    found = present_groups(store, "objects", MONTH, media_ids)
    return {media_id: [one["label"] for one in rows] for media_id, rows in found.items()}


def test_of_a_table_with_many_rows_a_file_those_of_its_latest_computation_count(store: ObjectStore) -> None:
    def put(run: str, seconds: int, **found: str) -> None:
        at = EPOCH + timedelta(seconds=seconds)
        rows = [
            row("objects", media_id=media_id, label=label, object_index=index, computed_at=at)
            for media_id, words in found.items()
            for index, label in enumerate(words.split())
        ]
        PartWriter(store, run).append("objects", MONTH, rows)

    put("run-1", 0, a="dog cat", b="car")
    assert labels(store, "a", "b", "x") == {"a": ["dog", "cat"], "b": ["car"]}
    catalog.compact(store)
    put("run-2", 2, a="bird")
    put("run-0", -1, b="bus tram")
    assert labels(store, "a", "b") == {"a": ["bird"], "b": ["car"]}
    PartWriter(store, "run-3").remove("objects", MONTH, ["a"], EPOCH + timedelta(seconds=3))
    assert labels(store, "a", "b") == {"b": ["car"]}
    assert present_groups(store, "objects", "2026-06", ["b"]) == {}
