import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from media_assets.media.decode import DecodedPicture, decode_picture
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.limits import Limits
from media_assets.media.sniff import sniff_file
from media_assets_tests.pictures import ascii_text, dng, short, tiff
from media_assets_tests.unit.media.samples import encoded, exif_block, noisy, quadrants

ORIENTATIONS = range(1, 9)
# Where the red half of the sensor, its left one, is in the upright picture.
RED_SIDE = {1: "left", 2: "right", 3: "right", 4: "left", 5: "top", 6: "top", 7: "bottom", 8: "bottom"}


def decode(
    tmp_path: Path, data: bytes, *, limits: Limits | None = None, longest_px: int | None = None
) -> DecodedPicture:
    path = tmp_path / "spool"
    path.write_bytes(data)
    with path.open("rb") as file:
        sniffed = sniff_file(file)
    return decode_picture(path, sniffed, limits or Limits(), longest_px=longest_px)


def red_side(picture: Image.Image) -> str:
    width, height = picture.size
    spots = {
        "left": (width // 8, height // 2),
        "right": (width * 7 // 8, height // 2),
        "top": (width // 2, height // 8),
        "bottom": (width // 2, height * 7 // 8),
    }
    redness = {}
    for side, spot in spots.items():
        pixel: Any = picture.getpixel(spot)
        redness[side] = pixel[0] - pixel[2]
    assert min(redness.values()) < -40
    return max(redness, key=lambda side: redness[side])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_development_is_upright(tmp_path: Path, orientation: int) -> None:
    decoded = decode(tmp_path, dng((160, 120), orientation=orientation))
    size = (160, 120) if orientation < 5 else (120, 160)
    assert (decoded.width_px, decoded.height_px) == decoded.picture.size == size
    assert (decoded.orientation, decoded.bit_depth) == (orientation, 16)
    assert red_side(decoded.picture) == RED_SIDE[orientation]
    assert decoded.exif.main[ExifTags.Base.Make] == "TestCam"
    assert decoded.warnings == ()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_preview_is_preferred_and_upright(tmp_path: Path, orientation: int) -> None:
    shown = Image.new("RGB", (160, 120), (0, 0, 250))
    shown.paste((250, 0, 0), (0, 0, 80, 120))
    shown.paste((0, 250, 0), (0, 0, 16, 16))
    data = dng((160, 120), orientation=orientation, preview=encoded(shown, "JPEG", quality=95), preview_size=(160, 120))
    decoded = decode(tmp_path, data)
    assert decoded.picture.size == ((160, 120) if orientation < 5 else (120, 160))
    assert red_side(decoded.picture) == RED_SIDE[orientation]
    extrema: Any = decoded.picture.getextrema()
    assert extrema[1][1] > 150  # the green dot: the sensor saw none


def test_preview_that_is_turned_already_is_left_alone(tmp_path: Path) -> None:
    shown = Image.new("RGB", (120, 160), (0, 0, 250))
    shown.paste((250, 0, 0), (0, 0, 120, 80))
    data = dng((160, 120), orientation=6, preview=encoded(shown, "JPEG"), preview_size=(120, 160))
    decoded = decode(tmp_path, data)
    assert decoded.picture.size == (120, 160)
    assert red_side(decoded.picture) == "top"


@pytest.mark.parametrize(
    ("preview_size", "longest_px", "is_preview"),
    [((160, 120), None, True), ((80, 60), None, False), ((80, 60), 80, True), ((160, 90), None, False)],
)
def test_small_or_cropped_preview_is_not_enough(
    tmp_path: Path, preview_size: tuple[int, int], longest_px: int | None, is_preview: bool
) -> None:
    green = encoded(Image.new("RGB", preview_size, (0, 250, 0)), "JPEG")
    decoded = decode(tmp_path, dng((160, 120), preview=green, preview_size=preview_size), longest_px=longest_px)
    pixel: Any = decoded.picture.getpixel((10, 10))
    assert (pixel[1] > 200) is is_preview
    assert max(decoded.picture.size) == (longest_px or 160)
    assert (decoded.width_px, decoded.height_px) == (160, 120)


@pytest.mark.parametrize("with_preview", [True, False])
def test_cut_sensor_data_is_found(tmp_path: Path, with_preview: bool) -> None:
    preview = encoded(quadrants(160, 120), "JPEG") if with_preview else None
    data = dng((160, 120), preview=preview, preview_size=(160, 120))
    # The directories lie behind the data in these files: keep them readable, and let the strip end beyond the file.
    at = data.index(struct.pack("<HHI", 279, 4, 1) + struct.pack("<I", 160 * 120 * 2)) + 8
    cut = data[:at] + struct.pack("<I", len(data)) + data[at + 4 :]
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, cut)
    assert caught.value.reason is ReasonCode.TRUNCATED
    with pytest.raises(ContentError):
        decode(tmp_path, data[: len(data) // 2])


def test_unknown_compression_shows_the_preview_and_says_so(tmp_path: Path) -> None:
    preview = encoded(quadrants(160, 120), "JPEG")
    decoded = decode(tmp_path, dng((320, 240), preview=preview, preview_size=(160, 120), compression=52546))
    assert decoded.picture.size == (160, 120)
    assert "LibRaw does not know" in decoded.warnings[0]
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, dng((320, 240), compression=52546))
    assert caught.value.reason in {ReasonCode.UNSUPPORTED_TYPE, ReasonCode.CORRUPT}


def test_too_many_pixels_are_refused_before_unpacking(tmp_path: Path) -> None:
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, dng((160, 120)), limits=Limits(max_pixels=160 * 120 - 1))
    assert caught.value.reason is ReasonCode.TOO_MANY_PIXELS


def box(kind: bytes, *contents: bytes) -> bytes:
    body = b"".join(contents)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def cr3(preview: bytes, *, cut: int = 0) -> bytes:
    """Canon's boxes around three blocks of tags and a preview, without sensor data."""
    main = tiff({271: ascii_text("Canon"), 274: short(6)})
    exif = tiff({0x8827: short(400)})
    gps = tiff({1: ascii_text("N")})
    metadata = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    previews = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")
    canon = box(b"uuid", metadata, box(b"CMT1", main), box(b"CMT2", exif), box(b"CMT4", gps))
    shown = box(b"PRVW", bytes(8), bytes(4), struct.pack(">I", len(preview)), preview)
    file = box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", canon) + box(b"uuid", previews, bytes(8), shown)
    return file + box(b"mdat", bytes(64))[: 72 - cut]


def test_cr3_that_libraw_does_not_know_has_tags_and_preview(tmp_path: Path) -> None:
    decoded = decode(tmp_path, cr3(encoded(quadrants(96, 64), "JPEG")))
    assert (decoded.width_px, decoded.height_px) == decoded.picture.size == (64, 96)
    assert decoded.exif.main[ExifTags.Base.Make] == "Canon"
    assert decoded.exif.exif[ExifTags.Base.ISOSpeedRatings] == 400
    assert decoded.exif.gps[ExifTags.GPS.GPSLatitudeRef] == "N"
    assert decoded.orientation == 6


def test_cut_cr3_is_truncated(tmp_path: Path) -> None:
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, cr3(encoded(quadrants(96, 64), "JPEG"), cut=1))
    assert caught.value.reason is ReasonCode.TRUNCATED


def raf(preview: bytes, data_length: int) -> bytes:
    head = b"FUJIFILMCCD-RAW 0201FF000001X-Test".ljust(84, b"\0")
    return head + struct.pack(">6I", 108, len(preview), 0, 0, 108 + len(preview), data_length) + preview + bytes(64)


def test_raf_has_the_tags_of_its_preview(tmp_path: Path) -> None:
    preview = encoded(quadrants(), "JPEG", exif=exif_block({ExifTags.Base.Make: "FUJIFILM"}))
    decoded = decode(tmp_path, raf(preview, 64))
    assert decoded.exif.main[ExifTags.Base.Make] == "FUJIFILM"
    assert decoded.picture.size == (96, 64)
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, raf(preview, 65))
    assert caught.value.reason is ReasonCode.TRUNCATED


@pytest.mark.parametrize("cut", range(0, 1500, 97))
def test_damaged_raw_ends_in_a_content_error_or_a_picture(tmp_path: Path, cut: int) -> None:
    data = bytearray(dng((64, 48), preview=encoded(noisy(64, 48), "JPEG"), preview_size=(64, 48)))
    data[len(data) - 1 - cut] ^= 0xFF
    try:
        decoded = decode(tmp_path, bytes(data), limits=Limits(max_pixels=10**6))
    except ContentError as error:
        assert error.message.endswith(".")
    else:
        assert decoded.width_px * decoded.height_px <= 10**6
