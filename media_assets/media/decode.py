"""The only place that opens a picture: limits, scaled decode, orientation, colour to sRGB.

Lives here: Pillow and pillow-heif, from a file to an upright sRGB picture. Must not: describe tags, encode, videos.
Analysis and redaction read pictures through here too, so boxes and pixels agree.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pillow_heif
from PIL import AvifImagePlugin, ExifTags, Image, ImageFile, JpegImagePlugin

from media_assets.media.color import profile_name, to_srgb
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.exif import ExifData, read_exif, stored_orientation
from media_assets.media.isobmff import StillBoxes, read_still_boxes
from media_assets.media.limits import Limits
from media_assets.media.resize import fit_box, resize_to
from media_assets.media.sniff import Sniffed
from media_assets.media.strict_jpeg import ends_in_grey, is_damaged
from media_assets.media.structure import Structure, read_structure

# Pillow's bomb warning knows one limit for all files; ours (Limits.max_pixels) is checked before pixels are allocated.
Image.MAX_IMAGE_PIXELS = None
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
}
_TURNED_BY_CONTAINER = {"heic"}  # libheif applies irot and imir itself
_TURNED_BY_PILLOW = {"tiff"}  # Pillow's TIFF reader applies the tag while it loads

TRANSPOSES: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of EXIF orientation 2 to 8 upright."""


@dataclass(frozen=True)
class DecodedPicture:
    """One decoded picture and what its file says about it.

    Attributes:
        picture: Upright, sRGB, mode L, RGB or RGBA, 8 bits; fitted into the box that was asked for.
        width_px: Width of the whole upright picture, before it was fitted.
        height_px: Height of the whole upright picture.
        orientation: EXIF orientation as stored, 1-8, or ``None``.
        exif: EXIF directories, read while the file was open.
        xmp: XMP packet, or ``None``.
        icc_name: Description of the embedded ICC profile; ``None`` when absent or unreadable.
        has_icc_profile: An ICC profile is embedded.
        has_alpha: The picture can be transparent.
        bit_depth: Bits of a channel, or ``None`` when the file does not say.
        frame_count: Frames or pages; ``None`` for formats that hold one.
        duration_s: Length of an animation in seconds, else ``None``.
        is_animated: More than one frame (pages of a TIFF are not an animation).
        warnings: Recoverable oddities, for people.
    """

    picture: Image.Image
    width_px: int
    height_px: int
    orientation: int | None
    exif: ExifData
    xmp: bytes | None
    icc_name: str | None
    has_icc_profile: bool
    has_alpha: bool
    bit_depth: int | None
    frame_count: int | None
    duration_s: float | None
    is_animated: bool
    warnings: tuple[str, ...]


def decode_picture(path: Path, sniffed: Sniffed, limits: Limits, *, longest_px: int | None) -> DecodedPicture:
    """Decode the first frame of a picture, upright and in sRGB.

    All of the entropy-coded data of the frame is read, also when a small picture is asked for, so damage is found.

    Args:
        path: File to read; its name does not matter.
        sniffed: What :func:`media_assets.media.sniff.sniff` said of it; chooses the only decoder that is tried.
        limits: Checked against the header before pixels are allocated.
        longest_px: Longest side of the result, never enlarged; ``None`` for the whole picture.

    Raises:
        ContentError: The file is damaged, cut, too large or has no picture.
    """
    name = sniffed.format.upper()
    structure = read_structure(path, sniffed.format, max_frames=limits.max_frames)
    if structure is not None:
        check_pixels(structure.width_px, structure.height_px, limits)
    boxes = read_still_boxes(path) if sniffed.format in {"heic", "avif"} else None
    if boxes is not None:
        check_pixels(*boxes.largest_px, limits)
    with _without_damaged_parts(path, structure) as file:
        with codec_errors(name):
            image = _open(file, sniffed.format)
        with image:
            check_pixels(*image.size, limits)
            decoded = _decode_open(image, sniffed.format, structure, boxes, limits, longest_px)
            if sniffed.format == "jpeg" and ends_in_grey(image) and is_damaged(path):
                raise ContentError(
                    ReasonCode.CORRUPT, "The JPEG data is damaged (a part is missing). Upload the file again.", "decode"
                )
    return decoded


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


def check_pixels(width_px: int, height_px: int, limits: Limits) -> None:
    """Raise ContentError ``TOO_MANY_PIXELS`` when a picture of this size is over the limit."""
    if width_px * height_px > limits.max_pixels:
        raise ContentError(
            ReasonCode.TOO_MANY_PIXELS,
            f"The picture has {width_px} x {height_px} pixels, more than the limit of {limits.max_pixels}. "
            "Upload a smaller one, or raise the limit max_pixels.",
            "decode",
        )


@contextmanager
def codec_errors(name: str) -> Iterator[None]:
    """Turn whatever a codec raises on bad bytes into a ContentError; MemoryError passes.

    Args:
        name: Format for the message, for example ``JPEG``.
    """
    try:
        yield
    except (ContentError, MemoryError):
        raise
    # Pillow and its plugins raise OSError, SyntaxError, ValueError, struct.error, TypeError, EOFError ... on hostile
    # bytes. The causes are chained for the log; their texts may name local paths and are not shown.
    except Exception as error:
        if "truncated" in str(error).lower():
            raise ContentError(
                ReasonCode.TRUNCATED, f"The {name} data ends early (truncated upload). Upload the file again.", "decode"
            ) from error
        raise ContentError(
            ReasonCode.CORRUPT, f"The {name} data is damaged and cannot be decoded. Upload the file again.", "decode"
        ) from error


