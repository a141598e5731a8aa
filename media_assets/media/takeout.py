"""Google Takeout's JSON beside a picture or video, as claims.

Lives here: its fields, and the times and places in it. Must not: find which file it belongs to (the pipeline does, by
name), weigh sources.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from media_assets.media.claims import Claims
from media_assets.media.exif import number_of, text_of
from media_assets.media.geo import known_position, plausible_altitude
from media_assets.media.timestamps import CaptureTime

_KNOWN = ("photoTakenTime", "geoData", "geoDataExif", "googlePhotosOrigin")
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_PEOPLE = 100


def takeout_claims(data: bytes, notes: list[str]) -> tuple[Claims, ...]:
    """Return what a Takeout file says: the position of the camera, then all else; nothing when it is no such file.

    The times are UTC, as Google keeps no zone: wall time in UTC, offset 0.

    Args:
        data: The JSON text.
        notes: Gets a sentence when it is not a Takeout file.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not any(key in document for key in _KNOWN):
        notes.append("A JSON sidecar is not one of Google Takeout and was ignored.")
        return ()
    # "title" is the name of the file.
    description = text_of(document.get("description"))
    taken = _moment(document.get("photoTakenTime"), "takeout:photoTakenTime")
    fields: dict[str, Any] = {} if description is None else {"description": description}
    exif_position = _position(document.get("geoDataExif"))
    position = _position(document.get("geoData"))
    claims = [Claims("takeout_exif", exif_position)] if exif_position else []
    return (*claims, Claims("takeout", {**fields, **position}, () if taken is None else (taken,), _tags(document)))


def _moment(value: object, source: str) -> CaptureTime | None:
    """Return a time in seconds since 1970; negative ones are older."""
    seconds = number_of(value.get("timestamp")) if isinstance(value, Mapping) else None
    if seconds is None:
        return None
    try:
        utc = _UNIX_EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return None
    return CaptureTime(utc.replace(tzinfo=None), 0, utc, source)


def _position(value: object) -> dict[str, Any]:
    """Return a position; Google writes zeros when it knows none, and a zero altitude when it knows the rest."""
    if not isinstance(value, Mapping):
        return {}
    latitude, longitude = number_of(value.get("latitude")), number_of(value.get("longitude"))
    position = known_position(latitude, longitude)
    if position is None or abs(position[0]) > 90 or abs(position[1]) > 180:
        return {}
    altitude = plausible_altitude(number_of(value.get("altitude"))) or None
    found: dict[str, Any] = {"latitude_deg": position[0], "longitude_deg": position[1], "altitude_m": altitude}
    return {name: number for name, number in found.items() if number is not None}


def _tags(document: Mapping[str, Any]) -> dict[str, str]:
    people = document.get("people")
    names = [
        name
        for person in (people[:_MAX_PEOPLE] if isinstance(people, list) else [])
        if isinstance(person, Mapping) and (name := text_of(person.get("name"))) is not None
    ]
    found = {"Takeout.People": ", ".join(names), "Takeout.Title": text_of(document.get("title")) or ""}
    for key in ("favorited", "archived", "trashed"):
        if document.get(key) is True:
            found[f"Takeout.{key.capitalize()}"] = "true"
    origin = document.get("googlePhotosOrigin")
    if isinstance(origin, Mapping):
        found["Takeout.Origin"] = ", ".join(str(key) for key in list(origin)[:5])
    return {name: value for name, value in found.items() if value}
