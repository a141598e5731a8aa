"""Times as people write them in a search: ``2024``, ``may 2024``, ``3 May 2024``, ``2024-05-03``.

Pure functions over strings. All times are wall times of the capture, without a zone, as column ``captured_at_local``.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}
_SHORT_NUMBERS = {name[:3]: number for name, number in _MONTH_NUMBERS.items()} | {"sept": 9}
_NUMBERS = _SHORT_NUMBERS | _MONTH_NUMBERS

_YEAR = r"(?:1[89]|20|21)\d\d"
_NAME = "|".join(sorted(_NUMBERS, key=len, reverse=True))
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_PHRASE = re.compile(
    rf"""(?<![\w-])(?:
        (?P<iso>{_YEAR}-(?:0?[1-9]|1[0-2])(?:-{_DAY})?)
      | (?P<day>{_DAY})(?:st|nd|rd|th|\.)?\s+(?P<month>{_NAME})\.?,?\s+(?P<year>{_YEAR})
      | (?P<month_us>{_NAME})\.?\s+(?P<day_us>{_DAY})(?:st|nd|rd|th)?,?\s+(?P<year_us>{_YEAR})
      | (?P<month_only>{_NAME})\.?,?\s+(?P<year_month>{_YEAR})
      | (?P<year_only>{_YEAR})
      | (?P<name_only>{"|".join(_MONTHS)})
    )(?![\w-])""",
    re.IGNORECASE | re.VERBOSE,
)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?")
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")


@dataclass(frozen=True)
class Period:
    """A stretch of wall time.

    Attributes:
        start: First moment of it.
        end: First moment after it.
    """

    start: datetime
    end: datetime


@dataclass(frozen=True)
class DatePhrase:
    """A time that the text of a search names.

    Attributes:
        text: As written.
        period: When; ``None`` for a month of any year.
        month: 1-12 for a month of any year, else ``None``.
    """

    text: str
    period: Period | None
    month: int | None = None


def parse_period(text: str) -> Period:
    """Read a year, a month, a day or a minute: ``2024``, ``2024-05``, ``2024-05-03``, ``2024-05-03T10:30``.

    Raises:
        ValueError: It is none of these.
    """
    text = text.strip()
    if _MOMENT.fullmatch(text):
        moment = datetime.fromisoformat(text)
        return Period(moment, moment + timedelta(seconds=1 if text.count(":") == 2 else 60))
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no date; write 2024, 2024-05, 2024-05-03 or 2024-05-03T10:30")
    year, month, day = (int(part) if part else None for part in match.groups())
    assert year is not None  # noqa: S101 - the expression has it
    return _period(year, month, day)


def dates_in(text: str) -> tuple[list[DatePhrase], str]:
    """Return the times that a text names, and the text without them."""
    found: list[DatePhrase] = []

    def take(match: re.Match[str]) -> str:
        phrase = _phrase(match)
        if phrase is None:
            return match[0]
        found.append(phrase)
        return " "

    rest = _PHRASE.sub(take, text)
    return list(dict.fromkeys(found)), rest


def _phrase(match: re.Match[str]) -> DatePhrase | None:
    named = {name: value.lower() for name, value in match.groupdict().items() if value is not None}
    try:
        if "name_only" in named:
            return DatePhrase(match[0], None, _NUMBERS[named["name_only"]])
        if "iso" in named:
            return DatePhrase(match[0], parse_period(named["iso"]))
        year = int(named.get("year") or named.get("year_us") or named.get("year_month") or named["year_only"])
        month = named.get("month") or named.get("month_us") or named.get("month_only")
        day = named.get("day") or named.get("day_us")
        return DatePhrase(match[0], _period(year, _NUMBERS[month] if month else None, int(day) if day else None))
    except ValueError:  # 31 June: no date, so just words
        return None


def _period(year: int, month: int | None, day: int | None) -> Period:
    start = datetime(year, month or 1, day or 1)  # noqa: DTZ001 - wall time
    if day is not None:
        return Period(start, start + timedelta(days=1))
    if month is not None:
        return Period(start, datetime(year + month // 12, month % 12 + 1, 1))  # noqa: DTZ001
    return Period(start, datetime(year + 1, 1, 1))  # noqa: DTZ001
