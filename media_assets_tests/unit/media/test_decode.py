import io
from pathlib import Path

import numpy as np
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
    encoded,
    exif_block,
    is_close,
    noisy,
    quadrants,
)

UPRIGHT = [RED, GREEN, BLUE, WHITE]
# What has to be done to an upright picture so that a viewer that follows the tag shows it upright again.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


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
    original = Image.Image.resize

    def spy(self: Image.Image, size: tuple[int, int], *args: object, **options: object) -> Image.Image:
        sizes.append(self.size)
        return original(self, size, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", spy)
    decoded = decode(tmp_path, encoded(quadrants(1612, 1210), "JPEG"), longest_px=640)
    assert sizes == [(806, 605)]
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


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF"])
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


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF"])
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
