"""What the tags of a video container claim, by source.

Lives here: the names of each container's tags, and which field of ``Metadata`` each one is. Must not: read files, or
weigh one source against another (``trust.py``).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from media_assets.media.asf import from_file_time
from media_assets.media.claims import Claims
from media_assets.media.geo import Position, parse_iso6709
from media_assets.media.quicktime import MovieTags
from media_assets.media.text import clean_text
from media_assets.media.timestamps import CaptureTime, capture_time, from_utc, parse_datetime

_APPLE, _ANDROID = "com.apple.quicktime.", "com.android."
_MAX_KEYWORDS = 100

# Names of each field in the order of trust: Apple's keys, user data of the movie, of cameras, then iTunes items.
_QUICKTIME_TEXTS: dict[str, tuple[str, ...]] = {
    "camera_make": (
        f"{_APPLE}make", f"{_ANDROID}manufacturer", "©mak", "@mak", "manu", "Sony.manufacturer", "ItemList.©mak",
    ),
    "camera_model": (
        f"{_APPLE}model", f"{_ANDROID}model", "©mod", "@mod", "modl", "CNMN", "Sony.modelName", "GoPro.Model",
        "ItemList.©mod",
    ),
    "lens_model": (f"{_APPLE}camera.lens_model", f"Track.{_APPLE}camera.lens_model"),
    "software": (f"{_APPLE}software", "©swr", "@swr", "CNFV", "FIRM", "ItemList.©swr", "©too", "ItemList.©too"),
    "title": (f"{_APPLE}title", f"{_APPLE}displayname", "©nam", "titl", "ItemList.©nam"),
    "description": (
        f"{_APPLE}description", f"{_APPLE}comment", "©des", "dscp", "ItemList.desc", "ItemList.ldes", "©cmt",
        "ItemList.©cmt", "©inf",
    ),
    "creator": (f"{_APPLE}author", f"{_APPLE}artist", "©aut", "auth", "©ART", "ItemList.©ART", "perf"),
    "copyright": (f"{_APPLE}copyright", "©cpy", "cprt", "ItemList.cprt"),
    "live_photo_id": (f"{_APPLE}content.identifier",),
}  # fmt: skip
_QUICKTIME_POSITIONS = (f"{_APPLE}location.ISO6709", "©xyz", "@xyz")
_ITEM_POSITIONS = ("ItemList.©xyz",)
_QUICKTIME_KEYWORDS = (f"{_APPLE}keywords", "©key", "kywd", "ItemList.keyw")
_QUICKTIME_TIMES = (  # local time with its offset, as the camera showed it
    (f"{_APPLE}creationdate", "quicktime:creationdate"),
    ("Sony.CreationDate", "quicktime:sony_creation_date"),
    ("date", "quicktime:date"),
    ("©day", "quicktime:day"),
    ("@day", "quicktime:day"),
    ("ItemList.©day", "quicktime:day"),
)
_FOCAL_LENGTHS_35MM = (
    f"{_APPLE}camera.focal_length.35mm_equivalent",
    f"Track.{_APPLE}camera.focal_length.35mm_equivalent",
)
_RATINGS = (f"{_APPLE}rating.user",)

# The other containers, by FFmpeg's names in lower case.
_COMMON_TEXTS: dict[str, tuple[str, ...]] = {
    "camera_make": ("make", "maker", "manufacturer"),
    "camera_model": ("model",),
    "software": ("software", "encoder", "writing_app"),
    "title": ("title",),
    "description": ("description", "synopsis", "summary", "comment"),
    "creator": ("artist", "author", "director"),
    "copyright": ("copyright",),
}
_COMMON_POSITIONS = ("location", "location-eng", "recording_location")
_COMMON_KEYWORDS = ("keywords",)
_GROUPS = {"matroska": "Matroska", "avi": "AVI", "asf": "ASF", "flv": "FLV", "ogg": "Ogg", "mpegts": "MPEGTS"}
# What FFmpeg copies from another container's header is no tag of this one.
_COPIED_KEYS = frozenset({"major_brand", "minor_version", "compatible_brands"})
# Dates of the other containers: FFmpeg's name, source, and whether the value is UTC when it has no offset.
_COMMON_TIMES: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "matroska": (
        ("date_recorded", "matroska:DATE_RECORDED", False),
        ("creation_time", "matroska:DateUTC", True),
        ("date_digitized", "matroska:DATE_DIGITIZED", False),
    ),
    "avi": (("creation_time", "avi:IDIT", False), ("date", "avi:ICRD", False)),
    "asf": (("date", "asf:WM/Year", False), ("creation_time", "asf:creation_time", True)),
    "flv": (("creationdate", "flv:creationdate", False), ("creation_time", "flv:creation_time", True)),
    "ogg": (("creation_time", "ogg:creation_time", True), ("date", "ogg:DATE", False)),
}
# C's asctime(), which Flash encoders write; names of days and months are English whatever the locale.
_ASCTIME = re.compile(r"(?:[A-Z][a-z]{2},? +)?([A-Z][a-z]{2}) +(\d{1,2}) (\d{2}:\d{2}:\d{2}) (\d{4})")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def movie_claims(tags: MovieTags) -> Claims:
    """Return what the boxes of an MP4, MOV or 3GP file claim; source ``quicktime``.

    Times: the phone's creation date, the camera's document, dates of user data that carry an offset, then the movie
    header, which is UTC. A header time is never shown as local.
    """
    tags.notes[:] = dict.fromkeys(tags.notes)
    used: set[str] = set()
    fields = _texts(tags.texts, _QUICKTIME_TEXTS, used)
    fields |= _keywords(tags.texts, _QUICKTIME_KEYWORDS, used)
    fields |= _numbers(tags.texts, used)
    position = (
        _position(tags.texts, _QUICKTIME_POSITIONS, used, tags.notes)
        or tags.position
        or _position(tags.texts, _ITEM_POSITIONS, used, tags.notes)
    )
    fields |= _position_fields(position)
    times = []
    for name, source in _QUICKTIME_TIMES:
        taken = _local_time(tags.texts.get(name, ""), source)
        # Without an offset only Apple's key is a time of capture; `©day` is often a bare year or a release date.
        if taken is not None and (taken.utc_offset_minutes is not None or name == f"{_APPLE}creationdate"):
            times.append(taken)
            used.add(name)
        elif name == f"{_APPLE}creationdate" and tags.texts.get(name):
            tags.notes.append("The creation date of the video is not a date and was ignored.")
    if tags.created is not None:
        times.append(_utc_time(tags.created, "quicktime:creation_time"))
    others = {f"QuickTime.{name}": text for name, text in tags.texts.items() if name not in used}
    return Claims("quicktime", fields, tuple(times), others)


def container_claims(
    demuxer: str, metadata: Mapping[str, str], notes: list[str], *, created: datetime | None = None
) -> Claims:
    """Return what the tags of any other container claim.

    Args:
        demuxer: ``matroska``, ``avi``, ``asf``, ``flv``, ``ogg`` or ``mpegts``: also the source.
        metadata: Tags as FFmpeg names them, in any case.
        notes: Oddities are added here.
        created: Creation time of the file in UTC, where our own reading of the header gives it.
    """
    texts: dict[str, str] = {}
    names: dict[str, str] = {}
    for key, value in metadata.items():
        text, name = clean_text(value), clean_text(key)
        if text is not None and name is not None and key.lower() not in _COPIED_KEYS:
            texts.setdefault(key.lower(), text)
            names.setdefault(key.lower(), name)
    used: set[str] = set()
    fields = _texts(texts, _COMMON_TEXTS, used) | _keywords(texts, _COMMON_KEYWORDS, used)
    fields |= _position_fields(_position(texts, _COMMON_POSITIONS, used, notes))
    times = []
    for name, source, is_utc in _COMMON_TIMES.get(demuxer, ()):
        taken = (from_utc if is_utc else _local_time)(texts.get(name, ""), source)
        if taken is not None:
            times.append(taken)
            used.add(name)
    times += _asf_times(texts, created, used) if demuxer == "asf" else []
    if texts.get("creation_time") and not times:
        notes.append("The creation time of the video is not a time and was ignored.")
    others = {f"{_GROUPS[demuxer]}.{names[key]}": text for key, text in texts.items() if key not in used}
    return Claims(demuxer, fields, tuple(times), others)


def _texts(texts: Mapping[str, str], wanted: Mapping[str, Sequence[str]], used: set[str]) -> dict[str, Any]:
    """Return the first text of each field; its name counts as used, the names after it stay tags."""
    found: dict[str, Any] = {}
    for field_name, names in wanted.items():
        name = next((name for name in names if name in texts), None)
        if name is not None:
            found[field_name] = texts[name]
            used.add(name)
            used.update(other for other in names if texts.get(other) == texts[name])
    return found


def _keywords(texts: Mapping[str, str], names: Sequence[str], used: set[str]) -> dict[str, Any]:
    name = next((name for name in names if name in texts), None)
    if name is None:
        return {}
    words = dict.fromkeys(word for part in re.split("[,;]", texts[name]) if (word := part.strip()))
    used.add(name)
    return {"keywords": tuple(words)[:_MAX_KEYWORDS]} if words else {}


def _numbers(texts: Mapping[str, str], used: set[str]) -> dict[str, Any]:
    """Return rating (0 to 5 stars) and focal length from Apple's keys, where they are in range."""
    found: dict[str, Any] = {}
    for field_name, names, low, high in (
        ("rating", _RATINGS, 0.0, 5.0),
        ("focal_length_35mm_mm", _FOCAL_LENGTHS_35MM, 1.0, 10_000.0),
    ):
        for name in names:
            value = _number(texts.get(name, ""))
            if value is not None and low <= value <= high and field_name not in found:
                found[field_name] = round(value) if field_name == "rating" else value
                used.add(name)
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _position(texts: Mapping[str, str], names: Sequence[str], used: set[str], notes: list[str]) -> Position | None:
    for name in names:
        if name not in texts:
            continue
        position = parse_iso6709(texts[name])
        if position is not None:
            used.update(other for other in names if other in texts)
            return position
        notes.append("The position of the video is not one and was ignored.")
    return None


