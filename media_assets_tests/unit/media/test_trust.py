# ruff: noqa: DTZ001  # wall times have no zone
"""The order of trust, group by group."""

import itertools
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest

from media_assets.media.claims import Claims
from media_assets.media.records import Metadata
from media_assets.media.timestamps import CaptureTime, capture_time
from media_assets.media.trust import (
    FIELD_TRUST,
    SOURCES,
    TIME_TRUST,
    merge_fields,
    merge_time,
    time_rank,
)
from media_assets.media.trust_reference import sources_reference

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WALL = datetime(2024, 7, 1, 12, 30, 5)


def taken(
    *times: CaptureTime, gps_at: datetime | None = None, zone: str | None = None, notes: list[str] | None = None
) -> CaptureTime | None:
    claims = [Claims(time.source.partition(":")[0], times=(time,)) for time in times]
    return merge_time(claims, gps_at=gps_at, zone=zone, now=NOW, notes=[] if notes is None else notes)


def test_the_tables_name_fields_and_sources_that_exist() -> None:
    known = {field.name for field in fields(Metadata)}
    named = [name for trust in FIELD_TRUST for name in trust.fields]
    assert set(named) <= known
    assert len(named) == len(set(named))
    for trust in FIELD_TRUST:
        assert set(trust.order) <= set(SOURCES)
        assert len(trust.order) == len(set(trust.order))
    assert {source.partition(":")[0] for source, _ in TIME_TRUST} <= {*SOURCES, "gps"}


@pytest.mark.parametrize("trust", FIELD_TRUST, ids=lambda trust: trust.group)
def test_of_each_pair_of_sources_the_first_wins(trust: Any) -> None:
    field = trust.fields[0]
    position = {"latitude_deg": 1.0, "longitude_deg": 2.0} if trust.group == "position" else {}
    for first, second in itertools.combinations(trust.order, 2):
        claims = [Claims(second, {**position, field: "second"}), Claims(first, {**position, field: "first"})]
        assert merge_fields(claims)[field] == "first"
        assert merge_fields(claims[:1])[field] == "second"


def test_a_source_without_the_field_is_passed_over() -> None:
    claims = [Claims("exif", {"camera_make": "Cam"}), Claims("xmp", {"camera_model": "One", "camera_make": "Other"})]
    assert merge_fields(claims) == {"camera_make": "Cam", "camera_model": "One"}


def test_a_source_that_is_not_trusted_with_a_field_is_not_asked() -> None:
    assert merge_fields([Claims("takeout", {"camera_make": "Cam"}), Claims("gossip", {"title": "x"})]) == {}


def test_positions_are_never_mixed() -> None:
    half = Claims("sidecar_xmp", {"latitude_deg": 1.0, "altitude_m": 7.0})
    whole = Claims("exif", {"latitude_deg": 2.0, "longitude_deg": 3.0})
    other = Claims("takeout", {"latitude_deg": 4.0, "longitude_deg": 5.0, "altitude_m": 6.0})
    assert merge_fields([half, whole, other]) == {"latitude_deg": 2.0, "longitude_deg": 3.0}
    assert merge_fields([half]) == {"altitude_m": 7.0}
    assert merge_fields([other]) == {"latitude_deg": 4.0, "longitude_deg": 5.0, "altitude_m": 6.0}


def test_times_in_the_order_of_the_table() -> None:
    order = [
        "sidecar_xmp:exif:DateTimeOriginal",
        "exif:DateTimeOriginal",
        "exif:DateTimeDigitized",
        "quicktime:creationdate",
        "quicktime:creation_time",
        "xmp:exif:DateTimeOriginal",
        "xmp:photoshop:DateCreated",
        "iptc:DateCreated",
        "sidecar_xmp:xmp:CreateDate",
        "xmp:xmp:CreateDate",
        "text:Creation Time",
        "takeout:photoTakenTime",
        "gps",
        "file_name",
        "gossip",
    ]
    assert sorted(order, key=time_rank) == order
    assert time_rank("exiftool:x") == len(TIME_TRUST)
    for first, second in itertools.combinations(order, 2):
        found = taken(
            capture_time(datetime(2001, 1, 1, 5), 60, second), capture_time(datetime(2002, 1, 1, 5), 60, first)
        )
        assert found is not None
        assert found.source == first


def test_equal_ranks_keep_their_order() -> None:
    first, second = capture_time(WALL, 0, "quicktime:creation_time"), capture_time(WALL, 60, "quicktime:date")
    found = merge_time([Claims("quicktime", times=(first, second))], gps_at=None, zone=None, now=NOW, notes=[])
    assert found == first