def _open(file: BinaryIO, format_name: str) -> ImageFile.ImageFile:
    if format_name == "jpeg":
        # Image.open would hand pictures with an MPF segment to the MPO reader, which warns and seeks in other pictures.
        return JpegImagePlugin.JpegImageFile(file)
    return Image.open(file, formats=[_PILLOW_FORMATS[format_name]])


def _decode_open(
    image: ImageFile.ImageFile,
    format_name: str,
    structure: Structure | None,
    boxes: StillBoxes | None,
    limits: Limits,
    longest_px: int | None,
) -> DecodedPicture:
    name = format_name.upper()
    warnings: list[str] = list(structure.warnings) if structure else []
    full_size = image.size
    with codec_errors(name):
        frames = _count_frames(image, format_name, structure, limits)
    # PNG may carry eXIf behind the pixels; TIFF loses its orientation tag when it loads.
    exif = ExifData() if format_name in {"png", "apng"} else read_exif(image, warnings)
    bit_depth = structure.bit_depth if structure else _bit_depth(image, boxes)
    if format_name == "jpeg" and longest_px is not None:
        # The fitted box: draft() keeps both sides at or above it; for a square it would decode a landscape in full.
        image.draft(None, fit_box(*full_size, longest_px))
    with codec_errors(name):
        image.load()
    if format_name in {"png", "apng"}:
        exif = read_exif(image, warnings)
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    icc = image.info.get("icc_profile") or None
    xmp = image.info.get("xmp")
    with codec_errors(name):
        picture = _upright_srgb(image, format_name, full_size, longest_px, exif, warnings)
    orientation = stored_orientation(exif)
    if boxes is not None:
        # Both plugins rewrite the tag after what the container says; the stored one is in the item itself.
        orientation = stored_orientation(read_exif(boxes.exif, warnings)) if boxes.exif else None
    turned = _applied_orientation(format_name, exif) >= 5
    width, height = (full_size[1], full_size[0]) if turned else full_size
    return DecodedPicture(
        picture=picture,
        width_px=width,
        height_px=height,
        orientation=orientation,
        exif=exif,
        xmp=xmp if isinstance(xmp, bytes) else None,
        icc_name=profile_name(icc) if icc else None,
        has_icc_profile=icc is not None,
        has_alpha=has_alpha,
        bit_depth=bit_depth,
        frame_count=frames,
        duration_s=structure.duration_s if structure else None,
        is_animated=structure.is_animated if structure else (format_name == "avif" and (frames or 1) > 1),
        warnings=tuple(warnings),
    )


def _applied_orientation(format_name: str, exif: ExifData) -> int:
    """Return the orientation that is still to be applied to the decoded pixels, 1 to 8."""
    if format_name in _TURNED_BY_CONTAINER or format_name in _TURNED_BY_PILLOW:
        return 1
    return stored_orientation(exif) or 1  # AVIF: Pillow puts irot and imir into the tag, whatever the tag was


def _upright_srgb(
    image: Image.Image,
    format_name: str,
    full_size: tuple[int, int],
    longest_px: int | None,
    exif: ExifData,
    warnings: list[str],
) -> Image.Image:
    """Return the loaded pixels fitted, converted to sRGB and turned; colour after fitting, when there is less to do."""
    icc = image.info.get("icc_profile") or None
    picture: Image.Image = image
    # Modes that Pillow cannot resample well (palette, bilevel, 16 bits) become 8-bit channels first.
    direct = picture.mode in {"L", "RGB", "RGBA", "CMYK"} and "transparency" not in picture.info
    if longest_px is not None and direct:
        picture = resize_to(picture, fit_box(*full_size, longest_px))
    picture = to_srgb(picture, icc, warnings)
    if longest_px is not None:
        picture = resize_to(picture, fit_box(*full_size, longest_px))
    transpose = TRANSPOSES.get(_applied_orientation(format_name, exif))
    picture = picture.copy() if picture is image else picture  # the file is closed after this
    picture = picture if transpose is None else picture.transpose(transpose)
    picture.info = {}
    return picture


def _count_frames(
    image: ImageFile.ImageFile, format_name: str, structure: Structure | None, limits: Limits
) -> int | None:
    if structure is not None:
        return structure.frame_count
    if format_name == "tiff":
        # n_frames would follow the chain of directories to its end, however long.
        pages = 1
        try:
            while pages <= limits.max_frames:
                image.seek(pages)
                pages += 1
        except EOFError:
            image.seek(0)
    elif format_name == "avif":
        pages = int(getattr(image, "n_frames", 1))
    else:
        return None
    if pages > limits.max_frames:
        raise ContentError(
            ReasonCode.TOO_MANY_FRAMES,
            f"The file has more than {limits.max_frames} frames or pages. Split it and upload the parts.",
            "decode",
        )
    return pages


def _bit_depth(image: Image.Image, boxes: StillBoxes | None) -> int | None:
    if boxes is not None:
        return boxes.bit_depth
    tags = getattr(image, "tag_v2", None)
    bits = tags.get(ExifTags.Base.BitsPerSample) if tags is not None else None
    if isinstance(bits, tuple) and bits and isinstance(bits[0], int):
        return bits[0]
    return bits if isinstance(bits, int) else None
