import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.media.geo import (
    MAX_ALTITUDE_M,
    Position,
    dms_to_degrees,
    known_position,
    parse_iso6709,
    parse_xmp_angle,
    plausible_altitude,
)

latitudes = st.floats(-90, 90, allow_nan=False)
longitudes = st.floats(-180, 180, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("+40.6358-111.8084+1401.883/", Position(40.6358, -111.8084, 1401.883)),
        ("+27.5916+086.5640/", Position(27.5916, 86.5640)),
        ("+4012.22-07500.25/", Position(40.2036666667, -75.0041666667)),
        ("+401213.1-0750015.1+2.79/", Position(40.20363888889, -75.00419444444, 2.79)),
        ("-00.1276+051.5074-12.5CRSWGS_84/", Position(-0.1276, 51.5074, -12.5)),
        ("+00+000/", Position(0.0, 0.0)),
    ],
)
def test_reads_the_forms_of_iso6709(text: str, position: Position) -> None:
    found = parse_iso6709(text)
    assert found is not None
    assert found.latitude_deg == pytest.approx(position.latitude_deg, abs=1e-9)
    assert found.longitude_deg == pytest.approx(position.longitude_deg, abs=1e-9)
    assert found.altitude_m == position.altitude_m


@pytest.mark.parametrize("text", ["", "/", "here", "+91.0+000.0/", "+10.0+181.0/", "+10.0/", "40.1,-3.2", "+1+2+3+4/"])
def test_refuses_what_is_no_position(text: str) -> None:
    assert parse_iso6709(text) is None


@given(latitudes, longitudes, st.none() | st.floats(-10_000, 10_000))
def test_decimal_degrees_come_back(latitude: float, longitude: float, altitude: float | None) -> None:
    text = f"{latitude:+011.7f}{longitude:+012.7f}" + ("" if altitude is None else f"{altitude:+.3f}") + "/"
    found = parse_iso6709(text)
    assert found is not None
    assert found.latitude_deg == pytest.approx(latitude, abs=1e-7)
    assert found.longitude_deg == pytest.approx(longitude, abs=1e-7)
    assert found.altitude_m == (None if altitude is None else pytest.approx(altitude, abs=1e-3))


@given(st.integers(0, 89), st.integers(0, 59), st.integers(0, 59), st.sampled_from("+-"))
def test_degrees_minutes_seconds_agree_with_exif(degrees: int, minutes: int, seconds: int, sign: str) -> None:
    found = parse_iso6709(f"{sign}{degrees:02}{minutes:02}{seconds:02}+0000000/")
    exif = dms_to_degrees((degrees, minutes, seconds), "N" if sign == "+" else "S", limit=90)
    assert found is not None
    assert exif is not None
    assert found.latitude_deg == pytest.approx(exif)


@given(st.text(max_size=40))
def test_any_text_is_a_position_in_range_or_nothing(text: str) -> None:
    found = parse_iso6709(text)
    assert found is None or (abs(found.latitude_deg) <= 90 and abs(found.longitude_deg) <= 180)


@pytest.mark.parametrize(
    ("values", "reference", "wanted"),
    [
        ((34.0, 75.0, 90.0), "S", -35.275),
        ((48.5,), "n", 48.5),
        ((48.0, 30.0), "N", 48.5),
        ((48.0, 30.0, 0.0), "", None),
        ((200.0, 0.0, 0.0), "N", None),
        ((math.nan, 0.0, 0.0), "N", None),
        ((-1.0, 0.0, 0.0), "N", None),
        ((), "N", None),
        ((0.0, 0.0, 0.0), "S", 0.0),
    ],
)
def test_exif_angles(values: tuple[float, ...], reference: str, wanted: float | None) -> None:
    assert dms_to_degrees(values, reference, limit=90) == (None if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize("altitude", [None, math.inf, math.nan, MAX_ALTITUDE_M * 2])
def test_impossible_altitudes_are_nothing(altitude: float | None) -> None:
    assert plausible_altitude(altitude) is None


@pytest.mark.parametrize(
    ("text", "reference", "axis", "wanted"),
    [
        ("51,30.5N", None, "NS", 51.508333333),
        ("51,30,36S", None, "NS", -51.51),
        ("151,12.6w", None, "EW", -151.21),
        ("51.5", None, "NS", 51.5),
        ("-51.5", None, "NS", -51.5),
        ("51.5", "S", "NS", -51.5),
        ("51.5 N", None, "NS", 51.5),
        ("51,30.5E", None, "NS", None),
        ("51,30.5", None, "NS", None),
        ("91,0N", None, "NS", None),
        ("181", None, "EW", None),
        ("", None, "NS", None),
        ("51,30.5N,", None, "NS", None),
    ],
)
def test_angles_of_xmp(text: str, reference: str | None, axis: str, wanted: float | None) -> None:
    assert parse_xmp_angle(text, reference, axis=axis) == (None if wanted is None else pytest.approx(wanted))


@given(latitudes)
def test_angles_of_xmp_come_back(latitude: float) -> None:
    degrees, minutes = divmod(abs(latitude) * 60, 60)
    text = f"{int(degrees)},{minutes:.8f}{'S' if latitude < 0 else 'N'}"
    found = parse_xmp_angle(text, None, axis="NS")
    assert found == pytest.approx(latitude, abs=1e-8) or minutes > 59.999


@given(st.text(max_size=30), st.none() | st.text(max_size=2), st.sampled_from(["NS", "EW"]))
def test_any_text_is_an_angle_in_range_or_nothing(text: str, reference: str | None, axis: str) -> None:
    found = parse_xmp_angle(text, reference, axis=axis)
    assert found is None or abs(found) <= (90 if axis == "NS" else 180)


def test_zeros_are_no_known_position() -> None:
    assert known_position(0.0, 0.0) is None
    assert known_position(1.0, None) is None
    assert known_position(0.0, 1.0) == (0.0, 1.0)
