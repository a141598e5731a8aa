"""Camera raw files through LibRaw: the embedded preview, or the development of the sensor data.

Lives here: rawpy. Must not: other pictures, metadata. The sensor data is unpacked even when the preview is good enough,
so that a cut file is found; a file that LibRaw does not know passes with its preview alone, and says so.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.exif import stored_orientation
from media_assets.media.limits import Limits
from media_assets.media.picture import (
    DecodedPicture,
    check_pixels,
    codec_errors,
    corrupt,
    icc_facts,
    truncated,
    upright_srgb,
)
from media_assets.media.raw_files import RawFile, read_raw_file
from media_assets.media.resize import fit_box
from media_assets.media.signatures import Sniffed

if TYPE_CHECKING:
    import rawpy

# LibRaw's flip is a bit field (1: mirrored, 2: upside down, 4: transposed); EXIF numbers the same eight cases.
_EXIF_OF_FLIP = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}
_LARGE_ENOUGH = 0.95  # of the size that was asked for: previews are a little smaller than the sensor
_ASPECT_TOLERANCE = 0.03  # previews of cameras that crop to 16:9, or put black bars around, differ by far more
_MAX_PREVIEW_BYTES = 64 * 2**20
_CROPS_TO_CANON_FRAME = {"cr2", "cr3", "crw"}


@dataclass(frozen=True)
class _Preview:
    """An embedded picture: encoded as JPEG, or already pixels; with its size before it is turned."""

    size: tuple[int, int]
    jpeg: bytes | None = None
    pixels: Image.Image | None = None


def decode_raw(path: Path, sniffed: Sniffed, limits: Limits, *, longest_px: int | None) -> DecodedPicture:
    """Return a camera raw file as an upright picture in sRGB, at least about as large as asked for.

    Args:
        path: File to read.
        sniffed: Its format.
        limits: Checked against the header before pixels are allocated.
        longest_px: Longest side of the result, never enlarged; ``None`` for the whole picture.

    Raises:
        ContentError: The sensor data is damaged or cut, or neither LibRaw nor a preview shows a picture.
    """
    warnings: list[str] = []
    name = sniffed.format.upper()
    facts = read_raw_file(path, sniffed.format, warnings)
    try:
        with _libraw_errors(name), _opened(path) as raw:
            picture, full_size = _picture_of(raw, facts, sniffed, limits, longest_px, warnings)
    except _UnknownToLibRawError:
        picture, full_size = _preview_only(path, facts, name, limits, longest_px, warnings)
    icc_name, has_icc = icc_facts(facts.icc)
    return DecodedPicture(
        picture=picture,
        width_px=full_size[0],
        height_px=full_size[1],
        orientation=stored_orientation(facts.exif),
        exif=facts.exif,
        xmp=facts.xmp,
        icc_name=icc_name,
        has_icc_profile=has_icc,
        has_alpha=False,
        bit_depth=facts.bit_depth,
        frame_count=None,
        duration_s=None,
        is_animated=False,
        warnings=tuple(warnings),
        iptc=facts.iptc,
    )


class _UnknownToLibRawError(Exception):
    """LibRaw does not know this camera or this compression: no fault of the file."""


@contextlib.contextmanager
def _opened(path: Path) -> Iterator["rawpy.RawPy"]:
    """Open with LibRaw; only the header is read."""
    import rawpy

    with rawpy.imread(str(path)) as raw:
        yield raw


@contextlib.contextmanager
def _libraw_errors(name: str) -> Iterator[None]:
    """Turn LibRaw's errors into ContentError, MemoryError or "unknown"."""
    import rawpy

    try:
        with codec_errors(name):
            yield
    except ContentError as error:
        cause = error.__cause__
        if isinstance(cause, rawpy.LibRawUnsufficientMemoryError | rawpy.LibRawMemPoolOverflowError):
            raise MemoryError from error  # noqa: TRY004
        if isinstance(cause, rawpy.LibRawTooBigError):
            raise ContentError(
                ReasonCode.TOO_MANY_PIXELS,
                f"The {name} file holds more sensor data than LibRaw accepts. Upload a developed JPEG or TIFF instead.",
                "decode",
            ) from error
        if isinstance(
            cause,
            rawpy.LibRawFileUnsupportedError
            | rawpy.LibRawNotImplementedError
            | rawpy.LibRawRequestForNonexistentImageError,
        ):
            raise _UnknownToLibRawError from error
        if isinstance(cause, rawpy.LibRawIOError | rawpy.LibRawDataError):  # reading beyond the end is either of them
            raise truncated(name) from error
        raise


