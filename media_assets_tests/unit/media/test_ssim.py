"""SSIM: agreement with scikit-image, its algebra, pictures smaller than the window."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from media_assets.demo.photos import Photo, load_photo
from media_assets.media.encode import encode_picture
from media_assets.media.ssim import halved_chroma, luma, mean_chroma_ssim, mean_ssim
from media_assets_tests.unit.media.web_samples import decoded_pixels

Pixels = NDArray[np.uint8]


def photo(which: Photo, size: tuple[int, int] = (420, 301)) -> Pixels:
    return np.asarray(load_photo(which, size))


def noise(*shape: int, seed: int = 1) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def reference(first: Pixels, second: Pixels) -> float:
    """The measure as scikit-image has it."""
    from skimage.metrics import structural_similarity

    grey = [np.asarray(Image.fromarray(pixels).convert("L")) for pixels in (first, second)]
    options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(*grey, data_range=255, **options))


@pytest.mark.parametrize("which", [Photo.CAT, Photo.COFFEE, Photo.GALAXIES, Photo.ADMIRAL])
@pytest.mark.parametrize("quality", [20, 60, 92])
def test_agrees_with_scikit_image_on_photos(which: Photo, quality: int) -> None:
    original = photo(which)
    encoded = decoded_pixels(encode_picture(original, "jpeg", quality))
    assert mean_ssim(original, encoded) == pytest.approx(reference(original, encoded), abs=1e-3)


@pytest.mark.parametrize("size", [(11, 11), (12, 11), (11, 300), (700, 1400)])
def test_agrees_with_scikit_image_at_every_size(size: tuple[int, int]) -> None:
    """Smallest sizes that the window fits into, and one that is measured in several bands."""
    first, second = noise(*size), noise(*size, seed=2)
    blend = (first * 0.7 + second * 0.3).astype(np.uint8)
    assert mean_ssim(first, blend) == pytest.approx(reference(first, blend), abs=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 3), (10, 400), (40, 40), (300, 900)])
def test_is_one_for_equal_pictures_and_symmetric_and_lower_for_others(size: tuple[int, int]) -> None:
    first, second = noise(*size, 3), noise(*size, 3, seed=2)
    assert mean_ssim(first, first) == pytest.approx(1.0, abs=1e-6)
    assert mean_ssim(first, second) == pytest.approx(mean_ssim(second, first), abs=1e-9)
    assert -1 <= mean_ssim(first, second) < 0.99


def test_falls_with_every_loss_of_quality() -> None:
    original = photo(Photo.CAT)
    found = [mean_ssim(original, decoded_pixels(encode_picture(original, "jpeg", q))) for q in (90, 70, 50, 30, 10)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.95 > found[-1]


def test_tells_tiny_black_from_tiny_white() -> None:
    black = np.zeros((4, 4), np.uint8)
    assert mean_ssim(black, black + 255) < 0.01
    assert mean_ssim(black, black) == 1.0


def test_luma_is_that_of_jpeg() -> None:
    pixels = photo(Photo.COFFEE)
    expected = np.asarray(Image.fromarray(pixels).convert("L")).astype(int)
    assert np.abs(luma(pixels) - expected).max() <= 1
    assert luma(pixels[..., 0]) is not None
    assert np.array_equal(luma(pixels[..., 0]), pixels[..., 0])


def test_chroma_sees_what_luma_does_not() -> None:
    """Two colours of the same luma."""
    red, green = (200, 60, 60), (60, 132, 60)
    first = np.full((64, 64, 3), red, np.uint8)
    first[:, 32:] = green
    second = first[:, ::-1]
    assert abs(int(luma(first)[0, 0]) - int(luma(first)[0, 63])) <= 2
    assert mean_ssim(first, second) > 0.99
    assert mean_chroma_ssim(first, second) < 0.9
    assert mean_chroma_ssim(first, first) == pytest.approx(1.0, abs=1e-6)


def test_halved_chroma_rounds_sizes_up() -> None:
    assert [plane.shape for plane in halved_chroma(noise(5, 7, 3))] == [(3, 4), (3, 4)]
    assert [plane.shape for plane in halved_chroma(noise(1, 1, 3))] == [(1, 1), (1, 1)]


@pytest.mark.parametrize("other", [(20, 30), (30, 21), (0, 0)])
def test_refuses_pictures_of_different_or_no_size(other: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        mean_ssim(noise(30, 20), np.zeros(other, np.uint8))
    with pytest.raises(ValueError, match="cannot be compared"):
        mean_ssim(np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.uint8))
