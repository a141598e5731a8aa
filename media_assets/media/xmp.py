"""What an XMP packet says, embedded or beside the file, as claims (ISO 16684-1, XMP part 2, IPTC Core, MWG guidelines).

Lives here: which property is which column, times, position, all other properties as text. Must not: XML
(``xmp_packet.py``), weighing of sources.
"""

import re
from datetime import datetime
from typing import Any

from media_assets.media.camera import camera_settings
from media_assets.media.claims import Claims
from media_assets.media.exif import number_of
from media_assets.media.geo import known_position, parse_xmp_angle, plausible_altitude
from media_assets.media.ratings import rating_from_percent, rating_from_stars
from media_assets.media.text import clean_text
from media_assets.media.timestamps import CaptureTime, is_blank_date, parse_datetime
from media_assets.media.xmp_packet import Packet, PacketError, parse_packet

# The first ones say when the picture was taken, the last ones when its file was made (MWG 2.0, section 5.4.1).
_TIMES = ("exif:DateTimeOriginal", "photoshop:DateCreated", "exif:DateTimeDigitized", "xmp:CreateDate")
_MAX_KEYWORDS = 500
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]{400,}", re.ASCII)
_HIERARCHIES = ("lr:hierarchicalSubject", "digiKam:TagsList", "MicrosoftPhoto:LastKeywordXMP")
_MOTION_PHOTO = ("GCamera:MotionPhoto", "GCamera:MicroVideo")
_USED = {
    *_TIMES, *_MOTION_PHOTO,
    "tiff:Make", "tiff:Model", "exifEX:LensMake", "exifEX:LensModel", "aux:Lens", "xmp:CreatorTool", "tiff:Software",
    "exif:FNumber", "exif:ExposureTime", "exif:FocalLength", "exif:FocalLengthIn35mmFilm", "exif:ISOSpeedRatings",
    "exifEX:PhotographicSensitivity", "exif:Flash.Fired", "exif:WhiteBalance", "exif:MeteringMode",
    "exif:ExposureProgram", "exif:ColorSpace", "exif:GPSLatitude", "exif:GPSLongitude", "exif:GPSLatitudeRef",
    "exif:GPSLongitudeRef", "exif:GPSAltitude", "exif:GPSAltitudeRef", "exif:GPSTimeStamp", "dc:title",
    "dc:description", "dc:subject", "dc:creator", "dc:rights", "xmp:Rating", "MicrosoftPhoto:Rating", "dc:format",
}  # fmt: skip


def xmp_claims(packet: bytes, notes: list[str], *, source: str = "xmp") -> Claims | None:
    """Return what a packet says, or ``None`` when it cannot be read.

    Args:
        packet: The packet, with or without its wrapper; UTF-8 or UTF-16.
        notes: Gets a sentence when the packet is damaged, and for every impossible value.
        source: ``xmp`` (embedded) or ``sidecar_xmp``.
    """
    try:
        found = parse_packet(packet)
    except PacketError as error:
        notes.append(f"The XMP packet ({source}) {error} and was ignored.")
        return None
    if found.is_damaged:
        notes.append(f"The XMP packet ({source}) is damaged; what stands before the damage was read.")
    fields = {
        "camera_make": found.first("tiff:Make"),
        "camera_model": found.first("tiff:Model"),
        "lens_make": found.first("exifEX:LensMake"),
        "lens_model": found.first("exifEX:LensModel", "aux:Lens"),
        "software": found.first("xmp:CreatorTool", "tiff:Software"),
        **camera_settings(lambda name: _camera_value(found, name), "XMP", notes),
        **_position(found, notes),
        **_description(found),
        "is_motion_photo": True if any(number_of(found.first(path)) == 1 for path in _MOTION_PHOTO) else None,
    }
    cleaned = {name: clean_text(value) if isinstance(value, str) else value for name, value in fields.items()}
    return Claims(
        source,
        {name: value for name, value in cleaned.items() if value is not None},
        tuple(_times(found, source, notes)),
        _tags(found),
    )


