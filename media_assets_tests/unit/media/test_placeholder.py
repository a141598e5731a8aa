import base64
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from media_assets.media.placeholder import thumbhash


def patterned(height: int, width: int, bands: int) -> NDArray[np.uint8]:
    """A picture in which no term of the hash is nearly halfway between two numbers."""
    y, x = np.mgrid[0:height, 0:width]
    every = [(7 + 3 * k) * x * x // width + (5 - k) * y + x * y // (k + 9) for k in range(4)]
    pixels = (np.stack(every, axis=-1) % 256).astype(np.uint8)
    return pixels[..., 0] if bands == 1 else pixels[..., :bands]


# Made from the same pixels by the inventor's library (the Rust crate thumbhash).
PUBLISHED = {
    (75, 100, 3): "3wcCDYAzU4ciImQAEDRDZlTvdor3",
    (100, 60, 3): "HwgCDAAzNDMFEAAxY3eqd6+v4g==",
    (64, 64, 4): "oPeBDQAHG9aHBxBmh9CfBcbLARAAMWZ3hg==",
    (40, 90, 4): "4PeBCoAXbkAiZUXymQT4OwAQRGV3Z3g=",
    (50, 80, 1): "HwgGBIBFp4sSIVUQcnYAAAAAAA==",
    (12, 100, 3): "G/gJAYAQYqlmh3mIoABBA0I=",
}


@pytest.mark.parametrize("shape", PUBLISHED)
def test_agrees_with_the_reference(shape: tuple[int, int, int]) -> None:
    assert thumbhash(patterned(*shape)) == PUBLISHED[shape]


def decoded(text: str, across: int = 16, down: int = 16) -> NDArray[np.float64]:
    """A decoder of its own, after the published format: RGBA in 0-1."""
    data = base64.b64decode(text)
    header, sizes = int.from_bytes(data[:3], "little"), int.from_bytes(data[3:5], "little")
    has_alpha, is_landscape = header >> 23 & 1, sizes >> 15
    long_terms, short_terms = (5 if has_alpha else 7), sizes & 7
    nx, ny = (long_terms, short_terms) if is_landscape else (short_terms, long_terms)
    channels = [
        ((header & 63) / 63, (header >> 18 & 31) / 31, max(3, nx), max(3, ny)),
        ((header >> 6 & 63) / 31.5 - 1, (sizes >> 3 & 63) / 63 * 1.25, 3, 3),
        ((header >> 12 & 63) / 31.5 - 1, (sizes >> 9 & 63) / 63 * 1.25, 3, 3),
    ]
    if has_alpha:
        channels.append(((data[5] & 15) / 15, (data[5] >> 4) / 15, 5, 5))
    nibbles = [nibble for byte in data[6 if has_alpha else 5 :] for nibble in (byte & 15, byte >> 4)]
    planes = []
    for mean, scale, terms_across, terms_down in channels:
        plane = np.full((down, across), mean)
        for v in range(terms_down):
            for u in range(terms_across):
                if (u or v) and u * terms_down < terms_across * (terms_down - v):
                    weight = (nibbles.pop(0) / 7.5 - 1) * scale
                    for y in range(down):
                        for x in range(across):
                            turn = math.cos(math.pi / across * u * (x + 0.5)) * math.cos(math.pi / down * v * (y + 0.5))
                            plane[y, x] += 2 ** (bool(u) + bool(v)) / 2 * weight * turn if u and v else weight * turn
        planes.append(plane)
    lightness, yellow_blue, red_green = planes[:3]
    blue = lightness - 2 / 3 * yellow_blue
    red = (3 * lightness - blue + red_green) / 2
    alpha = planes[3] if has_alpha else np.ones_like(lightness)
    return np.clip(np.stack([red, red - red_green, blue, alpha], axis=-1), 0, 1)


@pytest.mark.parametrize("color", [(10, 10, 10), (250, 30, 40), (20, 200, 60), (30, 40, 220), (128, 128, 128)])
def test_the_placeholder_has_the_mean_colour(color: tuple[int, int, int]) -> None:
    pixels = np.full((30, 40, 3), color, np.uint8)
    pixels[:, 20:] = np.clip(np.array(color, int) + 20, 0, 255)
    mean = decoded(thumbhash(pixels))[..., :3].mean(axis=(0, 1)) * 255
    assert np.abs(mean - pixels.mean(axis=(0, 1))).max() < 14


def test_the_placeholder_shows_what_is_where() -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24], pixels[24:] = (40, 120, 230), (60, 140, 40)
    shown = decoded(thumbhash(pixels))
    assert shown[2, 8, 2] > shown[2, 8, 0] + 0.3  # the sky is blue
    assert shown[13, 8, 1] > shown[13, 8, 2] + 0.2  # the meadow is green


def test_transparent_parts_are_transparent_and_their_colour_is_not_seen() -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:, :20] = (200, 30, 30, 255)
    pixels[:, 20:] = (0, 255, 0, 0)
    shown = decoded(thumbhash(pixels))
    assert shown[8, 2, 3] > 0.7
    assert shown[8, 13, 3] < 0.3
    pixels[:, 20:] = (0, 0, 255, 0)
    assert thumbhash(pixels) == thumbhash(np.where(pixels[..., 3:] == 0, 0, pixels).astype(np.uint8))


def test_opaque_alpha_is_none() -> None:
    color = patterned(30, 50, 3)
    opaque = np.dstack([color, np.full((30, 50), 255, np.uint8)])
    assert thumbhash(opaque) == thumbhash(color)


def test_flat_pictures_have_no_noise() -> None:
    data = base64.b64decode(thumbhash(np.full((31, 47, 3), 77, np.uint8)))
    assert set(data[5:]) == {0}
    assert base64.b64decode(thumbhash(np.zeros((3, 3, 4), np.uint8)))[2] & 0x80


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 101, 3), (101, 5)])
def test_only_small_pictures(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        thumbhash(np.zeros(shape, np.uint8))
