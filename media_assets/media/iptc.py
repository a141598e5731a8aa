"""IPTC-IIM records of a picture (IPTC IIM 4.2) as claims.

Lives here: datasets, their encoding, which one is which column. Must not: find the block in a file, weigh sources.
"""

import re
from collections.abc import Iterator
from typing import Any

from media_assets.media.claims import Claims
from media_assets.media.text import clean_text
from media_assets.media.timestamps import CaptureTime, parse_datetime

MAX_DATASETS = 2000
"""Most datasets that are read of one block; agencies write up to some hundred keywords."""
_MARKER = 0x1C
_MAX_VALUE_BYTES = 32_767  # longer ones have an extended length: previews, not text
_APPLICATION_RECORD = 2
_TITLE, _KEYWORDS, _DATE, _TIME, _DIGITAL_DATE, _DIGITAL_TIME = 5, 25, 55, 60, 62, 63
_BY_LINE, _COPYRIGHT, _CAPTION = 80, 116, 120
# Names of exiftool and of the standard, for tags_json.
_NAMES = {
    7: "EditStatus", 10: "Urgency", 12: "SubjectReference", 15: "Category", 20: "SupplementalCategories",
    22: "FixtureIdentifier", 26: "ContentLocationCode", 27: "ContentLocationName", 40: "SpecialInstructions",
    65: "OriginatingProgram", 70: "ProgramVersion", 85: "By-lineTitle", 90: "City", 92: "Sub-location",
    95: "Province-State", 100: "Country-PrimaryLocationCode", 101: "Country-PrimaryLocationName",
    103: "OriginalTransmissionReference", 105: "Headline", 110: "Credit", 115: "Source", 118: "Contact",
    122: "Writer-Editor", 55: "DateCreated", 60: "TimeCreated", 62: "DigitalCreationDate", 63: "DigitalCreationTime",
}  # fmt: skip
_DATE_TEXT = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})", re.ASCII)
_TIME_TEXT = re.compile(r"(\d{2}):?(\d{2}):?(\d{2})([+-]\d{2}:?\d{2})?", re.ASCII)


def iptc_claims(block: bytes, notes: list[str]) -> Claims | None:
    """Return what a block of IIM datasets says, or ``None`` when there is no dataset in it.

    Text is UTF-8 when it is valid UTF-8, else Latin-1, whatever dataset 1:90 announces: writers forget it, and the two
    cannot be mistaken for each other in practice.

    Args:
        block: Raw datasets, as in Photoshop resource 0x0404 or TIFF tag 33723.
        notes: Gets a sentence when the block is damaged.
    """
    values: dict[int, list[str]] = {}
    found_any = False
    try:
        for record, dataset, data in _datasets(block):
            found_any = True
            text = clean_text(data)
            if record == _APPLICATION_RECORD and text is not None:
                values.setdefault(dataset, []).append(text)
    except ValueError:
        notes.append("The IPTC block is damaged; what stands before the damage was read.")
    if not found_any:
        return None
    fields: dict[str, Any] = {
        "title": _first(values, _TITLE),
        "description": _first(values, _CAPTION),
        "keywords": tuple(dict.fromkeys(values.get(_KEYWORDS, ()))) or None,
        "creator": "; ".join(values.get(_BY_LINE, ())) or None,
        "copyright": _first(values, _COPYRIGHT),
    }
    times = (
        _moment(values, _DATE, _TIME, "iptc:DateCreated"),
        _moment(values, _DIGITAL_DATE, _DIGITAL_TIME, "iptc:DigitalCreationDate"),
    )
    return Claims(
        "iptc",
        {name: value for name, value in fields.items() if value is not None},
        tuple(moment for moment in times if moment is not None),
        {f"IPTC.{name}": ", ".join(values[number]) for number, name in _NAMES.items() if number in values},
    )


def _datasets(block: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield record, dataset and data; raises ValueError where no dataset follows although the block goes on."""
    position = 0
    for _ in range(MAX_DATASETS):
        rest = block[position : position + 5]
        if not rest.strip(b"\0"):
            return
        if rest[0] != _MARKER or len(rest) < 5:
            raise ValueError("no dataset")
        size = int.from_bytes(rest[3:5], "big")
        position += 5
        is_extended = size > _MAX_VALUE_BYTES
        if is_extended:
            digits = size & _MAX_VALUE_BYTES
            if digits > 4:
                raise ValueError("impossible length")
            size = int.from_bytes(block[position : position + digits], "big")
            position += digits
        if position + size > len(block):
            raise ValueError("dataset ends early")
        if not is_extended:
            yield rest[1], rest[2], block[position : position + size]
        position += size


def _first(values: dict[int, list[str]], dataset: int) -> str | None:
    return values[dataset][0] if dataset in values else None


def _moment(values: dict[int, list[str]], date: int, time: int, source: str) -> CaptureTime | None:
    """Return the time of CCYYMMDD and HHMMSS±HHMM; a date alone is no time."""
    day = _DATE_TEXT.fullmatch(_first(values, date) or "")
    clock = _TIME_TEXT.fullmatch(_first(values, time) or "")
    if day is None or clock is None:
        return None
    return parse_datetime(f"{day[1]}-{day[2]}-{day[3]}T{clock[1]}:{clock[2]}:{clock[3]}{clock[4] or ''}", source)
