"""Pairs by ticks and runs: whichever half comes first, both rows name the other in the end."""

import io
import struct
from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from PIL import ExifTags, Image

from media_assets.pipeline import batch, pairs
from media_assets.storage import catalog, keys, ledger
from media_assets.storage.errors import StoreUnreachable
from media_assets.storage.tables import PartWriter, list_parts
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.media.samples import write_video

Clip: TypeAlias = Callable[..., bytes]

APPLE_IDENTIFIER = "com.apple.quicktime.content.identifier"


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """A short video; ``frames`` tenths of a second long."""

    def make(frames: int = 20, content_id: str | None = None, container: str = "mov") -> bytes:
        tags = {} if content_id is None else {APPLE_IDENTIFIER: content_id}
        options = {"movflags": "use_metadata_tags"} if tags else {}
        path = write_video(tmp_path / "clip", container=container, frames=frames, tags=tags, options=options)
        return path.read_bytes()

    return make


def live_jpeg(content_id: str, seed: int = 0) -> bytes:
    """A photo with the identifier in Apple's maker note."""
    value = content_id.encode() + b"\0"
    entry = struct.pack(">HHII", 0x11, 2, len(value), 32)
    note = b"Apple iOS\0\0\x01MM" + struct.pack(">H", 1) + entry + bytes(4) + value
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = note
    buffer = io.BytesIO()
    Image.new("RGB", (48, 32), (seed, 40, 90)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def rows(world: World) -> dict[str, dict[str, Any]]:
    """Current rows of table metadata by source key; there is one for each file."""
    world.library.compact()
    assert catalog.check_unique(world.library.store, "metadata") == []
    files = catalog.read_current(world.library.store, "files", ["media_id", "source_key"]).to_pylist()
    names = {row["media_id"]: row["source_key"] for row in files}
    found = {names[row["media_id"]]: row for row in catalog.read_current(world.library.store, "metadata").to_pylist()}
    assert sorted(found) == sorted(names.values())
    return found


def partners(world: World) -> dict[str, str]:
    """Source key to the source key that its row names."""
    found = rows(world)
    names = {row["media_id"]: name for name, row in found.items()}
    return {name: names[row["pair_media_id"]] for name, row in found.items() if row["pair_media_id"] is not None}


def both(one: str, other: str) -> dict[str, str]:
    return {one: other, other: one}


def ingest(world: World) -> None:
    for result in world.ingest():
        assert result.success
    assert world.library.ledger.unwritten_pairs(9) == []


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("order", [["x/IMG_1.JPG", "y/clip.mov"], ["y/clip.mov", "x/IMG_1.JPG"]])
def test_halves_of_a_live_photo_in_two_batches(
    world: World, drop: Drop, clip: Clip, order: list[str], compacted: bool
) -> None:
    """Of one owner: by the identifier, in whatever folder and whatever order."""
    files = {"x/IMG_1.JPG": live_jpeg("ID-1"), "y/clip.mov": clip(content_id="ID-1")}
    files = {f"ann/{name}": content for name, content in files.items()}
    drop({"ann/other.jpg": live_jpeg("ID-2"), "bob/x.jpg": live_jpeg("ID-1", 9)})
    for name in (f"ann/{one}" for one in order):
        drop({name: files[name]})
        ingest(world)
        if compacted:
            world.library.compact()
    assert partners(world) == both(*files)
    assert {row["live_photo_id"] for row in rows(world).values()} == {"ID-1", "ID-2"}


def test_halves_in_one_batch_are_written_once(world: World, drop: Drop, clip: Clip) -> None:
    drop({"IMG_1.JPG": jpeg(1), "IMG_1.MOV": clip(), "IMG_2.JPG": jpeg(2), "IMG_2.mp4": clip(container="mp4")})
    ingest(world)
    assert partners(world) == both("IMG_1.JPG", "IMG_1.MOV") | both("IMG_2.JPG", "IMG_2.mp4")
    assert len(list_parts(world.library.store, "metadata")) == 1


def test_halves_in_two_chunks_of_one_run(make_world: MakeWorld, drop: Drop, clip: Clip) -> None:
    world = make_world(flush_files=1)
    drop({"a.jpg": live_jpeg("ID-1"), "b.jpg": jpeg(2), "c.mov": clip(content_id="ID-1")})
    ingest(world)
    assert partners(world) == both("a.jpg", "c.mov")


def test_halves_in_two_months(world: World, drop: Drop, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(ledger.keys, "month_of", lambda _: "2026-01")
        drop({"a.jpg": jpeg(1)})
        world.tick()
    for one in world.tick().run_requests:
        world.launch(one)
    drop({"a.mov": clip()})
    ingest(world)
    assert partners(world) == both("a.jpg", "a.mov")
    months = {key.split("/")[2] for key in list_parts(world.library.store, "metadata")}
    assert "month=2026-01" in months
    assert len(months) == 2


def test_the_row_of_the_first_half_is_the_same_but_for_its_partner(world: World, drop: Drop, clip: Clip) -> None:
    drop({"a.jpg": live_jpeg("ID-1")})
    ingest(world)
    before = rows(world)["a.jpg"]
    drop({"a.mov": clip(content_id="ID-1")})
    ingest(world)
    after = rows(world)["a.jpg"]
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"pair_media_id", "run_id", "computed_at"}
    assert after["computed_at"] > before["computed_at"]
    assert len(world.events("metadata", "a.jpg")) == 1  # the same bytes by the same code


def test_doing_it_again_changes_nothing(world: World, drop: Drop, clip: Clip) -> None:
    drop({"a.jpg": jpeg(1)})
    ingest(world)
    drop({"a.mov": clip()})
    ingest(world)
    before = list_parts(world.library.store, "metadata")
    assert world.tick().run_requests == []
    assert list_parts(world.library.store, "metadata") == before


@pytest.mark.parametrize("names", [["a.jpg", "a.mov"], ["a.jpg", "a.jpg"], ["a.mov", "a.mov"]])
def test_a_backfill_keeps_the_pair(world: World, drop: Drop, clip: Clip, names: list[str]) -> None:
    drop({"a.jpg": jpeg(1)})
    ingest(world)
    drop({"a.mov": clip()})
    ingest(world)
    parts = len(list_parts(world.library.store, "metadata"))
    assert world.backfill(names[0], names[1], "metadata").success
    assert partners(world) == both("a.jpg", "a.mov")
    assert len(list_parts(world.library.store, "metadata")) == parts + 1  # nobody had to be told


def test_a_replaced_file_that_fits_no_more_leaves_its_partner(world: World, drop: Drop, clip: Clip) -> None:
    drop({"a.jpg": live_jpeg("ID-1"), "b.mov": clip(content_id="ID-1"), "c.mov": clip(content_id="ID-2")})
    ingest(world)
    assert partners(world) == both("a.jpg", "b.mov")
    drop({"a.jpg": live_jpeg("ID-2")})
    ingest(world)
    assert partners(world) == both("a.jpg", "c.mov")
    drop({"c.mov": clip(frames=21)})
    ingest(world)
    assert partners(world) == {}


def test_a_clip_that_is_too_long_is_no_half(world: World, drop: Drop, clip: Clip) -> None:
    drop({"a.jpg": jpeg(1), "a.mov": clip(frames=110)})
    ingest(world)
    assert partners(world) == {}


def test_photo_and_clip_of_google(world: World, drop: Drop, clip: Clip) -> None:
    drop({"PXL_20210101_1.MP.jpg": jpeg(1)})
    ingest(world)
    drop({"PXL_20210101_1.MP": clip(container="mp4")})
    ingest(world)
    assert partners(world) == both("PXL_20210101_1.MP.jpg", "PXL_20210101_1.MP")


def test_three_files_in_any_order(make_world: MakeWorld, drop: Drop, clip: Clip) -> None:
    """Two photos of one name and a clip: who comes last decides nothing."""
    ends = []
    for number, order in enumerate(permutations(["a.JPG", "a.jpeg", "a.mov"])):
        files = {"a.JPG": jpeg(1), "a.jpeg": jpeg(2), "a.mov": clip()}
        world = make_world(library=f"library-{number}")
        for name in order:
            path = Path(world.library.settings.inbox_url) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
            ingest(world)
        ends.append(partners(world))
    assert all(end == ends[0] for end in ends)
    assert len(ends[0]) == 2


def test_a_run_that_dies_before_the_first_half_is_told_is_completed_by_the_next(
    world: World, drop: Drop, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop({"a.jpg": jpeg(1)})
    ingest(world)
    drop({"a.mov": clip()})
    (request,) = world.tick().run_requests

    def die(*_: object) -> None:
        raise StoreUnreachable("The store does not answer. Check the network.")

    with monkeypatch.context() as patched:
        patched.setattr(batch, "relink", die)
        failed = world.launch(request)
    assert failed is not None
    assert not failed.success
    (open_batch,) = world.library.ledger.unfinished(9)  # its last file is not recorded: it is tried again
    assert [entry.source_key for entry in world.library.ledger.pending_members(open_batch.batch_id)] == ["a.mov"]
    assert world.run(request.tags).success
    assert partners(world) == both("a.jpg", "a.mov")


def test_what_was_computed_meanwhile_wins_over_a_row_that_is_written_again(
    world: World, drop: Drop, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run computes the first half between the reading of its row and its writing again."""
    drop({"a.jpg": jpeg(1)})
    ingest(world)
    read = pairs.present_rows

    def overtaken(*arguments: Any) -> dict[str, dict[str, Any]]:
        found = read(*arguments)
        (row,) = (dict(one) for one in found.values())
        newer = row["computed_at"] + timedelta(seconds=1)
        del row["run_id"]
        PartWriter(world.library.store, "another").append(
            "metadata",
            world.library.ledger.entries(found)[row["media_id"]].month,
            [row | {"title": "newer", "computed_at": newer, "pair_media_id": keys.media_id("a.mov")}],
        )
        return found

    monkeypatch.setattr(pairs, "present_rows", overtaken)
    drop({"a.mov": clip()})
    ingest(world)
    assert rows(world)["a.jpg"]["title"] == "newer"
    assert partners(world) == both("a.jpg", "a.mov")


def test_what_waits_is_left_to_a_run_that_is_writing_rows_again(
    world: World, drop: Drop, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "_LEASE_WAIT_S", 0.0)
    drop({"a.jpg": jpeg(1)})
    ingest(world)
    drop({"a.mov": clip()})
    with world.library.ledger.lease("pairs", "another run") as obtained:
        assert obtained
        (result,) = world.ingest()
    assert result.success
    assert [entry.source_key for entry, _ in world.library.ledger.unwritten_pairs(9)] == ["a.jpg"]
    drop({"z.jpg": jpeg(2)})
    ingest(world)  # any later run does what was left
    assert partners(world) == both("a.jpg", "a.mov")
