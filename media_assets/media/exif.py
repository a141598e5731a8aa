"""EXIF tags of a picture (CIPA DC-008 / EXIF 3.0) as plain, checked values.

Lives here: reading through Pillow, names, ranges, text. Must not: decode pixels, XMP, IPTC, maker notes (issue 3). An
impossible value becomes None and a warning, never an error: the picture is good even when its tags lie.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from PIL import ExifTags, Image

from media_assets.media.geo import Position, dms_to_degrees, plausible_altitude
from media_assets.media.text import clean_text, repair_latin1
from media_assets.media.timestamps import CaptureTime, capture_time, is_blank_date, parse_exif_datetime, parse_offset

MAX_TAGS_JSON_BYTES = 64 * 1024
"""Size limit of ``tags_json``, in UTF-8 bytes."""

_Base, _Gps = ExifTags.Base, ExifTags.GPS
_MAX_LISTED = 32  # longer arrays (strip offsets, curves) are data, not description
_MAX_SHOWN_BYTES = 256

_METERING_MODES = {
    1: "average",
    2: "center_weighted",
    3: "spot",
    4: "multi_spot",
    5: "pattern",
    6: "partial",
    255: "other",
}
_EXPOSURE_PROGRAMS = {
    1: "manual",
    2: "program",
    3: "aperture_priority",
    4: "shutter_priority",
    5: "creative",
    6: "action",
    7: "portrait",
    8: "landscape",
}
_COLOR_SPACES = {1: "sRGB", 2: "Adobe RGB", 0xFFFF: "uncalibrated"}
_ISO_UNKNOWN = 65535  # EXIF 3.0 section 4.6.7: PhotographicSensitivity saturates here, another tag has the value
_ISO_TAGS = (_Base.ISOSpeedRatings, _Base.RecommendedExposureIndex, _Base.StandardOutputSensitivity, _Base.ISOSpeed)
_DATE_TAGS = (
    (_Base.DateTimeOriginal, _Base.SubsecTimeOriginal, _Base.OffsetTimeOriginal),
    (_Base.DateTimeDigitized, _Base.SubsecTimeDigitized, _Base.OffsetTimeDigitized),
)
_USED_ELSEWHERE = {
    _Base.Make, _Base.Model, _Base.LensMake, _Base.LensModel, _Base.Software, _Base.ImageDescription, _Base.Artist,
    _Base.Copyright, _Base.XPTitle, _Base.XPAuthor, _Base.XPComment, _Base.FNumber, _Base.ExposureTime,
    _Base.FocalLength, _Base.FocalLengthIn35mmFilm, _Base.Flash, _Base.WhiteBalance, _Base.MeteringMode,
    _Base.ExposureProgram, _Base.ColorSpace, _Base.Orientation, _Base.ISOSpeedRatings, _Base.MakerNote,
    _Base.ExifOffset, _Base.GPSInfo, _Base.ExifInteroperabilityOffset,
    *(tag for tags in _DATE_TAGS for tag in tags),
}  # fmt: skip
_GPS_USED_ELSEWHERE = {
    _Gps.GPSLatitude, _Gps.GPSLatitudeRef, _Gps.GPSLongitude, _Gps.GPSLongitudeRef, _Gps.GPSAltitude,
    _Gps.GPSAltitudeRef, _Gps.GPSTimeStamp, _Gps.GPSDateStamp,
}  # fmt: skip


@dataclass(frozen=True)
class ExifData:
    """The three directories of an EXIF block as Pillow decodes them; all empty when there is none.

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


