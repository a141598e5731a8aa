# ruff: noqa: DTZ001  # wall times have no zone
"""All sources together: pictures, sidecars, text, tags."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags

from media_assets.media.claims import Claims
from media_assets.media.exif import ExifData
from media_assets.media.metadata import MAX_SIDECAR_BYTES, describe, picture_claims, sidecar_claims
from media_assets.media.picture_text import text_claims
from media_assets.media.tags import MAX_TAGS_JSON_BYTES, tags_to_json
from media_assets_tests.unit.media.test_iptc import dataset
from media_assets_tests.unit.media.test_xmp import bag, packet

Base, Gps = ExifTags.Base, ExifTags.GPS
PARIS = {
    Gps.GPSLatitude: (48.0, 51.0, 30.0),
    Gps.GPSLatitudeRef: "N",
    Gps.GPSLongitude: (2.0, 17.0, 40.0),
    Gps.GPSLongitudeRef: "E",
}


def test_every_block_of_a_picture_is_read_and_merged() -> None:
    notes: list[str] = []
    claims = picture_claims(
        ExifData(
            main={Base.Make: "Cam", Base.ImageDescription: "DIGITAL CAMERA"},
            exif={Base.DateTimeOriginal: "2024:07:01 12:30:05", Base.SceneType: b"\1"},
            gps=PARIS,
        ),
        packet('tiff:Make="Other" crs:Contrast="+7"', bag("dc:description", "A hill", kind="Alt")),
        dataset(120, "Old") + dataset(25, "hill") + dataset(90, "Ulm"),
        {"Title": "T", "Source": "here"},
        notes,
    )
    assert [claim.source for claim in claims] == ["exif", "xmp", "iptc", "text"]
    found = describe(claims, notes)
    assert notes == []
    tags = json.loads(found.pop("tags_json"))
    assert tags == {"Exif.SceneType": "1", "XMP-crs.Contrast": "+7", "IPTC.City": "Ulm", "Text.Source": "here"}
    assert found.pop("latitude_deg") == pytest.approx(48.858333333)
    assert found.pop("longitude_deg") == pytest.approx(2.294444444)
    assert found == {
        "camera_make": "Cam",
        "description": "A hill",
        "keywords": ("hill",),
        "title": "T",
        "captured_at_local": datetime(2024, 7, 1, 12, 30, 5),
        "captured_at": datetime(2024, 7, 1, 10, 30, 5, tzinfo=UTC),
        "utc_offset_minutes": 120,
        "captured_at_source": "exif:DateTimeOriginal+timezone",
        "timezone": "Europe/Paris",
    }


def test_a_picture_without_metadata() -> None:
    notes: list[str] = []
    assert describe(picture_claims(ExifData(), None, None, {}, notes), notes) == {}
    assert notes == []


def test_the_clock_of_the_reading_can_be_given() -> None:
    claims = picture_claims(ExifData(exif={Base.DateTimeOriginal: "2024:07:01 12:30:05"}), None, None, {}, [])
    notes: list[str] = []
    assert describe(claims, notes, now=datetime(2010, 1, 1, tzinfo=UTC)) == {}
    assert len(notes) == 1


def test_sidecars_are_told_apart_by_content(tmp_path: Path) -> None:
    xmp, takeout = tmp_path / "0", tmp_path / "1"
    xmp.write_bytes(packet('exif:DateTimeOriginal="2024-07-01T12:30:05" xmp:Rating="5"'))
    takeout.write_text('\ufeff {"photoTakenTime": {"timestamp": "1"}, "description": "A hill"}', encoding="utf-8")
    notes: list[str] = []
    claims = sidecar_claims([xmp, takeout], notes)
    assert [claim.source for claim in claims] == ["sidecar_xmp", "takeout"]
    assert notes == []
    found = describe([Claims("exif", {"rating": 1}), *claims], notes)
    assert (found["rating"], found["description"]) == (5, "A hill")
    assert found["captured_at_source"] == "sidecar_xmp:exif:DateTimeOriginal"


@pytest.mark.parametrize(
    "data",
    [b"", b"text", b"\xff\xd8\xff", b'{"name": "x"}', b"{" + b" " * MAX_SIDECAR_BYTES, b"<rdf:RDF", None],
    ids=["empty", "text", "jpeg", "json", "large", "cut", "absent"],
)
def test_other_sidecars_are_a_note(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "sidecar"
    if data is not None:
        path.write_bytes(data)
    notes: list[str] = []
    assert sidecar_claims([path], notes) == ()
    assert len(notes) == 1
    assert str(tmp_path) not in notes[0]


@given(st.binary(max_size=300))
def test_any_blocks_are_read(data: bytes) -> None:
    notes: list[str] = []
    found = describe(picture_claims(ExifData(), data, data, {"Comment": data.decode("latin-1")}, notes), notes)
    assert None not in found.values()


def test_texts_of_png() -> None:
    claims = text_claims(
        {
            "Title": "T",
            "AUTHOR": "Ann",
            "Creation Time": "Mon, 01 Jul 2024 12:30:05 +0200",
            "Comment": "made by a program",
            "Raw profile type exif": "00",
            "XML:com.adobe.xmp": "<x/>",
            "date:create": "2024-07-01T12:30:05+00:00",
            "Empty": "  ",
        }
    )
    assert claims.fields == {"title": "T", "creator": "Ann"}
    assert claims.tags == {"Text.Comment": "made by a program"}
    (time,) = claims.times
    assert (time.local, time.utc_offset_minutes) == (datetime(2024, 7, 1, 12, 30, 5), 120)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-07-01T12:30:05", datetime(2024, 7, 1, 12, 30, 5)),
        ("2024:07:01 12:30:05", datetime(2024, 7, 1, 12, 30, 5)),
        ("yesterday", None),
        ("Mon, 99 Jul 2024 12:30:05 +0200", None),
        ("Mon, 01 Jul 99999999999999999999 12:30:05", None),
    ],
)
def test_creation_times_of_png(text: str, wanted: datetime | None) -> None:
    claims = text_claims({"Creation Time": text})
    assert [time.local for time in claims.times] == ([wanted] if wanted else [])
    assert bool(claims.tags) == (wanted is None)


def test_tags_fit_into_their_limit() -> None:
    notes: list[str] = []
    text = tags_to_json({f"Group.Tag{n}": "ü" * 900 for n in range(200)} | {"Group.Last": "x"}, notes)
    assert text is not None
    assert len(text.encode()) <= MAX_TAGS_JSON_BYTES
    assert json.loads(text)["Group.Last"] == "x"
    assert len(notes) == 1


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=300), max_size=30))
def test_tags_are_a_json_object_of_text(tags: dict[str, str]) -> None:
    text = tags_to_json(tags, [])
    if text is None:
        return
    found = json.loads(text)
    assert found
    assert all(isinstance(value, str) and value for value in found.values())
