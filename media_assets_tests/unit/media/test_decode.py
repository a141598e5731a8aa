import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from media_assets.media.decode import DecodedPicture, decode_picture
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.limits import Limits
from media_assets.media.resize import resize_to
from media_assets.media.sniff import sniff
from media_assets_tests.pictures import Tags, long, short, tiff
from media_assets_tests.unit.media.samples import (
    STORED_AS,
    UPRIGHT,
    corner_colors,
    encoded,
    exif_block,
    is_close,
    noisy,
    quadrants,
)


def decode(
    tmp_path: Path, data: bytes, *, limits: Limits | None = None, longest_px: int | None = None
) -> DecodedPicture:
    path = tmp_path / "spool"
    path.write_bytes(data)
    return decode_picture(path, sniff(data), limits or Limits(), longest_px=longest_px)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("longest_px", [None, 48])
def test_orientation_is_applied_to_pixels(
    tmp_path: Path, format_name: str, orientation: int, longest_px: int | None
) -> None:
    transpose = STORED_AS[orientation]
    stored = quadrants() if transpose is None else quadrants().transpose(transpose)
    data = encoded(stored, format_name, exif=exif_block({ExifTags.Base.Orientation: orientation}))
    decoded = decode(tmp_path, data, longest_px=longest_px)
    assert (decoded.width_px, decoded.height_px) == (96, 64)
    assert decoded.orientation == orientation
    assert decoded.picture.size == ((96, 64) if longest_px is None else (48, 32))
    assert is_close(corner_colors(decoded.picture), UPRIGHT)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("format_name", ["HEIF", "AVIF"])
def test_container_rotation_is_applied_once(tmp_path: Path, format_name: str, orientation: int) -> None:
    # Both encoders turn the tag into irot/imir boxes.
    transpose = STORED_AS[orientation]
    stored = quadrants() if transpose is None else quadrants().transpose(transpose)
    exif = exif_block({ExifTags.Base.Orientation: orientation, ExifTags.Base.Make: "Cam"})
    decoded = decode(tmp_path, encoded(stored, format_name, quality=90, exif=exif.tobytes()))
    assert (decoded.width_px, decoded.height_px) == (96, 64)
    assert is_close(corner_colors(decoded.picture), UPRIGHT)
    assert decoded.exif.main[ExifTags.Base.Make] == "Cam"


def test_scaled_jpeg_uses_the_fitted_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def spy(image: Image.Image, size: tuple[int, int]) -> Image.Image:
        sizes.append(image.size)
        return resize_to(image, size)

    monkeypatch.setattr("media_assets.media.picture.resize_to", spy)
    decoded = decode(tmp_path, encoded(quadrants(1612, 1210), "JPEG"), longest_px=640)
    assert sizes[0] == (806, 605)
    assert (decoded.width_px, decoded.height_px, decoded.picture.size) == (1612, 1210, (640, 480))


@pytest.mark.parametrize(
    ("picture", "format_name", "mode", "has_alpha"),
    [
        (quadrants().convert("L"), "PNG", "L", False),
        (quadrants().convert("1"), "PNG", "L", False),
        (quadrants().convert("LA"), "PNG", "RGBA", True),
        (quadrants().convert("RGBA"), "PNG", "RGBA", True),
        (quadrants().quantize(16), "PNG", "RGB", False),
        (quadrants().quantize(16), "GIF", "RGB", False),
        (quadrants().convert("CMYK"), "JPEG", "RGB", False),
        (quadrants().convert("CMYK"), "TIFF", "RGB", False),
        (quadrants().convert("L"), "JPEG", "L", False),
        (quadrants(), "BMP", "RGB", False),
    ],
)
def test_modes_become_plain(tmp_path: Path, picture: Image.Image, format_name: str, mode: str, has_alpha: bool) -> None:
    decoded = decode(tmp_path, encoded(picture, format_name), longest_px=40)
    assert decoded.picture.mode == mode
    assert decoded.has_alpha is has_alpha
    assert decoded.picture.size == (40, 27)
    assert decoded.picture.info == {}


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_tones(tmp_path: Path, format_name: str) -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (16, 1))
    decoded = decode(tmp_path, encoded(Image.fromarray(ramp), format_name))
    assert decoded.bit_depth == 16
    np.testing.assert_allclose(np.asarray(decoded.picture)[0], np.arange(256), atol=1)