def _camera_value(found: Packet, name: str) -> object:
    if name == "Flash":
        fired = found.first("exif:Flash.Fired")
        return None if fired is None else int(fired.lower() == "true")
    return found.first(f"exif:{name}", f"exifEX:{name}")


def _times(found: Packet, source: str, notes: list[str]) -> list[CaptureTime]:
    times = []
    for path in _TIMES:
        text = found.first(path)
        if text is None or is_blank_date(text):
            continue
        moment = parse_datetime(text, f"{source}:{path}")
        if moment is not None:
            times.append(moment)
        elif len(text) > len("2024-01-31"):  # a date alone is allowed by the standard, but is no time
            notes.append(f"XMP {path} is not a date and time and was ignored.")
    return times


def _position(found: Packet, notes: list[str]) -> dict[str, Any]:
    latitude_text, longitude_text = found.first("exif:GPSLatitude"), found.first("exif:GPSLongitude")
    altitude = plausible_altitude(number_of(found.first("exif:GPSAltitude")))
    if altitude and number_of(found.first("exif:GPSAltitudeRef")) in {1, 3}:
        altitude = -abs(altitude)
    fields: dict[str, Any] = {"altitude_m": altitude, "gps_at": _gps_time(found)}
    if latitude_text is None and longitude_text is None:
        return fields
    position = known_position(
        parse_xmp_angle(latitude_text or "", found.first("exif:GPSLatitudeRef"), axis="NS"),
        parse_xmp_angle(longitude_text or "", found.first("exif:GPSLongitudeRef"), axis="EW"),
    )
    if position is None:
        notes.append("The XMP position is incomplete, out of range or 0, 0, and was ignored.")
        return fields
    return {**fields, "latitude_deg": position[0], "longitude_deg": position[1]}


def _gps_time(found: Packet) -> datetime | None:
    """Return ``exif:GPSTimeStamp``, which is a whole date and time in UTC in XMP; aware."""
    moment = parse_datetime(found.first("exif:GPSTimeStamp") or "", "xmp:exif:GPSTimeStamp")
    return None if moment is None else moment.utc


def _description(found: Packet) -> dict[str, Any]:
    rating = rating_from_stars(found.first("xmp:Rating"))
    return {
        "title": found.first("dc:title"),
        "description": found.first("dc:description", "tiff:ImageDescription"),
        "keywords": _keywords(found),
        "rating": rating if rating is not None else rating_from_percent(found.first("MicrosoftPhoto:Rating")),
        "creator": "; ".join(found.values.get("dc:creator", ())) or found.first("tiff:Artist"),
        "copyright": found.first("dc:rights", "tiff:Copyright"),
    }


def _keywords(found: Packet) -> tuple[str, ...] | None:
    """Return ``dc:subject``, else the last parts of hierarchical keywords (``Places|Berlin``, ``Places/Berlin``)."""
    words = [clean_text(word) for word in found.values.get("dc:subject", ())]
    if not any(words):
        hierarchy = next((found.values[path] for path in _HIERARCHIES if path in found.values), ())
        words = [clean_text(re.split(r"[|/]", word)[-1]) for word in hierarchy]
    return tuple(dict.fromkeys(word for word in words if word))[:_MAX_KEYWORDS] or None


def _tags(found: Packet) -> dict[str, str]:
    """Return properties without a column, named as exiftool groups them: ``XMP-crs.Contrast``."""
    tags = {}
    for path, values in found.values.items():
        prefix, _, name = path.partition(":")
        if (
            path in _USED
            or prefix in {"xmpGImg", "GDepth", "GImage"}
            or name.startswith(("DocumentAncestors", "History"))
        ):
            continue
        text = ", ".join(value for value in values if not _BASE64.fullmatch(value))
        if text:
            tags[f"XMP-{prefix}.{name}"] = text
    return tags
