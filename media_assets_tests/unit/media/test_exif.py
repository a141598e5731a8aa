# ruff: noqa: DTZ001  # wall times have no zone
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from media_assets.media.exif import (
    MAX_TAGS_JSON_BYTES,
    ExifData,
    describe_exif,
    number_of,
    read_exif,
    stored_orientation,
    tags_to_json,
    text_of,
)
from media_assets.media.text import MAX_TEXT_CHARS, clean_text
from media_assets_tests.unit.media.samples import exif_block

Base, Gps = ExifTags.Base, ExifTags.GPS


def describe(**parts: dict[int, Any]) -> tuple[dict[str, Any], list[str]]:
    warnings: list[str] = []
    return describe_exif(ExifData(**parts), warnings), warnings


def test_a_whole_block_comes_back() -> None:
    block = exif_block(
        {Base.Make: "Cam", Base.Model: "One", Base.Artist: "Ann", Base.ImageDescription: "A hill"},
        {
            Base.ISOSpeedRatings: 400,
            Base.FNumber: IFDRational(28, 10),
            Base.ExposureTime: IFDRational(1, 250),
            Base.FocalLength: 35.0,
            Base.FocalLengthIn35mmFilm: 52,
            Base.Flash: 1,
            Base.MeteringMode: 5,
            Base.ExposureProgram: 3,
            Base.WhiteBalance: 0,
            Base.ColorSpace: 1,
            Base.LensModel: "Lens 35",
            Base.DateTimeOriginal: "2024:05:01 10:00:00",
            Base.SubsecTimeOriginal: "045",
            Base.OffsetTimeOriginal: "-03:30",
            Base.BodySerialNumber: "123",
        },
        {
            Gps.GPSLatitudeRef: "S",
            Gps.GPSLatitude: (33.0, 51.0, 30.0),
            Gps.GPSLongitudeRef: "E",
            Gps.GPSLongitude: (151.0, 12.0, 0.0),
            Gps.GPSAltitudeRef: b"\x01",
            Gps.GPSAltitude: 12.5,
            Gps.GPSDateStamp: "2024:05:01",
            Gps.GPSTimeStamp: (13.0, 30.0, 5.5),
        },
    )
    warnings: list[str] = []
    found = describe_exif(read_exif(block.tobytes().removeprefix(b"Exif\x00\x00"), warnings), warnings)
    assert warnings == []
    assert found["captured_at"] == datetime(2024, 5, 1, 13, 30, 0, 45_000, tzinfo=UTC)
    assert found["captured_at_local"] == datetime(2024, 5, 1, 10, 0, 0, 45_000)
    assert (found["utc_offset_minutes"], found["captured_at_source"]) == (-210, "exif:DateTimeOriginal")
    assert (found["camera_make"], found["camera_model"], found["lens_model"]) == ("Cam", "One", "Lens 35")
    assert (found["iso"], found["f_number"], found["exposure_time_s"]) == (400, 2.8, 0.004)
    assert (found["focal_length_mm"], found["focal_length_35mm_mm"], found["flash_fired"]) == (35.0, 52.0, True)
    assert (found["metering_mode"], found["exposure_program"], found["white_balance"]) == (
        "pattern",
        "aperture_priority",
        "auto",
    )
    assert (found["creator"], found["description"], found["color_space"]) == ("Ann", "A hill", "sRGB")
    assert found["latitude_deg"] == pytest.approx(-33.858333333)
    assert found["longitude_deg"] == pytest.approx(151.2)
    assert found["altitude_m"] == -12.5
    assert found["gps_at"] == datetime(2024, 5, 1, 13, 30, 5, 500_000, tzinfo=UTC)
    assert json.loads(found["tags_json"]) == {"BodySerialNumber": "123"}


def test_no_offset_means_no_utc() -> None:
    found, _ = describe(exif={Base.DateTimeOriginal: "2024:05:01 10:00:00"})
    assert found["captured_at_local"] == datetime(2024, 5, 1, 10)
    assert (found["captured_at"], found["utc_offset_minutes"]) == (None, None)


def test_digitized_is_the_fallback() -> None:
    found, warnings = describe(
        exif={Base.DateTimeOriginal: "2023:13:45 25:61:61", Base.DateTimeDigitized: "2020:01:02 03:04:05"}
    )
    assert found["captured_at_source"] == "exif:DateTimeDigitized"
    assert warnings == ["EXIF DateTimeOriginal is not a date and was ignored."]


