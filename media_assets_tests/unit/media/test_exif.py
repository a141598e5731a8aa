# ruff: noqa: DTZ001  # wall times have no zone
import io
import json
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from media_assets.media.exif import ExifData, number_of, numbers_of, read_exif, stored_orientation, text_of
from media_assets.media.exif_claims import comment_text, exif_claims
from media_assets.media.metadata import describe as merge
from media_assets.media.metadata import picture_claims
from media_assets.media.text import MAX_TEXT_CHARS, clean_text
from media_assets_tests.unit.media.samples import exif_block

Base, Gps = ExifTags.Base, ExifTags.GPS


def described(exif: ExifData, notes: list[str]) -> dict[str, Any]:
    return merge(picture_claims(exif, None, None, {}, notes), notes)


def describe(**parts: dict[int, Any]) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    return described(ExifData(**parts), notes), notes


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
    found = described(read_exif(block.tobytes().removeprefix(b"Exif\x00\x00"), warnings), warnings)
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
    assert json.loads(found["tags_json"]) == {"Exif.BodySerialNumber": "123"}


def test_no_offset_means_no_utc() -> None:
    found, _ = describe(exif={Base.DateTimeOriginal: "2024:05:01 10:00:00"})
    assert found["captured_at_local"] == datetime(2024, 5, 1, 10)
    assert (found.get("captured_at"), found.get("utc_offset_minutes")) == (None, None)


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
    assert "latitude_deg" not in found
    assert "longitude_deg" not in found
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
        (b"Gr\xc3\xbc\xc3\x9fe", "Grüße"),
        (b"Gr\xfc\xdfe", "Grüße"),
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


def test_tags_hold_no_binary_and_no_long_arrays() -> None:
    tags = exif_claims(
        ExifData(
            exif={Base.MakerNote: b"\x80" * 10, 59_999: b"\xff\x00\x80", 59_998: (1, 2), 59_997: tuple(range(100))}
        ),
        [],
    ).tags
    assert tags == {"Exif.tag_59998": "1, 2"}


@given(st.binary(max_size=300))
def test_any_block_gives_fields(block: bytes) -> None:
    import warnings as python_warnings

    warnings: list[str] = []
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")
        found = described(read_exif(b"II*\x00\x08\x00\x00\x00" + block, warnings), warnings)
    assert None not in found.values()


def test_padded_legacy_png_block() -> None:
    block = b"Exif\x00\x00" + exif_block({Base.Make: "Cam"}).tobytes().removeprefix(b"Exif\x00\x00")
    picture = Image.new("L", (1, 1))
    picture.info["Raw profile type exif"] = f"\nexif\n{len(block):8}\n{block.hex()}\n\x01$padding"
    warnings: list[str] = []
    assert read_exif(picture, warnings).main[Base.Make] == "Cam"
    assert warnings == []


def test_a_tiff_in_the_hands_of_pillow_keeps_its_position() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 3)).save(file, "TIFF", exif=exif_block({Base.Make: "Cam"}))
    with Image.open(file) as image:
        place = image.fp.tell() if image.fp else -1
        assert read_exif(image, []).main[Base.Make] == "Cam"
        assert image.fp is not None
        assert image.fp.tell() == place
        image.load()


def test_damage_is_one_warning() -> None:
    warnings: list[str] = []
    assert read_exif(b"nothing of the kind", warnings) == ExifData()
    assert warnings == ["The EXIF block is damaged and was ignored."]
    assert read_exif(b"", warnings) == ExifData()
    assert len(warnings) == 1


def test_a_png_profile_that_is_no_hexadecimal_is_a_warning() -> None:
    picture = Image.new("L", (1, 1))
    picture.info["Raw profile type exif"] = "\nexif\n 12\nnothing"
    warnings: list[str] = []
    assert read_exif(picture, warnings) == ExifData()
    assert len(warnings) == 1


