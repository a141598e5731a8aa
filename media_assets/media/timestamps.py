"""Capture times: local wall time, offset and UTC, with the source that they come from.

Lives here: parsing of the date forms of EXIF, XMP, IPTC, QuickTime and Matroska, and which dates are possible. Must
not: file access, choice between sources (``trust.py``), zones of places (``timezones.py``), names (``file_names.py``).
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
_OFFSET = re.compile(r"([+-])(\d{1,2})(?::?(\d{2}))?", re.ASCII)
_BLANK_DATE = re.compile(r"[\s:0\-/.]*", re.ASCII)
_MP4_EPOCH_YEAR = 1904  # a creation time of zero: the writer did not know it
_FIRST_YEAR = 1826  # the oldest photograph that is left
_MAX_YEARS_AHEAD = 10
# Zero of .NET, NTFS, QuickTime and Unix, the largest 32-bit numbers of Unix and QuickTime: the writer knew no time.
_EPOCHS = frozenset(
    {
        *(datetime(year, 1, 1) for year in (1, 1601, 1904, 1970)),  # noqa: DTZ001  # wall times have no zone
        datetime(2038, 1, 19, 3, 14, 7),  # noqa: DTZ001
        datetime(2040, 2, 6, 6, 28, 15),  # noqa: DTZ001
    }
)


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
    """Return minutes east of UTC of ``+HH:MM``, ``-HHMM``, ``+HH`` or ``Z``; ``None`` when it is no possible offset."""
    text = text.strip()
    if text in {"Z", "z"}:
        return 0
    match = _OFFSET.fullmatch(text)
    if match is None or int(match[3] or 0) >= 60:
        return None
    minutes = (int(match[2]) * 60 + int(match[3] or 0)) * (-1 if match[1] == "-" else 1)
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


def parse_datetime(text: str, source: str) -> CaptureTime | None:
    """Return the time of a text that is a date, a time of day and perhaps an offset, or ``None``.

    Takes the forms of XMP (ISO 8601 profile: ``2024-05-01T10:00:00.5+02:00``, also without seconds) and of EXIF with an
    offset behind it. A date alone is no time; a text with anything else behind it is no date.

    Args:
        text: The value as written.
        source: Name for :attr:`CaptureTime.source`.
    """
    text = text.strip()
    match = _EXIF_DATE.match(text)
    local = parse_exif_datetime(text)
    if match is None or local is None:
        return None
    rest = text[match.end() :].strip()
    offset = parse_offset(rest) if rest else None
    if rest and offset is None:
        return None
    return capture_time(local, offset, source)


def is_possible(moment: CaptureTime, now: datetime) -> bool:
    """Return whether a camera can have written this time: not before 1826, not the zero or the end of an epoch.

    Clocks that are wrong by months or years are common, and a date ahead of the present is a fact about the camera: up
    to ten years ahead it is kept, and the check ``plausible_time`` shows it.

    Args:
        moment: The time to judge.
        now: Aware time of the reading.
    """
    instants = [moment.local] if moment.utc is None else [moment.local, moment.utc.replace(tzinfo=None)]
    if any(instant in _EPOCHS for instant in instants):
        return False
    return _FIRST_YEAR <= moment.local.year <= now.year + _MAX_YEARS_AHEAD


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
