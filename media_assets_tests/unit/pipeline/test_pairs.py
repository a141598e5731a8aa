"""Which files are halves of one shot."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.media import signatures
from media_assets.media.sniff import Sniffed
from media_assets.pipeline.pairs import live_key, match_pairs, name_key
from media_assets.storage.ledger_schema import PairFacts

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
CLIPS = {"mov", "mp4", "mkv", "3gp"}


def file(
    name: str,
    *,
    content_id: str | None = None,
    owner: str = "ann",
    seconds: float | None = 2.5,
    at: datetime | None = NOON,
    format_: str | None = None,
) -> PairFacts:
    extension = name.rpartition(".")[2].lower()
    format_ = format_ or {"jpg": "jpeg", "mp": "mp4"}.get(extension, extension)
    media_type = "video" if format_ in CLIPS else "image"
    duration_s = seconds if media_type == "video" else None
    return PairFacts(
        name, name_key(f"{owner}/{name}"), live_key(owner, content_id), media_type, format_, duration_s, at
    )


def both(*names: str) -> dict[str, str]:
    return {names[0]: names[1], names[1]: names[0]}


def matched(*files: PairFacts) -> dict[str, str]:
    """Partners, in whatever order the files are given."""
    found = [match_pairs(order) for order in permutations(files)]
    assert all(one == found[0] for one in found)
    return found[0]


# ---------------------------------------------------------------- live photos


def test_one_identifier_makes_a_live_photo_whatever_the_files_are_called() -> None:
    photo = file("x/IMG_1.HEIC", content_id="A-B")
    clip = file("y/other.MOV", content_id="a-b", seconds=40, at=NOON + timedelta(days=900))
    assert matched(photo, clip) == both("x/IMG_1.HEIC", "y/other.MOV")


@pytest.mark.parametrize(
    "clip",
    [
        file("b.mov", content_id="other"),
        file("b.mov", content_id="id", owner="bob"),
        file("b.jpg", content_id="id"),
        file("b.mov"),
    ],
    ids=["another identifier", "another owner", "two photos", "no identifier"],
)
def test_files_of_other_names_need_the_identifier(clip: PairFacts) -> None:
    assert matched(file("a.heic", content_id="id"), clip) == {}


def test_of_copies_in_several_folders_each_photo_gets_the_clip_beside_it() -> None:
    names = ["x/1.heic", "x/1.mov", "y/1.heic", "y/1.mov"]
    found = matched(*(file(name, content_id="id") for name in names))
    assert found == both("x/1.heic", "x/1.mov") | both("y/1.heic", "y/1.mov")


@pytest.mark.parametrize(
    ("photo", "clip"),
    [
        ("IMG_1.HEIC", "IMG_1.MOV"),
        ("IMG_1.HEIC", "img_1.mov"),
        ("IMG_1.JPG", "IMG_1.MP4"),
        ("u/\u00e9.jpg", "u/e\u0301.mov"),
        ("PXL_20210101_120000000.MP.jpg", "PXL_20210101_120000000.MP"),
        ("PXL_20210101_120000000.MP.jpg", "PXL_20210101_120000000.MP4"),
        ("PXL_20210101_120000000.MP.jpg", "PXL_20210101_120000000.MP.MP4"),
        ("MVIMG_20190706_143000.jpg", "MVIMG_20190706_143000.MP4"),
    ],
)
def test_one_name_makes_a_live_photo(photo: str, clip: str) -> None:
    assert matched(file(photo), file(clip)) == both(photo, clip)
    assert matched(file(photo, at=None), file(clip)) == both(photo, clip)
    assert matched(file(photo, content_id="id"), file(clip)) == both(photo, clip)


@pytest.mark.parametrize(
    ("photo", "clip"),
    [
        (file("a.jpg"), file("a.mov", seconds=10.5)),
        (file("a.jpg"), file("a.mov", seconds=None)),
        (file("a.jpg"), file("a.mov", at=NOON + timedelta(days=1, seconds=1))),
        (file("a.jpg", content_id="one"), file("a.mov", content_id="two")),
        (file("a.jpg"), file("a.mkv")),
        (file("a.png"), file("a.mov")),
        (file("a.jpg"), file("b.mov")),
        (file("x/a.jpg"), file("y/a.mov")),
        (file("a.jpg"), file("a.mov", owner="bob")),
        (file("a.MP.jpg"), file("a.mp4")),
    ],
    ids=lambda one: one.media_id,
)
def test_one_name_is_not_enough_for_other_files(photo: PairFacts, clip: PairFacts) -> None:
    assert matched(photo, clip) == {}


def test_the_longest_clip_and_the_greatest_distance_that_count() -> None:
    assert matched(file("a.jpg"), file("a.mov", seconds=10.0, at=NOON - timedelta(days=1))) == both("a.jpg", "a.mov")


# ---------------------------------------------------------------- RAW


@pytest.mark.parametrize(
    ("raw", "still"),
    [("DSC_1.NEF", "DSC_1.JPG"), ("IMG_1.cr3", "img_1.heic"), ("_MG.dng", "_MG.jpg"), ("a.3fr", "a.jpg")],
)
def test_a_raw_and_the_picture_of_its_name_are_a_pair(raw: str, still: str) -> None:
    assert matched(file(raw), file(still)) == both(raw, still)
    assert matched(file(raw, at=None), file(still)) == both(raw, still)


def test_a_pixel_names_its_raw_and_its_picture_differently() -> None:
    raw, still = "PXL_20211212_1.RAW-02.ORIGINAL.dng", "PXL_20211212_1.RAW-01.MP.COVER.jpg"
    assert matched(file(raw), file(still)) == both(raw, still)


@pytest.mark.parametrize(
    "other",
    [file("a.jpg", at=NOON + timedelta(days=2)), file("b.jpg"), file("a.png"), file("a.mov"), file("a.cr2")],
    ids=lambda one: one.media_id,
)
def test_a_raw_has_no_other_partner(other: PairFacts) -> None:
    assert matched(file("a.nef"), other) == {}


def test_every_raw_format_that_is_recognised_can_have_a_partner() -> None:
    known = {one.format for one in vars(signatures).values() if isinstance(one, Sniffed) and one.is_raw}
    assert len(known) > 10
    for format_ in known:
        assert matched(file("a.x", format_=format_), file("a.jpg")) == both("a.x", "a.jpg"), format_


# ---------------------------------------------------------------- more than two


def test_of_raw_picture_and_clip_the_picture_names_the_clip_and_both_name_the_picture() -> None:
    found = matched(file("a.dng"), file("a.heic"), file("a.mov"))
    assert found == {"a.heic": "a.mov", "a.mov": "a.heic", "a.dng": "a.heic"}


def test_without_its_clip_the_picture_names_the_raw() -> None:
    assert matched(file("a.dng"), file("a.heic"), file("a.mov", seconds=99)) == both("a.dng", "a.heic")


def test_the_heic_comes_before_its_export_for_a_clip_and_the_jpeg_for_a_raw() -> None:
    assert matched(file("a.heic"), file("a.jpg"), file("a.mov")) == both("a.heic", "a.mov")
    assert matched(file("a.heic"), file("a.jpg"), file("a.nef")) == both("a.jpg", "a.nef")


def test_the_identifier_comes_before_the_name() -> None:
    found = matched(file("a.jpg"), file("a.mov", content_id="id"), file("b.heic", content_id="id"))
    assert found == both("a.mov", "b.heic")


def test_the_nearest_clip_counts() -> None:
    found = matched(file("a.jpg"), file("a.mov", at=NOON + timedelta(hours=2)), file("A.mp4"))
    assert found == both("a.jpg", "A.mp4")


_FILES = st.lists(
    st.builds(
        file,
        st.sampled_from([f"{s}.{e}" for s in "ab" for e in ("jpg", "heic", "mov", "mp4", "nef", "dng", "png")]),
        content_id=st.sampled_from([None, "1", "2"]),
        seconds=st.sampled_from([2.0, 20.0]),
        at=st.sampled_from([None, NOON, NOON + timedelta(days=3)]),
    ),
    max_size=8,
    unique_by=lambda one: one.media_id,
)


@given(_FILES, st.randoms(use_true_random=False))
def test_partners_are_files_that_name_each_other_unless_one_is_a_raw(
    files: Sequence[PairFacts], random: object
) -> None:
    found = match_pairs(files)
    shuffled = list(files)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert match_pairs(shuffled) == found
    raws = {one.media_id for one in files if one.format in ("nef", "dng")}
    for one, partner in found.items():
        assert one != partner
        assert found[partner] == one or one in raws


def test_very_many_files_of_one_identifier_take_no_time_and_no_memory() -> None:
    files = [file(f"{n}.{e}", content_id="id") for n in range(3000) for e in ("heic", "mov")]
    assert 0 < len(match_pairs(files)) <= len(files)
