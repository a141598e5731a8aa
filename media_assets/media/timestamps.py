"""Capture times: local wall time, offset and UTC, with the source that they come from.

Lives here: parsing of the date forms of EXIF, QuickTime and Matroska. Must not: file access, time zone guesses from
coordinates, dates in file names (both: issue 3).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MAX_OFFSET_MINUTES = 14 * 60
"""Largest offset from UTC that any place has used since 1900, in minutes, with either sign up to 14 h."""

# Writers disagree on the separators ("2019:07:06", "2019-07-06", "2019/07/06", "T" or space); the order is the same.
_EXIF_DATE = re.compile(
    r"(\d{4})[:\-/.](\d{1,2})[:\-/.](\d{1,2})[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?", re.ASCII
)
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})", re.ASCII)
_BLANK_DATE = re.compile(r"[\s:0\-/.]*", re.ASCII)
_MP4_EPOCH_YEAR = 1904  # a creation time of zero: the writer did not know it


@dataclass(frozen=True)
class CaptureTime:
    """When a picture or video was taken.

    Attributes:
        local: Naive wall time as written: at the place of capture, or UTC in containers that store UTC only.
        utc_offset_minutes: Offset of ``local``, east positive, 0 for UTC; ``None`` when unknown.
        utc: Aware UTC instant; ``None`` while the offset is unknown.
        source: Where it was written, for example ``exif:DateTimeOriginal``.
    """

    local: datetime
    utc_offset_minutes: int | None
    utc: datetime | None
    source: str


def is_blank_date(text: str) -> bool:
    """Return whether a date field says "unknown" in the way EXIF 3.0 section 4.6.5 allows: blanks or zeros."""
    return _BLANK_DATE.fullmatch(text) is not None


def parse_exif_datetime(text: str, sub_seconds: str | None = None) -> datetime | None:
    """Return the naive wall time of an EXIF date, or ``None`` when it is not a date of the calendar.

    Args:
        text: ``YYYY:MM:DD HH:MM:SS``, also with other separators or a fraction. What follows (an offset) is ignored.
        sub_seconds: Digits of the fraction from ``SubSecTime*``, left-aligned: ``"5"`` is half a second.
    """
    match = _EXIF_DATE.match(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute = (int(part) for part in match.groups()[:5])
    second = int(match[6] or 0)
    fraction = match[7] or (sub_seconds or "").strip()
    microsecond = int(fraction[:6].ljust(6, "0")) if fraction.isascii() and fraction.isdecimal() else 0
    try:
        # Python has no leap seconds: 23:59:60 is kept as the last second of that minute.
        return datetime(year, month, day, hour, minute, min(second, 59) if second == 60 else second, microsecond)  # noqa: DTZ001  # a wall time has no zone
    except ValueError:
        return None


def parse_offset(text: str) -> int | None:
    """Return minutes east of UTC of ``+HH:MM``, ``-HHMM`` or ``Z``; ``None`` when it is none or no real offset."""
    text = text.strip()
    if text in {"Z", "z"}:
        return 0
    match = _OFFSET.fullmatch(text)
    if match is None or int(match[3]) >= 60:
        return None
    minutes = (int(match[2]) * 60 + int(match[3])) * (-1 if match[1] == "-" else 1)
    return minutes if abs(minutes) <= MAX_OFFSET_MINUTES else None


def capture_time(local: datetime, offset_minutes: int | None, source: str) -> CaptureTime:
    """Return the capture time of a wall time; UTC stays ``None`` without an offset or outside of years 1-9999."""
    if offset_minutes is None:
        return CaptureTime(local, None, None, source)
    try:
        utc = (local - timedelta(minutes=offset_minutes)).replace(tzinfo=UTC)
    except OverflowError:
        return CaptureTime(local, offset_minutes, None, source)
    return CaptureTime(local, offset_minutes, utc, source)


def parse_iso_datetime(text: str) -> datetime | None:
    """Return an ISO 8601 date and time, aware when it carries an offset, or ``None``. Bare dates are not times."""
    text = text.strip()
    if "T" not in text and " " not in text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    offset = parsed.utcoffset()
    if offset is not None and abs(offset) > timedelta(minutes=MAX_OFFSET_MINUTES):
        return None
    return parsed


def from_local_with_offset(text: str, source: str) -> CaptureTime | None:
    """Return the time of ``com.apple.quicktime.creationdate``: wall time with its offset, as the phone showed it."""
    parsed = parse_iso_datetime(text)
    if parsed is None:
        return None
    offset = parsed.utcoffset()
    minutes = None if offset is None else round(offset.total_seconds() / 60)
    return capture_time(parsed.replace(tzinfo=None), minutes, source)


def from_utc(text: str, source: str) -> CaptureTime | None:
    """Return a time that is stored in UTC (``mvhd``, Matroska ``DateUTC``), as written: UTC wall time, offset 0.

    Where the camera stood is unknown then; the source tells such a time from a local one.

    A text without an offset is taken as UTC, which is what both specifications say. The MP4 epoch itself (1904-01-01)
    means that the writer did not know: ``None``.
    """
    parsed = parse_iso_datetime(text)
    if parsed is None:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    try:
        utc = parsed.astimezone(UTC)
    except OverflowError:
        return None
    if (utc.year, utc.month, utc.day) == (_MP4_EPOCH_YEAR, 1, 1):
        return None
    return CaptureTime(utc.replace(tzinfo=None), 0, utc, source)