def read_exif(source: Image.Image | bytes, warnings: list[str]) -> ExifData:
    """Return the EXIF directories of an open image, or of a raw block from its TIFF header on.

    Args:
        source: Image opened by Pillow (pixels need not be loaded), or the block.
        warnings: Gets a sentence when the block cannot be read.
    """
    directories: list[Mapping[int, Any]] = []
    # On hostile bytes Pillow raises SyntaxError, struct.error, ValueError, KeyError, OverflowError ...: all mean
    # that the tags are damaged, none that the picture is.
    try:
        exif = _load_exif(source)
        directories.append(dict(exif))
    except MemoryError:
        raise
    except Exception:
        warnings.append("The EXIF block is damaged and was ignored.")
        return ExifData()
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        try:
            directories.append(dict(exif.get_ifd(ifd)))
        except MemoryError:
            raise
        except Exception:
            warnings.append(f"The EXIF directory {ifd.name} is damaged and was ignored.")
            directories.append({})
    return ExifData(*directories)


def _load_exif(source: Image.Image | bytes) -> Image.Exif:
    block = source if isinstance(source, bytes) else _legacy_png_block(source)
    if isinstance(source, Image.Image) and block is None:
        return source.getexif()
    exif = Image.Exif()
    exif.load(block or b"")
    return exif


def _legacy_png_block(image: Image.Image) -> bytes | None:
    """Return the EXIF block that ImageMagick and exiftool write into a PNG text chunk, or ``None``.

    The text is a name, a length in bytes and hex digits. Pillow reads it too, but not when padding follows.
    """
    if "exif" in image.info:
        return None
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
        # Pillow decodes ASCII tags as Latin-1, and cuts only the last NUL.
        return clean_text(repair_latin1(value.partition("\0")[0]))
    return None


def number_of(value: object) -> float | None:
    """Return a tag's value as a finite number, or ``None``; a rational over zero is not a number."""
    if isinstance(value, tuple | list):
        value = value[0] if value else None
    if isinstance(value, bytes):
        value = value[0] if len(value) == 1 else None
    if isinstance(value, str):
        value = value.strip("\0 ")
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(cast("Any", value))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _numbers_of(value: object) -> list[float]:
    """Numbers of a GPS value; some writers store it as text ("48, 51, 30.2")."""
    if isinstance(value, str):
        parts: Sequence[object] = value.strip("\0 ").replace(",", " ").split()
    else:
        parts = value if isinstance(value, tuple | list) else [value]
    numbers = [number_of(part) for part in parts]
    return [number for number in numbers if number is not None] if None not in numbers else []


def _in_range(
    name: str, value: object, low: float, high: float, warnings: list[str], *, above: bool = False
) -> float | None:
    """Return the number when low <= it <= high (low < it with ``above``); a zero means "unknown" and is silent."""
    if value is None:
        return None
    number = number_of(value)
    if number is not None and low <= number <= high and not (above and number == low):
        return number
    if number != 0:
        warnings.append(f"EXIF {name} is not a possible value and was ignored.")
    return None


def stored_orientation(exif: ExifData) -> int | None:
    """Return the EXIF orientation, 1 to 8, or ``None`` when it is absent or out of range."""
    number = number_of(exif.main.get(_Base.Orientation))
    return int(number) if number is not None and number in range(1, 9) else None


def read_capture_time(exif: ExifData, warnings: list[str]) -> CaptureTime | None:
    """Return when the picture was taken: ``DateTimeOriginal``, else ``DateTimeDigitized`` (EXIF 3.0 section 4.6.5).

    IFD0 ``DateTime`` is the time of the last change and is not used.
    """
    for date_tag, sub_second_tag, offset_tag in _DATE_TAGS:
        text = text_of(exif.find(date_tag))
        if text is None or is_blank_date(text):
            continue
        local = parse_exif_datetime(text, text_of(exif.find(sub_second_tag)))
        if local is None:
            warnings.append(f"EXIF {date_tag.name} is not a date and was ignored.")
            continue
        offset_text = text_of(exif.find(offset_tag)) or text_of(exif.find(_Base.OffsetTime))
        offset = None if offset_text is None else parse_offset(offset_text)
        if offset_text is not None and offset is None and not is_blank_date(offset_text.lstrip("+-")):
            warnings.append(f"EXIF {offset_tag.name} is not an offset and was ignored.")
        return capture_time(local, offset, f"exif:{date_tag.name}")
    return None


