import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from media_assets.media.decode import DecodedPicture, decode_picture
from media_assets.media.embedded import MAX_BLOCK_BYTES, photoshop_resources, read_embedded
from media_assets.media.limits import Limits
from media_assets.media.sniff import sniff_file
from media_assets_tests.pictures import TIFF_UNDEFINED, long, tiff
from media_assets_tests.unit.media.samples import encoded, exif_block, quadrants, write_video

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><!-- packet --></x:xmpmeta>'
IPTC = b"\x1c\x02\x05\x00\x05Title\x1c\x02\x74\x00\x02me"


def decode(tmp_path: Path, data: bytes) -> DecodedPicture:
    path = tmp_path / "spool"
    path.write_bytes(data)
    with path.open("rb") as file:
        sniffed = sniff_file(file)
    return decode_picture(path, sniffed, Limits(), longest_px=None)


def resource(number: int, content: bytes, name: bytes = b"") -> bytes:
    padded = bytes([len(name)]) + name + (b"" if len(name) % 2 else b"\0")
    return (
        b"8BIM"
        + struct.pack(">H", number)
        + padded
        + struct.pack(">I", len(content))
        + content
        + b"\0" * (len(content) % 2)
    )


def with_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    added = b"".join(bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return jpeg[:2] + added + jpeg[2:]


def with_chunks(png: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    end = png.index(b"IEND") - 4
    made = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return png[:end] + made + png[end:]


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_xmp_of_every_format(tmp_path: Path, format_name: str) -> None:
    picture = quadrants()
    if format_name == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        data = encoded(picture, "PNG", pnginfo=text)
    elif format_name == "GIF":
        trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
        data = encoded(picture, "GIF")
        at = data.index(b"\x2c\0\0\0\0")
        data = data[:at] + b"\x21\xff\x0bXMP DataXMP" + XMP + trailer + data[at:]
    elif format_name == "TIFF":
        data = encoded(picture, "TIFF", tiffinfo={700: XMP})
    else:
        data = encoded(picture, format_name, xmp=XMP)
    assert decode(tmp_path, data).xmp == XMP


def test_iptc_and_comment_of_a_jpeg(tmp_path: Path) -> None:
    block = resource(0x03ED, b"resolution", b"odd") + resource(0x0404, IPTC)
    split = len(block) - 20  # the block goes on in a second segment
    data = with_segments(
        encoded(quadrants(), "JPEG"),
        (0xED, b"Photoshop 3.0\0" + block[:split]),
        (0xED, b"Photoshop 3.0\0" + block[split:]),
        (0xFE, b"first\0"),
        (0xFE, "zweite, grün".encode()),
    )
    decoded = decode(tmp_path, data)
    assert decoded.iptc == IPTC
    assert decoded.text == {"Comment": "first\nzweite, grün"}
    assert decoded.xmp is None


def test_damaged_photoshop_block_is_no_iptc() -> None:
    assert photoshop_resources(resource(0x0404, IPTC + b"\0")[:-4])[0x0404] == IPTC[:-3]
    assert photoshop_resources(b"8BIX" + bytes(20)) == {}
    with pytest.raises(IndexError):
        photoshop_resources(b"8BIM\x04")


def test_text_of_a_png(tmp_path: Path) -> None:
    iptc_resource = resource(0x0404, IPTC)
    profile = b"\niptc\n%8d\n%s\n" % (len(iptc_resource), iptc_resource.hex().encode())
    data = with_chunks(
        encoded(quadrants(), "PNG"),
        (b"tEXt", b"Title\0caf\xe9"),
        (b"zTXt", b"Author\0\0" + zlib.compress(b"me")),
        (b"iTXt", b"Comment\0\0\0de\0Kommentar\0" + "grün".encode()),
        (b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(profile)),
        (b"tEXt", b"Broken"),
    )
    decoded = decode(tmp_path, data)
    assert decoded.text == {"Title": "café", "Author": "me", "Comment": "grün"}
    assert decoded.iptc == IPTC


def test_inflated_text_is_bounded(tmp_path: Path) -> None:
    bomb = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(64 * MAX_BLOCK_BYTES))
    path = tmp_path / "bomb.png"
    path.write_bytes(with_chunks(encoded(quadrants(), "PNG"), (b"iTXt", bomb), (b"zTXt", b"T\0\0not deflate")))
    found = read_embedded(path, "png")
    assert found.xmp == bytes(MAX_BLOCK_BYTES)
    assert found.text == {}


def test_comment_of_a_gif(tmp_path: Path) -> None:
    decoded = decode(tmp_path, encoded(quadrants(), "GIF", comment=b"made by hand"))
    assert decoded.text == {"Comment": "made by hand"}


def test_iptc_of_a_tiff(tmp_path: Path) -> None:
    padded = IPTC + b"\0" * (-len(IPTC) % 4)
    for tags in (
        {33723: (TIFF_UNDEFINED, padded)},
        {33723: long(*struct.unpack(f"<{len(padded) // 4}I", padded))},
        {34377: (TIFF_UNDEFINED, resource(0x0404, padded))},
    ):
        path = tmp_path / "a.tif"
        path.write_bytes(tiff(dict(tags)))
        assert read_embedded(path, "tiff").iptc == padded


def psd(*resources: bytes, mode: int = 3, bits: int = 8, channels: int = 3) -> bytes:
    """A flat Photoshop document of the quadrants, uncompressed."""
    block = b"".join(resources)
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", channels, 64, 96, bits, mode)
    planes = b"".join(plane.tobytes() for plane in quadrants().split())
    return head + struct.pack(">II", 0, len(block)) + block + struct.pack(">I", 0) + b"\0\0" + planes


def test_resources_of_a_psd(tmp_path: Path) -> None:
    exif = exif_block({0x010F: "Cam", 0x0112: 6}).tobytes().removeprefix(b"Exif\0\0")
    data = psd(resource(0x0404, IPTC), resource(0x0424, XMP), resource(0x0422, exif))
    decoded = decode(tmp_path, data)
    assert (decoded.iptc, decoded.xmp, decoded.exif.main[0x010F], decoded.bit_depth) == (IPTC, XMP, "Cam", 8)
    # Photoshop turns pixels itself: the tag is reported and not applied.
    assert (decoded.width_px, decoded.height_px, decoded.orientation) == (96, 64, 6)


def test_uuid_boxes_of_a_jp2(tmp_path: Path) -> None:
    data = encoded(quadrants(), "JPEG2000")
    uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    box = struct.pack(">I", 24 + len(XMP)) + b"uuid" + uuid + XMP
    at = data.index(b"jp2c") - 4
    decoded = decode(tmp_path, data[:at] + box + data[at:])
    assert decoded.xmp == XMP
    assert (decoded.width_px, decoded.bit_depth) == (96, 8)


def test_video_of_a_motion_photo_is_found(tmp_path: Path) -> None:
    jpeg = encoded(quadrants(), "JPEG")
    clip = write_video(tmp_path / "clip.mp4").read_bytes()
    second = encoded(Image.new("RGB", (8, 8)), "JPEG")
    assert not decode(tmp_path, jpeg).has_embedded_video
    assert not decode(tmp_path, jpeg + second + b"xxxxftypxxxx").has_embedded_video
    assert decode(tmp_path, jpeg + clip).has_embedded_video
    assert decode(tmp_path, jpeg + second + clip).has_embedded_video
    assert not decode(tmp_path, jpeg + clip).has_clip_mark
    samsung = decode(tmp_path, jpeg + b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data" + clip)
    assert (samsung.has_embedded_video, samsung.has_clip_mark) == (True, True)
    heic = encoded(quadrants(), "HEIF")
    assert not decode(tmp_path, heic).has_embedded_video
    assert decode(tmp_path, heic + struct.pack(">I", 8 + len(clip)) + b"mpvd" + clip).has_embedded_video


@pytest.mark.parametrize("format_name", ["jpeg", "png", "gif", "webp", "tiff", "psd", "jp2"])
def test_files_that_end_early_give_what_there_is(tmp_path: Path, format_name: str) -> None:
    whole = {
        "jpeg": with_segments(encoded(quadrants(), "JPEG"), (0xFE, b"comment")),
        "png": with_chunks(encoded(quadrants(), "PNG"), (b"tEXt", b"Title\0text")),
        "gif": encoded(quadrants(), "GIF", comment=b"comment"),
        "webp": encoded(quadrants(), "WEBP", xmp=XMP),
        "tiff": encoded(quadrants(), "TIFF", tiffinfo={700: XMP}),
        "psd": psd(resource(0x0404, IPTC)),
        "jp2": encoded(quadrants(), "JPEG2000"),
    }[format_name]
    path = tmp_path / "cut"
    for length in range(1, min(len(whole), 400)):
        path.write_bytes(whole[:length])
        found = read_embedded(path, format_name)
        assert set(found.text) <= {"Comment", "Title"}
    path.write_bytes(io.BytesIO(whole).getvalue())
    assert read_embedded(path, "bmp").xmp is None
