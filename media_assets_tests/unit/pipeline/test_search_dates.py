from datetime import datetime

import pytest

from media_assets.pipeline.search.dates import Period, dates_in, parse_period


def period(start: str, end: str) -> Period:
    return Period(datetime.fromisoformat(start), datetime.fromisoformat(end))


MAY = period("2024-05-01", "2024-06-01")
THE_THIRD = period("2024-05-03", "2024-05-04")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024", period("2024-01-01", "2025-01-01")),
        ("2024-12", period("2024-12-01", "2025-01-01")),
        ("2024-5", MAY),
        ("2024-05-03", THE_THIRD),
        ("2024-02-29", period("2024-02-29", "2024-03-01")),
        ("2024-05-03T10:30", period("2024-05-03T10:30", "2024-05-03T10:31")),
        ("2024-05-03 10:30:07", period("2024-05-03T10:30:07", "2024-05-03T10:30:08")),
    ],
)
def test_periods(text: str, expected: Period) -> None:
    assert parse_period(text) == expected


@pytest.mark.parametrize("text", ["", "may", "24", "2024-13", "2023-02-29", "2024-05-03T25:00", "9999", "03.05.2024"])
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(ValueError, match=r"date|month|day|hour|year"):
        parse_period(text)


@pytest.mark.parametrize(
    ("text", "expected", "rest"),
    [
        ("beach May 2024", MAY, "beach"),
        ("3 may 2024", THE_THIRD, ""),
        ("3rd May, 2024 dog", THE_THIRD, "dog"),
        ("dog May 3, 2024", THE_THIRD, "dog"),
        ("dog 2024-05-03", THE_THIRD, "dog"),
        ("sept. 2023", period("2023-09-01", "2023-10-01"), ""),
        ("summer 2024", period("2024-01-01", "2025-01-01"), "summer"),
    ],
)
def test_dates_in_texts(text: str, expected: Period, rest: str) -> None:
    (found,), left = dates_in(text)
    assert found.period == expected
    assert left.strip() == rest


def test_a_month_of_any_year() -> None:
    (found,), left = dates_in("snow in December")
    assert (found.period, found.month, left.split()) == (None, 12, ["snow", "in"])


@pytest.mark.parametrize("text", ["31 june 2024", "IMG_2024", "12024", "2024-05-03-1", "mar", "decembers", "1024x768"])
def test_what_is_no_date(text: str) -> None:
    assert dates_in(text) == ([], text)
