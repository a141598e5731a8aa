from pathlib import Path

import numpy as np
import pylibjxl
import pytest
from PIL import ExifTags, Image, ImageCms

from media_assets.media.decode import DecodedPicture, decode_picture
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.limits import Limits
from media_assets.media.sniff import sniff
from media_assets_tests.unit.media.samples import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    corner_colors,
    exif_block,
    is_close,
    noisy,
    quadrants,
)

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def decode(
    tmp_path: Path, data: bytes, *, limits: Limits | None = None, longest_px: int | None = None
) -> DecodedPicture:
    path = tmp_path / "spool"
    path.write_bytes(data)
    return decode_picture(path, sniff(data), limits or Limits(), longest_px=longest_px)


def encoded_jxl(picture: Image.Image, **blocks: bytes) -> bytes:
    return bytes(pylibjxl.encode(np.asarray(picture), effort=3, **blocks))


@pytest.mark.parametrize("longest_px", [None, 48])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_decodes(tmp_path: Path, mode: str, longest_px: int | None) -> None:
    decoded = decode(tmp_path, encoded_jxl(quadrants().convert(mode)), longest_px=longest_px)
    assert (decoded.width_px, decoded.height_px) == (96, 64)
    assert decoded.picture.size == ((96, 64) if longest_px is None else (48, 32))
    assert (decoded.picture.mode, decoded.has_alpha) == (mode, mode == "RGBA")
    assert (decoded.is_animated, decoded.bit_depth, decoded.has_icc_profile) == (False, 8, False)
    if mode != "L":
        assert is_close(corner_colors(decoded.picture), [RED, GREEN, BLUE, WHITE])


def test_boxes_of_the_container_are_read(tmp_path: Path) -> None:
    exif = exif_block({ExifTags.Base.Make: "Cam", ExifTags.Base.Orientation: 6}).tobytes().removeprefix(b"Exif\0\0")
    data = encoded_jxl(quadrants(), exif=bytes(4) + exif, xmp=XMP)
    assert b"brob" in data  # libjxl compresses both
    decoded = decode(tmp_path, data)
    assert decoded.exif.main[ExifTags.Base.Make] == "Cam"
    assert decoded.xmp == XMP
    # The tag is reported, and the pixels are not turned by it.
    assert (decoded.orientation, decoded.width_px, decoded.height_px) == (6, 96, 64)


def test_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = decode(tmp_path, encoded_jxl(quadrants(), icc=profile))
    assert decoded.has_icc_profile
    assert decoded.icc_name is not None
    assert "sRGB" in decoded.icc_name
    assert is_close(corner_colors(decoded.picture), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize("in_container", [True, False])
@pytest.mark.parametrize("share", [10, 50, 90])
def test_cut_files_are_refused(tmp_path: Path, in_container: bool, share: int) -> None:
    data = encoded_jxl(noisy(), **({"xmp": XMP} if in_container else {}))
    if not in_container:
        data = data[data.index(b"\xff\x0a") :]
    assert decode(tmp_path, data).width_px == 320
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, data[: len(data) * share // 100])
    assert caught.value.reason in {ReasonCode.TRUNCATED, ReasonCode.CORRUPT}


def test_too_many_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, encoded_jxl(quadrants()), limits=Limits(max_pixels=96 * 64 - 1))
    assert caught.value.reason is ReasonCode.TOO_MANY_PIXELS