def test_texts_of_windows_are_fallbacks() -> None:
    def xp(text: str) -> bytes:
        return (text + "\0").encode("utf-16-le")

    main = {Base.XPTitle: xp("T"), Base.XPComment: xp("C"), Base.XPAuthor: xp("A"), Base.XPKeywords: xp("x;y; x ")}
    found, _ = describe(main=main)
    assert (found["title"], found["description"], found["creator"], found["keywords"]) == ("T", "C", "A", ("x", "y"))
    found, _ = describe(main=main | {Base.ImageDescription: "D", Base.Artist: "Ann"})
    assert (found["description"], found["creator"]) == ("D", "Ann")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("Ann\0Bob", "Ann"), (" \0Bob", "Bob"), ("\0", None)],
)
def test_copyright_of_photographer_else_editor(value: str, wanted: str | None) -> None:
    assert describe(main={Base.Copyright: value})[0].get("copyright") == wanted


@pytest.mark.parametrize(
    ("main", "wanted"),
    [
        ({Base.Rating: 4}, 4),
        ({Base.Rating: 0, Base.RatingPercent: 75}, 4),
        ({Base.Rating: 0}, None),
        ({Base.RatingPercent: 99}, 5),
        ({Base.Rating: 77}, None),
    ],
)
def test_ratings(main: dict[int, Any], wanted: int | None) -> None:
    assert describe(main=main)[0].get("rating") == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"ASCII\0\0\0hello\0", "hello"),
        (b"UNICODE\0" + "héllo".encode("utf-16-be"), "héllo"),
        (b"UNICODE\0" + "hello".encode("utf-16-le"), "hello"),
        (b"JIS\0\0\0\0\0" + "写真".encode("iso2022_jp"), "写真"),
        (b"\0" * 8 + b"plain", "plain"),
        ("text", "text"),
        (b"\xff\xfe\x00junk....", None),
    ],
)
def test_user_comments_name_their_encoding(value: object, wanted: str | None) -> None:
    assert comment_text(value) == wanted


def apple_note(order: str = ">") -> bytes:
    """A maker note with the content identifier behind its directory."""
    uuid = b"570F1469-09C7-4E50-9875-05F21D5BD166\0"
    head = b"Apple iOS\0\0\x01" + (b"MM" if order == ">" else b"II")
    entry = struct.pack(f"{order}HHII", 0x11, 2, len(uuid), 14 + 2 + 12 + 4)
    return head + struct.pack(f"{order}H", 1) + entry + bytes(4) + uuid


@pytest.mark.parametrize("order", ["<", ">"])
def test_content_identifier_of_live_photos(order: str) -> None:
    found, notes = describe(exif={Base.MakerNote: apple_note(order)})
    assert found["live_photo_id"] == "570F1469-09C7-4E50-9875-05F21D5BD166"
    assert notes == []


@pytest.mark.parametrize("note", [b"", b"Apple iOS\0\0\x01", b"Nikon\0" + bytes(50), apple_note()[:30], "text"])
def test_other_maker_notes_have_no_identifier(note: object) -> None:
    assert "live_photo_id" not in describe(exif={Base.MakerNote: note})[0]


def test_offset_behind_the_date_itself() -> None:
    found, _ = describe(exif={Base.DateTimeOriginal: "2024:05:01 10:00:00+02:00"})
    assert (found["captured_at_local"], found["utc_offset_minutes"]) == (datetime(2024, 5, 1, 10), 120)


def test_position_of_zeros_is_not_known() -> None:
    zero = (0.0, 0.0, 0.0)
    found, notes = describe(
        gps={Gps.GPSLatitude: zero, Gps.GPSLatitudeRef: "N", Gps.GPSLongitude: zero, Gps.GPSLongitudeRef: "E"}
    )
    assert "latitude_deg" not in found
    assert "0, 0" in notes[0]


def test_gps_time_alone_is_a_capture_time_in_utc() -> None:
    found, _ = describe(gps={Gps.GPSDateStamp: "2024:05:01", Gps.GPSTimeStamp: (13, 30, 5)})
    assert (found["captured_at_source"], found["utc_offset_minutes"]) == ("gps", 0)
    assert found["captured_at"] == found["gps_at"] == datetime(2024, 5, 1, 13, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wanted"), [("28/10", 2.8), ("1/0", None), ("1/1/1", None), ("0x10", None), ((3, 4), 3.0), (b"\7", 7.0)]
)
def test_numbers(value: object, wanted: float | None) -> None:
    assert number_of(value) == wanted


def test_one_bad_number_spoils_an_angle() -> None:
    assert numbers_of((1.0, IFDRational(0, 0), 2.0)) == []
    assert numbers_of("48, 51, 30.2") == [48.0, 51.0, 30.2]
