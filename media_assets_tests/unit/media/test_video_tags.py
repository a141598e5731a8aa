# ruff: noqa: DTZ001  # wall times have no zone
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from media_assets.media.avchd import read_recording
from media_assets.media.claims import Claims
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.quicktime import MovieTags, read_movie_tags
from media_assets.media.video_tags import container_claims, movie_claims
from media_assets_tests.unit.media.video_samples import (
    add_to_moov,
    box,
    decode,
    item,
    itunes_items,
    language_text,
    location,
    patched,
    quicktime_keys,
    user_text,
    write_clip,
)

APPLE = "com.apple.quicktime."


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A clip whose only tag is the encoder."""
    return write_clip(tmp_path_factory.mktemp("clip") / "v", "mp4", "mpeg4", frames=5).read_bytes()


@pytest.fixture
def claims_of(plain: bytes, tmp_path: Path) -> "Claimed":
    return Claimed(plain, tmp_path)


class Claimed:
    """Claims of the plain clip with boxes added to its ``moov``."""

    def __init__(self, plain: bytes, folder: Path) -> None:
        self._plain, self._folder = plain, folder

    def __call__(self, *boxes: bytes, notes: tuple[str, ...] = ()) -> Claims:
        decoded = decode(add_to_moov(self._plain, *boxes), "mp4", self._folder)
        assert decoded.warnings == notes
        (claims,) = decoded.claims
        assert claims.source == "quicktime"
        return claims


def test_apple_keys(claims_of: Claimed) -> None:
    claims = claims_of(
        quicktime_keys(
            {
                f"{APPLE}creationdate": "2024-05-01T10:00:00+0200",
                f"{APPLE}location.ISO6709": "+51.5334-000.1255-026.756/",
                f"{APPLE}make": "Apple",
                f"{APPLE}model": "iPhone 14 Pro",
                f"{APPLE}software": "16.4.1",
                f"{APPLE}content.identifier": "E905E6C6-C747-4805-942F-9904A0281F02",
                f"{APPLE}keywords": "lake, wind",
                f"{APPLE}rating.user": "4.000000",
                f"{APPLE}location.accuracy.horizontal": "35.000000",
            }
        )
    )
    assert claims.fields == {
        "camera_make": "Apple",
        "camera_model": "iPhone 14 Pro",
        "software": "16.4.1",
        "live_photo_id": "E905E6C6-C747-4805-942F-9904A0281F02",
        "keywords": ("lake", "wind"),
        "rating": 4,
        "latitude_deg": pytest.approx(51.5334),
        "longitude_deg": pytest.approx(-0.1255),
        "altitude_m": pytest.approx(-26.756),
    }
    (taken,) = claims.times
    assert (taken.local, taken.utc_offset_minutes) == (datetime(2024, 5, 1, 10), 120)
    assert (taken.utc, taken.source) == (datetime(2024, 5, 1, 8, tzinfo=UTC), "quicktime:creationdate")
    assert claims.tags[f"QuickTime.{APPLE}location.accuracy.horizontal"] == "35.000000"
    assert f"QuickTime.{APPLE}make" not in claims.tags


def test_user_data_of_cameras(claims_of: Claimed) -> None:
    claims = claims_of(
        box(
            b"udta",
            user_text(b"\xa9xyz", "+27.5916+086.5640+8848.0/"),
            user_text(b"\xa9mak", "Ricoh"),
            user_text(b"\xa9nam", "Caf\u00e9", language=0, encoding="mac_roman"),
            user_text(b"\xa9cmt", "Näher", encoding="utf-16"),
            user_text(b"\xa9day", "2019-02-12T15:27:12+08:00"),
            box(b"CNMN", b"Canon EOS 550D\0\0\0"),
            language_text(b"auth", b"Ada\0"),
            language_text(b"cprt", b"\xfe\xff" + "©".encode("utf-16-be")),
            box(b"kywd", bytes(4), b"\x15\xc7\x02", b"\x04one\0", b"\x04two\0"),
        )
    )
    fields = claims.fields
    assert (fields["camera_make"], fields["camera_model"]) == ("Ricoh", "Canon EOS 550D")
    assert (fields["title"], fields["description"]) == ("Café", "Näher")
    assert (fields["creator"], fields["copyright"], fields["keywords"]) == ("Ada", "©", ("one", "two"))
    assert (fields["latitude_deg"], fields["altitude_m"]) == (pytest.approx(27.5916), pytest.approx(8848))
    assert [(time.source, time.utc_offset_minutes) for time in claims.times] == [("quicktime:day", 480)]


def test_makers_with_version_and_language_before_the_name(claims_of: Claimed) -> None:
    canon = claims_of(box(b"udta", box(b"manu", b"\0\0\0\0\x15\xc7Canon\0"), box(b"modl", b"\0\0\0\0\x15\xc7SX280\0")))
    assert (canon.fields["camera_make"], canon.fields["camera_model"]) == ("Canon", "SX280")
    samsung = claims_of(box(b"udta", box(b"modl", b"GT-S8530\0")))
    assert samsung.fields["camera_model"] == "GT-S8530"


@pytest.mark.parametrize("name", [b"", b"Lake", b"\xfe\xff" + "See".encode("utf-16-be") + b"\0"])
@pytest.mark.parametrize("altitude", [0.0, 1401.875, -26.5])
def test_the_3gpp_location_keeps_its_altitude(claims_of: Claimed, name: bytes, altitude: float) -> None:
    """FFmpeg rounds it to four decimals and drops the altitude."""
    claims = claims_of(box(b"udta", location(40.68, -74.5, altitude, name)))
    position = [claims.fields[f] for f in ("latitude_deg", "longitude_deg", "altitude_m")]
    assert position == [pytest.approx(40.68, abs=1.6e-5), -74.5, altitude]


def test_positions_in_their_order(claims_of: Claimed) -> None:
    user, items = user_text(b"\xa9xyz", "+02.0+002.0/"), itunes_items(item(b"\xa9xyz", "+04.0+004.0/"))
    keys = quicktime_keys({f"{APPLE}location.ISO6709": "+01.0+001.0/"})
    everything = box(b"udta", items, location(3, 3, 3), user)
    assert claims_of(everything, keys).fields["latitude_deg"] == 1.0
    assert claims_of(everything).fields["latitude_deg"] == 2.0
    assert claims_of(box(b"udta", items, location(3, 3, 3))).fields["latitude_deg"] == 3.0
    assert claims_of(box(b"udta", items)).fields["latitude_deg"] == 4.0


def test_a_position_that_is_none(claims_of: Claimed) -> None:
    note = "The position of the video is not one and was ignored."
    for user_data in (user_text(b"\xa9xyz", "+95.0+010.0/"), user_text(b"\xa9xyz", "here"), location(-91, 0, 0)):
        claims = claims_of(box(b"udta", user_data), notes=(note,))
        assert "latitude_deg" not in claims.fields


def test_itunes_items(claims_of: Claimed) -> None:
    free = box(
        b"----",
        box(b"mean", bytes(4), b"com.apple.iTunes"),
        box(b"name", bytes(4), b"Mood"),
        box(b"data", struct.pack(">II", 1, 0), b"calm"),
    )
    track = box(b"tmpo", box(b"data", struct.pack(">II", 21, 0), struct.pack(">h", -3)))
    cover = box(b"covr", box(b"data", struct.pack(">II", 13, 0), b"\xff\xd8\xff"))
    claims = claims_of(box(b"udta", itunes_items(item(b"\xa9nam", "Sea"), item(b"cprt", "Me"), free, track, cover)))
    assert (claims.fields["title"], claims.fields["copyright"]) == ("Sea", "Me")
    assert claims.tags["QuickTime.ItemList.Mood"] == "calm"
    assert claims.tags["QuickTime.ItemList.tmpo"] == "-3"
    assert not any("covr" in name for name in claims.tags)


def test_sony_document(plain: bytes, tmp_path: Path) -> None:
    document = (
        b'<?xml version="1.0"?><NonRealTimeMeta><CreationDate value="2021-08-02T15:40:59+09:00"/>'
        b'<Device manufacturer="Sony" modelName="ILCE-7SM3" serialNo="1"/></NonRealTimeMeta>'
    )
    meta = box(b"meta", bytes(4), box(b"hdlr", bytes(8), b"nrtm", bytes(13)), box(b"xml ", bytes(4), document))
    (claims,) = decode(plain + meta, "mp4", tmp_path).claims
    assert (claims.fields["camera_make"], claims.fields["camera_model"]) == ("Sony", "ILCE-7SM3")
    assert [(time.source, time.utc_offset_minutes) for time in claims.times] == [("quicktime:sony_creation_date", 540)]
    assert claims.tags["QuickTime.Sony.serialNo"] == "1"


def test_gopro_model(claims_of: Claimed) -> None:
    telemetry = b"DEVC\0\x01\0\x20" + b"MINFc\x01\0\x0bHERO7 Black\0"
    claims = claims_of(box(b"udta", box(b"FIRM", b"HD7.01.01.90.00"), box(b"GPMF", telemetry)))
    assert (claims.fields["camera_model"], claims.fields["software"]) == ("HERO7 Black", "HD7.01.01.90.00")


@pytest.mark.parametrize("place", ["uuid", "udta"])
def test_xmp_is_handed_on(plain: bytes, tmp_path: Path, place: str) -> None:
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    if place == "uuid":
        data = plain + box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), packet)
    else:
        data = add_to_moov(plain, box(b"udta", box(b"XMP_", packet)))
    assert decode(data, "mp4", tmp_path).xmp == packet


def header_seconds(moment: datetime) -> int:
    return int((moment - datetime(1904, 1, 1, tzinfo=UTC)).total_seconds())


def test_header_times_are_utc(plain: bytes, tmp_path: Path) -> None:
    moment = datetime(2020, 10, 30, 12, 14, 50, tzinfo=UTC)
    data = patched(plain, b"mvhd", 4, header_seconds(moment).to_bytes(4, "big"))
    (taken,) = decode(data, "mp4", tmp_path).claims[0].times
    assert (taken.utc, taken.local, taken.utc_offset_minutes) == (moment, moment.replace(tzinfo=None), 0)
    assert taken.source == "quicktime:creation_time"


def test_the_track_header_stands_in_for_the_movie_header(plain: bytes, tmp_path: Path) -> None:
    moment = datetime(2020, 10, 30, tzinfo=UTC)
    data = patched(plain, b"tkhd", 4, header_seconds(moment).to_bytes(4, "big"))
    assert [time.utc for time in decode(data, "mp4", tmp_path).claims[0].times] == [moment]


def test_seconds_since_1970(plain: bytes, tmp_path: Path) -> None:
    moment = datetime(2020, 10, 30, tzinfo=UTC)
    data = patched(plain, b"mvhd", 4, int(moment.timestamp()).to_bytes(4, "big"))
    assert [time.utc for time in decode(data, "mp4", tmp_path).claims[0].times] == [moment]


@pytest.mark.parametrize("seconds", [1, 2**32 - 1, header_seconds(datetime(1970, 1, 1, tzinfo=UTC))])
def test_absurd_header_times_are_dropped(plain: bytes, tmp_path: Path, seconds: int) -> None:
    decoded = decode(patched(plain, b"mvhd", 4, seconds.to_bytes(4, "big")), "mp4", tmp_path)
    assert decoded.claims[0].times == ()
    assert decoded.warnings == ("The creation time of the video is not a time and was ignored.",)


def test_an_unknown_header_time_is_no_oddity(claims_of: Claimed) -> None:
    assert claims_of().times == ()


def test_creation_dates_in_their_order(claims_of: Claimed) -> None:
    key = quicktime_keys({f"{APPLE}creationdate": "2024-05-01T10:00:00"})
    claims = claims_of(key, box(b"udta", user_text(b"\xa9day", "2019"), box(b"date", b"2023-01-01T00:00:00Z")))
    assert [(time.source, time.utc_offset_minutes) for time in claims.times] == [
        ("quicktime:creationdate", None),
        ("quicktime:date", 0),
    ]
    assert claims.tags["QuickTime.©day"] == "2019"


def test_a_creation_date_that_is_none(claims_of: Claimed) -> None:
    note = "The creation date of the video is not a date and was ignored."
    claims = claims_of(quicktime_keys({f"{APPLE}creationdate": "2024-13-45T10:00:00Z"}), notes=(note,))
    assert claims.times == ()


def test_damaged_user_data_is_skipped(claims_of: Claimed) -> None:
    damaged = box(b"udta", user_text(b"\xa9mak", "Maker"), struct.pack(">I", 3) + b"xxxx" + bytes(8))
    claims = claims_of(damaged, notes=("A descriptive box of the video is damaged and was skipped.",))
    assert claims.fields["camera_make"] == "Maker"


def test_hostile_tag_boxes_are_bounded(plain: bytes, tmp_path: Path) -> None:
    many = b"".join(user_text(b"\xa9nam", "x") for _ in range(5000))
    long = user_text(b"\xa9cmt", "y" * 60_000)
    endless = struct.pack(">I", 2**31) + b"\xa9mak" + b"z" * 100
    path = tmp_path / "v"
    path.write_bytes(add_to_moov(plain, box(b"udta", long, many), box(b"udta", endless)))
    tags = read_movie_tags(path)
    assert len(tags.texts["©cmt"]) == 1000
    assert len(tags.texts) < 10


@pytest.mark.parametrize("table", [b"stts", b"stsc", b"stco", b"stsz"])
def test_tables_that_no_file_can_hold(plain: bytes, tmp_path: Path, table: bytes) -> None:
    at = 8 if table == b"stsz" else 4
    data = patched(plain, table, at, (2**32 - 1).to_bytes(4, "big"))
    if table == b"stsz":
        data = patched(data, table, 4, bytes(4))
    with pytest.raises(ContentError) as caught:
        decode(data, "mp4", tmp_path)
    assert caught.value.reason is ReasonCode.CORRUPT


TAGS = {"title": "Lake", "comment": "Windy", "artist": "Ada", "copyright": "Me"}


@pytest.mark.parametrize(
    ("container", "name", "encoder", "group"),
    [
        ("matroska", "mkv", "libx264", "matroska"),
        ("webm", "webm", "libvpx", "matroska"),
        ("avi", "avi", "mpeg4", "avi"),
        ("asf", "asf", "wmv2", "asf"),
        ("flv", "flv", "flv", "flv"),
        ("ogg", "ogg", "libvpx", "ogg"),
    ],
)
def test_tags_of_the_other_containers(tmp_path: Path, container: str, name: str, encoder: str, group: str) -> None:
    (claims,) = decode(write_clip(tmp_path / "v", container, encoder, tags=TAGS), name, tmp_path).claims
    assert claims.source == group
    wanted = {"title": "Lake", "description": "Windy", "creator": "Ada", "copyright": "Me"}
    assert {key: claims.fields[key] for key in wanted} == wanted
    assert claims.times == ()


def test_matroska_times_and_other_tags(tmp_path: Path) -> None:
    tags = {"creation_time": "2008-08-08T08:08:08Z", "DATE_RECORDED": "2008-08-07 10:00:00", "MOOD": "calm"}
    (claims,) = decode(write_clip(tmp_path / "v", "matroska", "libx264", tags=tags), "mkv", tmp_path).claims
    assert [(time.source, time.local, time.utc_offset_minutes) for time in claims.times] == [
        ("matroska:DATE_RECORDED", datetime(2008, 8, 7, 10), None),
        ("matroska:DateUTC", datetime(2008, 8, 8, 8, 8, 8), 0),
    ]
    assert claims.tags["Matroska.MOOD"] == "calm"


@pytest.mark.parametrize(
    ("demuxer", "tags", "source", "local", "offset"),
    [
        ("avi", {"creation_time": "2001-03-10 14:39:13"}, "avi:IDIT", datetime(2001, 3, 10, 14, 39, 13), None),
        (
            "flv",
            {"creationdate": "Tue May  3 10:01:35 2016"},
            "flv:creationdate",
            datetime(2016, 5, 3, 10, 1, 35),
            None,
        ),
        ("flv", {"creation_time": "2016-05-31 17:01:35"}, "flv:creation_time", datetime(2016, 5, 31, 17, 1, 35), 0),
        ("ogg", {"DATE": "2016-05-31T17:01:35+02:00"}, "ogg:DATE", datetime(2016, 5, 31, 17, 1, 35), 120),
        ("asf", {"WM/EncodingTime": "131000000000000000"}, "asf:WM/EncodingTime", datetime(2016, 2, 15, 8, 53, 20), 0),
    ],
)
def test_times_of_the_other_containers(
    demuxer: str, tags: dict[str, str], source: str, local: datetime, offset: int | None
) -> None:
    (taken,) = container_claims(demuxer, tags, []).times
    assert (taken.source, taken.local, taken.utc_offset_minutes) == (source, local, offset)
    assert (taken.utc is None) == (offset is None)


def test_bare_dates_are_no_times() -> None:
    assert container_claims("ogg", {"DATE": "2016-05-31"}, []).times == ()
    assert movie_claims(MovieTags(texts={"©day": "2016-05-31"})).times == ()


def test_asf_creation_date(tmp_path: Path) -> None:
    tags = {"creation_time": "2016-05-31T17:01:35Z"}
    (claims,) = decode(write_clip(tmp_path / "v", "asf", "wmv2", tags=tags), "asf", tmp_path).claims
    assert [(time.source, time.utc) for time in claims.times] == [
        ("asf:CreationDate", datetime(2016, 5, 31, 17, 1, 35, tzinfo=UTC))
    ]


def mdpm(zone: int) -> bytes:
    """An access unit with the message of a camcorder, escaped as H.264 has it."""
    date = bytes([0x18, zone, 0x20, 0x11, 0x07]) + bytes([0x19, 0x14, 0x15, 0x00, 0x00])
    maker = bytes([0xE0, 0x01, 0x08, 0x00, 0x00])
    body = bytes.fromhex("17ee8c60f84d11d98cd60800200c9a66") + b"MDPM\x03" + date + maker
    return b"\0\0\0\x01\x06\x05\x30" + body.replace(b"\0\0", b"\0\0\3")


@pytest.mark.parametrize(("zone", "offset"), [(0x12, 540), (0x2A | 0x01, -330), (0x00, None), (0x42, None)])
def test_recording_date_of_camcorders(zone: int, offset: int | None) -> None:
    recording = read_recording(mdpm(zone))
    assert recording is not None
    assert recording.taken is not None
    assert (recording.taken.local, recording.taken.utc_offset_minutes) == (datetime(2011, 7, 14, 15), offset)
    assert recording.camera_make == "Sony"


def test_recording_messages_that_are_none() -> None:
    assert read_recording(b"\0\0\0\x01\x65" + bytes(100)) is None
    damaged = read_recording(mdpm(0x12)[:36])
    assert damaged is not None
    assert damaged.taken is None


def test_times_are_whole_instants() -> None:
    tags = MovieTags(created=datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=5))
    (taken,) = movie_claims(tags).times
    assert taken.utc == datetime(2020, 1, 1, 0, 0, 5, tzinfo=UTC)
