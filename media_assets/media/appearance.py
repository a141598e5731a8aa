"""How a picture looks, in numbers: colours, light, sharpness, noise, and one score of its technical quality.

Measured on the decoded picture, upright and in sRGB; colours on a small copy, sharpness and noise on real pixels. Every
number has its definition here; nothing is learnt, so that the same picture always gets the same numbers.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.dominant_colors import dominant_colors
from media_assets.media.perceptual_hash import dhash, phash
from media_assets.media.records import Appearance

_COLOR_PX = 64
_SHARPNESS_PX = 1024
_NOISE_PX = 768
_NOISE_BLOCK_PX = 16
# Standard deviation, in grey levels, at which a picture counts as all noise; film grain and high ISO lie at 3 to 12.
_ALL_NOISE = 20.0
_CLIPPED_BLACK, _CLIPPED_WHITE = 3.0, 97.0  # L*
_DARK, _LIGHT = 0.25, 0.75  # median L* / 100 between which a picture is neither
# Crete's measure of sharp photos is 0.2 to 0.4, of blurred ones 0.6 and more.
_SHARP, _BLURRED = 0.30, 0.80
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
    shown = _opaque(picture, background)
    reduced = _fitted(shown, _SHARPNESS_PX)
    small = _fitted(reduced, _COLOR_PX)
    rgb = np.asarray(small, np.uint8).reshape(-1, 3)
    lab = _lab(rgb)
    lightness = lab[:, 0].astype(np.float64)
    gray = reduced.convert("L")
    blur = _blur(np.asarray(gray, np.float32))
    noise = min(1.0, _noise(np.asarray(_middle(shown, _NOISE_PX).convert("L"), np.float32)) / _ALL_NOISE)
    contrast = min(1.0, float(lightness.std()) / _FULL_CONTRAST)
    exposure = _exposure(lightness)
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
        phash=phash(gray),
        dhash=dhash(gray),
    )


def _opaque(picture: Image.Image, background: str) -> Image.Image:
    if picture.mode != "RGBA":
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    below = Image.new("RGBA", picture.size, background)
    return Image.alpha_composite(below, picture).convert("RGB")


def _fitted(picture: Image.Image, longest_px: int) -> Image.Image:
    scale = longest_px / max(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX, reducing_gap=2.0)


def _middle(picture: Image.Image, longest_px: int) -> Image.Image:
    """Cut the middle out, at its own size: scaling would take the noise away."""
    width, height = min(picture.width, longest_px), min(picture.height, longest_px)
    left, upper = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, upper, left + width, upper + height))


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


def _blur(gray: NDArray[np.float32]) -> float | None:
    """How little a further blur changes, 0 sharp to 1 blurred (Crete et al., "The blur effect", 2007).

    Flat areas change nothing and do not count. ``None``: the picture has no detail at all.
    """
    import cv2

    worst = None
    for axis in (0, 1):
        if gray.shape[axis] < 12:
            continue
        kernel = (1, 11) if axis == 0 else (11, 1)
        blurred: Any = cv2.blur(gray, kernel, borderType=cv2.BORDER_REFLECT)
        sharp = np.abs(np.diff(gray, axis=axis))
        smooth = np.abs(np.diff(np.asarray(blurred, np.float32), axis=axis))
        total = float(sharp.sum())
        if total <= gray.size * 1e-3:
            continue
        lost = float(np.maximum(0, sharp - smooth).sum())
        value = (total - lost) / total
        worst = value if worst is None else max(worst, value)
    return worst


def _noise(gray: NDArray[np.float32]) -> float:
    """Standard deviation of the noise in grey levels: Immerkaer (1996) on the flattest tenth of the blocks.

    His operator takes away constant and sloping parts; taking the flattest blocks takes away texture, which would count
    as noise. Blocks at the ends of the range are left out: there noise is clipped away.
    """
    import cv2

    if min(gray.shape) < _NOISE_BLOCK_PX + 2:
        return 0.0
    operator = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    found: Any = cv2.filter2D(gray, cv2.CV_32F, operator)
    inside = np.abs(np.asarray(found, np.float32)[1:-1, 1:-1])
    side = _NOISE_BLOCK_PX
    rows, columns = inside.shape[0] // side, inside.shape[1] // side

    def means(values: NDArray[np.float32]) -> NDArray[np.float32]:
        cut = values[: rows * side, : columns * side].reshape(rows, side, columns, side)
        return np.asarray(cut.mean(axis=(1, 3)).reshape(-1), np.float32)

    level = means(gray[1:-1, 1:-1])
    estimates = means(inside)[(level > 12) & (level < 243)]
    if estimates.size == 0:
        return 0.0
    flattest = np.quantile(estimates, 0.1)
    return float(flattest) * math.sqrt(math.pi / 2) / 6


def _exposure(lightness: NDArray[np.float64]) -> float:
    """-1 too dark to 1 too light: how far the median lies outside of the middle half, and what is clipped more."""
    median = float(np.median(lightness)) / 100
    tone = min(0.0, (median - _DARK) / _DARK) + max(0.0, (median - _LIGHT) / (1 - _LIGHT))
    clipped = float((lightness >= _CLIPPED_WHITE).mean() - (lightness <= _CLIPPED_BLACK).mean())
    return max(-1.0, min(1.0, 0.7 * tone + 0.6 * clipped))


def _quality(blur: float | None, noise: float, exposure: float, contrast: float) -> float:
    """Weighted geometric mean of sharpness, cleanness, exposure and contrast, each 0-1."""
    sharpness = 0.0 if blur is None else (_BLURRED - blur) / (_BLURRED - _SHARP)
    parts = {"sharpness": sharpness, "noise": 1 - noise, "exposure": 1 - abs(exposure), "contrast": contrast}
    logarithm = sum(_WEIGHTS[name] * math.log(max(_FLOOR, min(1.0, value))) for name, value in parts.items())
    return math.exp(logarithm)
