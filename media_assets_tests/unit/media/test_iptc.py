# ruff: noqa: DTZ001  # wall times have no zone
"""IPTC-IIM datasets."""

import struct
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from media_assets.media.iptc import iptc_claims


def dataset(number: int, value: str | bytes, record: int = 2) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">BBBH", 0x1C, record, number, len(data)) + data


def test_columns_times_and_tags() -> None:
    notes: list[str] = []
    claims = iptc_claims(
        dataset(90, b"\x1b%G", record=1)
        + dataset(5, "Hügel")
        + dataset(25, "hill")
        + dataset(25, "sky")
        + dataset(25, "hill")
        + dataset(55, "20240501")
        + dataset(60, "100000+0200")
        + dataset(80, "Ann")
        + dataset(80, "Bob")
        + dataset(90, "Ulm")
        + dataset(116, "CC BY")
        + dataset(120, b"Gr\xfc\xdfe")
        + b"\0\0",
        notes,
    )
    assert claims is not None
    assert notes == []
    assert claims.fields == {
        "title": "Hügel",
        "keywords": ("hill", "sky"),
        "creator": "Ann; Bob",
        "copyright": "CC BY",
        "description": "Grüße",
    }
    (time,) = claims.times
    assert (time.source, time.local) == ("iptc:DateCreated", datetime(2024, 5, 1, 10))
    assert time.utc == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert claims.tags == {"IPTC.City": "Ulm", "IPTC.DateCreated": "20240501", "IPTC.TimeCreated": "100000+0200"}


def test_a_date_alone_is_no_time() -> None:
    claims = iptc_claims(dataset(55, "20240501"), [])
    assert claims is not None
    assert claims.times == ()


def test_a_time_without_zone_has_no_offset() -> None:
    claims = iptc_claims(dataset(62, "20240501") + dataset(63, "100000"), [])
    assert claims is not None
    assert [(t.source, t.utc_offset_minutes) for t in claims.times] == [("iptc:DigitalCreationDate", None)]


def test_extended_datasets_are_passed_over() -> None:
    preview = struct.pack(">BBBHI", 0x1C, 2, 202, 0x8004, 5) + b"12345"
    claims = iptc_claims(preview + dataset(5, "T"), [])
    assert claims is not None
    assert claims.fields == {"title": "T"}


def test_what_stands_before_the_damage_is_read() -> None:
    notes: list[str] = []
    claims = iptc_claims(dataset(5, "T") + dataset(25, "lost")[:-2], notes)
    assert claims is not None
    assert claims.fields == {"title": "T"}
    assert len(notes) == 1


def test_what_is_no_block() -> None:
    notes: list[str] = []
    assert iptc_claims(b"", notes) is None
    assert notes == []
    assert iptc_claims(b"junk", notes) is None
    assert len(notes) == 1


@given(st.binary(max_size=300))
def test_any_bytes_are_claims_or_nothing(data: bytes) -> None:
    notes: list[str] = []
    claims = iptc_claims(dataset(5, "T") + data, notes)
    assert claims is not None
    assert claims.fields["title"] == "T"
