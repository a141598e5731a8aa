from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from media_assets.media.hamming import mirrored_dhash, mirrored_phash
from media_assets.pipeline.near_duplicates import (
    ComparedFile,
    NearDuplicatesReport,
    rows_of_groups,
    update_near_duplicates,
)
from media_assets.storage.tables import list_parts
from media_assets_tests.conftest import MakeLibrary
from media_assets_tests.unit.pipeline.analysed import Analysed

HASH = 0x5A5A_0FF0_1234_9876


def flipped(hash_: int, *bits: int) -> int:
    for bit in bits:
        hash_ ^= 1 << bit
    return hash_


def vector(angle_deg: float, model: str = "net@1") -> dict[str, Any]:
    """A vector at an angle; the cosine of two is that of the difference."""
    values = [float(np.cos(np.radians(angle_deg))), float(np.sin(np.radians(angle_deg)))]
    return {"dim": 2, "vector": values, "model": model}


class Album(Analysed):
    """Writes what is compared of a file, and groups."""

    runs = 0

    def add(
        self,
        source_key: str,
        phash: int | None = None,
        dhash: int | None = None,
        *,
        seen: Mapping[str, Any] | None = None,
        **values: object,
    ) -> None:
        """A file with hashes and vector. Its bytes are its own unless ``sha256`` is given."""
        facts = {"sha256": f"sha of {source_key}", "media_type": "image", "width_px": 40, "height_px": 30}
        self.write("files", {source_key: [facts | values]})
        if phash is not None:
            hashes = {"phash": phash, "dhash": phash if dhash is None else dhash}
            self.write("appearance", {source_key: [hashes]})
        if seen is not None:
            self.write("embeddings", {source_key: [seen]})

    def update(self) -> NearDuplicatesReport:
        self.runs += 1
        return update_near_duplicates(self.library, f"update-{self.runs}")

    def groups(self) -> dict[str, tuple[str, str, int, str | None]]:
        """Group, representative, distance and method by source key, for files that are in a group."""
        entries = self.library.ledger.entries(self.current("files"))
        return {
            entries[media_id].source_key: (
                one["group_id"],
                entries[one["representative_media_id"]].source_key,
                one["distance"],
                one["method"],
            )
            for media_id, (one,) in self.current("near_duplicates").items()
        }


@pytest.fixture
def album(make_library: MakeLibrary) -> Album:
    return Album(make_library())


def test_files_are_grouped_by_bytes_and_by_looks(album: Album) -> None:
    album.add("alice/large.jpg", HASH, width_px=400, height_px=300)
    album.add("alice/copy.jpg", HASH, sha256="sha of alice/large.jpg", width_px=400, height_px=300)
    album.add("alice/small.jpg", flipped(HASH, 1, 5, 63))
    album.add("alice/other.jpg", flipped(HASH, *range(20)))
    report = album.update()
    groups = album.groups()
    group, best, _, _ = groups["alice/copy.jpg"]
    assert best in ("alice/copy.jpg", "alice/large.jpg")
    (twin,) = {"alice/copy.jpg", "alice/large.jpg"} - {best}
    assert groups == {
        best: (group, best, 0, None),
        twin: (group, best, 0, "sha256"),
        "alice/small.jpg": (group, best, 3, "phash"),
    }
    assert (report.files, report.groups, report.methods) == (3, 1, {"sha256": 1, "phash": 1})


def test_equal_bytes_are_enough(album: Album) -> None:
    """Videos, and pictures that have not been looked at yet."""
    for name in ("a", "b"):
        album.add(f"alice/{name}.mp4", sha256="same", media_type="video", duration_s=3.0)
    album.add("alice/c.mp4", media_type="video", duration_s=3.0)
    album.update()
    assert {key: found[3] for key, found in album.groups().items()} == {"alice/a.mp4": None, "alice/b.mp4": "sha256"}


def test_people_do_not_see_what_others_have(album: Album) -> None:
    album.add("alice/a.jpg", HASH, sha256="same")
    album.add("bob/a.jpg", HASH, sha256="same")
    assert album.update().groups == 0


@pytest.mark.parametrize(
    ("phash_bits", "dhash_bits", "is_near"), [(8, 12, True), (9, 0, False), (8, 13, False), (0, 30, False)]
)
def test_both_hashes_must_be_near(album: Album, phash_bits: int, dhash_bits: int, is_near: bool) -> None:
    """Pictures without much in them have like hashes of one kind."""
    album.add("alice/a.jpg", HASH, HASH)
    album.add("alice/b.jpg", flipped(HASH, *range(phash_bits)), flipped(HASH, *range(dhash_bits)))
    album.update()
    assert len(album.groups()) == (2 if is_near else 0)


