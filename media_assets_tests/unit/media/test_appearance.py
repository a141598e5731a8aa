"""How pictures look in numbers: the order of good and bad, colours that are known, hashes that stay."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from media_assets.demo.photos import Photo, load_photo
from media_assets.media.appearance import measure_appearance
from media_assets.media.dominant_colors import dominant_colors
from media_assets.media.perceptual_hash import dhash, phash
from media_assets.media.records import Appearance

WHITE = "#ffffff"
PHOTOS = (Photo.ASTRONAUT, Photo.CAT, Photo.COFFEE, Photo.ROCKET)


def photo(which: Photo) -> Image.Image:
    return load_photo(which, (480, 360)).convert("RGB")


def noisy(picture: Image.Image, sigma: float) -> Image.Image:
    noise = np.random.default_rng(1).normal(0, sigma, (picture.height, picture.width, 3))
    return Image.fromarray(np.clip(np.asarray(picture, np.float64) + noise, 0, 255).astype(np.uint8))


def brighter(picture: Image.Image, factor: float, offset: float) -> Image.Image:
    return Image.fromarray(np.clip(np.asarray(picture, np.float64) * factor + offset, 0, 255).astype(np.uint8))


def measured(picture: Image.Image) -> Appearance:
    return measure_appearance(picture, WHITE)


Change = Callable[[Image.Image], Image.Image]


@pytest.mark.parametrize("which", PHOTOS)
@pytest.mark.parametrize(
    "worse",
    [
        lambda picture: picture.filter(ImageFilter.GaussianBlur(4)),
        lambda picture: noisy(picture, 20),
        lambda picture: brighter(picture, 0.12, 0),
        lambda picture: brighter(picture, 1.5, 170),
        lambda picture: ImageEnhance.Contrast(picture).enhance(0.2),
    ],
    ids=["blurred", "noisy", "dark", "light", "flat"],
)
def test_what_is_worse_scores_less(which: Photo, worse: Change) -> None:
    assert measured(worse(photo(which))).quality_score < measured(photo(which)).quality_score - 0.05


def blurs(which: Photo, sigma: float) -> list[float]:
    """Blur of a photo that was blurred more and more, with noise over it."""
    found = [
        measured(noisy(photo(which).filter(ImageFilter.GaussianBlur(radius)), sigma)).blur_score
        for radius in (0, 1, 2, 5)
    ]
    return [one for one in found if one is not None]


@pytest.mark.parametrize("which", PHOTOS)
def test_more_blur_is_more_blurred(which: Photo) -> None:
    sharp, soft, blurred, smooth = blurs(which, 0)
    assert sharp < 0.3
    assert sharp + 0.2 < soft < blurred - 0.1
    assert blurred < smooth
    assert smooth > 0.9


@pytest.mark.parametrize("which", PHOTOS)
def test_noise_does_not_pass_for_sharpness(which: Photo) -> None:
    sharp, soft, blurred, smooth = blurs(which, 5)
    assert sharp < 0.3
    assert soft > sharp + 0.2
    assert min(blurred, smooth) > 0.6


@pytest.mark.parametrize("which", PHOTOS)
def test_flat_parts_do_not_count_as_blurred(which: Photo) -> None:
    framed = Image.new("RGB", (1000, 750), "#808080")
    framed.paste(photo(which), (260, 195))
    assert (measured(framed).blur_score or 0) <= (measured(photo(which)).blur_score or 0) + 0.05


def test_a_moved_camera_blurs_one_direction_and_counts() -> None:
    pixels = np.asarray(photo(Photo.CAT), np.float64)
    moved = np.mean([np.roll(pixels, step, axis=1) for step in range(12)], axis=0).astype(np.uint8)
    assert (measured(Image.fromarray(moved)).blur_score or 0) > (measured(photo(Photo.CAT)).blur_score or 1) + 0.3


@pytest.mark.parametrize("which", PHOTOS)
@pytest.mark.parametrize("sigma", [0, 3, 8, 15])
def test_noise_is_measured_and_told_from_texture(which: Photo, sigma: float) -> None:
    # Of noise in each channel for itself two thirds are left in the luma; photos bring some of their own.
    luma = sigma * float(np.linalg.norm((0.299, 0.587, 0.114)))
    assert measured(noisy(photo(which), sigma)).noise_score * 20 == pytest.approx(luma, rel=0.12, abs=0.95)


def test_exposure_says_in_which_direction() -> None:
    picture = photo(Photo.COFFEE)
    assert measured(brighter(picture, 0.1, 0)).exposure < -0.4
    assert measured(brighter(picture, 1.5, 170)).exposure > 0.4
    assert abs(measured(picture).exposure) < 0.2


def test_light_and_colour_of_known_pictures() -> None:
    black, white, red = (measured(Image.new("RGB", (64, 48), color)) for color in ("#000000", "#ffffff", "#ff0000"))
    assert black.brightness == pytest.approx(0, abs=1e-6)
    assert black.color_temperature is None
    assert white.brightness == pytest.approx(1, abs=1e-3)
    assert (black.saturation, white.saturation) == (0, 0)
    assert white.color_temperature == pytest.approx(6504, abs=80)  # D65, the white of sRGB
    assert red.saturation == 1
    assert red.color_temperature is None  # no black body is that red
    assert black.blur_score is None  # there is nothing to be sharp
    assert white.contrast == 0


def test_warm_light_has_a_lower_temperature_than_cold_light() -> None:
    warm, cold = (measured(Image.new("RGB", (64, 48), color)).color_temperature for color in ("#ffb46b", "#c9dcff"))
    assert warm == pytest.approx(3000, abs=300)  # a lamp
    assert cold is not None
    assert cold > 8000


def test_dominant_colours_are_those_of_the_parts() -> None:
    picture = Image.new("RGB", (100, 100), "#204080")
    picture.paste("#e0c040", (0, 0, 100, 30))
    picture.paste("#d0b038", (0, 0, 10, 10))  # a shade of it
    found = measured(picture).dominant_colors
    assert [one.share for one in found] == [pytest.approx(0.7, abs=0.02), pytest.approx(0.3, abs=0.02)]
    assert found[0].rgb_hex == "#204080"
    assert found[1].rgb_hex.startswith("#df")


def test_the_same_pixels_give_the_same_numbers() -> None:
    assert measured(photo(Photo.CAT)) == measured(photo(Photo.CAT))


def test_colours_of_few_pixels() -> None:
    lab = np.array([[50.0, 0.0, 0.0]], np.float32)
    (only,) = dominant_colors(lab, np.array([[119, 119, 119]], np.uint8))
    assert (only.rgb_hex, only.share) == ("#777777", 1.0)


def test_transparent_parts_show_the_background() -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    assert measure_appearance(clear, "#ffffff").brightness == pytest.approx(1, abs=1e-3)
    assert measure_appearance(clear, "#000000").brightness == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (11, 11)])
def test_tiny_pictures_are_measured_too(size: tuple[int, int]) -> None:
    found = measured(Image.new("L", size, 90))
    assert 0 <= found.quality_score <= 1
    assert 0 <= found.phash < 2**64


def _distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.mark.parametrize("hash_of", [phash, dhash])
def test_hashes_stay_near_for_copies_and_far_for_others(hash_of: Callable[[Image.Image], int]) -> None:
    originals = [photo(which).convert("L") for which in PHOTOS]
    for at, original in enumerate(originals):
        buffer = io.BytesIO()
        original.resize((240, 180)).save(buffer, "JPEG", quality=40)
        assert _distance(hash_of(original), hash_of(Image.open(buffer))) <= 6
        for other in originals[:at]:
            assert _distance(hash_of(original), hash_of(other)) >= 16


def test_a_hash_has_the_bits_of_its_definition() -> None:
    rising = Image.fromarray(np.tile(np.arange(0, 180, 20, dtype=np.uint8), (8, 1)))  # 9 x 8, lighter to the right
    assert dhash(rising) == 2**64 - 1
    assert dhash(rising.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == 0
