"""A table that two assets share: each replaces and removes its own rows of a media file and no others."""

from collections.abc import Sequence

import pytest

from media_assets.storage.catalog import compact, read_current
from media_assets.storage.objects import ObjectStore
from media_assets.storage.tables import PartWriter
from media_assets_tests.unit.storage.catalog_probe import MAY
from media_assets_tests.unit.storage.table_rows import at, renditions

BETWEEN = pytest.mark.parametrize("between", [False, True], ids=["at once", "one by one"])


def thumbnails(media_id: str, seconds: int, asset: str | None = "thumbnails") -> list[dict[str, object]]:
    return renditions(media_id, ["thumb_150", "preview"], seconds, asset=asset)


def web(media_id: str, seconds: int, formats: Sequence[str] = ("avif", "webp")) -> list[dict[str, object]]:
    rows = renditions(media_id, ["optimized"] * len(formats), seconds, asset="optimized")
    return [row | {"format": name} for row, name in zip(rows, formats, strict=True)]


def current(store: ObjectStore) -> set[tuple[str, str, str]]:
    compact(store)
    names = ["media_id", "kind", "format"]
    return {
        (row["media_id"], row["kind"], row["format"]) for row in read_current(store, "renditions", names).to_pylist()
    }


@BETWEEN
def test_an_asset_replaces_its_own_rows_only(store: ObjectStore, between: bool) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("renditions", MAY, [*thumbnails("a-1", 1), *web("a-1", 1), *web("b-1", 1)])
    if between:
        compact(store)
    writer.append("renditions", MAY, web("a-1", 2, ["jpeg"]))
    assert current(store) == {
        *(("a-1", kind, "x") for kind in ("thumb_150", "preview")),
        ("a-1", "optimized", "jpeg"),
        *(("b-1", "optimized", name) for name in ("avif", "webp")),
    }
    writer.append("renditions", MAY, renditions("a-1", ["preview"], 3, asset="thumbnails"))
    assert {row for row in current(store) if row[0] == "a-1"} == {
        ("a-1", "preview", "x"),
        ("a-1", "optimized", "jpeg"),
    }


@BETWEEN
@pytest.mark.parametrize(("removed_at", "left"), [(4, True), (5, False), (6, False)])
def test_a_tombstone_of_an_asset_leaves_the_rows_of_the_other(
    store: ObjectStore, between: bool, removed_at: int, left: bool
) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("renditions", MAY, [*thumbnails("a-1", 5), *web("a-1", 5), *web("b-1", 5)])
    if between:
        compact(store)
    writer.remove("renditions", MAY, ["a-1", "never-there"], at(removed_at), asset="optimized")
    kept = current(store)
    assert {("a-1", "thumb_150", "x"), ("a-1", "preview", "x"), ("b-1", "optimized", "avif")} <= kept
    assert (("a-1", "optimized", "avif") in kept) == left
    writer.remove("renditions", MAY, ["a-1"], at(7))
    assert {media_id for media_id, _, _ in current(store)} == {"b-1"}


def test_a_tombstone_of_an_asset_without_rows_takes_none_of_its_neighbours(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("renditions", MAY, [*thumbnails("a-1", 1), *thumbnails("c-1", 1), *web("c-1", 1)])
    writer.remove("renditions", MAY, ["a-1", "b-1"], at(9), asset="optimized")
    assert len(current(store)) == 6


def test_rows_from_before_the_table_was_shared_are_those_of_thumbnails(store: ObjectStore) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("renditions", MAY, thumbnails("a-1", 1, asset=None))
    writer.append("renditions", MAY, web("a-1", 2))
    assert len(current(store)) == 4
    writer.append("renditions", MAY, renditions("a-1", ["preview"], 3, asset="thumbnails"))
    assert {kind for _, kind, _ in current(store)} == {"preview", "optimized"}