def read_position(exif: ExifData, warnings: list[str]) -> tuple[Position | None, float | None]:
    """Return the position, and the altitude in metres, of the GPS directory (EXIF 3.0 section 4.6.6)."""
    gps = exif.gps
    latitude = dms_to_degrees(
        _numbers_of(gps.get(_Gps.GPSLatitude)), text_of(gps.get(_Gps.GPSLatitudeRef)) or "", limit=90.0
    )
    longitude = dms_to_degrees(
        _numbers_of(gps.get(_Gps.GPSLongitude)), text_of(gps.get(_Gps.GPSLongitudeRef)) or "", limit=180.0
    )
    altitude = plausible_altitude(number_of(gps.get(_Gps.GPSAltitude)))
    # EXIF 3.0 adds 2 and 3: the same pair over the ellipsoid.
    if altitude and number_of(gps.get(_Gps.GPSAltitudeRef)) in {1, 3}:
        altitude = -altitude
    if latitude is None or longitude is None:
        if gps.get(_Gps.GPSLatitude) is not None or gps.get(_Gps.GPSLongitude) is not None:
            warnings.append("The EXIF position is incomplete or out of range and was ignored.")
        return None, altitude
    return Position(latitude, longitude, altitude), altitude


def read_gps_time(exif: ExifData, warnings: list[str]) -> datetime | None:
    """Return the aware UTC time of the GPS fix (``GPSDateStamp`` and ``GPSTimeStamp``), or ``None``."""
    date = text_of(exif.gps.get(_Gps.GPSDateStamp))
    clock = _numbers_of(exif.gps.get(_Gps.GPSTimeStamp))
    if date is None or len(clock) != 3 or is_blank_date(date):
        return None
    midnight = parse_exif_datetime(f"{date[:10]} 00:00:00")
    seconds = clock[0] * 3600 + clock[1] * 60 + clock[2]
    if midnight is None or not 0 <= seconds <= 86400:
        warnings.append("The EXIF GPS time is not a time and was ignored.")
        return None
    try:
        return midnight.replace(tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None


def describe_exif(exif: ExifData, warnings: list[str]) -> dict[str, Any]:
    """Return the fields of :class:`~media_assets.media.records.Metadata` that EXIF gives, by name.

    Args:
        exif: What :func:`read_exif` returned.
        warnings: Gets a sentence for every value that is impossible.
    """
    flash = number_of(exif.find(_Base.Flash))
    white_balance = number_of(exif.find(_Base.WhiteBalance))
    position, altitude = read_position(exif, warnings)
    taken = read_capture_time(exif, warnings)
    focal_35mm = _in_range(
        "FocalLengthIn35mmFilm", exif.find(_Base.FocalLengthIn35mmFilm), 0, 20_000, warnings, above=True
    )
    return {
        **_capture_fields(taken),
        "camera_make": text_of(exif.find(_Base.Make)),
        "camera_model": text_of(exif.find(_Base.Model)),
        "lens_make": text_of(exif.find(_Base.LensMake)),
        "lens_model": text_of(exif.find(_Base.LensModel)),
        "software": text_of(exif.find(_Base.Software)),
        "iso": _read_iso(exif, warnings),
        "f_number": _in_range("FNumber", exif.find(_Base.FNumber), 0, 512, warnings, above=True),
        "exposure_time_s": _in_range("ExposureTime", exif.find(_Base.ExposureTime), 0, 86_400, warnings, above=True),
        "focal_length_mm": _in_range("FocalLength", exif.find(_Base.FocalLength), 0, 20_000, warnings, above=True),
        "focal_length_35mm_mm": focal_35mm,
        "flash_fired": None if flash is None else bool(int(flash) & 1),
        "white_balance": None if white_balance is None else {0: "auto", 1: "manual"}.get(int(white_balance)),
        "metering_mode": _METERING_MODES.get(int(number_of(exif.find(_Base.MeteringMode)) or 0)),
        "exposure_program": _EXPOSURE_PROGRAMS.get(int(number_of(exif.find(_Base.ExposureProgram)) or 0)),
        "latitude_deg": position.latitude_deg if position else None,
        "longitude_deg": position.longitude_deg if position else None,
        "altitude_m": altitude,
        "gps_at": read_gps_time(exif, warnings),
        "title": _utf16_text(exif.main.get(_Base.XPTitle)),
        "description": text_of(exif.main.get(_Base.ImageDescription)) or _utf16_text(exif.main.get(_Base.XPComment)),
        "creator": text_of(exif.find(_Base.Artist)) or _utf16_text(exif.main.get(_Base.XPAuthor)),
        "copyright": text_of(exif.find(_Base.Copyright)),
        "color_space": _COLOR_SPACES.get(int(number_of(exif.find(_Base.ColorSpace)) or 0)),
        "tags_json": tags_to_json(exif, warnings),
    }


def _capture_fields(taken: CaptureTime | None) -> dict[str, Any]:
    if taken is None:
        return {}
    return {
        "captured_at": taken.utc,
        "captured_at_local": taken.local,
        "utc_offset_minutes": taken.utc_offset_minutes,
        "captured_at_source": taken.source,
    }


def _read_iso(exif: ExifData, warnings: list[str]) -> int | None:
    """Return the first known sensitivity; 65535 in one tag means that another one has it."""
    for tag in _ISO_TAGS:
        value = number_of(exif.find(tag))
        if value is not None and value != _ISO_UNKNOWN:
            number = _in_range(tag.name, value, 1, 10_000_000, warnings)
            if number is not None:
                return round(number)
    return None


def _utf16_text(value: object) -> str | None:
    """Text of the XP* tags, which Windows writes as UTF-16 little-endian bytes."""
    if isinstance(value, tuple | list):
        try:
            value = bytes(value)
        except (TypeError, ValueError):
            return None
    return clean_text(value.decode("utf-16-le", "replace")) if isinstance(value, bytes) else text_of(value)


def tags_to_json(exif: ExifData, warnings: list[str]) -> str | None:
    """Return all EXIF tags that have no column, as a JSON object of strings, at most 64 KiB; ``None`` without any.

    Binary values, long arrays and maker notes are left out.
    """
    found: dict[str, str] = {}
    size = 2
    for names, tags, used in (
        (ExifTags.TAGS, exif.main, _USED_ELSEWHERE),
        (ExifTags.TAGS, exif.exif, _USED_ELSEWHERE),
        (ExifTags.GPSTAGS, exif.gps, _GPS_USED_ELSEWHERE),
    ):
        for tag, value in tags.items():
            text = None if tag in used else _shown(value)
            if text is None:
                continue
            name = names.get(tag, f"tag_{tag}")
            size += len(json.dumps({name: text}, ensure_ascii=False).encode()) + 2
            if size > MAX_TAGS_JSON_BYTES:
                warnings.append("Some EXIF tags are not in tags_json, which would exceed 64 KiB.")
                return json.dumps(found, ensure_ascii=False)
            found.setdefault(name, text)
    return json.dumps(found, ensure_ascii=False) if found else None


def _shown(value: object) -> str | None:
    """Return a value as text, or ``None`` when it is data rather than description."""
    if isinstance(value, bytes):
        return text_of(value) if len(value) <= _MAX_SHOWN_BYTES and value.strip(b"\0").isascii() else None
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, tuple | list):
        if len(value) > _MAX_LISTED:
            return None
        return ", ".join(shown for shown in map(_shown, value) if shown is not None) or None
    number = number_of(value)
    return None if number is None else f"{number:.10g}"
