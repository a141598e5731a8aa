# ruff: noqa: DTZ001  # wall times have no zone
"""XMP packets: syntax of RDF, properties with a column, hostile XML."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.media.xmp import xmp_claims
from media_assets.media.xmp_packet import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_PACKET_BYTES,
    PacketError,
    is_packet,
    parse_packet,
)

NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "exifEX": "http://cipa.jp/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "ms": "http://ns.microsoft.com/photo/1.0/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "mine": "https://example.org/ns/mine/2.0/",
}


def packet(attributes: str = "", elements: str = "") -> bytes:
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {spaces} {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()


def fields_of(attributes: str = "", elements: str = "") -> dict[str, Any]:
    notes: list[str] = []
    claims = xmp_claims(packet(attributes, elements), notes)
    assert claims is not None
    assert notes == []
    return dict(claims.fields)


def bag(name: str, *words: str, kind: str = "Bag") -> str:
    return f"<{name}><rdf:{kind}>{''.join(f'<rdf:li>{word}</rdf:li>' for word in words)}</rdf:{kind}></{name}>"


def test_forms_of_rdf_are_the_same_properties() -> None:
    as_attributes = parse_packet(packet('tiff:Make="Cam" crs:Contrast="+7"'))
    as_elements = parse_packet(packet("", "<tiff:Make> Cam </tiff:Make><crs:Contrast>+7</crs:Contrast>"))
    assert as_attributes.values == as_elements.values == {"tiff:Make": ("Cam",), "crs:Contrast": ("+7",)}


def test_structures_are_paths() -> None:
    nested = '<rdf:Description exif:Fired="True"><exif:Mode>1</exif:Mode></rdf:Description>'
    resource = '<Iptc4xmpCore:CreatorContactInfo rdf:parseType="Resource"><Iptc4xmpCore:CiAdrCity>Ulm</Iptc4xmpCore:CiAdrCity></Iptc4xmpCore:CreatorContactInfo>'  # noqa: E501
    short = '<mine:From mine:id="7"/><mine:Link rdf:resource="http://x.invalid/"/>'
    values = parse_packet(packet("", f"<exif:Flash>{nested}</exif:Flash>{resource}{short}")).values
    assert values == {
        "exif:Flash.Fired": ("True",),
        "exif:Flash.Mode": ("1",),
        "Iptc4xmpCore:CreatorContactInfo.CiAdrCity": ("Ulm",),
        "mine:From.id": ("7",),
        "mine:Link": ("http://x.invalid/",),
    }


def test_of_languages_the_default_counts_else_the_first() -> None:
    alternatives = '<rdf:li xml:lang="de">Hügel</rdf:li><rdf:li xml:lang="x-default">Hill</rdf:li>'
    assert (
        parse_packet(packet("", f"<dc:title><rdf:Alt>{alternatives}</rdf:Alt></dc:title>")).first("dc:title") == "Hill"
    )
    only = alternatives.replace("x-default", "en")
    assert parse_packet(packet("", f"<dc:title><rdf:Alt>{only}</rdf:Alt></dc:title>")).first("dc:title") == "Hügel"


def test_what_people_write() -> None:
    elements = (
        bag("dc:title", "A hill", kind="Alt")
        + bag("dc:description", "Far away", kind="Alt")
        + bag("dc:subject", "hill", "sky", "hill")
        + bag("dc:creator", "Ann", "Bob", kind="Seq")
        + bag("dc:rights", "CC BY", kind="Alt")
    )
    assert fields_of('xmp:Rating="4" xmp:CreatorTool="Editor 1"', elements) == {
        "title": "A hill",
        "description": "Far away",
        "keywords": ("hill", "sky"),
        "creator": "Ann; Bob",
        "copyright": "CC BY",
        "rating": 4,
        "software": "Editor 1",
    }


@pytest.mark.parametrize(
    ("attributes", "rating"),
    [
        ('xmp:Rating="-1"', -1),
        ('xmp:Rating="5.0"', 5),
        ('xmp:Rating="0"', None),
        ('xmp:Rating="9"', None),
        ('ms:Rating="50"', 3),
        ('xmp:Rating="2" ms:Rating="99"', 2),
        ('ms:Rating="0"', None),
    ],
)
def test_ratings(attributes: str, rating: int | None) -> None:
    assert fields_of(attributes).get("rating") == rating


@pytest.mark.parametrize(
    "elements",
    [
        bag("lr:hierarchicalSubject", "Places|Berlin", "Ann"),
        bag("digiKam:TagsList", "Places/Berlin", "Ann", kind="Seq"),
    ],
)
def test_hierarchical_keywords_are_a_fallback(elements: str) -> None:
    assert fields_of("", elements)["keywords"] == ("Berlin", "Ann")
    assert fields_of("", elements + bag("dc:subject", "flat"))["keywords"] == ("flat",)


def test_camera_settings_and_position() -> None:
    fields = fields_of(
        'tiff:Make="Cam" tiff:Model="One" aux:Lens="Old 35" exif:FNumber="28/10" exif:ExposureTime="1/250" '
        'exif:FocalLength="35" exif:MeteringMode="5" exif:GPSLatitude="33,51.5S" exif:GPSLongitude="151,12,36E" '
        'exif:GPSAltitude="125/10" exif:GPSAltitudeRef="1" exif:GPSTimeStamp="2024-05-01T13:30:05Z"',
        bag("exif:ISOSpeedRatings", "400", kind="Seq") + '<exif:Flash exif:Fired="True"/>',
    )
    assert fields.pop("latitude_deg") == pytest.approx(-33.858333333)
    assert fields.pop("longitude_deg") == pytest.approx(151.21)
    assert fields == {
        "camera_make": "Cam",
        "camera_model": "One",
        "lens_model": "Old 35",
        "f_number": 2.8,
        "exposure_time_s": 0.004,
        "focal_length_mm": 35.0,
        "metering_mode": "pattern",
        "iso": 400,
        "flash_fired": True,
        "altitude_m": -12.5,
        "gps_at": datetime(2024, 5, 1, 13, 30, 5, tzinfo=UTC),
    }


@pytest.mark.parametrize("attributes", ['exif:GPSLatitude="95,0N" exif:GPSLongitude="1,0E"', 'exif:GPSLatitude="1,0N"'])
def test_half_or_impossible_positions_are_a_note(attributes: str) -> None:
    notes: list[str] = []
    claims = xmp_claims(packet(attributes), notes)
    assert claims is not None
    assert "latitude_deg" not in claims.fields
    assert len(notes) == 1


def test_times_in_order_with_their_source() -> None:
    claims = xmp_claims(
        packet(
            'xmp:CreateDate="2024-05-02T08:00" photoshop:DateCreated="2024-05-01T10:00:00.25+02:00" '
            'exif:DateTimeOriginal="2024:05:01 10:00:00"'
        ),
        [],
        source="sidecar_xmp",
    )
    assert claims is not None
    assert [(time.source, time.local, time.utc_offset_minutes) for time in claims.times] == [
        ("sidecar_xmp:exif:DateTimeOriginal", datetime(2024, 5, 1, 10), None),
        ("sidecar_xmp:photoshop:DateCreated", datetime(2024, 5, 1, 10, 0, 0, 250_000), 120),
        ("sidecar_xmp:xmp:CreateDate", datetime(2024, 5, 2, 8), None),
    ]


def test_a_date_alone_is_no_time_and_nonsense_is_a_note() -> None:
    notes: list[str] = []
    claims = xmp_claims(packet('photoshop:DateCreated="2024-05-01" xmp:CreateDate="some day in the spring"'), notes)
    assert claims is not None
    assert claims.times == ()
    assert len(notes) == 1


@pytest.mark.parametrize("name", ["MotionPhoto", "MicroVideo"])
@pytest.mark.parametrize("form", ['GCamera:{}="{}"', "<GCamera:{}>{}</GCamera:{}>"])
def test_motion_photos(name: str, form: str) -> None:
    def found(value: int) -> dict[str, Any]:
        text = form.format(name, value, name)
        return fields_of("", text) if text.startswith("<") else fields_of(text)

    assert found(1) == {"is_motion_photo": True}
    assert found(0) == {}


def test_the_rest_becomes_tags() -> None:
    image = "<xmp:Thumb>" + "A" * 900 + "</xmp:Thumb>"
    claims = xmp_claims(packet('crs:Contrast="+7" mine:Mood="good" photoshop:City="Ulm"', image), [])
    assert claims is not None
    assert claims.tags == {"XMP-crs.Contrast": "+7", "XMP-mine.Mood": "good", "XMP-photoshop.City": "Ulm"}


def test_utf16_and_padding() -> None:
    text = packet('tiff:Make="Käm"').decode().replace("\ufeff", "")
    for data in (text.encode("utf-16"), text.encode() + b"\0\0 \n", b"\n " + text.encode()):
        assert parse_packet(data).first("tiff:Make") == "Käm"
        assert is_packet(data)
    assert not is_packet(b'{"title": "x"}')
    assert not is_packet(b"<html></html>")


def test_what_stands_before_the_damage_is_read() -> None:
    data = packet("", "<tiff:Make>Cam</tiff:Make><tiff:Model>One</tiff:Model>")
    notes: list[str] = []
    claims = xmp_claims(data[: data.index(b"One")], notes)
    assert claims is not None
    assert claims.fields == {"camera_make": "Cam"}
    assert "damaged" in notes[0]


_LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
_OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not xml",
        _LAUGHS + packet('tiff:Make="&b;"'),
        _OUTSIDE + packet('tiff:Make="&a;"'),
        b"<a>" * (MAX_DEPTH + 1),
        packet("", "<mine:a/>" * (MAX_ELEMENTS + 1)),
        packet() + b" " * MAX_PACKET_BYTES + b">",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
    ],
    ids=["empty", "text", "laughs", "outside", "deep", "many", "large", "encoding"],
)
def test_hostile_packets_are_an_error_and_a_note(data: bytes) -> None:
    with pytest.raises(PacketError):
        parse_packet(data)
    notes: list[str] = []
    assert xmp_claims(data, notes) is None
    assert len(notes) == 1


@given(st.binary(max_size=200), st.integers(0, 1500))
def test_any_bytes_are_claims_or_a_note(junk: bytes, place: int) -> None:
    whole = packet('tiff:Make="Cam" xmp:Rating="3"', bag("dc:subject", "a"))
    notes: list[str] = []
    claims = xmp_claims(whole[:place] + junk + whole[place:], notes)
    assert claims is not None or len(notes) == 1
