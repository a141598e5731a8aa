"""What the EXIF block of a picture says, as claims (EXIF 3.0).

Lives here: which tag is which column, times, position, all other tags as text. Must not: weigh EXIF against
other sources.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from PIL import ExifTags

from media_assets.media.camera import CAMERA_TAGS, camera_settings
from media_assets.media.claims import Claims
from media_assets.media.exif import ExifData, number_of, numbers_of, text_of
from media_assets.media.geo import dms_to_degrees, known_position, plausible_altitude
from media_assets.media.makernotes import apple_content_identifier
from media_assets.media.ratings import rating_from_percent, rating_from_stars
from media_assets.media.text import clean_text
from media_assets.media.timestamps import (
    CaptureTime,
    capture_time,
    is_blank_date,
    parse_datetime,
    parse_exif_datetime,
    parse_offset,
)

_Base, _Gps = ExifTags.Base, ExifTags.GPS
_MAX_LISTED = 32  # longer arrays (strip offsets, curves) are data, not description
_MAX_SHOWN_BYTES = 256
# First 8 bytes of UserComment (EXIF 3.0 section 4.6.5, table 9).
_ASCII, _UNDEFINED, _JIS, _UNICODE = b"ASCII\0\0\0", b"\0" * 8, b"JIS\0\0\0\0\0", b"UNICODE\0"

_DATE_TAGS = (
    (_Base.DateTimeOriginal, _Base.SubsecTimeOriginal, _Base.OffsetTimeOriginal),
    (_Base.DateTimeDigitized, _Base.SubsecTimeDigitized, _Base.OffsetTimeDigitized),
)
# Not named by Pillow; EXIF 3.0 section 4.6.4, table 6, and Windows.
_EXTRA_NAMES = {0xA436: "ImageTitle", 0xA437: "Photographer", 0xA438: "ImageEditor"}
_IMAGE_TITLE, _PHOTOGRAPHER = 0xA436, 0xA437
_NOT_SHOWN = {
    _Base.Make, _Base.Model, _Base.LensMake, _Base.LensModel, _Base.Software, _Base.ImageDescription, _Base.Artist,
    _Base.Copyright, _Base.XPTitle, _Base.XPAuthor, _Base.XPComment, _Base.XPSubject,
    _Base.Orientation, _Base.MakerNote, _Base.ExifOffset, _Base.GPSInfo, _Base.ExifInteroperabilityOffset,
    _Base.XPKeywords, _Base.Rating, _Base.RatingPercent, _IMAGE_TITLE, _PHOTOGRAPHER,
    700, 33723, 34377, 34675,  # XMP, IPTC, Photoshop, ICC: read elsewhere
    _Base.StripOffsets, _Base.StripByteCounts, _Base.TileOffsets, _Base.TileByteCounts, _Base.JpegIFOffset,
    _Base.JpegIFByteCount,  # where the pixels are
    *(tag for tags in _DATE_TAGS for tag in tags),
}  # fmt: skip
_GPS_NOT_SHOWN = {
    _Gps.GPSLatitude, _Gps.GPSLatitudeRef, _Gps.GPSLongitude, _Gps.GPSLongitudeRef, _Gps.GPSAltitude,
    _Gps.GPSAltitudeRef, _Gps.GPSTimeStamp, _Gps.GPSDateStamp,
}  # fmt: skip
_CAMERA_NUMBERS = {tag.name: tag for tag in _Base}


def exif_claims(exif: ExifData, notes: list[str]) -> Claims:
    """Return what the EXIF directories say.

    Args:
        exif: What :func:`media_assets.media.exif.read_exif` returned.
        notes: Gets a sentence for every value that is impossible.
    """
    fields = {
        "camera_make": text_of(exif.find(_Base.Make)),
        "camera_model": text_of(exif.find(_Base.Model)),
        "lens_make": text_of(exif.find(_Base.LensMake)),
        "lens_model": text_of(exif.find(_Base.LensModel)),
        "software": text_of(exif.find(_Base.Software)),
        **camera_settings(lambda name: _camera_tag(exif, name), "EXIF", notes),
        **_position(exif, notes),
        **_description(exif),
        "live_photo_id": apple_content_identifier(exif.find(_Base.MakerNote)),
    }
    gps_at = read_gps_time(exif, notes)
    fields["gps_at"] = gps_at
    times = _times(exif, notes)
    if gps_at is not None:
        times.append(CaptureTime(gps_at.replace(tzinfo=None), 0, gps_at, "gps"))
    known = {name: value for name, value in fields.items() if value is not None}
    return Claims("exif", known, tuple(times), _tags(exif))


def _camera_tag(exif: ExifData, name: str) -> object:
    tag = _CAMERA_NUMBERS.get(name)
    return None if tag is None else exif.find(tag)


def _times(exif: ExifData, notes: list[str]) -> list[CaptureTime]:
    """Return ``DateTimeOriginal`` and ``DateTimeDigitized`` (EXIF 3.0 section 4.6.5).

    IFD0 ``DateTime`` is the time of the last change and is not used.
    """
    times = []
    for date_tag, sub_second_tag, offset_tag in _DATE_TAGS:
        text = text_of(exif.find(date_tag))
        if text is None or is_blank_date(text):
            continue
        local = parse_exif_datetime(text, text_of(exif.find(sub_second_tag)))
        if local is None:
            notes.append(f"EXIF {date_tag.name} is not a date and was ignored.")
            continue
        source = f"exif:{date_tag.name}"
        written = parse_datetime(text, source)  # some writers put the offset behind the date itself
        offset = written.utc_offset_minutes if written else None
        offset_text = text_of(exif.find(offset_tag)) or text_of(exif.find(_Base.OffsetTime))
        if offset is None and offset_text is not None:
            offset = parse_offset(offset_text)
            if offset is None and not is_blank_date(offset_text.lstrip("+-")):
                notes.append(f"EXIF {offset_tag.name} is not an offset and was ignored.")
        times.append(capture_time(local, offset, source))
    return times


def _position(exif: ExifData, notes: list[str]) -> dict[str, Any]:
    """Return position and altitude of the GPS directory (EXIF 3.0 section 4.6.6)."""
    gps = exif.gps
    latitude = dms_to_degrees(
        numbers_of(gps.get(_Gps.GPSLatitude)), text_of(gps.get(_Gps.GPSLatitudeRef)) or "", limit=90.0
    )
    longitude = dms_to_degrees(
        numbers_of(gps.get(_Gps.GPSLongitude)), text_of(gps.get(_Gps.GPSLongitudeRef)) or "", limit=180.0
    )
    altitude = plausible_altitude(number_of(gps.get(_Gps.GPSAltitude)))
    # EXIF 3.0 adds 2 and 3: the same pair over the ellipsoid.
    if altitude and number_of(gps.get(_Gps.GPSAltitudeRef)) in {1, 3}:
        altitude = -altitude
    position = known_position(latitude, longitude)
    if position is None:
        is_zero = latitude is not None and longitude is not None
        if is_zero:
            notes.append("The EXIF position is exactly 0, 0, which means that it is not known, and was ignored.")
        elif gps.get(_Gps.GPSLatitude) is not None or gps.get(_Gps.GPSLongitude) is not None:
            notes.append("The EXIF position is incomplete or out of range and was ignored.")
        return {"altitude_m": altitude}
    return {"latitude_deg": position[0], "longitude_deg": position[1], "altitude_m": altitude}


def read_gps_time(exif: ExifData, notes: list[str]) -> datetime | None:
    """Return the aware UTC time of the GPS fix (``GPSDateStamp`` and ``GPSTimeStamp``), or ``None``."""
    date = text_of(exif.gps.get(_Gps.GPSDateStamp))
    clock = numbers_of(exif.gps.get(_Gps.GPSTimeStamp))
    if date is None or len(clock) != 3 or is_blank_date(date):
        return None
    midnight = parse_exif_datetime(f"{date[:10]} 00:00:00")
    seconds = clock[0] * 3600 + clock[1] * 60 + clock[2]
    if midnight is None or not 0 <= seconds <= 86400:
        notes.append("The EXIF GPS time is not a time and was ignored.")
        return None
    try:
        return midnight.replace(tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _description(exif: ExifData) -> dict[str, Any]:
    """Return the texts that people wrote; Windows' own tags (XP*) are fallbacks, as they mirror what others read."""
    keywords = utf16_text(exif.main.get(_Base.XPKeywords))
    words = [word for word in map(str.strip, (keywords or "").split(";")) if word]
    rating = rating_from_stars(exif.main.get(_Base.Rating))
    return {
        "title": text_of(exif.exif.get(_IMAGE_TITLE)) or utf16_text(exif.main.get(_Base.XPTitle)),
        "description": text_of(exif.main.get(_Base.ImageDescription))
        or utf16_text(exif.main.get(_Base.XPComment))
        or utf16_text(exif.main.get(_Base.XPSubject)),
        "keywords": tuple(dict.fromkeys(words)) or None,
        "rating": rating if rating is not None else rating_from_percent(exif.main.get(_Base.RatingPercent)),
        "creator": text_of(exif.find(_Base.Artist))
        or text_of(exif.exif.get(_PHOTOGRAPHER))
        or utf16_text(exif.main.get(_Base.XPAuthor)),
        "copyright": _copyright(exif.find(_Base.Copyright)),
    }