def test_an_impossible_time_makes_room_for_the_next() -> None:
    notes: list[str] = []
    found = taken(
        capture_time(datetime(1970, 1, 1), None, "exif:DateTimeOriginal"),
        capture_time(WALL, None, "exif:DateTimeDigitized"),
        notes=notes,
    )
    assert found is not None
    assert found.source == "exif:DateTimeDigitized"
    assert notes == ["The time of exif:DateTimeOriginal (1970-01-01) is not possible and was ignored."]
    assert taken(capture_time(datetime(1, 1, 1), None, "exif:DateTimeOriginal")) is None
    assert taken() is None


EXIF = capture_time(WALL, None, "exif:DateTimeOriginal")


def test_without_anything_the_offset_is_unknown() -> None:
    assert taken(EXIF) == EXIF


def test_offset_from_the_zone_of_the_place() -> None:
    assert taken(EXIF, zone="Europe/Paris") == capture_time(WALL, 120, "exif:DateTimeOriginal+timezone")


def test_offset_from_the_satellites_before_the_zone() -> None:
    notes: list[str] = []
    fix = datetime(2024, 7, 1, 10, 30, tzinfo=UTC)
    wanted = capture_time(WALL, 120, "exif:DateTimeOriginal+gps_time")
    assert taken(EXIF, gps_at=fix, zone="Europe/Paris", notes=notes) == wanted
    assert notes == []
    assert taken(EXIF, gps_at=fix, zone="Asia/Tokyo", notes=notes) == wanted
    assert len(notes) == 1


def test_a_copied_wall_time_is_no_satellite_time() -> None:
    copied = WALL.replace(tzinfo=UTC)
    assert taken(EXIF, gps_at=copied, zone="Asia/Tokyo") == capture_time(WALL, 540, "exif:DateTimeOriginal+timezone")
    assert taken(EXIF, gps_at=copied, zone="Africa/Accra") == capture_time(WALL, 0, "exif:DateTimeOriginal+gps_time")
    assert taken(EXIF, gps_at=copied) == capture_time(WALL, 0, "exif:DateTimeOriginal+gps_time")


def test_an_old_fix_tells_nothing() -> None:
    fix = datetime(2024, 7, 1, 10, 20, tzinfo=UTC)
    assert taken(EXIF, gps_at=fix) == EXIF


def test_a_written_offset_is_kept() -> None:
    written = capture_time(WALL, -300, "exif:DateTimeOriginal")
    assert taken(written, gps_at=datetime(2024, 7, 1, 10, 30, tzinfo=UTC), zone="Europe/Paris") == written


def test_offsets_of_programs_come_after_the_place() -> None:
    copy = capture_time(WALL, -300, "xmp:photoshop:DateCreated")
    assert taken(EXIF, copy) == capture_time(WALL, -300, "exif:DateTimeOriginal+xmp")
    assert taken(EXIF, copy, zone="Europe/Paris") == capture_time(WALL, 120, "exif:DateTimeOriginal+timezone")
    assert taken(EXIF, capture_time(WALL, 0, "xmp:xmp:CreateDate")) == EXIF  # a Z behind a wall time
    assert taken(EXIF, capture_time(datetime(2024, 7, 2), -300, "xmp:xmp:CreateDate")) == EXIF


def test_a_sidecar_keeps_the_offset_and_the_fraction_of_the_camera() -> None:
    exact = capture_time(WALL.replace(microsecond=250_000), 0, "exif:DateTimeOriginal")
    found = taken(exact, capture_time(WALL, None, "sidecar_xmp:exif:DateTimeOriginal"), zone="Europe/Paris")
    assert found == capture_time(exact.local, 0, "sidecar_xmp:exif:DateTimeOriginal+exif")


def test_utc_becomes_wall_time_of_the_place() -> None:
    stored = capture_time(WALL, 0, "quicktime:creation_time")
    found = taken(stored, zone="Asia/Kathmandu")
    assert found is not None
    assert (found.local, found.utc_offset_minutes) == (datetime(2024, 7, 1, 18, 15, 5), 345)
    assert (found.utc, found.source) == (stored.utc, "quicktime:creation_time+timezone")
    assert taken(stored) == stored
    assert taken(stored, zone="Etc/GMT+5") == stored


def test_an_offset_of_zero_that_a_phone_wrote_is_kept() -> None:
    for source in ("quicktime:creationdate", "exif:DateTimeOriginal"):
        written = capture_time(WALL, 0, source)
        assert taken(written, zone="Asia/Tokyo") == written


def test_the_documentation_names_every_field_and_source() -> None:
    text = sources_reference()
    for trust in FIELD_TRUST:
        assert all(f"`{field}`" in text for field in trust.fields)
        assert trust.reason in text
    assert all(f"| `{source}` |" in text for source, _ in TIME_TRUST)