def _picture_of(
    raw: "rawpy.RawPy",
    facts: RawFile,
    sniffed: Sniffed,
    limits: Limits,
    longest_px: int | None,
    warnings: list[str],
) -> tuple[Image.Image, tuple[int, int]]:
    """Return the upright fitted picture and the upright size of the whole one."""
    sizes = raw.sizes
    check_pixels(max(sizes.raw_width, sizes.width), max(sizes.raw_height, sizes.height), limits)
    orientation = _EXIF_OF_FLIP.get(sizes.flip, 1)
    full_size = _full_size(sizes, sniffed)
    preview = _libraw_preview(raw, limits)
    raw.unpack()  # finds damage
    wanted = max(full_size) if longest_px is None else min(longest_px, max(full_size))
    upright_size = _turned(full_size, orientation)
    if preview is not None and max(preview.size) >= _LARGE_ENOUGH * wanted and _same_frame(preview.size, full_size):
        return _show(preview, full_size, longest_px, orientation, warnings), upright_size
    half = max(full_size) // 2 >= wanted
    developed = Image.fromarray(raw.postprocess(half_size=half, use_camera_wb=True, output_bps=8))
    # LibRaw has turned the pixels. Its header does not tell the size for sensors that lie diagonally (Fuji SuperCCD).
    if not _same_frame(developed.size, upright_size):
        upright_size = developed.size if not half else (2 * developed.size[0], 2 * developed.size[1])
    return upright_srgb(developed, upright_size, longest_px, 1, warnings), upright_size


def _full_size(sizes: "rawpy.ImageSizes", sniffed: Sniffed) -> tuple[int, int]:
    """Return the size of the whole picture before it is turned: what LibRaw develops, without Canon's borders."""
    width, height = sizes.iwidth, sizes.iheight
    if sizes.pixel_aspect > 1:  # sensors with oblong pixels: LibRaw stretches the shorter side
        width = round(width * sizes.pixel_aspect)
    elif 0 < sizes.pixel_aspect < 1:
        height = round(height / sizes.pixel_aspect)
    if sniffed.format in _CROPS_TO_CANON_FRAME and 0 < sizes.crop_width <= width and 0 < sizes.crop_height <= height:
        width, height = sizes.crop_width, sizes.crop_height
    return width, height


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (size[1], size[0]) if orientation >= 5 else size


def _same_frame(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether two pictures show the same frame, by the ratio of their sides, turned or not."""
    first, second = (max(pair) / max(1, min(pair)) for pair in (size, other))
    return abs(first / second - 1) <= _ASPECT_TOLERANCE


def _libraw_preview(raw: "rawpy.RawPy", limits: Limits) -> _Preview | None:
    """Return the largest embedded picture, or ``None``; a damaged one is none."""
    import rawpy

    try:
        thumb = raw.extract_thumb()
    except rawpy.LibRawError:
        return None
    if thumb.format == rawpy.ThumbFormat.JPEG:
        return _jpeg_preview(bytes(thumb.data), limits)
    pixels = Image.fromarray(np.asarray(thumb.data))
    return _Preview(pixels.size, pixels=pixels)


def _jpeg_preview(data: bytes, limits: Limits) -> _Preview | None:
    try:
        with codec_errors("preview"), JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
            check_pixels(*image.size, limits)
            return _Preview(image.size, jpeg=data)
    except ContentError:
        return None


def _show(
    preview: _Preview, full_size: tuple[int, int], longest_px: int | None, orientation: int, warnings: list[str]
) -> Image.Image:
    """Return the preview upright and fitted; some cameras store it turned already, which its sides tell."""
    image = preview.pixels
    if image is None:
        with codec_errors("preview"):
            opened: ImageFile.ImageFile = JpegImagePlugin.JpegImageFile(io.BytesIO(preview.jpeg or b""))
            if longest_px is not None:
                opened.draft(None, fit_box(*opened.size, longest_px))
            opened.load()
        image = opened
    is_wide, full_is_wide = (size[0] > size[1] for size in (preview.size, full_size))
    if orientation >= 5 and is_wide != full_is_wide:
        orientation = 1
    return upright_srgb(image, preview.size, longest_px, orientation, warnings)


def _preview_only(
    path: Path, facts: RawFile, name: str, limits: Limits, longest_px: int | None, warnings: list[str]
) -> tuple[Image.Image, tuple[int, int]]:
    """Show a file that LibRaw does not know by the largest JPEG in it."""
    if facts.preview is None:
        raise ContentError(
            ReasonCode.UNSUPPORTED_TYPE,
            f"The {name} file comes from a camera or has a coding that LibRaw does not know, and holds no preview. "
            "Upload a developed JPEG or TIFF instead.",
            "decode",
        )
    offset, length = facts.preview
    with path.open("rb") as file:
        file.seek(offset)
        preview = _jpeg_preview(file.read(min(length, _MAX_PREVIEW_BYTES)), limits)
    if preview is None:
        raise corrupt(name, "neither the sensor data nor the preview can be read")
    warnings.append(f"LibRaw does not know the coding of this {name} file; its preview stands for the picture.")
    orientation = stored_orientation(facts.exif) or 1
    is_turned = orientation >= 5 and preview.size[0] < preview.size[1]
    picture = _show(preview, preview.size, longest_px, 1 if is_turned else orientation, warnings)
    return picture, _turned(preview.size, 1 if is_turned else orientation)
