"""The benchmark of renditions measures what it says: photos, peers, goals."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from media_assets_tests.bench.peers.pillow_renditions import SIZES, write_as_tutorials_do, write_with_draft
from media_assets_tests.bench.photo_corpus import make_photo, photos, with_comment
from media_assets_tests.bench.renditions import best_possible, missed


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of 12 megapixels, stored on its side."""
    path = tmp_path_factory.mktemp("corpus") / "a.jpg"
    picture, exif = make_photo(1, (1008, 756)).resize((4032, 3024)), Image.Exif()
    exif[0x0112] = 6
    picture.save(path, "JPEG", quality=90, exif=exif)
    return path


def test_copies_have_other_bytes_and_the_same_pixels_and_tags(photo: Path, tmp_path: Path) -> None:
    paths, what = photos(photo.parent, 3, tmp_path / "photos", tmp_path / "cache")
    assert [path.name for path in paths] == ["IMG_0000.jpg", "IMG_0001.jpg", "IMG_0002.jpg"]
    assert "3 JPEGs of 12 megapixels" in what
    assert "2 of them copies" in what
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}) == 3
    shown = []
    for path in paths:
        with Image.open(path) as image:
            assert image.getexif()[0x0112] == 6
            image.draft("RGB", (504, 378))
            shown.append(image.convert("RGB").tobytes())
    assert len(set(shown)) == 1


def test_a_folder_without_camera_photos_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "small.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(FileNotFoundError, match="has no JPEGs of 11 to 13 megapixels"):
        photos(tmp_path, 2, tmp_path / "photos", tmp_path / "cache")


def test_a_comment_is_a_comment() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (9, 99, 199)).save(buffer, "JPEG")
    with Image.open(io.BytesIO(with_comment(buffer.getvalue(), b"hello"))) as image:
        assert image.info["comment"] == b"hello"


def test_made_photos_are_the_same_each_time_and_differ_from_each_other() -> None:
    first, again, other = (np.asarray(make_photo(number, (320, 240))) for number in (2, 2, 7))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["tutorial", "draft", "pyvips"])
def test_peers_write_what_is_asked_and_it_is_the_picture(photo: Path, tmp_path: Path, name: str) -> None:
    write = {"tutorial": write_as_tutorials_do, "draft": write_with_draft}.get(name)
    if write is None:
        pytest.importorskip("pyvips")
        from media_assets_tests.bench.peers.vips_renditions import write_renditions as write
    written = write(photo, tmp_path)
    best = best_possible(photo)
    assert tuple(written) == SIZES
    for box, path in written.items():
        with Image.open(path) as image:
            assert image.height == box
            assert abs(image.width - 0.75 * box) <= 1
            assert image.info.get("progressive")
            assert not len(image.getexif())
            if box in best:
                difference = np.asarray(image, np.int16) - np.asarray(best[box], np.int16)
                assert np.abs(difference).mean() < 6  # what the JPEG encoder takes away; another picture differs by 40


def test_the_best_possible_picture_is_upright(photo: Path) -> None:
    best = best_possible(photo)
    assert {box: picture.size for box, picture in best.items()} == {1600: (1200, 1600), 300: (225, 300)}
    with Image.open(photo) as opened:
        small = ImageOps.exif_transpose(opened.reduce(16)).convert("RGB").resize((15, 20))
    difference = np.asarray(best[300].resize((15, 20)), np.int16) - np.asarray(small, np.int16)
    assert np.abs(difference).mean() < 6


@pytest.mark.parametrize(
    ("value", "goal", "is_missed"),
    [(1.3, 1.3, False), (1.29, 1.3, True), (2.0, -2.0, False), (2.01, -2.0, True), (0.5, -2.0, False)],
)
def test_goals_are_least_or_largest_values(value: float, goal: float, is_missed: bool) -> None:
    assert bool(missed({"speed": [value, goal]})) is is_missed
