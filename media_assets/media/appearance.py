"""How a picture looks, in numbers: colours, light, sharpness, noise, and one score of its technical quality.

Measured on the decoded picture, upright and in sRGB: colours and light on a copy of 64 px, sharpness at 1024 px, noise
at its own size. Every number has its definition here, in ``blur``, ``noise``, ``dominant_colors`` and
``perceptual_hash``; nothing is learnt, so that the same picture always gets the same numbers.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.blur import blur_of
from media_assets.media.dominant_colors import dominant_colors
from media_assets.media.noise import noise_deviation
from media_assets.media.perceptual_hash import dhash, phash
from media_assets.media.records import Appearance

_COLOR_PX = 64
_BLUR_PX = 1024
_NOISE_PX = 512
_HASH_PX = 256
# Standard deviation, in grey levels, at which a picture counts as all noise; film grain and high ISO lie at 3 to 12.
_ALL_NOISE = 20.0
_CLIPPED_BLACK, _CLIPPED_WHITE = 3.0, 97.0  # L*
_DARK, _LIGHT = 0.25, 0.75  # median L* / 100 between which a picture is neither
_FULL_CONTRAST = 25.0  # standard deviation of L*
_WEIGHTS = {"sharpness": 0.40, "noise": 0.25, "exposure": 0.20, "contrast": 0.15}
_FLOOR = 0.02  # one bad quality does not make all others worthless
_COLOR_TEMPERATURE_K = (1_700.0, 25_000.0)
# How far a colour may lie from that of a black body (CIE 1960 uv) for its temperature to mean anything.
_MOST_TINT = 0.03


def measure_appearance(picture: Image.Image, background: str) -> Appearance:
    """Measure a picture.

    Args:
        picture: Upright sRGB picture, mode L, RGB or RGBA.
        background: Colour below transparent parts, ``#rrggbb``.
    """
    import cv2

    cv2.setNumThreads(1)  # there is a worker for each core
    pixels = np.asarray(_opaque(picture, background))
    reduced = _fitted(pixels, _BLUR_PX)
    gray: NDArray[np.uint8] = np.asarray(cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY), np.uint8)
    rgb = _fitted(reduced, _COLOR_PX).reshape(-1, 3)
    lab = _lab(rgb)
    lightness = lab[:, 0].astype(np.float64)
    middle = np.ascontiguousarray(_middle(pixels, _NOISE_PX))
    deviation = noise_deviation(np.asarray(cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY), np.uint8))
    # Scaled down, noise gets less: each pixel is the mean of several.
    blur = blur_of(np.asarray(gray, np.float32), deviation * max(reduced.shape[:2]) / max(pixels.shape[:2]))
    noise = min(1.0, deviation / _ALL_NOISE)
    contrast = min(1.0, float(lightness.std()) / _FULL_CONTRAST)
    exposure = _exposure(lightness)
    to_hash = Image.fromarray(_fitted(gray, _HASH_PX))
    return Appearance(
        dominant_colors=dominant_colors(lab, rgb),
        brightness=float(lightness.mean()) / 100,
        saturation=_saturation(rgb),
        color_temperature=_color_temperature(rgb),
        blur_score=blur,
        noise_score=noise,
        contrast=contrast,
        exposure=exposure,
        quality_score=_quality(blur, noise, exposure, contrast),
        phash=phash(to_hash),
        dhash=dhash(to_hash),
    )


def hash_of(picture: Image.Image) -> int:
    """Return the DCT hash that :func:`measure_appearance` gives an opaque picture, mode L or RGB, without the rest."""
    import cv2

    cv2.setNumThreads(1)
    gray = np.asarray(cv2.cvtColor(_fitted(np.asarray(picture.convert("RGB")), _BLUR_PX), cv2.COLOR_RGB2GRAY), np.uint8)
    return phash(Image.fromarray(_fitted(gray, _HASH_PX)))


def _opaque(picture: Image.Image, background: str) -> Image.Image:
    if picture.mode != "RGBA":
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    below = Image.new("RGBA", picture.size, background)
    return Image.alpha_composite(below, picture).convert("RGB")


def _fitted(pixels: NDArray[np.uint8], longest_px: int) -> NDArray[np.uint8]:
    """Scale a picture down, each pixel the mean of those that it stands for."""
    import cv2

    height, width = pixels.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _middle(pixels: NDArray[np.uint8], longest_px: int) -> NDArray[np.uint8]:
    """Cut the middle out, at its own size: scaling would take the noise away."""
    height, width = pixels.shape[:2]
    top, left = (max(0, side - longest_px) // 2 for side in (height, width))
    return pixels[top : top + longest_px, left : left + longest_px]


def _lab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIELAB of sRGB pixels, D65; shape (pixels, 3), L* 0-100."""
    linear = _linear(rgb)
    xyz = linear @ _XYZ.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    return lab.astype(np.float32)


