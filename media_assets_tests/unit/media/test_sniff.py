import io
from pathlib import Path

import pytest
from PIL import Image

from media_assets.media.sniff import sniff
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
        (b"FLV\x01\x05", "flv"),
        (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9", "asf"),
        (b"\x00" * 64, "zeros"),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x00crx isom", "cr3"),
        (b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A isom", "m4a"),
        (b"II*\x00\x08\x00\x00\x00\x01\x00\x12\xc6\x01\x00\x04\x00\x00\x00\x01\x04\x00\x00", "dng"),
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
    ],
)
def test_reads_brands(brands: bytes, name: str) -> None:
    assert sniff((8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands).format == name