def _copyright(value: object) -> str | None:
    """Return the copyright of the photographer, else of the editor: EXIF stores both, with a NUL between."""
    if isinstance(value, str):
        photographer, _, editor = value.partition("\0")
        return clean_text(photographer) or clean_text(editor)
    return text_of(value)


def utf16_text(value: object) -> str | None:
    """Return text of the XP* tags, which Windows writes as UTF-16 little-endian bytes."""
    if isinstance(value, tuple | list):
        try:
            value = bytes(value)
        except (TypeError, ValueError):
            return None
    return clean_text(value.decode("utf-16-le", "replace")) if isinstance(value, bytes) else text_of(value)


def _tags(exif: ExifData) -> dict[str, str]:
    """Return all tags that have no column, as text; binary values, long arrays and maker notes are left out."""
    found: dict[str, str] = {}
    for group, names, tags, used in (
        ("Exif", ExifTags.TAGS, exif.main, _NOT_SHOWN),
        ("Exif", ExifTags.TAGS, exif.exif, _NOT_SHOWN),
        ("GPS", ExifTags.GPSTAGS, exif.gps, _GPS_NOT_SHOWN),
    ):
        for tag, value in tags.items():
            name = names.get(tag) or _EXTRA_NAMES.get(tag) or f"tag_{tag}"
            if tag in used or (group == "Exif" and name in CAMERA_TAGS):
                continue
            text = comment_text(value) if tag == _Base.UserComment else _shown(value)
            if text is not None:
                found.setdefault(f"{group}.{name}", text)
    return found


def comment_text(value: object) -> str | None:
    """Return the text of ``UserComment``, whose first 8 bytes name its encoding (EXIF 3.0 section 4.6.5)."""
    if not isinstance(value, bytes):
        return text_of(value)
    charset, content = value[:8], value[8:]
    if charset == _UNICODE:
        # The order is not stated anywhere: of Latin text, the zero bytes tell it.
        order = "utf-16-be" if content[:64:2].count(0) > content[1:64:2].count(0) else "utf-16-le"
        return clean_text(content.decode(order, "replace"))
    if charset == _JIS:
        return clean_text(content.decode("iso2022_jp", "replace"))
    return clean_text(content) if charset in {_ASCII, _UNDEFINED} else _shown(value)


def _shown(value: object) -> str | None:
    """Return a value as text, or ``None`` when it is data rather than description."""
    if isinstance(value, bytes):
        if len(value) == 1:
            return str(value[0])
        return text_of(value) if len(value) <= _MAX_SHOWN_BYTES and value.strip(b"\0").isascii() else None
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, tuple | list):
        if len(value) > _MAX_LISTED:
            return None
        return ", ".join(shown for shown in map(_shown, value) if shown is not None) or None
    number = number_of(value)
    return None if number is None else f"{number:.10g}"
