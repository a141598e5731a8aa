import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from media_assets.media.resize import cascade, fit_box, reduce_towards, resize_pixels, resize_to
from media_assets_tests.unit.media.samples import BLUE, GREEN, RED, WHITE, corner_colors, is_close, quadrants

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
    made = cascade(np.zeros((1200, 1600, 3), np.uint8), (4032, 3024))
    assert [size.kind for size, _ in made] == ["preview", "thumb_1200", "thumb_600", "thumb_300", "thumb_150"]
    assert [pixels.shape[1::-1] for _, pixels in made] == [
        (1600, 1200),
        (1200, 900),
        (600, 450),
        (300, 225),
        (150, 113),
    ]


def test_cascade_of_a_small_picture_is_the_picture() -> None:
    pixels = np.asarray(quadrants(400, 200))
    made = [level for _, level in cascade(pixels, (400, 200))]
    assert made[0] is made[1] is made[2] is pixels
    assert [level.shape for level in made[3:]] == [(150, 300, 3), (75, 150, 3)]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
def test_resizing_keeps_the_mode_and_what_is_where(mode: str) -> None:
    resized = resize_to(quadrants(320, 200).convert(mode), (96, 60))
    assert (resized.mode, resized.size) == (mode, (96, 60))
    wanted = corner_colors(quadrants(96, 60).convert(mode))
    assert is_close(corner_colors(resized), wanted, 6)


@pytest.mark.parametrize("size", [(700, 500), (300, 210), (64, 48)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_resizing_agrees_with_another_lanczos(mode: str, size: tuple[int, int]) -> None:
    noise = Image.effect_noise((160, 120), 70).resize((1280, 960), Image.Resampling.BICUBIC)
    other = noise.transpose(Image.Transpose.ROTATE_180)
    picture = Image.merge("RGBA", (noise, other, noise, other)).convert(mode)
    ours, theirs = resize_to(picture, size), picture.resize(size, Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs)).mean() < 2.5  # whole pixels are averaged first


@pytest.mark.parametrize("side", [1, 40, 300])
@pytest.mark.parametrize("hidden", [(255, 0, 255), (0, 255, 0)])
def test_colours_behind_transparency_do_not_leak(side: int, hidden: tuple[int, int, int]) -> None:
    pixels = np.empty((900, 900, 4), np.uint8)
    pixels[...] = (*hidden, 0)
    pixels[::7, :, :] = (90, 90, 90, 255)
    pixels[:, 200:500] = (90, 90, 90, 120)
    resized = resize_pixels(pixels, (side, side))
    visible = resized[resized[..., 3] > 16]
    assert len(visible)
    assert np.abs(visible[:, :3].astype(int) - 90).max() <= 8


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 90), st.integers(1, 90), st.integers(0, 255))
def test_flat_pictures_stay_flat_at_any_size(width: int, height: int, less: int, lower: int, value: int) -> None:
    size = (min(width, less), min(height, lower))
    for shape in ((height, width), (height, width, 3)):
        resized = resize_pixels(np.full(shape, value, np.uint8), size)
        assert resized.shape == (size[1], size[0], *shape[2:])
        assert (resized == value).all()


@pytest.mark.parametrize(("full", "size"), [((40_000, 3), (1600, 1)), ((3, 40_000), (1, 1600)), ((9000, 2), (150, 1))])
def test_strips(full: tuple[int, int], size: tuple[int, int]) -> None:
    picture = Image.new("RGB", full, RED)
    picture.paste(BLUE, (full[0] // 2, 0, *full) if full[0] > full[1] else (0, full[1] // 2, *full))
    resized = resize_to(picture, size)
    assert resized.size == size
    assert resized.getpixel((0, 0)) == RED
    assert resized.getpixel((size[0] - 1, size[1] - 1)) == BLUE


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
def test_reducing_band_by_band_is_reducing(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = quadrants(1001, 733).convert(mode)
    whole = reduce_towards(picture, (100, 73))
    monkeypatch.setattr("media_assets.media.resize._BAND_PIXELS", 20_000)
    in_bands = reduce_towards(picture, (100, 73))
    assert in_bands.size == whole.size == (201, 147)
    assert np.array_equal(np.asarray(in_bands), np.asarray(whole))


def test_reducing_leaves_twice_the_size() -> None:
    picture = quadrants(400, 300)
    assert reduce_towards(picture, (101, 76)) is picture
    assert reduce_towards(picture, (100, 75)).size == (200, 150)


def test_reducing_converts_each_band(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_assets.media.resize._BAND_PIXELS", 20_000)
    rows = []

    def to_rgb(band: Image.Image) -> Image.Image:
        rows.append(band.height)
        return band.convert("RGB")

    reduced = reduce_towards(quadrants(960, 640).quantize(8), (96, 64), to_rgb)
    assert sum(rows) == 640
    assert len(rows) > 5
    assert (reduced.mode, reduced.size) == ("RGB", (192, 128))
    assert is_close(corner_colors(reduced), [RED, GREEN, BLUE, WHITE])


def test_the_same_size_is_the_same_picture() -> None:
    picture, pixels = quadrants(), np.zeros((4, 6, 4), np.uint8)
    assert resize_to(picture, picture.size) is picture
    assert resize_pixels(pixels, (6, 4)) is pixels