@pytest.mark.parametrize(
    ("tag", "value", "name"),
    [
        (Base.FNumber, IFDRational(0, 0), "f_number"),
        (Base.FNumber, 4294967295.0, "f_number"),
        (Base.ExposureTime, IFDRational(1, 0), "exposure_time_s"),
        (Base.FocalLength, -3.0, "focal_length_mm"),
        (Base.ISOSpeedRatings, -1, "iso"),
        (Base.DateTimeOriginal, "soon", "captured_at_local"),
    ],
)
def test_impossible_values_are_none_and_a_warning(tag: Base, value: object, name: str) -> None:
    found, warnings = describe(exif={tag: value})
    assert found.get(name) is None
    assert len(warnings) == 1


def test_saturated_iso_is_read_from_the_other_tag() -> None:
    found, _ = describe(exif={Base.ISOSpeedRatings: 65535, Base.RecommendedExposureIndex: 102_400})
    assert found["iso"] == 102_400


def test_position_without_hemisphere_is_none() -> None:
    found, warnings = describe(gps={Gps.GPSLatitude: (10.0, 0.0, 0.0), Gps.GPSLongitude: (20.0, 0.0, 0.0)})
    assert (found["latitude_deg"], found["longitude_deg"]) == (None, None)
    assert warnings


def test_position_stored_as_text() -> None:
    found, _ = describe(
        gps={
            Gps.GPSLatitude: "48, 30, 0",
            Gps.GPSLatitudeRef: "N",
            Gps.GPSLongitude: "2 15 0",
            Gps.GPSLongitudeRef: "W",
        }
    )
    assert (found["latitude_deg"], found["longitude_deg"]) == (48.5, -2.25)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(6, 6), ("8", 8), ((3, 1), 3), (0, None), (9, None), (65535, None), ("up", None), (None, None)],
)
def test_orientation_is_1_to_8_or_none(value: object, wanted: int | None) -> None:
    assert stored_orientation(ExifData(main={Base.Orientation: value})) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("Canon\x00junk", "Canon"),
        (" a\nb\x07 ", "a b"),
        ("\x00\x00", None),
        ("Gr\xc3\xbc\xc3\x9fe", "Grüße"),
        ("Gr\xfc\xdfe", "Grüße"),
        (b"\xff\xfe", "ÿþ"),
        ("x" * 5000, "x" * MAX_TEXT_CHARS),
        (7, None),
    ],
)
def test_text_is_cleaned_and_bounded(value: object, wanted: str | None) -> None:
    assert text_of(value) == wanted


@given(st.text() | st.binary())
def test_clean_text_has_no_control_characters(value: str | bytes) -> None:
    text = clean_text(value)
    assert text is None or (0 < len(text) <= MAX_TEXT_CHARS and text == text.strip())
    assert text is None or not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text)


@pytest.mark.parametrize("value", [IFDRational(1, 0), "x", float("nan"), (), b"ab", None, True])
def test_what_is_no_number(value: object) -> None:
    assert number_of(value) is None


def test_tags_json_is_bounded_and_holds_no_binary() -> None:
    warnings: list[str] = []
    tags = {60_000 + i: "y" * 900 for i in range(200)} | {Base.MakerNote: b"\x80" * 10, 59_999: b"\xff\x00\x80"}
    text = tags_to_json(ExifData(exif=tags), warnings)
    assert text is not None
    assert len(text.encode()) <= MAX_TAGS_JSON_BYTES
    assert "MakerNote" not in json.loads(text)
    assert warnings


@given(st.binary(max_size=300))
def test_any_block_gives_fields(block: bytes) -> None:
    import warnings as python_warnings

    warnings: list[str] = []
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")
        found = describe_exif(read_exif(b"II*\x00\x08\x00\x00\x00" + block, warnings), warnings)
    assert "camera_make" in found


def test_padded_legacy_png_block() -> None:
    block = b"Exif\x00\x00" + exif_block({Base.Make: "Cam"}).tobytes().removeprefix(b"Exif\x00\x00")
    picture = Image.new("L", (1, 1))
    picture.info["Raw profile type exif"] = f"\nexif\n{len(block):8}\n{block.hex()}\n\x01$padding"
    warnings: list[str] = []
    assert read_exif(picture, warnings).main[Base.Make] == "Cam"
    assert warnings == []
