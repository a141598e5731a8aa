"""The walk that names whatever a copy says besides its picture."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from media_assets.demo.camera_exif import Camera, Place, Shot, exif_bytes
from media_assets.media.foreign_tags import foreign_tags


def picture(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 255, (48, 64, 4), np.uint8)
    return Image.fromarray(pixels, "RGBA").convert(mode)


def encoded(tmp_path: Path, name: str, image: Image.Image | None = None, **options: Any) -> Path:
    path = tmp_path / name
    (image or picture()).save(path, **options)
    return path


@pytest.fixture
def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def exif() -> bytes:
    from datetime import datetime

    camera = Camera("Canon", "Canon EOS R6", "RF24-105mm F4 L IS USM", "Firmware Version 1.8.2")
    taken = datetime(2024, 5, 18, 10, 12)  # noqa: DTZ001 - wall time
    shot = Shot(
        camera, taken, exposure_time_s=1 / 250, f_number=8.0, iso=100, focal_length_mm=35.0, focal_length_35mm_mm=35,
        place=Place(39.99926, 116.27551, 49.5),
    )  # fmt: skip
    return exif_bytes(shot, artist="somebody")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 92, "subsampling": 0}])
def test_a_picture_with_its_profile_is_clean(tmp_path: Path, profile: bytes, options: dict[str, Any]) -> None:
    assert foreign_tags(encoded(tmp_path, "a.jpg", icc_profile=profile, **options)) == ()
    assert foreign_tags(encoded(tmp_path, "a.png", picture("RGBA"), icc_profile=profile)) == ()
    assert foreign_tags(encoded(tmp_path, "gray.jpg", picture("L"))) == ()


def test_exif_xmp_comments_and_makers_segments_are_named(tmp_path: Path, exif: bytes) -> None:
    path = encoded(tmp_path, "a.jpg", exif=exif, comment=b"at home", xmp=b"<x:xmpmeta/>")
    assert sorted(foreign_tags(path)) == ["jpeg:APP1 Exif", "jpeg:APP1 http://ns.adobe.com/xap/", "jpeg:COM"]
    assert "png:eXIf" in foreign_tags(encoded(tmp_path, "a.png", exif=exif))
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "somebody")
    assert foreign_tags(encoded(tmp_path, "b.png", pnginfo=info)) == ("png:tEXt",)


def test_a_picture_behind_the_picture_is_named(tmp_path: Path) -> None:
    clean = encoded(tmp_path, "a.jpg").read_bytes()
    path = tmp_path / "b.jpg"
    path.write_bytes(clean + clean)
    assert foreign_tags(path) == ("jpeg:bytes behind the end",)
    png = encoded(tmp_path, "a.png").read_bytes()
    path.write_bytes(png + b"more")
    assert foreign_tags(path) == ("png:bytes behind the end",)


def test_a_thumbnail_of_the_uncovered_picture_is_named(tmp_path: Path) -> None:
    data = encoded(tmp_path, "a.jpg").read_bytes()
    at = data.index(b"JFIF\x00") - 2
    (length,) = struct.unpack_from(">H", data, at)
    body = data[at + 2 : at + length][:12] + b"\x01\x01" + b"\x00\x00\x00"
    path = tmp_path / "b.jpg"
    path.write_bytes(data[:at] + struct.pack(">H", len(body) + 2) + body + data[at + length :])
    assert foreign_tags(path) == ("jpeg:APP0 JFIF",)


def movie(tmp_path: Path, tags: dict[str, str], options: dict[str, str]) -> Path:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options=options) as container:
        container.metadata.update(tags)
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_image(picture())))
        container.mux(stream.encode(None))
    return path


def test_tags_times_and_places_of_a_movie_are_named(tmp_path: Path) -> None:
    assert foreign_tags(movie(tmp_path, {}, {"fflags": "+bitexact"})) == ()
    assert foreign_tags(movie(tmp_path, {}, {})) == ("mp4:udta",)  # the name of the library
    tags = {"creation_time": "2024-05-18T10:12:00Z", "location": "+39.9993+116.2755/", "title": "at home"}
    found = foreign_tags(movie(tmp_path, tags, {"fflags": "+bitexact"}))
    assert {"mp4:udta", "mp4:time in mvhd", "mp4:time in tkhd", "mp4:time in mdhd"} <= set(found)


def test_other_files_and_damaged_ones_are_never_clean(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (b"", b"hello", BytesIO().getvalue(), encoded(tmp_path, "a.jpg").read_bytes()[:-40]):
        path.write_bytes(data)
        assert foreign_tags(path) != ()
    path.write_bytes(b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00" + b"\x00\x00\xff\xffmoov")
    assert foreign_tags(path) == ("mp4:structure",)
