"""Positions: ISO 6709 strings and EXIF rationals to signed decimal degrees (WGS 84).

Lives here: parsing and range checks. Must not: geocoding, time zones, file access.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_ALTITUDE_M = 100_000.0
"""Beyond the edge of space, or as far below the sea: not an altitude of a camera."""

_COMPONENT = r"([+-])(\d+(?:\.\d*)?)"
_XMP_ANGLE = re.compile(
    r"(\d{1,3}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?(?:,(\d{1,2}(?:\.\d+)?))?\s*([NSEWnsew])", re.ASCII
)
_DECIMAL_ANGLE = re.compile(r"[+-]?\d{1,3}(?:\.\d+)?", re.ASCII)
_ISO6709 = re.compile(rf"{_COMPONENT}{_COMPONENT}(?:{_COMPONENT})?(?:CRS[^/]*)?/?", re.ASCII)


@dataclass(frozen=True)
class Position:
    """A point on Earth.

    Attributes:
        latitude_deg: -90 to 90, north positive.
        longitude_deg: -180 to 180, east positive.
        altitude_m: Metres, negative below sea level; ``None`` when unknown.
    """

    latitude_deg: float
    longitude_deg: float
    altitude_m: float | None = None


def parse_iso6709(text: str) -> Position | None:
    """Return the position of an ISO 6709:2022 annex H string, or ``None`` when it is not one.

    Takes the three forms of each angle: degrees (``+27.59+086.56``), degrees and minutes (``+2735.3+08633.9``),
    degrees, minutes and seconds (``+273518+0863354``), an optional altitude and CRS. Out-of-range values are not
    a position.
    """
    match = _ISO6709.fullmatch(text.strip())
    if match is None:
        return None
    latitude = _angle(match[1], match[2], degree_digits=2, limit=90.0)
    longitude = _angle(match[3], match[4], degree_digits=3, limit=180.0)
    if latitude is None or longitude is None:
        return None
    altitude = float(match[5] + match[6]) if match[6] else None
    return Position(latitude, longitude, plausible_altitude(altitude))


def _angle(sign: str, digits: str, *, degree_digits: int, limit: float) -> float | None:
    """Degrees of one ISO 6709 angle; the number of digits before the point tells the form."""
    whole = digits.partition(".")[0]
    extra = len(whole) - degree_digits
    if extra <= 0:  # tolerant of writers that drop leading zeros
        degrees = float(digits)
    elif extra == 2:
        degrees = _sexagesimal(float(digits[:degree_digits]), float(digits[degree_digits:]), 0.0)
    elif extra == 4:
        minutes_end = degree_digits + 2
        degrees = _sexagesimal(
            float(digits[:degree_digits]), float(digits[degree_digits:minutes_end]), float(digits[minutes_end:])
        )
    else:
        return None
    if not degrees <= limit:
        return None
    return -degrees if sign == "-" and degrees else degrees


def _sexagesimal(degrees: float, minutes: float, seconds: float) -> float:
    return degrees + minutes / 60.0 + seconds / 3600.0


def dms_to_degrees(values: Sequence[float], reference: str, *, limit: float) -> float | None:
    """Return signed degrees of EXIF ``GPSLatitude`` or ``GPSLongitude`` (EXIF 3.0 section 4.6.6), or ``None``.

    Args:
        values: One to three numbers: degrees, minutes, seconds. Minutes and seconds of 60 or more add up.
        reference: ``N``, ``S``, ``E`` or ``W``; anything else means that the hemisphere is unknown: no position.
        limit: 90 for latitudes, 180 for longitudes.
    """
    sign = {"N": 1.0, "E": 1.0, "S": -1.0, "W": -1.0}.get(reference.strip()[:1].upper())
    if sign is None or not 1 <= len(values) <= 3:
        return None
    if not all(math.isfinite(value) and value >= 0 for value in values):
        return None
    degrees = _sexagesimal(*(*values, 0.0, 0.0)[:3])
    return sign * degrees if 0.0 < degrees <= limit else (0.0 if degrees == 0.0 else None)


def plausible_altitude(altitude_m: float | None) -> float | None:
    """Return the altitude in metres, or ``None`` when it is not finite or not one that a camera can have."""
    if altitude_m is None or not math.isfinite(altitude_m) or abs(altitude_m) > MAX_ALTITUDE_M:
        return None
    return altitude_m


def parse_xmp_angle(text: str, reference: str | None, *, axis: str) -> float | None:
    """Return signed degrees of an XMP ``GPSCoordinate`` (XMP part 2, section 8.2), or ``None`` when it is not one.

    Args:
        text: ``DDD,MM.mmk`` or ``DDD,MM,SSk`` with k of N, S, E, W; also plain degrees, as some writers store them.
        reference: Hemisphere that is stored beside plain degrees, else ``None``: the sign decides.
        axis: ``NS`` for latitudes, ``EW`` for longitudes; a letter of the other axis is an error.
    """
    text = text.strip()
    limit = 90.0 if axis == "NS" else 180.0
    if _DECIMAL_ANGLE.fullmatch(text):
        degrees = float(text)
        if reference and degrees >= 0:
            return dms_to_degrees([degrees], reference, limit=limit)
        return degrees if abs(degrees) <= limit else None
    match = _XMP_ANGLE.fullmatch(text)
    if match is None or match[4].upper() not in axis:
        return None
    return dms_to_degrees([float(part) for part in match.groups()[:3] if part], match[4], limit=limit)


def known_position(latitude_deg: float | None, longitude_deg: float | None) -> tuple[float, float] | None:
    """Return both angles when they are a position; exactly 0, 0 is what writers store who know none."""
    if latitude_deg is None or longitude_deg is None or (latitude_deg == 0.0 and longitude_deg == 0.0):
        return None
    return latitude_deg, longitude_deg
