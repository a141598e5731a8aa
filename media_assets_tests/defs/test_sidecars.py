"""Sidecars by ticks and runs: whatever comes first, metadata has what they say and is computed no more than needed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import dagster as dg
import pytest

from media_assets.media.limits import MAX_SIDECAR_BYTES
from media_assets.pipeline import sidecars, stages
from media_assets.storage import catalog, keys
from media_assets.storage.errors import StoreUnreachable
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World, media_ids
from media_assets_tests.pictures import jpeg, truncated_jpeg

_XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{rating}">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def xmp(title: str, rating: int = 3) -> bytes:
    return _XMP.format(title=escape(title), rating=rating).encode()


def takeout(description: str) -> bytes:
    taken = {"timestamp": "1562423400", "formatted": "06.07.2019, 14:30:00 UTC"}
    return json.dumps({"title": "a.jpg", "description": description, "photoTakenTime": taken}).encode()


def metadata(world: World) -> dict[str, dict[str, Any]]:
    """Current rows of table metadata by source key."""
    world.library.compact()
    files = catalog.read_current(world.library.store, "files", ["media_id", "source_key"]).to_pylist()
    names = {row["media_id"]: row["source_key"] for row in files}
    return {names[row["media_id"]]: row for row in catalog.read_current(world.library.store, "metadata").to_pylist()}


def titles(world: World) -> dict[str, str | None]:
    return {name: row["title"] for name, row in metadata(world).items()}


def rejected(world: World) -> list[str]:
    world.library.compact()
    return [row["source_key"] for row in catalog.read_current(world.library.store, "rejected").to_pylist()]


def events(world: World, *names: str) -> dict[str, tuple[int, int, int]]:
    """How often original, metadata and thumbnails of each file were materialized."""
    return {
        name: tuple(len(world.events(asset, name)) for asset in ("original", "metadata", "thumbnails"))  # type: ignore[misc]
        for name in names
    }


def version(world: World, name: str) -> str:
    (newest, *_) = world.events("metadata", name)
    return (newest.tags or {})["dagster/data_version"]


def is_at_rest(world: World) -> bool:
    return world.tick().run_requests == [] and set(world.library.ledger.batch_counts()) <= {"done"}


def test_a_photo_and_its_sidecar_together(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "a.jpg.xmp": xmp("A lake")})
    (result,) = world.ingest()
    assert result.success
    assert titles(world) == {"a.jpg": "A lake"}
    assert metadata(world)["a.jpg"]["rating"] == 3
    assert world.partitions() == [keys.media_id("a.jpg")]
    assert events(world, "a.jpg") == {"a.jpg": (1, 1, 1)}
    assert world.library.ledger.counts() == {"accepted": 1, "sidecar": 1}
    assert rejected(world) == []
    assert is_at_rest(world)
    assert world.status("metadata")["materialized"] == media_ids("a.jpg")


def test_a_sidecar_before_its_photo_starts_nothing_and_is_read_with_it(world: World, drop: Drop) -> None:
    drop({"a.jpg.xmp": xmp("A lake")})
    tick = world.tick()
    assert (tick.run_requests, world.partitions()) == ([], [])
    assert world.library.ledger.lone_sidecars(9) == (1, ["a.jpg.xmp"])
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    assert titles(world) == {"a.jpg": "A lake"}
    assert events(world, "a.jpg") == {"a.jpg": (1, 1, 1)}
    assert world.library.ledger.lone_sidecars(9) == (0, [])
    assert is_at_rest(world)


def test_a_sidecar_after_its_photo_has_the_metadata_alone_computed_again_once(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2), "c.jpg": jpeg(3)})
    world.ingest()
    assert is_at_rest(world)
    before = version(world, "b.jpg")
    drop({"b.jpg.xmp": xmp("A lake")})
    (request,) = world.tick().run_requests
    assert request.asset_selection == [dg.AssetKey("metadata")]
    result = world.launch(request)
    assert result is not None
    assert result.success
    assert events(world, "a.jpg", "b.jpg") == {"a.jpg": (1, 1, 1), "b.jpg": (1, 2, 1)}
    assert titles(world) == {"a.jpg": None, "b.jpg": "A lake", "c.jpg": None}
    assert version(world, "b.jpg") != before
    assert world.launch(request) is None
    assert is_at_rest(world)
    for asset in ("original", "metadata", "thumbnails"):
        assert world.status(asset)["materialized"] == media_ids("a.jpg", "b.jpg", "c.jpg")


def test_each_version_of_a_sidecar_counts(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "a.xmp": xmp("one")})
    world.ingest()
    versions = [version(world, "a.jpg")]
    for text in ("two", "three"):
        drop({"a.xmp": xmp(text)})
        assert len(world.ingest()) == 1
        assert titles(world) == {"a.jpg": text}
        versions.append(version(world, "a.jpg"))
        assert is_at_rest(world)
    assert len(set(versions)) == 3
    assert events(world, "a.jpg") == {"a.jpg": (1, 3, 1)}


def test_a_sidecar_of_a_stem_is_for_all_its_files_and_the_files_become_neighbours(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "a.JPEG": jpeg(2), "ab.jpg": jpeg(3), "u/a.jpg": jpeg(4)})
    world.ingest()
    drop({"a.xmp": xmp("both")})
    assert len(world.ingest()) == 1
    assert titles(world) == {"a.jpg": "both", "a.JPEG": "both", "ab.jpg": None, "u/a.jpg": None}


def test_the_names_of_takeout(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "a(1).jpg": jpeg(2), "a.jpg.supplemental-me.json": takeout("first")})
    drop({"a.jpg.supplemental-metadata(1).json": takeout("second")})
    world.ingest()
    assert {name: row["description"] for name, row in metadata(world).items()} == {
        "a.jpg": "first",
        "a(1).jpg": "second",
    }
    assert metadata(world)["a.jpg"]["captured_at_source"] == "takeout:photoTakenTime"


def test_other_json_is_refused_like_any_other_file(world: World, drop: Drop) -> None:
    drop({"package.json": b"{}", "a.jpg": jpeg(1)})
    world.ingest()
    assert rejected(world) == ["package.json"]
    assert world.library.ledger.lone_sidecars(9) == (0, [])


def test_a_sidecar_that_is_none_leaves_its_photo_whole(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "a.jpg.json": b"[1, 2", "a.jpg.xmp": jpeg(2)})
    world.ingest()
    (row,) = metadata(world).values()
    assert row["title"] is None
    assert any("sidecar" in text.lower() for text in row["warnings"])
    assert world.library.ledger.counts() == {"accepted": 1, "sidecar": 2}


def test_too_large_and_too_many_sidecars_are_noted_and_not_asked_for_again(world: World, drop: Drop) -> None:
    large = xmp("large") + b" " * MAX_SIDECAR_BYTES
    drop({"a.jpg": jpeg(1), "a.jpg.xmp": large, "b.jpg": jpeg(2)})
    drop({f"b.{ending}.xmp": xmp(ending) for ending in ("jpg", "Jpg", "jPg", "jpG", "JPG")})
    world.ingest()
    found = metadata(world)
    assert found["a.jpg"]["title"] is None
    assert found["a.jpg"]["warnings"] == [
        f"The sidecar a.jpg.xmp is larger than {MAX_SIDECAR_BYTES} bytes and was not read."
    ]
    assert found["b.jpg"]["title"] == "JPG"
    assert found["b.jpg"]["warnings"] == [
        "The file has more than 4 sidecars; b.jpg.xmp was not read. Remove some of them."
    ]
    assert is_at_rest(world)


def test_a_sidecar_that_vanished_is_done_without(world: World, drop: Drop, tmp_path: Path) -> None:
    drop({"a.jpg": jpeg(1), "a.jpg.xmp": xmp("gone")})
    (request,) = world.tick().run_requests
    (tmp_path / "library" / "inbox" / "a.jpg.xmp").unlink()
    result = world.launch(request)
    assert result is not None
    assert result.success
    assert titles(world) == {"a.jpg": None}
    assert is_at_rest(world)
    drop({"a.jpg.xmp": xmp("back")})
    world.ingest()
    assert titles(world) == {"a.jpg": "back"}


def test_a_sidecar_that_cannot_be_fetched_now_is_tried_again(
    world: World, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    world.ingest()
    drop({"a.jpg.xmp": xmp("A lake")})
    (request,) = world.tick().run_requests

    def refuse(*_: object) -> None:
        raise StoreUnreachable("The inbox does not answer. Check the network.")

    with monkeypatch.context() as patched:
        patched.setattr(sidecars, "_fetch", refuse)
        failed = world.launch(request)
    assert failed is not None
    assert not failed.success
    assert titles(world) == {"a.jpg": None, "b.jpg": None}
    # What was there before is still shown as there, and nothing else is concerned.
    assert world.status("original")["failed"] == set()
    assert world.status("metadata")["failed"] == media_ids("a.jpg")
    (batch,) = world.library.ledger.unfinished(9)
    with world.library.ledger._transaction() as connection:
        connection.exec_driver_sql("UPDATE ma_batch SET not_before = created_at")
    world.tick()
    with world.library.ledger._transaction() as connection:
        connection.exec_driver_sql("UPDATE ma_batch SET not_before = created_at")
    (again,) = world.tick().run_requests
    assert again.run_key == f"{batch.batch_id}-2"
    world.launch(again)
    assert titles(world) == {"a.jpg": "A lake", "b.jpg": None}
    assert is_at_rest(world)


def test_a_changed_photo_reads_its_sidecar_again_without_a_run_for_the_sidecar(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "a.jpg.xmp": xmp("one")})
    world.ingest()
    drop({"a.jpg": jpeg(2), "a.jpg.xmp": xmp("two")})
    (request,) = world.tick().run_requests
    assert request.asset_selection is None
    world.launch(request)
    assert titles(world) == {"a.jpg": "two"}
    assert events(world, "a.jpg") == {"a.jpg": (2, 2, 2)}
    assert is_at_rest(world)


def test_a_refused_new_version_leaves_the_metadata_of_the_stored_one_to_its_sidecars(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "a.jpg.xmp": xmp("one")})
    world.ingest()
    drop({"a.jpg": truncated_jpeg()})
    world.ingest()
    drop({"a.jpg.xmp": xmp("two")})
    assert len(world.ingest()) == 1
    assert titles(world) == {"a.jpg": "two"}
    assert rejected(world) == ["a.jpg"]
    assert is_at_rest(world)


def test_a_backfill_reads_the_sidecars_too(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "a.jpg.xmp": xmp("one"), "b.jpg": jpeg(2)})
    world.ingest()
    assert world.backfill("a.jpg", "b.jpg", "metadata", "thumbnails").success
    assert titles(world) == {"a.jpg": "one", "b.jpg": None}
    newest, first = world.events("metadata", "a.jpg")
    assert {(one.tags or {})["dagster/data_version"] for one in (newest, first)} == {version(world, "a.jpg")}
    assert is_at_rest(world)


def test_sidecars_are_read_in_the_order_of_trust_under_neutral_names(
    world: World, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], list[bytes]]] = []
    fetch = stages.fetch_sidecars

    def spy(*arguments: Any) -> sidecars.FetchedSidecars:
        fetched = fetch(*arguments)
        seen.append(([path.name for path in fetched.paths], [path.read_bytes() for path in fetched.paths]))
        return fetched

    monkeypatch.setattr(stages, "fetch_sidecars", spy)
    contents: Mapping[str, bytes] = {"a.jpg.json": takeout("x"), "a.xmp": xmp("stem"), "a.jpg.xmp": xmp("file")}
    drop({"a.jpg": jpeg(1), **contents})
    world.ingest()
    assert seen == [
        (["sidecar-0", "sidecar-1", "sidecar-2"], [contents[name] for name in ("a.jpg.xmp", "a.xmp", "a.jpg.json")])
    ]
    assert titles(world) == {"a.jpg": "file"}
    assert metadata(world)["a.jpg"]["description"] == "x"


def test_many_photos_are_refreshed_in_few_runs(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(batch_max_files=8)
    drop({f"{n:02}.jpg": jpeg(n) for n in range(20)})
    world.ingest()
    drop({f"{n:02}.xmp": xmp(str(n)) for n in range(20)})
    assert len(world.ingest()) == 3
    assert titles(world) == {f"{n:02}.jpg": str(n) for n in range(20)}
    assert is_at_rest(world)
    drop({f"{n:02}.xmp": xmp(f"new {n}") for n in (3, 4, 11)})
    assert len(world.ingest()) == 2  # a range covers neighbours only
    assert [name for name, title in titles(world).items() if title and title.startswith("new")] == [
        "03.jpg",
        "04.jpg",
        "11.jpg",
    ]


def test_an_old_library_finds_the_sidecars_that_it_refused(
    world: World, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop({"a.jpg": jpeg(1), "a.jpg.json": takeout("x")})
    with monkeypatch.context() as patched:
        patched.setattr("media_assets.storage.ledger.is_sidecar", lambda _: False)
        world.ingest()
        world.tick()
    assert rejected(world) == ["a.jpg.json"]
    assert len(world.ingest()) == 1
    assert {name: row["description"] for name, row in metadata(world).items()} == {"a.jpg": "x"}
    assert rejected(world) == []
    assert world.partitions() == [keys.media_id("a.jpg")]
    assert is_at_rest(world)


def test_nothing_of_a_sidecar_is_left_in_the_spool(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "a.jpg.xmp": xmp("x")})
    world.ingest()
    assert [name for _, _, names in os.walk(world.library.store.scratch_dir()) for name in names] == []
