"""Colour of decoded pixels: any mode and ICC profile to 8-bit sRGB.

Lives here: ImageCms and the modes of Pillow. Must not: open files, resize, orientation.
"""

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from media_assets.media.text import clean_text

_SIXTEEN_BITS = 65535
_BAND_ROWS = 512


def profile_name(icc: bytes) -> str | None:
    """Return the description of an ICC profile (``desc`` tag), or ``None`` when it cannot be read."""
    try:
        return clean_text(ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def to_srgb(image: Image.Image, icc: bytes | None, warnings: list[str]) -> Image.Image:
    """Return the picture as 8-bit sRGB in mode L, RGB or RGBA.

    Without a profile, pixels are taken as sRGB (CMYK: Pillow's plain conversion). A profile that cannot be used is left
    out with a warning.

    Args:
        image: Loaded picture in any mode; ``info["transparency"]`` is honoured.
        icc: Embedded ICC profile, or ``None``.
        warnings: Gets a sentence when the profile is ignored.
    """
    plain = _plain_mode(image)
    if plain.mode == "LAB":
        return _transform(plain, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "RGB")
    if icc is not None:
        alpha = plain.getchannel("A") if plain.mode == "RGBA" else None
        opaque = plain.convert("RGB") if alpha is not None else plain
        try:
            converted = _transform(opaque, ImageCms.ImageCmsProfile(io.BytesIO(icc)), "RGB")
        # A grey profile on an RGB picture, a cut profile ...: the picture is still good without it.
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            warnings.append("The ICC profile does not fit the picture and was ignored.")
        else:
            if alpha is not None:
                converted.putalpha(alpha)
            return converted
    return plain if plain.mode in {"L", "RGB", "RGBA"} else plain.convert("RGB")


def _transform(image: Image.Image, profile: ImageCms.ImageCmsProfile, mode: str) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode=mode,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if converted is None:  # only when asked to convert in place
        raise ValueError("no picture came back")
    return converted


def _plain_mode(image: Image.Image) -> Image.Image:
    """Return the picture in one of L, RGB, RGBA, CMYK, LAB."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return _scaled_grey(image)
    if mode in {"LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        return image.convert("RGBA")
    if mode == "P":
        return image.convert("RGBA" if image.palette is not None and image.palette.mode == "RGBA" else "RGB")
    if mode == "1":
        return image.convert("L")
    if mode in {"L", "RGB", "RGBA", "CMYK", "LAB"}:
        return image
    return image.convert("RGB")


def _scaled_grey(image: Image.Image) -> Image.Image:
    """Map 16-bit, 32-bit and float grey to 8 bits; Pillow's convert() would clip everything above 255 to white.

    Band by band: a picture of 200 megapixels in 32-bit floats is 800 MB, and each step of arithmetic would copy it.
    """
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((values >> 8).astype(np.uint8))
    low, high = _finite_range(values)
    if image.mode == "I" and low >= 0 and high <= _SIXTEEN_BITS:
        low, high = 0.0, float(_SIXTEEN_BITS)
    elif image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scale = 255.0 / ((high - low) or 1.0)
    grey = np.empty(values.shape, np.uint8)
    for rows in _bands(values):
        numbers = np.nan_to_num(values[rows].astype(np.float32), nan=low, posinf=high, neginf=low)
        grey[rows] = np.round((numbers - low) * scale)
    return Image.fromarray(grey)


def _bands(values: NDArray[Any]) -> Iterator[slice]:
    for start in range(0, values.shape[0], _BAND_ROWS):
        yield slice(start, start + _BAND_ROWS)


def _finite_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the least and the greatest finite value; (0, 0) without any."""
    low, high = math.inf, -math.inf
    for rows in _bands(values):
        numbers = values[rows]
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)
