import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from media_assets.media.sharpen import sharpen

OVERSHOOT = 6  # 5 levels and the rounding


@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3), (1, 1, 3), (1, 6)])
def test_flat_stays_flat(shape: tuple[int, ...], value: int) -> None:
    pixels = np.full(shape, value, np.uint8)
    assert np.array_equal(sharpen(pixels), pixels)


def test_an_edge_gets_steeper_by_a_little() -> None:
    pixels = np.repeat(np.array([60, 60, 60, 90, 150, 180, 180, 180], np.uint8)[np.newaxis], 6, axis=0)
    line = sharpen(pixels)[3].astype(int)
    assert 60 < line[4] - line[3] <= 80
    assert line[2] < 60
    assert line[5] > 180
    assert line.min() >= 60 - OVERSHOOT
    assert line.max() <= 180 + OVERSHOOT
    assert line[[0, 1, 6, 7]].tolist() == [60, 60, 180, 180]


def test_grain_is_not_raised() -> None:
    grain = np.random.default_rng(5).integers(126, 131, (64, 64, 3), dtype=np.uint8)
    assert sharpen(grain).astype(float).std() <= grain.astype(float).std() * 1.05


def test_colours_keep_their_hue() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4], pixels[:, 4:] = (120, 60, 60), (160, 100, 100)
    change = sharpen(pixels).astype(int) - pixels
    assert np.abs(change).max() > 0
    assert np.array_equal(change[..., 0], change[..., 1])


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_nothing_goes_far_beyond_its_neighbours(pixels: np.ndarray) -> None:
    framed = np.pad(pixels, 1, mode="edge").astype(int)
    around = np.stack([framed[y : y + pixels.shape[0], x : x + pixels.shape[1]] for y in range(3) for x in range(3)])
    sharp = sharpen(pixels).astype(int)
    assert (sharp <= around.max(axis=0) + OVERSHOOT).all()
    assert (sharp >= around.min(axis=0) - OVERSHOOT).all()


@given(arrays(np.uint8, (7, 9)))
def test_mirrored_pictures_are_sharpened_alike(pixels: np.ndarray) -> None:
    assert np.array_equal(sharpen(pixels[:, ::-1]), sharpen(pixels)[:, ::-1])
    assert np.array_equal(sharpen(pixels.T), sharpen(pixels).T)