# IEC 61966-2-1: sRGB to XYZ, and its white.
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _XYZ.sum(axis=1)


def _linear(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    value = rgb / 255.0
    linear: NDArray[np.float64] = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return linear


def _saturation(rgb: NDArray[np.uint8]) -> float:
    """Mean of the saturation of HSV, 0-1."""
    most, least = rgb.max(axis=1).astype(np.float64), rgb.min(axis=1).astype(np.float64)
    return float(np.where(most > 0, (most - least) / np.maximum(most, 1), 0).mean())


def _color_temperature(rgb: NDArray[np.uint8]) -> float | None:
    """Correlated colour temperature of the mean colour in kelvin (McCamy, 1992).

    ``None`` for black pictures, and where the mean colour is not near that of any black body: a green meadow has none.
    """
    x, y, z = (float(value) for value in _linear(rgb).mean(axis=0) @ _XYZ.T)
    total = x + y + z
    if total < 1e-4:
        return None
    cx, cy = x / total, y / total
    n = (cx - 0.3320) / (0.1858 - cy)
    kelvin = 449 * n**3 + 3525 * n**2 + 6823.3 * n + 5520.33
    if not _COLOR_TEMPERATURE_K[0] <= kelvin <= _COLOR_TEMPERATURE_K[1]:
        return None
    bx, by = _planckian(kelvin)
    return kelvin if math.dist(_uv(cx, cy), _uv(bx, by)) <= _MOST_TINT else None


def _planckian(kelvin: float) -> tuple[float, float]:
    """Chromaticity of a black body (Kim et al., US patent 7,024,034), from 1,667 K to 25,000 K."""
    t = 1000 / kelvin
    if kelvin <= 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin <= 2222:
        return x, -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    if kelvin <= 4000:
        return x, -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    return x, 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483


def _uv(x: float, y: float) -> tuple[float, float]:
    """CIE 1960 coordinates."""
    divisor = -2 * x + 12 * y + 3
    return 4 * x / divisor, 6 * y / divisor


def _exposure(lightness: NDArray[np.float64]) -> float:
    """-1 too dark to 1 too light: how far the median lies outside of the middle half, and what is clipped more."""
    median = float(np.median(lightness)) / 100
    tone = min(0.0, (median - _DARK) / _DARK) + max(0.0, (median - _LIGHT) / (1 - _LIGHT))
    clipped = float((lightness >= _CLIPPED_WHITE).mean() - (lightness <= _CLIPPED_BLACK).mean())
    return max(-1.0, min(1.0, 0.7 * tone + 0.6 * clipped))


def _quality(blur: float | None, noise: float, exposure: float, contrast: float) -> float:
    """Weighted geometric mean of sharpness, cleanness, exposure and contrast, each 0-1."""
    sharpness = 0.0 if blur is None else 1 - blur
    parts = {"sharpness": sharpness, "noise": 1 - noise, "exposure": 1 - abs(exposure), "contrast": contrast}
    logarithm = sum(_WEIGHTS[name] * math.log(max(_FLOOR, min(1.0, value))) for name, value in parts.items())
    return math.exp(logarithm)