def test_float_tiff_keeps_its_tones(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (16, 1))
    decoded = decode(tmp_path, encoded(Image.fromarray(ramp), "TIFF"))
    np.testing.assert_allclose(np.asarray(decoded.picture)[0], np.arange(256), atol=1)


def test_palette_transparency_is_alpha(tmp_path: Path) -> None:
    picture = quadrants().quantize(4)
    transparent = picture.getpixel((2, 2))
    decoded = decode(tmp_path, encoded(picture, "PNG", transparency=transparent))
    assert decoded.has_alpha
    assert decoded.picture.getpixel((2, 2))[3] == 0  # type: ignore[index]
    assert decoded.picture.getpixel((90, 60))[3] == 255  # type: ignore[index]


def test_icc_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    lab_like = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = decode(tmp_path, encoded(quadrants(), "PNG", icc_profile=srgb))
    assert same.has_icc_profile
    assert same.icc_name is not None
    assert "sRGB" in same.icc_name
    assert is_close(corner_colors(same.picture), UPRIGHT, tolerance=2)
    other = decode(tmp_path, encoded(quadrants(), "PNG", icc_profile=lab_like.tobytes()))
    assert other.has_icc_profile
    assert not is_close(corner_colors(other.picture), UPRIGHT, tolerance=2) or other.warnings


def test_broken_icc_profile_is_a_warning(tmp_path: Path) -> None:
    decoded = decode(tmp_path, encoded(quadrants(), "PNG", icc_profile=b"not a profile"))
    assert decoded.has_icc_profile
    assert decoded.icc_name is None
    assert any("ICC" in warning for warning in decoded.warnings)
    assert is_close(corner_colors(decoded.picture), UPRIGHT, tolerance=2)


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "PNG"])
def test_animations_show_their_first_frame(tmp_path: Path, format_name: str) -> None:
    buffer = io.BytesIO()
    others = [Image.new("RGB", (96, 64), color) for color in ("black", "yellow")]
    quadrants().save(buffer, format_name, save_all=True, append_images=others, duration=[100, 200, 300])
    decoded = decode(tmp_path, buffer.getvalue())
    assert (decoded.is_animated, decoded.frame_count, decoded.duration_s) == (True, 3, pytest.approx(0.6))
    assert is_close(corner_colors(decoded.picture), UPRIGHT)


