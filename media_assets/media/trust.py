"""The order of trust between the sources of metadata, stated once, as data; and the merge that follows it.

Lives here: ``FIELD_TRUST``, ``TIME_TRUST`` and the choice of fields, position and time. Must not: read files or text.
docs/sources.md is generated from the tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from media_assets.media.claims import Claims
from media_assets.media.timestamps import CaptureTime, capture_time, is_possible
from media_assets.media.timezones import local_in_zone, offset_from_gps, offset_of_zone

SOURCES: Mapping[str, str] = {
    "sidecar_xmp": "XMP file beside the original (`a.jpg.xmp`, `a.xmp`)",
    "exif": "EXIF block of the picture",
    "xmp": "XMP packet inside the file",
    "iptc": "IPTC-IIM records",
    "quicktime": "QuickTime, MP4 and 3GP tags",
    "matroska": "Matroska and WebM tags",
    "avi": "RIFF tags of AVI",
    "asf": "ASF (WMV) tags",
    "flv": "FLV metadata",
    "mpegts": "MPEG tags",
    "ogg": "Vorbis comments",
    "text": "PNG text, comments of GIF and JPEG",
    "takeout_exif": "Google Takeout JSON, `geoDataExif`",
    "takeout": "Google Takeout JSON",
    "file_name": "name of the file",
}
"""What can be claimed from, by :attr:`Claims.source`."""

CONTAINERS = ("quicktime", "matroska", "avi", "asf", "flv", "mpegts", "ogg")


@dataclass(frozen=True)
class Trust:
    """The order for one group of fields.

    Attributes:
        group: Name for the documentation.
        fields: Fields of ``Metadata``.
        order: Sources, the most trusted first. Sources that are not listed are not asked.
        reason: Why, one sentence.
    """

    group: str
    fields: tuple[str, ...]
    order: tuple[str, ...]
    reason: str


FIELD_TRUST: tuple[Trust, ...] = (
    Trust(
        "camera",
        (
            "camera_make", "camera_model", "lens_make", "lens_model", "software", "iso", "f_number", "exposure_time_s",
            "focal_length_mm", "focal_length_35mm_mm", "flash_fired", "white_balance", "metering_mode",
            "exposure_program", "color_space", "live_photo_id",
        ),
        ("exif", *CONTAINERS, "xmp", "sidecar_xmp", "text"),
        "The camera wrote EXIF or the container itself; XMP copies them, and programs round and rename on the way.",
    ),
    Trust(
        "description",
        ("title", "description", "keywords", "rating", "creator", "copyright"),
        ("sidecar_xmp", "xmp", "iptc", "exif", *CONTAINERS, "text", "takeout"),
        "People write these after the capture: the place that editors write to last comes first, and XMP is the only "
        "one without limits of length and alphabet. Text in EXIF is often the camera's own (`OLYMPUS DIGITAL CAMERA`).",
    ),
    Trust(
        "position",
        ("latitude_deg", "longitude_deg", "altitude_m"),
        ("sidecar_xmp", "exif", *CONTAINERS, "xmp", "takeout_exif", "takeout"),
        "A sidecar holds a correction by hand; then comes the receiver's own record, then copies of it, then Google's "
        "estimate. Latitude and longitude are never mixed from two sources.",
    ),
    Trust(
        "gps_at",
        ("gps_at",),
        ("exif", *CONTAINERS, "xmp", "sidecar_xmp"),
        "The receiver's own record comes before its copies.",
    ),
    Trust(
        "motion photo",
        ("is_motion_photo",),
        ("exif", "xmp", "sidecar_xmp"),
        "The tag inside the file tells whether a video is appended to it.",
    ),
)  # fmt: skip
"""Which source wins for each field."""

TIME_TRUST: tuple[tuple[str, str], ...] = (
    ("sidecar_xmp:exif:DateTimeOriginal", "a correction by hand"),
    ("sidecar_xmp:photoshop:DateCreated", "a correction by hand"),
    ("exif:DateTimeOriginal", "the camera's clock when the shutter opened"),
    ("exif:DateTimeDigitized", "the same moment for a digital camera, the scan for a scanner"),
    ("quicktime:creationdate", "wall time and offset, as the phone showed it"),
    *((container, "the recorder's clock, most often in UTC") for container in CONTAINERS),
    ("xmp:exif:DateTimeOriginal", "a copy of EXIF"),
    ("xmp:photoshop:DateCreated", "when the content was made, by the standard"),
    ("iptc", "the same, in the older standard, without fractions"),
    ("sidecar_xmp", "the creation of the digital file"),
    ("xmp", "the creation of the digital file"),
    ("text", "what a program or a person wrote"),
    ("takeout", "Google's time of capture, in UTC without a zone"),
    ("gps", "the last fix of the satellites, in UTC: it may be older than the picture"),
    ("file_name", "a name can be anything, and survives edits that change the content"),
)
"""Which source of a capture time wins: a source or its beginning, and why it stands there. The longest match counts."""

# Offsets of programs (XMP, IPTC) are often those of the computer that the program ran on.
_WRITTEN_BY_CAMERA = ("exif:", "quicktime:creationdate")
_SAME_TIME_S = 1.0  # two sources mean the same moment of the same clock


def merge_fields(claims: Sequence[Claims]) -> dict[str, Any]:
    """Return the fields of all groups, each from the most trusted source that has it; without those that nobody has."""
    merged: dict[str, Any] = {}
    for trust in FIELD_TRUST:
        ranked = _ranked(claims, trust.order)
        if trust.group == "position":
            merged |= _position(ranked)
            continue
        for field in trust.fields:
            value = next((c.fields[field] for c in ranked if c.fields.get(field) is not None), None)
            if value is not None:
                merged[field] = value
    return merged


def _ranked(claims: Sequence[Claims], order: tuple[str, ...]) -> list[Claims]:
    return sorted((c for c in claims if c.source in order), key=lambda c: order.index(c.source))


def _position(ranked: Iterable[Claims]) -> dict[str, Any]:
    """Return the first whole position with its own altitude; without any, the first altitude."""
    altitude = None
    for claim in ranked:
        found = {name: claim.fields.get(name) for name in ("latitude_deg", "longitude_deg", "altitude_m")}
        if found["latitude_deg"] is not None and found["longitude_deg"] is not None:
            return {name: value for name, value in found.items() if value is not None}
        altitude = found["altitude_m"] if altitude is None else altitude
    return {} if altitude is None else {"altitude_m": altitude}


def time_rank(source: str) -> int:
    """Return the place of a time's source in :data:`TIME_TRUST`, 0 first; sources that are not listed are last."""
    best, length = len(TIME_TRUST), -1
    for rank, (prefix, _) in enumerate(TIME_TRUST):
        if (source == prefix or source.startswith(f"{prefix}:")) and len(prefix) > length:
            best, length = rank, len(prefix)
    return best


