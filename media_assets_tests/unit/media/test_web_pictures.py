"""Web versions of pictures: how alike, how small, and what stands for those that would be larger."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from media_assets.demo.photos import Photo, load_photo
from media_assets.media.ssim import color_detail, mean_chroma_ssim, mean_ssim
from media_assets.media.target_quality import TargetQuality, sample_tiles
from media_assets_tests.unit.media.samples import corner_colors, encoded, exif_block, is_close, noisy, quadrants
from media_assets_tests.unit.media.web_samples import WebVersions, decoded_pixels, web_versions

SECRET = b"SECRET-PLACE-48.85N"
PHOTO_SIZE = (600, 420)


def photo_jpeg(which: Photo = Photo.CAT, size: tuple[int, int] = PHOTO_SIZE, **options: Any) -> bytes:
    return encoded(load_photo(which, size), "JPEG", **({"quality": 97} | options))


def red_on_blue(size: tuple[int, int] = (480, 320)) -> Image.Image:
    """Letters that differ from what is behind them in colour more than in brightness."""
    picture = Image.new("RGB", size, (30, 40, 210))
    draw = ImageDraw.Draw(picture)
    for line in range(0, size[1], 14):
        draw.text((4, line), "The quick brown fox jumps over the lazy dog. " * 3, fill=(225, 30, 30))
    return picture


def alike(made: WebVersions, format_name: str, original: Image.Image) -> float:
    return mean_ssim(np.asarray(original.convert("RGB")), made.pixels(format_name, "RGB"))


@pytest.mark.parametrize("which", [Photo.CAT, Photo.COFFEE, Photo.ADMIRAL])
def test_every_format_reaches_the_similarity_with_fewer_bytes(which: Photo, tmp_path: Path) -> None:
    source = photo_jpeg(which)
    made = web_versions(source, tmp_path, optimized_ssim=0.98)
    with Image.open(io.BytesIO(source)) as original:
        assert list(made.by_format) == ["avif", "jpeg", "webp"]
        for format_name, rendition in made.by_format.items():
            measured = alike(made, format_name, original)
            assert 0.98 <= measured < 0.995
            assert rendition.ssim == pytest.approx(measured, abs=2e-3)
            assert (rendition.width_px, rendition.height_px) == PHOTO_SIZE
            assert rendition.size_bytes < 0.6 * len(source)
    with Image.open(io.BytesIO(made.data("jpeg"))) as jpeg:
        assert jpeg.info["progressive"]


def test_one_quality_less_would_not_be_enough() -> None:
    """In small pictures the search tries the picture itself, so it is exact."""
    from media_assets.media.encode import encode_picture

    pixels = np.asarray(load_photo(Photo.COFFEE, (300, 200)))
    found = TargetQuality(pixels, 0.975, "#ffffff").encode("jpeg")
    assert found.quality is not None
    assert found.ssim >= 0.975
    assert found.quality > 60
    worse = decoded_pixels(encode_picture(pixels, "jpeg", found.quality - 1, quick=True))
    assert mean_ssim(pixels, worse) < 0.975


def test_higher_similarity_costs_more_bytes(tmp_path: Path) -> None:
    source = photo_jpeg()
    sizes = [
        web_versions(source, tmp_path / str(target), optimized_ssim=target).by_format["webp"].size_bytes
        for target in (0.95, 0.97, 0.985)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_large_pictures_are_fitted_and_reach_the_similarity_too(tmp_path: Path) -> None:
    """Their quality is sought on tiles."""
    source = photo_jpeg(Photo.PALACE, (2700, 1800))
    made = web_versions(source, tmp_path, optimized_ssim=0.97)
    for format_name, rendition in made.by_format.items():
        assert (rendition.width_px, rendition.height_px) == (2048, 1365)
        assert rendition.ssim is not None
        assert 0.97 <= rendition.ssim < 0.985, format_name


def test_the_sample_spans_flat_and_busy_places() -> None:
    pixels = np.full((1200, 1400, 3), 90, np.uint8)
    pixels[:600] = np.random.default_rng(3).integers(0, 255, (600, 1400, 3), dtype=np.uint8)
    sample = sample_tiles(pixels)
    assert sample is not None
    assert sample.shape == (576, 576, 3)
    tiles = [sample[y : y + 192, x : x + 192] for y in range(0, 576, 192) for x in range(0, 576, 192)]
    spreads = [float(tile.std()) for tile in tiles]
    assert min(spreads) == 0
    assert max(spreads) > 60
    assert sample_tiles(pixels[:400, :600]) is None
    assert sample_tiles(pixels[..., 0]) is not None


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    source = photo_jpeg()
    first, second = (web_versions(source, tmp_path / name) for name in ("a", "b"))
    assert [first.data(name) for name in first.by_format] == [second.data(name) for name in second.by_format]


# ---------------------------------------------------------------- colour


def test_red_letters_on_blue_do_not_smear(tmp_path: Path) -> None:
    original = red_on_blue()
    made = web_versions(encoded(original, "BMP"), tmp_path)
    at_half_size = decoded_pixels(encoded(original, "JPEG", quality=95, subsampling="4:2:0"))
    smeared = np.abs(at_half_size.astype(int) - np.asarray(original)).mean()
    for format_name in ("jpeg", "avif", "webp"):
        seen = made.pixels(format_name, "RGB")
        assert mean_chroma_ssim(np.asarray(original), seen) > 0.97
        assert np.abs(seen.astype(int) - np.asarray(original)).mean() < 0.5 * smeared
    with Image.open(io.BytesIO(made.data("jpeg"))) as jpeg:
        assert {component[1:3] for component in jpeg.layer} == {(1, 1)}  # 4:4:4


def test_photos_keep_colour_at_half_size(tmp_path: Path) -> None:
    made = web_versions(photo_jpeg(), tmp_path, optimized_formats=("jpeg",))
    with Image.open(io.BytesIO(made.data("jpeg"))) as jpeg:
        assert jpeg.layer[0][1:3] == (2, 2)


def test_color_detail_is_none_in_grey_and_high_in_coloured_lines() -> None:
    assert color_detail(np.repeat(np.asarray(noisy().convert("L"))[..., None], 3, axis=2)).max() < 1
    assert np.median(color_detail(np.asarray(red_on_blue()))) > 20
    assert color_detail(np.asarray(load_photo(Photo.CAT, PHOTO_SIZE))).max() < 20


# ---------------------------------------------------------------- never larger


def test_drawings_become_lossless_webp(tmp_path: Path) -> None:
    picture = Image.new("RGB", (500, 400), (250, 250, 250))
    draw = ImageDraw.Draw(picture)
    for number in range(12):
        draw.line((20, 30 * number, 480, 390 - 25 * number), fill=(number * 20, 30, 90), width=3)
    source = encoded(picture, "PNG")
    made = web_versions(source, tmp_path)
    webp = made.by_format["webp"]
    assert (webp.ssim, webp.quality) == (1.0, None)
    assert np.array_equal(made.pixels("webp", "RGB"), np.asarray(picture))
    assert all(rendition.size_bytes < len(source) for rendition in made.by_format.values())


def test_a_picture_that_cannot_get_smaller_is_copied_without_metadata(tmp_path: Path) -> None:
    block = exif_block({0x010E: SECRET.decode(), 0x0112: 1})
    source = photo_jpeg(quality=12, exif=block, comment=SECRET)
    made = web_versions(source, tmp_path)
    copy = made.by_format["jpeg"]
    assert (copy.ssim, copy.quality) == (1.0, None)
    assert copy.size_bytes < len(source)
    assert np.array_equal(made.pixels("jpeg"), decoded_pixels(source))
    assert SECRET not in made.data("jpeg")
    assert all(rendition.size_bytes <= len(source) for rendition in made.by_format.values())


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "GIF"])
def test_copies_stand_in_when_the_wanted_formats_are_larger(format_name: str, tmp_path: Path) -> None:
    """A few bytes, in each format that browsers show."""
    picture = load_photo(Photo.CAT, (120, 80)) if format_name == "JPEG" else Image.new("L", (2, 2), 200)
    source = encoded(picture, format_name, quality=10)
    made = web_versions(source, tmp_path, optimized_formats=("avif",), optimized_ssim=0.9999)
    assert list(made.by_format) == [format_name.lower()]
    assert made.by_format[format_name.lower()].size_bytes <= len(source)
    assert made.notes == ()


@pytest.mark.parametrize("why", ["turned", "other profile", "too large", "no browser shows it"])
def test_what_must_not_be_copied_is_left_out_with_a_note(why: str, tmp_path: Path) -> None:
    photo = load_photo(Photo.CAT, (2100, 200) if why == "too large" else (240, 160))
    options: dict[str, Any] = {"quality": 1}
    if why == "turned":
        options["exif"] = exif_block({0x0112: 6})
    if why == "other profile":  # red and green change places
        options["icc_profile"] = _swapped_profile()
    source = (
        encoded(photo, "JPEG", **options)
        if why != "no browser shows it"
        else encoded(photo, "JPEG2000", quality_layers=[400])
    )
    made = web_versions(source, tmp_path, optimized_formats=("jpeg",), optimized_ssim=0.999)
    for rendition in made.by_format.values():
        assert rendition.size_bytes < len(source)
        assert rendition.quality is not None
    if not made.by_format:
        assert "No web version was made: none would be smaller than the file itself." in made.notes


def _swapped_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    places = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = (slice(places[name] + 4, places[name] + 12) for name in (b"rXYZ", b"gXYZ"))
    profile[red], profile[green] = profile[green], profile[red]
    return bytes(profile)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 2), (17, 11)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_tiny_pictures_and_strips(size: tuple[int, int], mode: str, tmp_path: Path) -> None:
    source = encoded(noisy(*size).convert(mode), "TIFF")
    made = web_versions(source, tmp_path)
    for rendition in made.by_format.values():
        assert (rendition.width_px, rendition.height_px) == size
        assert rendition.size_bytes < len(source)
        assert rendition.ssim is not None
        assert rendition.ssim >= 0.95


# ---------------------------------------------------------------- transparency


def cut_out() -> Image.Image:
    """A photo in an ellipse with a soft rim, garish where nobody sees it."""
    picture = load_photo(Photo.CAT, (300, 240)).convert("RGBA")
    mask = Image.new("L", picture.size, 0)
    ImageDraw.Draw(mask).ellipse((40, 30, 260, 210), fill=255)
    mask = mask.resize((75, 60)).resize(picture.size)
    garish = Image.new("RGBA", picture.size, (255, 0, 255, 0))
    shown = Image.composite(picture, garish, mask.point(lambda level: 255 * (level > 0)))
    shown.putalpha(mask)
    return shown


def on(background: str, picture: Image.Image) -> np.ndarray:
    canvas = Image.new("RGB", picture.size, background)
    canvas.paste(picture, mask=picture.getchannel("A"))
    return np.asarray(canvas)


def test_transparency_is_kept_and_jpeg_left_out(tmp_path: Path) -> None:
    original = cut_out()
    made = web_versions(encoded(original, "PNG"), tmp_path)
    assert list(made.by_format) == ["avif", "webp"]
    for format_name in made.by_format:
        with Image.open(io.BytesIO(made.data(format_name))) as image:
            seen = image.convert("RGBA")
        difference = np.abs(np.asarray(seen)[..., 3].astype(int) - np.asarray(original)[..., 3])
        assert difference.mean() < 2
        for background in ("#ffffff", "#202020"):
            assert mean_ssim(on(background, original), on(background, seen)) > 0.97
        hidden = np.asarray(seen)[5:20, 5:20, :3].reshape(-1, 3).astype(int)
        assert not is_close([tuple(hidden.mean(axis=0).astype(int))], [(255, 0, 255)])


def test_jpeg_alone_is_flattened_on_the_background(tmp_path: Path) -> None:
    original = cut_out()
    made = web_versions(encoded(original, "PNG"), tmp_path, optimized_formats=("jpeg",), background="#104080")
    assert list(made.by_format) == ["jpeg"]
    assert mean_ssim(on("#104080", original), made.pixels("jpeg")) >= 0.98
    assert is_close([tuple(made.pixels("jpeg")[3, 3])], [(0x10, 0x40, 0x80)], 6)


def test_opaque_pictures_with_alpha_are_treated_as_opaque(tmp_path: Path) -> None:
    made = web_versions(encoded(load_photo(Photo.CAT, (300, 240)).convert("RGBA"), "PNG"), tmp_path)
    assert list(made.by_format) == ["avif", "jpeg", "webp"]
    with Image.open(io.BytesIO(made.data("webp"))) as webp:
        assert webp.mode == "RGB"


# ---------------------------------------------------------------- metadata, orientation


def test_no_web_version_carries_metadata_and_all_are_upright(tmp_path: Path) -> None:
    block = exif_block({0x010E: SECRET.decode(), 0x0112: 6}, gps={1: "N", 2: (48, 51, 0)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = load_photo(Photo.CAT, (400, 300))
    picture.paste(quadrants(400, 300).resize((400, 300)), mask=Image.new("L", (400, 300), 160))
    source = encoded(picture, "JPEG", quality=98, exif=block, xmp=SECRET, comment=SECRET, icc_profile=profile)
    made = web_versions(source, tmp_path)
    assert list(made.by_format) == ["avif", "jpeg", "webp"]
    upright = corner_colors(picture.rotate(-90, expand=True))
    for format_name in made.by_format:
        data = made.data(format_name)
        for mark in (SECRET, b"Exif", b"http://ns.adobe", b"ICC_PROFILE", b"ICCP", b"EXIF", b"acsp"):
            assert mark not in data
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (300, 400)
            assert not {"exif", "icc_profile", "xmp", "comment"} & set(image.info)
            assert is_close(corner_colors(image), upright, 40)
