"""Doubts about what a file says of its time and place: suspicious values, and ones that were dropped.

Lives here: judgement over values that are already read. Must not: read files, drop or change values (``trust.py``),
name places or people: the sentences are shown in event logs (DESIGN.md section 10).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from media_assets.media.timezones import offset_of_zone

FIRST_YEAR = 1826
"""Year of the oldest photograph that is left (Niépce)."""

MIN_ALTITUDE_M = -500.0
"""Below the shore of the Dead Sea (-430 m) and most mines that are visited."""

MAX_ALTITUDE_M = 20_000.0
"""Above airliners; weather balloons and rockets are worth a look."""

MAX_ZONE_DIFFERENCE_MINUTES = 180
"""Between the offset of the time and that of the place: a clock that is still at home is no reason to doubt."""

_DAY = timedelta(days=1)
_WIDEST_OFFSET = timedelta(hours=14)
# The readers' notes end alike: "... is not a date and was ignored." Values of other tags are of no interest here.
_TIME_NOTE = re.compile(r"\b(?:date|time)\b.*\b(?:ignored|dropped)\b")
_POSITION_NOTE = re.compile(r"(?:\bposition|latitude|longitude|altitude)\b.*\b(?:ignored|dropped)\b", re.IGNORECASE)


@dataclass(frozen=True)
class TimeAndPlace:
    """What is known of when and where; names, units and meaning of ``None`` are those of table ``metadata``."""

    captured_at: datetime | None = None
    captured_at_local: datetime | None = None
    utc_offset_minutes: int | None = None
    gps_at: datetime | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    altitude_m: float | None = None
    timezone: str | None = None
    warnings: Iterable[str] | None = None


def doubts_about_time(known: TimeAndPlace, now: datetime) -> tuple[str, ...]:
    """Return why the capture time is not plausible, as sentences; empty when it is, or when there is none.

    Args:
        known: What the file says.
        now: Aware time of the judgement; a capture time may be a day ahead of it.
    """
    doubts = []
    # A wall time without an offset can be 14 hours ahead of UTC anywhere.
    moment = known.captured_at or (known.captured_at_local and known.captured_at_local.replace(tzinfo=UTC))
    if moment is not None:
        slack = _DAY if known.captured_at is not None else _DAY + _WIDEST_OFFSET
        if moment - now > slack:
            doubts.append("It lies in the future.")
        if moment.year < FIRST_YEAR:
            doubts.append(f"It lies before {FIRST_YEAR}.")
        if known.gps_at is not None and abs(moment - known.gps_at) > slack:
            doubts.append("It is more than a day away from the time of the position fix.")
    doubts += [note for note in known.warnings or () if _TIME_NOTE.search(note)]
    return tuple(doubts)


def doubts_about_position(known: TimeAndPlace) -> tuple[str, ...]:
    """Return why the position is not plausible, as sentences; empty when it is, or when there is none."""
    doubts = []
    latitude, longitude = known.latitude_deg, known.longitude_deg
    if latitude is not None and longitude is not None:
        if not (-90.0 <= latitude <= 90.0 and -180.0 <= longitude <= 180.0):
            doubts.append("It is out of range.")
        if latitude == 0.0 and longitude == 0.0:
            doubts.append("It is exactly 0, 0, which writers use for unknown.")
        if _is_far_from_zone(known):
            hours = MAX_ZONE_DIFFERENCE_MINUTES // 60
            doubts.append(f"Its time zone is more than {hours} hours away from the offset of the capture time.")
    elif latitude is not None or longitude is not None:
        doubts.append("One of its two coordinates is missing.")
    if known.altitude_m is not None and not MIN_ALTITUDE_M <= known.altitude_m <= MAX_ALTITUDE_M:
        doubts.append(f"The altitude is not between {MIN_ALTITUDE_M:.0f} and {MAX_ALTITUDE_M:.0f} m.")
    doubts += [note for note in known.warnings or () if _POSITION_NOTE.search(note)]
    return tuple(doubts)


def _is_far_from_zone(known: TimeAndPlace) -> bool:
    # Offset 0 is how many writers store UTC wherever they are (video containers, phones' exports): it proves nothing.
    if not known.utc_offset_minutes or known.captured_at_local is None:
        return False
    there = offset_of_zone(known.timezone, known.captured_at_local)
    if there is None:
        return False
    apart = abs(known.utc_offset_minutes - there) % (24 * 60)
    return min(apart, 24 * 60 - apart) > MAX_ZONE_DIFFERENCE_MINUTES
