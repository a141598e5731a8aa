"""Offset of a wall time that was written without one: from the clock of the satellites, or from the zone of the place.

Lives here: the only use of tzfpy (boundaries of time zones, in the package) and of the IANA database (``zoneinfo``; the
package ``tzdata`` where the system has none). Must not: choose between sources of times (``trust.py``).
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from media_assets.media.timestamps import MAX_OFFSET_MINUTES

_QUARTER_MINUTES = 15
_MAX_DRIFT = timedelta(minutes=2)  # clock of the camera against UTC, and age of the fix
# Offsets in use since 1970 besides whole hours: Marquesas, Newfoundland (winter, summer), Iran, Afghanistan (and Iran
# in summer), India, Nepal, Myanmar, Eucla, Australia (winter, summer), Chatham (winter, summer).
_PARTIAL_HOURS = frozenset({-570, -210, -150, 210, 270, 330, 345, 390, 525, 570, 630, 765, 825})
_FIRST_YEAR_WITH_ZONES = 1970  # before that the database is incomplete by its own account


def zone_at(latitude_deg: float, longitude_deg: float) -> str | None:
    """Return the IANA name of the time zone at a place, or ``None``; ``Etc/GMT...`` on the high seas.

    Borders are simplified by some hundred metres. Where two zones are in use (Xinjiang), it is the official one.
    """
    import tzfpy

    # tzfpy takes the antimeridian from one side only.
    return tzfpy.get_tz(min(longitude_deg, 179.9999), latitude_deg) or None


def offset_of_zone(zone: str | None, local: datetime) -> int | None:
    """Return minutes east of UTC of a wall time in a zone, or ``None`` when the zone does not tell.

    That is so for the high seas, for years before 1970, and in the two hours of a year when clocks change: a wall time
    that occurs twice, or never, has no offset of its own.

    Args:
        zone: IANA name.
        local: Naive wall time at the place.
    """
    if zone is None or zone.startswith("Etc/") or local.year < _FIRST_YEAR_WITH_ZONES:
        return None
    try:
        info = ZoneInfo(zone)
        first, second = (local.replace(tzinfo=info, fold=fold).utcoffset() for fold in (0, 1))
    except (ZoneInfoNotFoundError, ValueError, OverflowError):
        return None
    if first is None or first != second:
        return None
    return _minutes(first)


def local_in_zone(zone: str | None, utc: datetime) -> tuple[datetime, int] | None:
    """Return naive wall time and offset of an aware UTC time in a zone, or ``None`` when the zone does not tell."""
    if zone is None or zone.startswith("Etc/") or utc.year < _FIRST_YEAR_WITH_ZONES:
        return None
    try:
        there = utc.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OverflowError):
        return None
    offset = there.utcoffset()
    minutes = None if offset is None else _minutes(offset)
    return None if minutes is None else (there.replace(tzinfo=None), minutes)


def offset_from_gps(local: datetime, gps_at: datetime) -> int | None:
    """Return the offset that the difference between wall time and satellite time shows, in minutes, or ``None``.

    Only a difference within two minutes of an offset that is in use somewhere counts: the fix may be older than the
    picture, and clocks of cameras drift.

    Args:
        local: Naive wall time of the camera.
        gps_at: Aware UTC time of the fix.
    """
    try:
        difference = local.replace(tzinfo=UTC) - gps_at
    except OverflowError:
        return None
    minutes = round(difference / timedelta(minutes=_QUARTER_MINUTES)) * _QUARTER_MINUTES
    if abs(difference - timedelta(minutes=minutes)) > _MAX_DRIFT or not -720 <= minutes <= MAX_OFFSET_MINUTES:
        return None
    return minutes if minutes % 60 == 0 or minutes in _PARTIAL_HOURS else None


def _minutes(offset: timedelta) -> int | None:
    minutes, rest = divmod(offset.total_seconds(), 60)
    return None if rest else int(minutes)
