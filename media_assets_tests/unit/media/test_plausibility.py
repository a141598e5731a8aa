"""Doubts about time and place: what is suspicious, and that nothing ordinary is."""

from datetime import UTC, datetime, timedelta

import pytest

from media_assets.media.plausibility import TimeAndPlace, doubts_about_position, doubts_about_time

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


ORDINARY = TimeAndPlace(
    captured_at=at("2024-05-01T10:00:00+00:00"),
    captured_at_local=at("2024-05-01T12:00:00"),
    utc_offset_minutes=120,
    gps_at=at("2024-05-01T09:59:58+00:00"),
    latitude_deg=47.5,
    longitude_deg=7.6,
    altitude_m=260.0,
    timezone="Europe/Zurich",
    warnings=("The ICC profile is damaged.", "EXIF ExposureTime is not a possible value and was ignored."),
)


def test_nothing_known_and_everything_ordinary_pass() -> None:
    for known in (TimeAndPlace(), ORDINARY):
        assert doubts_about_time(known, NOW) == ()
        assert doubts_about_position(known) == ()


@pytest.mark.parametrize(
    ("known", "doubt"),
    [
        (TimeAndPlace(captured_at=NOW + timedelta(hours=25)), "future"),
        (TimeAndPlace(captured_at_local=at("2025-06-04T00:00:00")), "future"),
        (TimeAndPlace(captured_at_local=at("1825-12-31T23:59:59")), "before 1826"),
        (TimeAndPlace(captured_at=at("2024-05-03T00:00:00+00:00"), gps_at=at("2024-05-01T10:00:00+00:00")), "fix"),
        (TimeAndPlace(captured_at_local=at("2024-05-04T00:00:00"), gps_at=at("2024-05-01T10:00:00+00:00")), "fix"),
        (TimeAndPlace(warnings=("EXIF DateTimeOriginal is not a date and was ignored.",)), "not a date"),
        (TimeAndPlace(warnings=("The creation time of the video is not a time and was ignored.",)), "not a time"),
    ],
)
def test_suspicious_times(known: TimeAndPlace, doubt: str) -> None:
    (found,) = doubts_about_time(known, NOW)
    assert doubt in found


@pytest.mark.parametrize(
    "known",
    [
        TimeAndPlace(captured_at=NOW + timedelta(hours=23)),
        TimeAndPlace(captured_at_local=at("2025-06-02T13:00:00")),  # Kiritimati is 14 h ahead
        TimeAndPlace(captured_at_local=at("1826-01-01T00:00:00")),
        TimeAndPlace(gps_at=at("1980-01-06T00:00:00+00:00")),
        TimeAndPlace(captured_at_local=at("2024-05-02T09:00:00"), gps_at=at("2024-05-01T10:00:00+00:00")),
    ],
)
def test_times_that_are_possible(known: TimeAndPlace) -> None:
    assert doubts_about_time(known, NOW) == ()


@pytest.mark.parametrize(
    ("known", "doubt"),
    [
        (TimeAndPlace(latitude_deg=0.0, longitude_deg=-0.0), "exactly 0, 0"),
        (TimeAndPlace(latitude_deg=90.1, longitude_deg=7.0), "out of range"),
        (TimeAndPlace(latitude_deg=47.0, longitude_deg=float("nan")), "out of range"),
        (TimeAndPlace(latitude_deg=47.0), "missing"),
        (TimeAndPlace(altitude_m=-501.0), "altitude"),
        (TimeAndPlace(altitude_m=20_001.0), "altitude"),
        (TimeAndPlace(warnings=("The EXIF position is incomplete or out of range and was ignored.",)), "incomplete"),
        (TimeAndPlace(warnings=("EXIF GPSAltitude is not a possible value and was ignored.",)), "GPSAltitude"),
        (
            TimeAndPlace(
                captured_at_local=at("2024-05-01T12:00:00"),
                utc_offset_minutes=540,
                latitude_deg=47.5,
                longitude_deg=7.6,
                timezone="Europe/Zurich",
            ),
            "more than 3 hours",
        ),
    ],
)
def test_suspicious_positions(known: TimeAndPlace, doubt: str) -> None:
    (found,) = doubts_about_position(known)
    assert doubt in found


@pytest.mark.parametrize(
    "known",
    [
        TimeAndPlace(latitude_deg=0.0, longitude_deg=32.5),  # Kampala's meridian on the equator
        TimeAndPlace(latitude_deg=-90.0, longitude_deg=180.0),
        TimeAndPlace(altitude_m=-430.0),
        TimeAndPlace(altitude_m=13_000.0),
        # UTC, and a camera that is still at home.
        *(
            TimeAndPlace(
                captured_at_local=at("2024-05-01T12:00:00"),
                utc_offset_minutes=offset,
                latitude_deg=35.6,
                longitude_deg=139.7,
                timezone="Asia/Tokyo",
            )
            for offset in (0, 540, 480)
        ),
        # Kiritimati and Hawaii share their clock, a day apart.
        TimeAndPlace(
            captured_at_local=at("2024-05-01T12:00:00"),
            utc_offset_minutes=-600,
            latitude_deg=1.87,
            longitude_deg=-157.4,
            timezone="Pacific/Kiritimati",
        ),
    ],
)
def test_positions_that_are_possible(known: TimeAndPlace) -> None:
    assert doubts_about_position(known) == ()