def merge_time(
    claims: Sequence[Claims], *, gps_at: datetime | None, zone: str | None, now: datetime, notes: list[str]
) -> CaptureTime | None:
    """Return when the picture was taken, with its offset and UTC where something tells them, or ``None``.

    The wall time is that of the most trusted source. An offset that it lacks comes from, in this order: the camera's
    own tag for the same wall time; the difference to the satellites' time; the time zone of the place; a copy of the
    same wall time that a program wrote. A time that is stored in UTC becomes wall time of the place when the zone is
    known; the instant stays. What was added is named behind a plus: ``exif:DateTimeOriginal+gps_time``,
    ``quicktime:creation_time+timezone``, ``exif:DateTimeOriginal+xmp``.

    Args:
        claims: What the sources say.
        gps_at: Aware UTC time of the GPS fix, as merged.
        zone: IANA zone of the position, as merged.
        now: Aware time of the reading.
        notes: Gets a sentence for every impossible time.
    """
    moments = sorted((moment for claim in claims for moment in claim.times), key=lambda m: time_rank(m.source))
    possible = []
    for moment in moments:
        if is_possible(moment, now):
            possible.append(moment)
        else:
            notes.append(f"The time of {moment.source} ({moment.local.date()}) is not possible and was ignored.")
    if not possible:
        return None
    chosen = possible[0]
    same = [m for m in possible[1:] if abs((m.local - chosen.local).total_seconds()) < _SAME_TIME_S]
    if chosen.local.microsecond == 0:
        finer = next((m.local for m in same if m.local.replace(microsecond=0) == chosen.local), chosen.local)
        chosen = chosen if finer == chosen.local else capture_time(finer, chosen.utc_offset_minutes, chosen.source)
    if chosen.utc_offset_minutes is not None:
        return _as_local(chosen, zone)
    return _with_offset(chosen, [m for m in same if not _is_utc_only(m)], gps_at, zone, notes)


def _is_utc_only(moment: CaptureTime) -> bool:
    """Return whether the source stores UTC without a zone, so that its offset of 0 says nothing about the place."""
    name = moment.source
    if name == "quicktime:creationdate" or name.startswith(("exif:", "xmp:", "sidecar_xmp:", "iptc:", "text:")):
        return False
    return moment.utc_offset_minutes == 0


def _by_camera(moment: CaptureTime) -> bool:
    return moment.source.startswith(_WRITTEN_BY_CAMERA)


def _as_local(moment: CaptureTime, zone: str | None) -> CaptureTime:
    there = local_in_zone(zone, moment.utc) if _is_utc_only(moment) and moment.utc is not None else None
    if there is None:
        return moment
    return replace(moment, local=there[0], utc_offset_minutes=there[1], source=f"{moment.source}+timezone")


def _with_offset(
    moment: CaptureTime, same: Sequence[CaptureTime], gps_at: datetime | None, zone: str | None, notes: list[str]
) -> CaptureTime:
    """Return a moment with the offset that something else tells, as it is when nothing does."""
    # Of programs, an offset of 0 is not believed: many put a Z behind any wall time.
    written = next((m for m in same if m.utc_offset_minutes or (_by_camera(m) and m.utc_offset_minutes == 0)), None)
    from_zone = offset_of_zone(zone, moment.local)
    from_gps = None if gps_at is None else offset_from_gps(moment.local, gps_at)
    if from_gps == 0 and from_zone:
        # Some writers copy the wall time into the GPS tags: no difference says nothing then.
        from_gps = None
    if written is not None and (_by_camera(written) or (from_gps is None and from_zone is None)):
        source = written.source.partition(":")[0]
        return capture_time(moment.local, written.utc_offset_minutes, f"{moment.source}+{source}")
    if from_gps is not None:
        if from_zone is not None and from_gps != from_zone:
            notes.append(
                "The clock of the camera was not in the time zone of the place; the GPS time tells its offset."
            )
        return capture_time(moment.local, from_gps, f"{moment.source}+gps_time")
    if from_zone is not None:
        return capture_time(moment.local, from_zone, f"{moment.source}+timezone")
    return moment
