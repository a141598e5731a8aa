"""The only place that opens a picture: limits, scaled decode, orientation, colour to sRGB.

Lives here: the choice of the decoder, Pillow and pillow-heif. Must not: describe tags, encode, videos. Analysis and
redaction read pictures through here too, so boxes and pixels agree.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pillow_heif
from PIL import AvifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from media_assets.media.embedded import Embedded, read_embedded
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.exif import ExifData, read_exif, stored_orientation
from media_assets.media.headers import read_header
from media_assets.media.isobmff import StillBoxes, read_still_boxes
from media_assets.media.jxl import decode_jxl
from media_assets.media.limits import Limits
from media_assets.media.picture import (
    TRANSPOSES,
    DecodedPicture,
    check_pixels,
    codec_errors,
    corrupt,
    has_alpha,
    icc_facts,
    unsupported,
    upright_srgb,
)
from media_assets.media.raw import decode_raw
from media_assets.media.resize import WEB_ENOUGH_PX, WEB_LONGEST_PX, fit_box
from media_assets.media.sniff import Sniffed
from media_assets.media.strict_jpeg import ends_in_grey, is_damaged
from media_assets.media.structure import Structure, read_structure
from media_assets.media.tiff import TiffLayout, decode_rare_tiff, read_tiff_layout

__all__ = ["TRANSPOSES", "DecodedPicture", "check_pixels", "codec_errors", "decode_picture"]

# Pillow's bomb warning knows one limit for all files; ours (Limits.max_pixels) is checked before pixels are allocated.
Image.MAX_IMAGE_PIXELS = None
# Photoshop stores edit histories of more than Pillow's 1 MiB in the XMP of a PNG; inflating text stays bounded.
PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20
# One file is decoded in each worker process, and there is a worker for each core.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)

_PILLOW_FORMATS = {
    "jpeg": "JPEG",
    "png": "PNG",
    "apng": "PNG",
    "gif": "GIF",
    "webp": "WEBP",
    "heic": "HEIF",
    "avif": "AVIF",
    "tiff": "TIFF",
    "bmp": "BMP",
    "jp2": "JPEG2000",
    "ico": "ICO",
    "psd": "PSD",
}
_TURNED_BY_CONTAINER = {"heic", "jp2", "psd"}  # libheif applies irot and imir; for the others the tag means nothing
_TURNED_BY_PILLOW = {"tiff"}  # Pillow's TIFF reader applies the tag while it loads


@dataclass(frozen=True)
class _Parts:
    """What was read of a file before its pixels are decoded; ``exif`` only where Pillow does not return it."""

    structure: Structure | None = None
    boxes: StillBoxes | None = None
    layout: TiffLayout | None = None
    embedded: Embedded = field(default_factory=Embedded)
    exif: ExifData | None = None
    warnings: tuple[str, ...] = ()


def decode_picture(path: Path, sniffed: Sniffed, limits: Limits, *, longest_px: int | None) -> DecodedPicture:
    """Decode the first frame of a picture, upright and in sRGB.

    All of the entropy-coded data of the frame is read, also when a small picture is asked for, so damage is found.

    Args:
        path: File to read; its name does not matter.
        sniffed: What :func:`media_assets.media.sniff.sniff_file` said of it; chooses the only decoder that is tried.
        limits: Checked against the header before pixels are allocated.
        longest_px: Longest side of the result, never enlarged; ``None`` for the whole picture.

    Raises:
        ContentError: The file is damaged, cut, too large, of an undecodable kind or has no picture.
    """
    if sniffed.is_raw:
        return decode_raw(path, sniffed, limits, longest_px=longest_px)
    if sniffed.format == "jxl":
        return decode_jxl(path, limits, longest_px=longest_px)
    name = sniffed.format.upper()
    parts = _read_parts(path, sniffed.format, limits)
    with _without_damaged_parts(path, parts.structure) as file:
        with codec_errors(name):
            image = _open(file, path, sniffed.format, parts.layout)
        with image:
            check_pixels(*image.size, limits)
            decoded = _decode_open(image, sniffed.format, parts, limits, longest_px)
            if sniffed.format == "jpeg" and ends_in_grey(image) and is_damaged(path):
                raise corrupt("JPEG", "a part is missing")
    return decoded


def _read_parts(path: Path, format_name: str, limits: Limits) -> _Parts:
    """Walk over the file and check the sizes that it announces."""
    structure = read_structure(path, format_name, max_frames=limits.max_frames) or read_header(path, format_name)
    if structure is not None:
        check_pixels(structure.width_px, structure.height_px, limits)
    boxes = read_still_boxes(path) if format_name in {"heic", "avif"} else None
    if boxes is not None:
        check_pixels(*boxes.largest_px, limits)
    layout = read_tiff_layout(path, max_pages=limits.max_frames) if format_name == "tiff" else None
    if layout is not None:
        check_pixels(layout.width_px, layout.height_px, limits)
    embedded = read_embedded(path, format_name, picture_end=structure.end if structure else None)
    warnings: list[str] = list(structure.warnings) if structure else []
    exif = None
    if layout is not None:
        with path.open("rb") as file:
            exif = read_exif(file, warnings)
    elif embedded.exif:
        exif = read_exif(embedded.exif, warnings)
    return _Parts(structure, boxes, layout, embedded, exif, tuple(warnings))


def _without_damaged_parts(path: Path, structure: Structure | None) -> BinaryIO:
    """Open the file; chunks that only describe the picture and are damaged are left out, because Pillow gives up."""
    if structure is None or not structure.damaged_parts:
        return path.open("rb")
    data = path.read_bytes()
    kept, position = [], 0
    for start, end in structure.damaged_parts:
        kept.append(data[position:start])
        position = end
    return io.BytesIO(b"".join([*kept, data[position:]]))


def _open(file: BinaryIO, path: Path, format_name: str, layout: TiffLayout | None) -> Image.Image:
    if format_name == "jpeg":
        # Image.open would hand pictures with an MPF segment to the MPO reader, which warns and seeks in other pictures.
        return JpegImagePlugin.JpegImageFile(file)
    if layout is not None and layout.needs_ffmpeg:
        return decode_rare_tiff(path, layout)
    if format_name == "tiff":
        try:
            return TiffImagePlugin.TiffImageFile(file)
        except SyntaxError as error:  # what it raises for a mode it has not, and for a big-endian BigTIFF
            raise unsupported("TIFF", "channels or numbers of a kind that Pillow does not know") from error
    return Image.open(file, formats=[_PILLOW_FORMATS[format_name]])


def _decode_open(
    image: Image.Image, format_name: str, parts: _Parts, limits: Limits, longest_px: int | None
) -> DecodedPicture:
    name = format_name.upper()
    structure, embedded = parts.structure, parts.embedded
    warnings = list(parts.warnings)
    full_size = image.size
    with codec_errors(name):
        frames = _count_frames(image, format_name, parts, limits)
    if format_name == "jpeg" and longest_px is not None and isinstance(image, ImageFile.ImageFile):
        # The fitted box: draft() keeps both sides at or above it; for a square it would decode a landscape in full.
        image.draft(None, fit_box(*full_size, WEB_ENOUGH_PX if longest_px == WEB_LONGEST_PX else longest_px))
    with codec_errors(name):
        image.load()
    # Not before: PNG may carry eXIf behind the pixels.
    exif = read_exif(image, warnings) if parts.exif is None else parts.exif
    if embedded.icc and "icc_profile" not in image.info:
        image.info["icc_profile"] = embedded.icc
    icc_name, has_icc = icc_facts(image.info.get("icc_profile") or None)
    transparent = has_alpha(image)
    turn = _applied_orientation(format_name, exif)
    with codec_errors(name):
        picture = upright_srgb(_uninverted(image, parts.layout), full_size, longest_px, turn, warnings)
    orientation = stored_orientation(exif)
    xmp = embedded.xmp or image.info.get("xmp")
    if parts.boxes is not None:
        # Both plugins rewrite the tag after what the container says; the stored one is in the item itself.
        orientation = stored_orientation(read_exif(parts.boxes.exif, warnings)) if parts.boxes.exif else None
        xmp = parts.boxes.xmp or xmp
    width, height = (full_size[1], full_size[0]) if turn >= 5 else full_size
    return DecodedPicture(
        picture=picture,
        width_px=width,
        height_px=height,
        orientation=orientation,
        exif=exif,
        xmp=xmp if isinstance(xmp, bytes) else None,
        icc_name=icc_name,
        has_icc_profile=has_icc,
        has_alpha=transparent,
        bit_depth=_bit_depth(parts),
        frame_count=frames,
        duration_s=structure.duration_s if structure else None,
        is_animated=structure.is_animated if structure else (format_name == "avif" and (frames or 1) > 1),
        warnings=tuple(warnings),
        iptc=embedded.iptc,
        text=embedded.text,
        has_embedded_video=embedded.has_video or (parts.boxes is not None and parts.boxes.has_embedded_video),
        # The box of a HEIF motion photo is made for nothing else.
        has_clip_mark=embedded.has_clip_mark or (parts.boxes is not None and parts.boxes.has_embedded_video),
    )


def _applied_orientation(format_name: str, exif: ExifData) -> int:
    """Return the orientation that is still to be applied to the decoded pixels, 1 to 8."""
    if format_name in _TURNED_BY_CONTAINER or format_name in _TURNED_BY_PILLOW:
        return 1
    return stored_orientation(exif) or 1  # AVIF: Pillow puts irot and imir into the tag, whatever the tag was


def _count_frames(image: Image.Image, format_name: str, parts: _Parts, limits: Limits) -> int | None:
    if parts.structure is not None:
        return parts.structure.frame_count
    if parts.layout is not None:
        frames = parts.layout.page_count
    elif format_name == "avif":
        frames = int(getattr(image, "n_frames", 1))
    else:
        return None
    if frames > limits.max_frames:
        raise ContentError(
            ReasonCode.TOO_MANY_FRAMES,
            f"The file has more than {limits.max_frames} frames or pages. Split it and upload the parts.",
            "decode",
        )
    return frames


def _bit_depth(parts: _Parts) -> int | None:
    for source in (parts.structure, parts.boxes, parts.layout):
        if source is not None:
            return source.bit_depth
    return None


def _uninverted(image: Image.Image, layout: TiffLayout | None) -> Image.Image:
    """Return the loaded picture with black as zero."""
    if layout is None or not layout.is_inverted or not image.mode.startswith("I;16"):
        return image
    return Image.fromarray(np.uint16(0xFFFF) - np.asarray(image).astype(np.uint16))
