"""Dates in the names of files: what phones, messengers and screenshots write. The last resort for a capture time.

Lives here: the patterns. Must not: open files, weigh sources.
"""

import re

from media_assets.media.claims import Claims
from media_assets.media.timestamps import capture_time, parse_exif_datetime

_DATE = r"(?P<year>(?:19|20)\d{2})(?P<s>[-_.]?)(?P<month>0[1-9]|1[0-2])(?P=s)(?P<day>0[1-9]|[12]\d|3[01])"
_CLOCK = r"(?P<hour>[01]?\d|2[0-3])(?P<t>[-_.:]?)(?P<minute>[0-5]\d)(?P=t)(?P<second>[0-5]\d)"
# Something must stand between date and time of day: 14 digits in a row are a serial number or a hash as often as a
# date. No letter or digit may touch the date but a maker's prefix, behind it only the milliseconds of Pixel phones.
_MOMENT = re.compile(
    rf"(?<![0-9A-Za-z])(?:IMG|VID|P|V)?{_DATE}(?:[-_ T]| at |_at_|-at-){_CLOCK}(?P<fraction>\d{{3}})?(?!\d)"
    r"(?:[ _\u202f]?(?P<half>[AaPp])\.?[Mm](?![A-Za-z]))?"
)
# Oppo, OnePlus and DJI write the run of digits all the same, behind a prefix that nobody else has.
_RUN = re.compile(
    r"(?<![0-9A-Za-z])(?:IMG|VID|DJI_)(?P<year>20\d{2})(?P<month>\d{2})(?P<day>\d{2})"
    r"(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})(?!\d)",
    re.ASCII,
)
_DAY_ONLY = re.compile(rf"(?<![0-9A-Za-z])(?:IMG|VID)-{_DATE}-WA\d{{4}}", re.ASCII)
_MAX_NAME_CHARS = 1000


def file_name_claims(file_name: str) -> Claims | None:
    """Return the time that a name carries (``IMG_20190706_143000.jpg``), or ``None`` when it carries none.

    The names of Pixel phones (``PXL_``) are in UTC: offset 0. All others are local, without an offset. WhatsApp writes
    the date only (``IMG-20190706-WA0001.jpg``): that is no time, and goes to the tags as ``FileName.Date``.

    Args:
        file_name: Name of the file, without folders.
    """
    name = file_name[:_MAX_NAME_CHARS]
    match = _MOMENT.search(name) or _RUN.search(name)
    if match is None:
        day = _DAY_ONLY.search(name)
        if day is None:
            return None
        return Claims("file_name", tags={"FileName.Date": f"{day['year']}-{day['month']}-{day['day']}"})
    parts = match.groupdict()
    hour = _hour(int(parts["hour"]), parts.get("half"))
    if hour is None:
        return None
    local = parse_exif_datetime(
        f"{parts['year']}-{parts['month']}-{parts['day']} {hour}:{parts['minute']}:{parts['second']}",
        parts.get("fraction"),
    )
    if local is None:
        return None
    is_utc = name.startswith("PXL_")
    return Claims("file_name", times=(capture_time(local, 0 if is_utc else None, "file_name"),))


def _hour(hour: int, half: str | None) -> int | None:
    """Return the hour of a day of 24 hours; ``half`` is the first letter of AM or PM."""
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        return None
    return hour % 12 + (12 if half in "Pp" else 0)