def _position_fields(position: Position | None) -> dict[str, Any]:
    if position is None:
        return {}
    fields = {"latitude_deg": position.latitude_deg, "longitude_deg": position.longitude_deg}
    return fields if position.altitude_m is None else {**fields, "altitude_m": position.altitude_m}


def _utc_time(moment: datetime, source: str) -> CaptureTime:
    return capture_time(moment.replace(tzinfo=None), 0, source)


def _local_time(text: str, source: str) -> CaptureTime | None:
    """Return a date and time in any of the forms that containers hold; the offset is unknown when none is written."""
    match = _ASCTIME.fullmatch(text.strip())
    if match is not None and match[1] in _MONTHS:
        text = f"{match[4]}-{_MONTHS.index(match[1]) + 1:02}-{match[2]:0>2} {match[3]}"
    return parse_datetime(text, source)


def _asf_times(texts: Mapping[str, str], created: datetime | None, used: set[str]) -> Iterator[CaptureTime]:
    encoded = texts.get("wm/encodingtime", "")
    if encoded.isascii() and encoded.isdecimal() and len(encoded) <= 20:
        moment = from_file_time(int(encoded))
        if moment is not None:
            used.add("wm/encodingtime")
            yield _utc_time(moment, "asf:WM/EncodingTime")
    if created is not None:
        yield _utc_time(created, "asf:CreationDate")
