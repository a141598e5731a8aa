# ruff: noqa: DTZ001  # wall times have no zone
"""Google Takeout's JSON."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.media.takeout import takeout_claims

WHOLE: dict[str, Any] = {
    "title": "IMG_1.jpg",
    "description": "A hill",
    "photoTakenTime": {"timestamp": "1714557600", "formatted": "01.05.2024, 10:00:00 UTC"},
    "creationTime": {"timestamp": "1714999999"},
    "geoData": {"latitude": 48.4, "longitude": 9.98, "altitude": 0.0},
    "geoDataExif": {"latitude": 48.5, "longitude": 9.99, "altitude": 478.5},
    "people": [{"name": "Ann"}, {"name": 7}, "Bob"],
    "favorited": True,
    "googlePhotosOrigin": {"mobileUpload": {}},
}


def test_a_whole_file() -> None:
    notes: list[str] = []
    camera, google = takeout_claims(json.dumps(WHOLE).encode(), notes)
    assert notes == []
    assert (camera.source, camera.fields) == (
        "takeout_exif",
        {"latitude_deg": 48.5, "longitude_deg": 9.99, "altitude_m": 478.5},
    )
    assert google.fields == {"description": "A hill", "latitude_deg": 48.4, "longitude_deg": 9.98}
    (time,) = google.times
    assert (time.source, time.local, time.utc_offset_minutes) == (
        "takeout:photoTakenTime",
        datetime(2024, 5, 1, 10),
        0,
    )
    assert time.utc == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert google.tags == {
        "Takeout.People": "Ann",
        "Takeout.Title": "IMG_1.jpg",
        "Takeout.Favorited": "true",
        "Takeout.Origin": "mobileUpload",
    }


@pytest.mark.parametrize(
    "place",
    [{"latitude": 0.0, "longitude": 0.0}, {"latitude": 91, "longitude": 1}, {"latitude": "x"}, {}, None, [1], "here"],
)
def test_what_is_no_position(place: Any) -> None:
    claims = takeout_claims(json.dumps({"geoData": place, "geoDataExif": place}).encode(), [])
    assert [claim.fields for claim in claims] == [{}]


@pytest.mark.parametrize("taken", [None, {}, {"timestamp": "soon"}, {"timestamp": "9" * 30}, {"timestamp": True}, []])
def test_what_is_no_time(taken: Any) -> None:
    (claims,) = takeout_claims(json.dumps({"photoTakenTime": taken}).encode(), [])
    assert claims.times == ()


def test_times_before_1970() -> None:
    (claims,) = takeout_claims(b'{"photoTakenTime": {"timestamp": "-86400"}}', [])
    assert claims.times[0].utc == datetime(1969, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"name": "package"}', b"{" * 100_000, b"[" * 500_000, b"\xff\xfe", b"1" * 9000]
)
def test_other_files_are_a_note(data: bytes) -> None:
    notes: list[str] = []
    assert takeout_claims(data, notes) == ()
    assert len(notes) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*WHOLE, "timestamp"]), inner),
        max_leaves=20,
    )
)
def test_any_json_is_claims_or_a_note(document: Any) -> None:
    notes: list[str] = []
    claims = takeout_claims(json.dumps(document).encode(), notes)
    assert bool(claims) != bool(notes)