def test_tiff_pages_are_counted(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    quadrants().save(buffer, "TIFF", save_all=True, append_images=[quadrants()])
    decoded = decode(tmp_path, buffer.getvalue())
    assert (decoded.frame_count, decoded.is_animated) == (2, False)


def test_damaged_descriptive_png_chunk_is_left_out(tmp_path: Path) -> None:
    data = encoded(quadrants(), "PNG", dpi=(72, 72))
    at = data.index(b"pHYs") + 5
    decoded = decode(tmp_path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert is_close(corner_colors(decoded.picture), UPRIGHT, tolerance=2)
    assert decoded.warnings


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000"])
def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, format_name: str) -> None:
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, encoded(quadrants(), format_name), limits=Limits(max_pixels=96 * 64 - 1))
    assert caught.value.reason is ReasonCode.TOO_MANY_PIXELS
    assert decode(tmp_path, encoded(quadrants(), format_name), limits=Limits(max_pixels=96 * 64)).width_px == 96


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "PNG", "TIFF"])
def test_too_many_frames_are_refused(tmp_path: Path, format_name: str) -> None:
    buffer = io.BytesIO()
    others = [Image.new("RGB", (96, 64), (60 * i, 200 - 60 * i, 0)) for i in range(4)]
    quadrants().save(buffer, format_name, save_all=True, append_images=others)
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, buffer.getvalue(), limits=Limits(max_frames=4))
    assert caught.value.reason is ReasonCode.TOO_MANY_FRAMES


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000"])
def test_cut_pictures_are_refused(tmp_path: Path, format_name: str) -> None:
    data = encoded(noisy(), format_name)
    assert decode(tmp_path, data).width_px == 320
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, data[: len(data) * 60 // 100])
    assert caught.value.reason in {ReasonCode.TRUNCATED, ReasonCode.CORRUPT}
    assert "Upload" in caught.value.message


def test_jpeg_with_data_missing_in_the_middle_is_refused(tmp_path: Path) -> None:
    data = encoded(noisy(), "JPEG")
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, data[: len(data) * 60 // 100] + b"\xff\xd9")
    assert caught.value.reason is ReasonCode.CORRUPT


def test_grey_jpeg_is_not_taken_for_damage(tmp_path: Path) -> None:
    decoded = decode(tmp_path, encoded(Image.new("RGB", (64, 64), (128, 128, 128)), "JPEG"))
    assert decoded.picture.getpixel((63, 63)) == (128, 128, 128)


def test_twelve_bit_jpeg_says_what_to_do(tmp_path: Path) -> None:
    data = bytearray(encoded(quadrants(), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, bytes(data))
    assert caught.value.reason is ReasonCode.UNSUPPORTED_TYPE
    assert "12 bits" in caught.value.message


def tiff_of(pixels: NDArray[Any], *, planes: bool = False, tags: Tags | None = None) -> bytes:
    """An uncompressed little-endian TIFF of pixels (height, width, channels), in one strip or one for each plane."""
    height, width, channels = pixels.shape
    plain = {
        256: long(width),
        257: long(height),
        258: short(*[pixels.dtype.itemsize * 8] * channels),
        259: short(1),
        262: short(2 if channels >= 3 else 1),
        277: short(channels),
        278: long(height),
        284: short(2 if planes else 1),
    }
    strips = [pixels[..., channel].tobytes() for channel in range(channels)] if planes else [pixels.tobytes()]
    return tiff(plain | (tags or {}), *strips)


@pytest.mark.parametrize("channels", [3, 4])
def test_planes_of_sixteen_bits(tmp_path: Path, channels: int) -> None:
    # Pillow shows these as stripes of the wrong colours.
    picture = quadrants() if channels == 3 else quadrants().convert("RGBA")
    pixels = np.asarray(picture).astype(np.uint16) * 257
    tags = {274: short(6)} | ({338: short(2)} if channels == 4 else {})
    decoded = decode(tmp_path, tiff_of(pixels, planes=True, tags=tags))
    assert (decoded.width_px, decoded.height_px, decoded.bit_depth, decoded.orientation) == (64, 96, 16, 6)
    assert decoded.has_alpha is (channels == 4)
    turned = quadrants().transpose(Image.Transpose.ROTATE_270)
    assert is_close(corner_colors(decoded.picture), corner_colors(turned), tolerance=2)


def test_float_colour(tmp_path: Path) -> None:
    pixels = np.asarray(quadrants()).astype(np.float32) / 255
    pixels[0, 0] = [np.nan, np.inf, 7.0]
    decoded = decode(tmp_path, tiff_of(pixels, tags={339: short(3, 3, 3)}), longest_px=48)
    assert (decoded.bit_depth, decoded.picture.size) == (32, (48, 32))
    assert is_close(corner_colors(decoded.picture), UPRIGHT, tolerance=2)


def test_sixteen_bit_white_is_zero(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (16, 1))[..., None]
    decoded = decode(tmp_path, tiff_of(ramp, tags={262: short(0)}))
    np.testing.assert_allclose(np.asarray(decoded.picture)[0], np.arange(255, -1, -1), atol=1)


@pytest.mark.parametrize(
    ("dtype", "channels", "sample_format"),
    [(np.float64, 1, 3), (np.float16, 3, 3), (np.float32, 4, 3), (np.uint32, 3, 1), (np.uint16, 2, 1)],
)
def test_tiff_that_nothing_decodes_says_so(tmp_path: Path, dtype: Any, channels: int, sample_format: int) -> None:
    pixels = np.zeros((8, 8, channels), dtype)
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, tiff_of(pixels, tags={339: short(*[sample_format] * channels)}))
    assert caught.value.reason is ReasonCode.UNSUPPORTED_TYPE
    assert "Upload it as" in caught.value.message


def test_plane_beyond_the_file_is_truncated(tmp_path: Path) -> None:
    data = tiff_of(np.zeros((8, 8, 3), np.uint16), planes=True)
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, data.replace((128).to_bytes(4, "little"), b"\0\0\1\0"))
    assert caught.value.reason is ReasonCode.TRUNCATED


def test_strip_with_a_wrong_length_is_borne(tmp_path: Path) -> None:
    data = tiff_of(np.asarray(quadrants()))
    wrong = data.replace((96 * 64 * 3).to_bytes(4, "little"), b"\0\0\1\0")
    assert wrong != data
    assert is_close(corner_colors(decode(tmp_path, wrong).picture), UPRIGHT, tolerance=2)


def test_pages_that_loop_are_counted_once(tmp_path: Path) -> None:
    data = bytearray(tiff_of(np.zeros((8, 8, 3), np.uint8)))
    data[-4:] = data[4:8]  # the next directory is the first
    decoded = decode(tmp_path, bytes(data))
    assert decoded.frame_count == 1


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "jpeg", "packbits", "zstd"])
def test_compressed_tiff(tmp_path: Path, compression: str) -> None:
    decoded = decode(tmp_path, encoded(quadrants(), "TIFF", compression=compression))
    assert is_close(corner_colors(decoded.picture), UPRIGHT)
    with pytest.raises(ContentError):
        data = encoded(noisy(), "TIFF", compression=compression)
        decode(tmp_path, data[: len(data) // 2])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize("no_jp2", [True, False])
def test_jpeg_2000(tmp_path: Path, mode: str, no_jp2: bool) -> None:
    decoded = decode(tmp_path, encoded(quadrants().convert(mode), "JPEG2000", no_jp2=no_jp2), longest_px=48)
    assert (decoded.width_px, decoded.height_px, decoded.picture.size) == (96, 64, (48, 32))
    assert (decoded.bit_depth, decoded.has_alpha, decoded.frame_count) == (8, mode.endswith("A"), None)
    if mode.startswith("RGB"):
        assert is_close(corner_colors(decoded.picture), UPRIGHT)


def test_largest_picture_of_an_icon(tmp_path: Path) -> None:
    decoded = decode(tmp_path, encoded(quadrants(64, 64), "ICO", sizes=[(16, 16), (64, 64), (32, 32)]))
    assert (decoded.width_px, decoded.height_px) == (64, 64)
    assert is_close(corner_colors(decoded.picture), UPRIGHT)


def test_icon_that_hides_a_large_picture_is_refused(tmp_path: Path) -> None:
    data = bytearray(encoded(quadrants(64, 64), "ICO", sizes=[(64, 64)]))
    at = data.index(b"IHDR") + 4
    data[at : at + 8] = (50_000).to_bytes(4, "big") * 2
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, bytes(data))
    assert caught.value.reason is ReasonCode.TOO_MANY_PIXELS


@pytest.mark.parametrize(("bits", "mode"), [(16, 3), (32, 3), (8, 8), (8, 7)])
def test_photoshop_documents_that_cannot_be_shown(tmp_path: Path, bits: int, mode: int) -> None:
    head = b"8BPS\0\1" + bytes(6) + b"\0\3" + (8).to_bytes(4, "big") * 2 + bytes([0, bits, 0, mode])
    with pytest.raises(ContentError) as caught:
        decode(tmp_path, head + bytes(4096))
    assert caught.value.reason is ReasonCode.UNSUPPORTED_TYPE
    assert f"{bits} bits" in caught.value.message
