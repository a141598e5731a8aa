"""EXIF block of a picture (CIPA DC-008 / EXIF 3.0): its directories, and raw values of tags as checked Python values.

Lives here: where the block is, text and numbers of tags that are typed wrongly. Must not: decode pixels; say what a tag
means for a column (``exif_claims.py``). An impossible value becomes None, never an error: the picture is good even when
its tags lie.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from PIL import ExifTags, Image

from media_assets.media.ifd import Directories
from media_assets.media.text import clean_text


@dataclass(frozen=True)
class ExifData:
    """The three directories of an EXIF block; all empty when there is none.

    Values are as :class:`~media_assets.media.ifd.Directories` gives them.

    Attributes:
        main: IFD0, by tag number of ``ExifTags.Base``.
        exif: Exif IFD, same numbers.
        gps: GPS IFD, by tag number of ``ExifTags.GPS``.
    """

    main: Mapping[int, Any] = field(default_factory=dict)
    exif: Mapping[int, Any] = field(default_factory=dict)
    gps: Mapping[int, Any] = field(default_factory=dict)

    def find(self, tag: ExifTags.Base) -> object:
        """Return the raw value of a tag from the Exif IFD, else from IFD0 (some writers mix them up), else None."""
        value = self.exif.get(tag)
        return self.main.get(tag) if value is None else value


def read_exif(source: Image.Image | bytes | BinaryIO, warnings: list[str]) -> ExifData:
    """Return the EXIF directories of an open image, of a raw block, or of an open file at its TIFF header.

    Args:
        source: Image opened by Pillow (pixels need not be loaded), or the block, or a file whose position is at the
            TIFF header (RAW files: only directories are read; the position afterwards is undefined).
        warnings: Gets a sentence when the block, or a part of it, cannot be read.
    """
    if isinstance(source, Image.Image):
        file = getattr(source, "fp", None) if source.format == "TIFF" else None
        if file is not None:
            return _read_tiff(file, warnings)
        block = _image_block(source, warnings)
        if block is None:
            return ExifData()
        source = block
    if source == b"":
        return ExifData()
    try:
        directories = Directories(source)
    except (ValueError, OSError):
        warnings.append("The EXIF block is damaged and was ignored.")
        return ExifData()
    main = directories.first()
    exif = directories.below(main, ExifTags.IFD.Exif)
    gps = directories.below(main, ExifTags.IFD.GPSInfo) or directories.below(exif, ExifTags.IFD.GPSInfo)
    if directories.damaged:
        warnings.append("Some EXIF tags are damaged and were ignored.")
    return ExifData(main, exif, gps)


def _read_tiff(file: BinaryIO, warnings: list[str]) -> ExifData:
    """Read the directories of a TIFF that Pillow has open, and leave its position as Pillow left it."""
    position = file.tell()
    file.seek(0)
    exif = read_exif(file, warnings)
    file.seek(position)
    return exif


def _image_block(image: Image.Image, warnings: list[str]) -> bytes | None:
    """Return the EXIF block that Pillow found, or ``None``."""
    block = image.info.get("exif")
    if isinstance(block, bytes):
        return block
    try:
        return _legacy_png_block(image)
    except ValueError:
        warnings.append("The EXIF block is damaged and was ignored.")
        return None


def _legacy_png_block(image: Image.Image) -> bytes | None:
    """Return the EXIF block that ImageMagick and exiftool write into a PNG text chunk, or ``None``.

    The text is a name, a length in bytes and hex digits. Pillow reads it too, but not when padding follows.
    """
    text = image.info.get("Raw profile type exif") or image.info.get("Raw profile type APP1")
    if not isinstance(text, str):
        return None
    _, _, length, *digits = text.split("\n")
    return bytes.fromhex("".join(digits)[: 2 * int(length)])


def text_of(value: object) -> str | None:
    """Return a tag's value as clean text, or ``None`` when it is not text or nothing is left of it."""
    if isinstance(value, bytes):
        return clean_text(value)
    if isinstance(value, str):
        return clean_text(value)
    return None


def number_of(value: object) -> float | None:
    """Return a tag's value as a finite number, the first of several, or ``None``; a rational over zero is no number."""
    if isinstance(value, tuple | list):
        value = value[0] if value else None
    if isinstance(value, bytes):
        value = value[0] if len(value) == 1 else None
    if isinstance(value, str):
        value, slash, below = value.strip("\0 ").partition("/")
    else:
        slash = below = ""
    if value is None or isinstance(value, bool):
        return None
    try:
        # Rationals of XMP are text: "28/10".
        number = float(cast("Any", value)) / (float(below) if slash else 1.0)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def numbers_of(value: object) -> list[float]:
    """Return the numbers of a GPS value, none when one is no number; some writers store text ("48, 51, 30.2")."""
    if isinstance(value, str):
        parts: Sequence[object] = value.strip("\0 ").replace(",", " ").split()
    else:
        parts = value if isinstance(value, tuple | list) else [value]
    numbers = [number_of(part) for part in parts]
    return [number for number in numbers if number is not None] if None not in numbers else []


def stored_orientation(exif: ExifData) -> int | None:
    """Return the EXIF orientation, 1 to 8, or ``None`` when it is absent or out of range."""
    number = number_of(exif.main.get(ExifTags.Base.Orientation))
    return int(number) if number is not None and number in range(1, 9) else None
