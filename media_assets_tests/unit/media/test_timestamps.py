# ruff: noqa: DTZ001  # wall times have no zone
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.media.timestamps import (
    CaptureTime,
    capture_time,
    from_utc,
    is_blank_date,
    is_possible,
    parse_datetime,
    parse_exif_datetime,
    parse_offset,
)


@pytest.mark.parametrize(
    ("text", "sub_seconds", "wanted"),
    [
        ("2024:05:01 10:00:00", None, datetime(2024, 5, 1, 10)),
        ("2024:05:01 10:00:00", "045", datetime(2024, 5, 1, 10, 0, 0, 45_000)),
        ("2024:05:01 10:00:00", "5", datetime(2024, 5, 1, 10, 0, 0, 500_000)),
        ("2024:05:01 10:00:00", "x", datetime(2024, 5, 1, 10)),
        ("2024-05-01T10:00:00.25+02:00", None, datetime(2024, 5, 1, 10, 0, 0, 250_000)),
        ("2016:12:31 23:59:60", None, datetime(2016, 12, 31, 23, 59, 59)),
        ("1826:06:01 12:00:00", None, datetime(1826, 6, 1, 12)),
        ("2024:02:30 10:00:00", None, None),
        ("2023:13:45 25:61:61", None, None),
        ("0000:00:00 00:00:00", None, None),
        ("yesterday at noon!!", None, None),
        ("", None, None),
    ],
)
def test_exif_dates(text: str, sub_seconds: str | None, wanted: datetime | None) -> None:
    assert parse_exif_datetime(text, sub_seconds) == wanted


@pytest.mark.parametrize("text", ["", "    :  :     :  :  ", "0000:00:00 00:00:00"])
def test_blank_dates(text: str) -> None:
    assert is_blank_date(text)
    assert not is_blank_date("2024:01:01 00:00:00")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("+02:00", 120),
        ("-03:30", -210),
        ("+0545", 345),
        ("Z", 0),
        ("+14:00", 840),
        ("+15:00", None),
        ("-05", -300),
        ("+5:30", 330),
        ("+", None),
        ("+01:75", None),
        ("UTC", None),
    ],
)
def test_offsets(text: str, wanted: int | None) -> None:
    assert parse_offset(text) == wanted


@given(st.integers(-14 * 60, 14 * 60))
def test_offsets_come_back(minutes: int) -> None:
    sign, rest = ("-" if minutes < 0 else "+"), abs(minutes)
    assert parse_offset(f"{sign}{rest // 60:02}:{rest % 60:02}") == minutes


@given(st.datetimes(), st.none() | st.integers(-14 * 60, 14 * 60))
def test_utc_only_with_an_offset(local: datetime, offset: int | None) -> None:
    found = capture_time(local, offset, "test")
    assert found.local == local
    if offset is None:
        assert found.utc is None
    elif found.utc is not None:
        assert found.utc.tzinfo is UTC
        assert found.utc.replace(tzinfo=None) + timedelta(minutes=offset) == local


def test_years_without_utc_keep_their_wall_time() -> None:
    found = capture_time(datetime(9999, 12, 31, 23, 59), -60, "test")
    assert (found.utc, found.utc_offset_minutes) == (None, -60)


def test_creation_time_is_kept_as_written_in_utc() -> None:
    found = from_utc("2016-02-02T17:51:27.000000Z", "quicktime:creation_time")
    assert found is not None
    assert (found.local, found.utc_offset_minutes) == (datetime(2016, 2, 2, 17, 51, 27), 0)
    assert found.utc == datetime(2016, 2, 2, 17, 51, 27, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "1904-01-01T00:00:00.000000Z", "2020", "soon", "2020-01-01T00:00:00+23:00"])
def test_unknown_creation_times_are_nothing(text: str) -> None:
    assert from_utc(text, "test") is None


@pytest.mark.parametrize(
    ("text", "local", "offset"),
    [
        ("2024-05-01T10:00:00.5+02:00", datetime(2024, 5, 1, 10, 0, 0, 500_000), 120),
        ("2024:05:01 10:00:00 -0330", datetime(2024, 5, 1, 10), -210),
        ("2024-05-01T10:00Z", datetime(2024, 5, 1, 10), 0),
        ("2024-05-01T10:00", datetime(2024, 5, 1, 10), None),
    ],
)
def test_dates_with_an_offset(text: str, local: datetime, offset: int | None) -> None:
    found = parse_datetime(text, "test")
    assert found == capture_time(local, offset, "test")


@pytest.mark.parametrize(
    "text", ["", "2024-05-01", "2024-05-01T10:00:00 or so", "2024-05-01T24:10:00", "2024-05-01T10:00:00+99:00"]
)
def test_what_is_no_date_and_time(text: str) -> None:
    assert parse_datetime(text, "test") is None


@given(st.datetimes(), st.none() | st.integers(-14 * 60, 14 * 60))
def test_xmp_dates_come_back(local: datetime, offset: int | None) -> None:
    sign = "" if offset is None else f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    assert parse_datetime(local.isoformat(timespec="microseconds") + sign, "t") == capture_time(local, offset, "t")


@pytest.mark.parametrize(
    ("moment", "wanted"),
    [
        (capture_time(datetime(1826, 6, 1), None, "t"), True),
        (capture_time(datetime(2000, 1, 1), None, "t"), True),
        (capture_time(datetime(2026, 12, 1), None, "t"), True),
        (capture_time(datetime(1970, 1, 1, 0, 0, 1), None, "t"), True),
        (capture_time(datetime(1825, 12, 31), None, "t"), False),
        (capture_time(datetime(2037, 1, 1), None, "t"), False),
        (capture_time(datetime(9999, 12, 31, 23, 59, 59), None, "t"), False),
        (capture_time(datetime(1970, 1, 1), None, "t"), False),
        (capture_time(datetime(1970, 1, 1, 1), 60, "t"), False),
        (capture_time(datetime(1904, 1, 1), 0, "t"), False),
        (capture_time(datetime(2040, 2, 6, 6, 28, 15), 0, "t"), False),
    ],
)
def test_possible_times(moment: CaptureTime, wanted: bool) -> None:
    assert is_possible(moment, datetime(2026, 1, 1, tzinfo=UTC)) is wanted
