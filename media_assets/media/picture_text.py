"""Text chunks of PNG and comments of GIF and JPEG as claims (PNG third edition, section 11.3.3.1).

Lives here: which keyword is which column. Must not: read chunks, weigh sources.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from media_assets.media.claims import Claims
from media_assets.media.text import clean_text, repair_latin1
from media_assets.media.timestamps import CaptureTime, capture_time, parse_datetime

_FIELDS = {
    "title": "title",
    "description": "description",
    "author": "creator",
    "copyright": "copyright",
    "software": "software",
}
_TIME = "creation time"
# Blocks of other kinds that are stored as text; ImageMagick's times are those of files.
_NOT_SHOWN = ("raw profile type", "xml:com.adobe.xmp", "exif", "icc", "date:")
_MAX_TEXTS = 200


def text_claims(text: Mapping[str, str]) -> Claims:
    """Return what named texts say.

    A comment without a keyword (GIF, JPEG) is a tag, not a description: most are the names of programs.

    Args:
        text: Text by keyword. Keywords are compared without regard to case.
    """
    fields: dict[str, str] = {}
    times: list[CaptureTime] = []
    tags: dict[str, str] = {}
    for keyword, value in list(text.items())[:_MAX_TEXTS]:
        name, cleaned = keyword.strip().lower(), clean_text(repair_latin1(value))
        if cleaned is None or name.startswith(_NOT_SHOWN):
            continue
        moment = _moment(cleaned) if name == _TIME else None
        if moment is not None:
            times.append(moment)
        elif name in _FIELDS:
            fields.setdefault(_FIELDS[name], cleaned)
        else:
            tags[f"Text.{keyword.strip()}"] = cleaned
    return Claims("text", fields, tuple(times), tags)


def _moment(value: str) -> CaptureTime | None:
    """Return the time of RFC 1123, which PNG asks for, or of ISO 8601, which programs write."""
    found = parse_datetime(value, "text:Creation Time")
    if found is not None:
        return found
    try:
        parsed = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    offset = parsed.utcoffset()
    minutes = None if offset is None else round(offset.total_seconds() / 60)
    return capture_time(parsed.replace(tzinfo=None), minutes, "text:Creation Time")