@pytest.mark.parametrize(
    ("bits", "seen", "is_near"),
    [
        (14, vector(30), True),  # cosine 0.87
        (14, vector(33), False),  # cosine 0.84
        (15, vector(0), False),
        (14, vector(0, "another net@1"), False),
        (14, None, False),
    ],
)
def test_hashes_that_are_not_far_apart_need_vectors_that_agree(
    album: Album, bits: int, seen: dict[str, Any] | None, is_near: bool
) -> None:
    album.add("alice/a.jpg", HASH, HASH, seen=vector(0))
    album.add("alice/b.jpg", flipped(HASH, *range(bits)), flipped(HASH, *range(10)), seen=seen)
    album.update()
    groups = album.groups()
    assert [(found[2], found[3]) for found in groups.values() if found[3] is not None] == (
        [(bits, "phash+embedding")] if is_near else []
    )
    if is_near:
        (row,) = [
            one for rows in album.current("near_duplicates").values() for one in rows if one["method"] is not None
        ]
        assert row["model"] == "net@1"


@pytest.mark.parametrize(
    ("kind", "seconds", "is_near"),
    [("video", 100.9, True), ("video", 103.0, False), ("image", 100.0, False)],
)
def test_videos_that_show_the_same_have_one_length(album: Album, kind: str, seconds: float, is_near: bool) -> None:
    """The hashes of a video are those of its poster, and the photo of a live photo is no duplicate of its clip."""
    album.add("alice/a", HASH, media_type="video", duration_s=100.0)
    album.add("alice/b", HASH, media_type=kind, duration_s=seconds)
    album.update()
    assert len(album.groups()) == (2 if is_near else 0)


def test_mirror_images_are_found(album: Album) -> None:
    album.add("alice/a.jpg", HASH, HASH)
    album.add("alice/b.jpg", flipped(mirrored_phash(HASH), 1, 2, 3), flipped(mirrored_dhash(HASH), 9))
    album.add("alice/c.jpg", mirrored_phash(HASH), flipped(mirrored_dhash(HASH), *range(20, 33)))
    album.update()
    assert sorted((found[2], str(found[3])) for found in album.groups().values()) == [(0, "None"), (3, "phash+mirror")]


def test_a_chain_of_small_differences_is_not_one_group(album: Album) -> None:
    steps = [flipped(HASH, *range(6 * step)) for step in range(8)]
    for step, hash_ in enumerate(steps):
        album.add(f"alice/{step}.jpg", hash_)
    album.update()
    groups = album.groups()
    assert len({found[0] for found in groups.values()}) >= 2
    for source_key, (_, representative, bits, _) in groups.items():
        own, other = (
            steps[int(one.removeprefix("alice/").removesuffix(".jpg"))] for one in (source_key, representative)
        )
        assert bits == (own ^ other).bit_count() <= 8


def test_groups_keep_identifier_and_representative_and_only_changes_are_written(album: Album) -> None:
    album.add("alice/a.jpg", HASH)
    album.add("alice/b.jpg", flipped(HASH, 3))
    assert album.update().files_written == 2
    before = album.groups()
    album.add("alice/c.jpg", flipped(HASH, 9), width_px=4000, height_px=3000)  # larger, and as near to all
    assert album.update().files_written == 1
    after = album.groups()
    assert {key: after[key] for key in before} == before
    assert after["alice/c.jpg"][:2] == before["alice/a.jpg"][:2]
    parts = list_parts(album.library.store, "near_duplicates")
    assert album.update().files_written == 0
    assert list_parts(album.library.store, "near_duplicates") == parts


def test_files_that_are_alone_again_lose_their_rows(album: Album) -> None:
    album.add("alice/a.jpg", HASH)
    album.add("alice/b.jpg", HASH)
    album.update()
    album.add("alice/b.jpg", flipped(HASH, *range(30)), sha256="another upload")
    report = album.update()
    assert (report.files, report.files_removed) == (0, 2)
    assert album.groups() == {}


def test_thousands_of_equal_looks_do_not_take_quadratic_time(album: Album) -> None:
    """Blank pages: each pair of them would be 4.5 million pairs."""
    files = [ComparedFile(f"blank-{n}", "alice", f"sha {n}", "image", 0.0, 100, 0, 0) for n in range(3000)]
    rows = rows_of_groups(files, {}, lambda media_ids: {})
    assert len(rows) == 3000
    assert {one["method"] for (one,) in rows.values()} == {None, "phash"}
