import io
import struct
from pathlib import Path

import pytest
from PIL import Image

from media_assets.media.signatures import TIFF
from media_assets.media.sniff import sniff, sniff_file
from media_assets_tests.pictures import ascii_text, dng, long, short, tiff
from media_assets_tests.unit.media.samples import encoded, quadrants, write_video


@pytest.mark.parametrize(
    ("pillow_name", "name", "mime", "extension"),
    [
        ("JPEG", "jpeg", "image/jpeg", "jpg"),
        ("PNG", "png", "image/png", "png"),
        ("GIF", "gif", "image/gif", "gif"),
        ("WEBP", "webp", "image/webp", "webp"),
        ("TIFF", "tiff", "image/tiff", "tif"),
        ("BMP", "bmp", "image/bmp", "bmp"),
        ("AVIF", "avif", "image/avif", "avif"),
        ("HEIF", "heic", "image/heic", "heic"),
    ],
)
def test_names_pictures_by_content(pillow_name: str, name: str, mime: str, extension: str) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    found = sniff(encoded(quadrants(), pillow_name)[:4096])
    assert (found.media_type, found.format, found.mime_type, found.extension) == ("image", name, mime, extension)


def test_names_apng() -> None:
    buffer = io.BytesIO()
    quadrants().save(buffer, "PNG", save_all=True, append_images=[Image.new("RGB", (96, 64))])
    assert sniff(buffer.getvalue()).format == "apng"


@pytest.mark.parametrize(
    ("container", "name"),
    [("mp4", "mp4"), ("mov", "mov"), ("3gp", "3gp"), ("matroska", "mkv"), ("avi", "avi")],
)
def test_names_videos_by_content(tmp_path: Path, container: str, name: str) -> None:
    found = sniff(write_video(tmp_path / "v", container=container).read_bytes()[:4096])
    assert (found.media_type, found.format) == ("video", name)


def test_names_webm(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v", container="webm", codec="libvpx")
    assert sniff(path.read_bytes()[:4096]).format == "webm"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "unknown"),
        (b"hello, world\n", "text"),
        ("grüße".encode(), "text"),
        (b"<!DOCTYPE html><html>", "html"),
        (b"\xef\xbb\xbf  <svg xmlns='x'>", "svg"),
        (b"<?xml version='1.0'?><svg/>", "svg"),
        (b"<?xml version='1.0'?><MPD/>", "xml"),
        (b'{"error": 404}', "json"),
        (b"#EXTM3U\nhttp://127.0.0.1/x", "playlist"),
        (b"ffconcat version 1.0\nfile x", "playlist"),
        (b"%PDF-1.7", "pdf"),
        (b"PK\x03\x04....", "zip"),
        (b"\x7fELF\x02", "elf"),
        (b"8BPS\x00\x02", "psb"),
        (b"v/1\x01", "exr"),
        (b"OggS" + bytes(24) + b"\x01vorbis", "ogg"),
        (b"G" * 4096, "text"),
        (b"\x00\x00\x01\x00\x08\x00\x00\x00" + bytes(40), "unknown"),
        (b"\x00" * 64, "zeros"),
        (b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A isom", "m4a"),
        (bytes(range(1, 200)), "unknown"),
    ],
)
def test_names_what_is_not_supported(head: bytes, name: str) -> None:
    found = sniff(head)
    assert (found.media_type, found.format) == (None, name)
    assert found.description


