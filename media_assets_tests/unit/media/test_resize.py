from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from media_assets.media.encode import flatten_on_white, write_renditions
from media_assets.media.resize import RENDITION_SIZES, cascade, fit_box
from media_assets_tests.unit.media.samples import encoded, quadrants

sides = st.integers(1, 50_000)


@given(sides, sides, st.integers(1, 4000))
def test_fitted_box_is_never_larger_and_keeps_the_aspect(width: int, height: int, longest: int) -> None:
    box = fit_box(width, height, longest)
    assert min(box) >= 1
    assert max(box) <= longest or box == (width, height)
    assert box[0] <= width
    assert box[1] <= height
    scale = min(1.0, longest / max(width, height))
    assert abs(box[0] - width * scale) <= 1
    assert abs(box[1] - height * scale) <= 1


@given(sides, sides, st.integers(1, 4000))
def test_fitted_box_turns_with_the_picture(width: int, height: int, longest: int) -> None:
    assert fit_box(height, width, longest) == fit_box(width, height, longest)[::-1]


@pytest.mark.parametrize("sizes", [(0, 10, 10), (10, -1, 10), (10, 10, 0)])
def test_fitted_box_needs_pixels(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1 pixel"):
        fit_box(*sizes)


def test_cascade_gives_every_kind_largest_first() -> None:
    made = list(cascade(Image.new("RGB", (1600, 1200)), (4032, 3024)))
    assert [size.kind for size, _ in made] == ["preview", "thumb_1200", "thumb_600", "thumb_300", "thumb_150"]
    assert [picture.size for _, picture in made] == [(1600, 1200), (1200, 900), (600, 450), (300, 225), (150, 113)]


def test_renditions_are_progressive_jpeg_without_metadata(tmp_path: Path) -> None:
    picture = quadrants(2000, 1000)
    picture.info = {"comment": b"secret", "icc_profile": b"x", "exif": b"y"}
    made = write_renditions(picture, picture.size, tmp_path)
    assert [rendition.kind for rendition in made] == [size.kind for size in RENDITION_SIZES]
    for rendition in made:
        path = tmp_path / rendition.file_name
        assert path.stat().st_size == rendition.size_bytes
        assert b"secret" not in path.read_bytes()
        with Image.open(path) as saved:
            assert saved.size == (rendition.width_px, rendition.height_px)
            assert saved.info.get("progressive") == 1
            assert not {"exif", "icc_profile", "comment"} & set(saved.info)
            assert saved.format == "JPEG"


def test_small_sources_give_equal_bytes_for_equal_sizes(tmp_path: Path) -> None:
    made = write_renditions(quadrants(400, 200), (400, 200), tmp_path)
    assert [(m.width_px, m.height_px) for m in made] == [(150, 75), (300, 150), (400, 200), (400, 200), (400, 200)]
    large = {(tmp_path / m.file_name).read_bytes() for m in made[2:]}
    assert len(large) == 1


def test_transparency_shows_white() -> None:
    picture = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    picture.putpixel((0, 0), (0, 0, 255, 255))
    flat = flatten_on_white(picture)
    assert (flat.mode, flat.getpixel((5, 5)), flat.getpixel((0, 0))) == ("RGB", (255, 255, 255), (0, 0, 255))
    assert encoded(flat, "JPEG")
