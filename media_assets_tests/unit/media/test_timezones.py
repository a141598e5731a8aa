# ruff: noqa: DTZ001  # wall times have no zone
"""Offsets from places and from satellites."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.media.timezones import local_in_zone, offset_from_gps, offset_of_zone, zone_at


@pytest.mark.parametrize(
    ("latitude", "longitude", "zone"),
    [
        (48.8584, 2.2945, "Europe/Paris"),
        (51.5007, -0.1246, "Europe/London"),
        (27.7172, 85.3240, "Asia/Kathmandu"),
        (-33.8568, 151.2153, "Australia/Sydney"),
        (-21.1332, 55.4768, "Indian/Reunion"),
        (43.8, 87.6, "Asia/Shanghai"),
        (-43.95, -176.55, "Pacific/Chatham"),
    ],
)
def test_places(latitude: float, longitude: float, zone: str) -> None:
    assert zone_at(latitude, longitude) == zone


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_place_has_a_zone_that_is_known(latitude: float, longitude: float) -> None:
    zone = zone_at(latitude, longitude)
    assert zone is None or zone.startswith("Etc/") or offset_of_zone(zone, datetime(2024, 1, 15, 12)) is not None


@pytest.mark.parametrize(
    ("zone", "local", "minutes"),
    [
        ("Europe/Paris", datetime(2024, 1, 1, 12), 60),
        ("Europe/Paris", datetime(2024, 7, 1, 12), 120),
        ("Asia/Kathmandu", datetime(2024, 7, 1, 12), 345),
        ("America/St_Johns", datetime(2024, 7, 1, 12), -150),
        ("Europe/Paris", datetime(2024, 3, 31, 2, 30), None),  # does not exist
        ("Europe/Paris", datetime(2024, 10, 27, 2, 30), None),  # exists twice
        ("Europe/Paris", datetime(2024, 10, 27, 3, 30), 60),
        ("Etc/GMT+5", datetime(2024, 7, 1, 12), None),
        ("Europe/Paris", datetime(1950, 7, 1, 12), None),
        ("Mars/Olympus", datetime(2024, 7, 1, 12), None),
        ("../../etc/passwd", datetime(2024, 7, 1, 12), None),
        (None, datetime(2024, 7, 1, 12), None),
    ],
)
def test_offset_of_a_wall_time(zone: str | None, local: datetime, minutes: int | None) -> None:
    assert offset_of_zone(zone, local) == minutes


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1)),
    st.sampled_from(["Europe/Paris", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
)
def test_wall_time_and_instant_come_back(utc: datetime, zone: str) -> None:
    found = local_in_zone(zone, utc.replace(tzinfo=UTC))
    assert found is not None
    local, minutes = found
    assert local - timedelta(minutes=minutes) == utc
    assert offset_of_zone(zone, local) in {minutes, None}


def test_no_wall_time_on_the_high_seas() -> None:
    assert local_in_zone("Etc/GMT+5", datetime(2024, 1, 1, tzinfo=UTC)) is None
    assert local_in_zone(None, datetime(2024, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("difference", "minutes"),
    [
        (timedelta(hours=2), 120),
        (timedelta(hours=-3, minutes=-30, seconds=50), -210),
        (timedelta(hours=5, minutes=45, seconds=-90), 345),
        (timedelta(hours=14), 840),
        (timedelta(0), 0),
        (timedelta(hours=2, minutes=4), None),
        (timedelta(hours=2, minutes=15), None),
        (timedelta(hours=15), None),
        (timedelta(hours=-13), None),
        (timedelta(days=400), None),
    ],
)
def test_offset_from_the_satellites(difference: timedelta, minutes: int | None) -> None:
    fix = datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert offset_from_gps(fix.replace(tzinfo=None) + difference, fix) == minutes


@given(st.integers(-12, 14), st.floats(-119, 119), st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)))
def test_whole_hours_survive_drift(hours: int, drift: float, fix: datetime) -> None:
    local = fix + timedelta(hours=hours, seconds=drift)
    assert offset_from_gps(local, fix.replace(tzinfo=UTC)) == 60 * hours
