"""ThumbHash: a picture in about 25 bytes, for pages to show until the real one is loaded.

Lives here: the hash, after https://evanw.github.io/thumbhash/ (Evan Wallace, 2023), in which every term has its place
and number of bits. Must not: choose or resize pictures.
"""

import base64
from math import floor

import numpy as np
from numpy.typing import NDArray

MAX_SIDE_PX = 100
"""Longest side that the format allows; more would not be seen."""

_SMALLEST_SCALE = 1e-6  # below it lies only rounding, whose last bits differ between processors


def thumbhash(pixels: NDArray[np.uint8]) -> str:
    """Return the ThumbHash of a picture as base64 text of 7 to 36 characters.

    Args:
        pixels: Shape (height, width), (height, width, 3) or (height, width, 4) with straight alpha, 0-255, sRGB; at
            most 100 pixels a side.

    Raises:
        ValueError: The picture is empty or too large.
    """
    height, width = pixels.shape[:2]
    if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX):
        raise ValueError(f"A ThumbHash is made of 1 to {MAX_SIDE_PX} pixels a side, not of {width} x {height}.")
    color, alpha = _on_average_color(pixels)
    red, green, blue = color[..., 0], color[..., 1], color[..., 2]
    has_alpha = bool(alpha.min() < 1)
    # Fewer terms of lightness where some of the room goes to transparency.
    terms = 5 if has_alpha else 7
    longest = max(width, height)
    across, down = max(1, _round(terms * width / longest)), max(1, _round(terms * height / longest))
    lightness = _Channel((red + green + blue) / 3, max(3, across), max(3, down))
    yellow_blue = _Channel((red + green) / 2 - blue, 3, 3)
    red_green = _Channel(red - green, 3, 3)
    channels = [lightness, yellow_blue, red_green]

    is_landscape = width > height
    header = _round(63 * lightness.mean) | _round(31.5 + 31.5 * yellow_blue.mean) << 6
    header |= _round(31.5 + 31.5 * red_green.mean) << 12 | _round(31 * lightness.scale) << 18 | has_alpha << 23
    sizes = (down if is_landscape else across) | _round(63 * yellow_blue.scale) << 3
    sizes |= _round(63 * red_green.scale) << 9 | is_landscape << 15
    data = header.to_bytes(3, "little") + sizes.to_bytes(2, "little")
    if has_alpha:
        opacity = _Channel(alpha, 5, 5)
        channels.append(opacity)
        data += bytes([_round(15 * opacity.mean) | _round(15 * opacity.scale) << 4])
    nibbles = [_round(15 * term) for channel in channels for term in channel.terms]
    nibbles += [0] * (len(nibbles) % 2)
    data += bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
    return base64.b64encode(data).decode("ascii")


class _Channel:
    """Discrete cosine transform of one channel: its mean, and the triangle of its low frequencies.

    Attributes:
        mean: Term of frequency zero.
        scale: Greatest absolute value of the other terms.
        terms: The other terms, row by row, -scale to scale mapped to 0-1.
    """

    def __init__(self, values: NDArray[np.float64], across: int, down: int) -> None:
        height, width = values.shape
        found = _cosines(down, height) @ values @ _cosines(across, width).T / (width * height)
        kept = [found[y, x] for y in range(down) for x in range(across) if x * down < across * (down - y)]
        self.mean = float(kept[0])
        self.scale = max(abs(float(term)) for term in kept[1:])
        if self.scale < _SMALLEST_SCALE:
            self.scale = 0.0
        self.terms = [0.5 + 0.5 * float(term) / self.scale if self.scale else 0.0 for term in kept[1:]]


def _cosines(frequencies: int, samples: int) -> NDArray[np.float64]:
    """Return cos(pi / samples * f * (s + 0.5)), shape (frequencies, samples)."""
    return np.cos(np.pi / samples * np.outer(np.arange(frequencies), np.arange(samples) + 0.5))


def _on_average_color(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return colour, 0-1, with the average colour where it is transparent, and opacity, 0-1."""
    values = pixels / 255.0
    if values.ndim == 2:
        return np.stack([values] * 3, axis=-1), np.ones(values.shape)
    if values.shape[2] == 3:
        return values, np.ones(values.shape[:2])
    alpha = values[..., 3]
    weighted = values[..., :3] * alpha[..., np.newaxis]
    average = weighted.sum(axis=(0, 1)) / (alpha.sum() or 1.0)
    return weighted + average * (1 - alpha)[..., np.newaxis], alpha


def _round(value: float) -> int:
    """Round half up, as the reference does; Python rounds half to even.

    Terms of thin pictures lie on the half but for the last bits, which differ between processors.
    """
    return floor(value + 0.5 + 1e-9)