@pytest.mark.parametrize(
    ("brands", "name"),
    [
        (b"mif1\x00\x00\x00\x00heic", "heic"),
        (b"mif1\x00\x00\x00\x00avif", "avif"),
        (b"XAVC\x00\x00\x00\x00mp42", "mp4"),
        (b"qt  \x00\x00\x00\x00qt  ", "mov"),
        (b"M4V \x00\x00\x00\x00mp42", "mp4"),
        (b"3gp4\x00\x00\x00\x00isom", "3gp"),
        (b"3g2a\x00\x00\x00\x003g2a", "3gp"),
        (b"MSNV\x00\x00\x00\x00MSNVmp42isom", "mp4"),
        (b"NDAS\x00\x00\x00\x00isom", "mp4"),
        (b"f4v \x00\x00\x00\x00isommp42", "mp4"),
        (b"mjp2\x00\x00\x00\x00mjp2", "mp4"),
        (b"CAEP\x00\x00\x00\x00qt  ", "mov"),
        (b"heic\x00\x00\x00\x00zzzzmif1", "heic"),
        (b"hevc\x00\x00\x00\x00msf1hevciso8", "heic"),
        (b"msf1\x00\x00\x00\x00heicmif1iso8", "heic"),
        (b"avis\x00\x00\x00\x00msf1iso8mif1", "avif"),
        (b"zzzz\x00\x00\x00\x00mif1heic", "heic"),
        (b"zzzz\x00\x00\x00\x00mif1avif", "avif"),
        (b"zzzz\x00\x00\x00\x00isommif1", "mp4"),
        (b"crx \x00\x00\x00\x01crx isom", "cr3"),
    ],
)
def test_reads_brands(brands: bytes, name: str) -> None:
    assert sniff((8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands).format == name


@pytest.mark.parametrize(
    ("head", "media_type", "name", "extension"),
    [
        (b"FLV\x01\x05", "video", "flv", "flv"),
        (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\x00\xaa\x00b\xcel", "video", "asf", "wmv"),
        (b"\x00\x00\x01\xba\x44", "video", "mpeg", "mpg"),
        (b"\x00\x00\x01\xb3\x16", "video", "mpeg", "mpg"),
        ((b"\x47" + bytes(187)) * 10, "video", "mpegts", "ts"),
        ((b"\x47" + bytes(187)) * 3, "video", "mpegts", "ts"),
        ((bytes(4) + b"\x47" + bytes(187)) * 10, "video", "mpegts", "m2ts"),
        (b"OggS" + bytes(24) + b"\x80theora", "video", "ogg", "ogv"),
        (b"\xff\x0a\x38", "image", "jxl", "jxl"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image", "jxl", "jxl"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00\x00\x14ftypjp2 ", "image", "jp2", "jp2"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00\x00\x14ftypjpx ", "image", "jp2", "jpx"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00\x00\x14ftypmjp2", "video", "mp4", "mj2"),
        (b"\xff\x4f\xff\x51", "image", "jp2", "j2k"),
        (b"8BPS\x00\x01", "image", "psd", "psd"),
        (b"II+\x00\x08\x00\x00\x00", "image", "tiff", "tif"),
        (b"FUJIFILMCCD-RAW 0201", "image", "raf", "raf"),
        (b"IIRO\x08\x00\x00\x00", "image", "orf", "orf"),
        (b"MMOR\x00\x00\x00\x08", "image", "orf", "orf"),
        (b"IIU\x00\x18\x00\x00\x00", "image", "rw2", "rw2"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", "image", "cr2", "cr2"),
        (b"II\x1a\x00\x00\x00HEAPCCDR", "image", "crw", "crw"),
        (b"II*\x00\x10\x00\x00\x00IIII", "image", "iiq", "iiq"),
        (b"\x00MRM\x00\x00", "image", "mrw", "mrw"),
        (b"FOVb\x00\x00", "image", "x3f", "x3f"),
    ],
)
def test_names_by_signature(head: bytes, media_type: str, name: str, extension: str) -> None:
    found = sniff(head)
    assert (found.media_type, found.format, found.extension) == (media_type, name, extension)


def test_names_icons() -> None:
    assert sniff(encoded(quadrants(32, 32), "ICO")).format == "ico"


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("NIKON CORPORATION", "NIKON D80", "nef"),
        ("SONY", "ILCE-7M2", "arw"),
        ("SONY", "DSC-R1", "sr2"),
        ("PENTAX", "K-1", "pef"),
        ("RICOH IMAGING COMPANY, LTD.", "PENTAX K-70", "pef"),
        ("SAMSUNG", "NX1", "srw"),
        ("Hasselblad", "X1D", "3fr"),
        ("EASTMAN KODAK COMPANY", "DCS Pro", "dcr"),
        ("SEIKO EPSON CORP.", "R-D1", "erf"),
        ("Nobody", "X", "raw"),
    ],
)
def test_names_raw_files_by_their_maker(make: str, model: str, name: str) -> None:
    tags = {254: long(1), 271: ascii_text(make), 272: ascii_text(model)}
    found = sniff(tiff(tags, b"small picture", below=(({262: short(32803)}, b"sensor"),)))
    assert (found.media_type, found.format, found.is_raw) == ("image", name, True)


def test_tells_nrw_by_its_jpeg() -> None:
    tags = {254: long(1), 259: short(6), 271: ascii_text("NIKON")}
    assert sniff(tiff(tags, b"jpeg", below=(({262: short(32803)}, b"sensor"),))).format == "nrw"


def test_picture_tiff_of_a_camera_is_no_raw() -> None:
    assert sniff(tiff({254: long(0), 262: short(2), 271: ascii_text("NIKON CORPORATION")}, b"pixels")) is TIFF


def test_looks_for_a_directory_behind_the_head() -> None:
    data = dng((160, 120))
    assert struct.unpack("<I", data[4:8])[0] > 4096
    assert sniff(data) is TIFF
    assert sniff_file(io.BytesIO(data)).format == "dng"


def test_directory_that_loops_or_is_missing_is_a_tiff() -> None:
    for data in (b"II*\x00\xff\xff\xff\xff", b"II*\x00\x00\x00\x00\x00", b"MM\x00*", tiff({})):
        assert sniff_file(io.BytesIO(data)) is TIFF
