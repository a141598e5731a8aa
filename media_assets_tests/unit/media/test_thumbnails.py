from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageDraw, PngImagePlugin

from media_assets.media.crop import SquareCrop
from media_assets.media.records import Crop, Rendition
from media_assets.media.rendering import PictureFormat, RenderOptions
from media_assets.media.resize import RENDITION_SIZES, cascade, fit_box
from media_assets.media.thumbnails import write_thumbnails
from media_assets_tests.unit.media.conftest import Run
from media_assets_tests.unit.media.rendition_files import ALLOWED_PARTS, parts
from media_assets_tests.unit.media.samples import (
    RED,
    STORED_AS,
    UPRIGHT,
    corner_colors,
    encoded,
    exif_block,
    is_close,
    quadrants,
)

FORMATS: tuple[PictureFormat, ...] = ("jpeg", "webp", "avif")
ALL_SQUARES = (150, 300, 600, 1200)


def written(
    folder: Path, picture: Image.Image, full_size: tuple[int, int] | None = None, **options: Any
) -> dict[str, Rendition]:
    find_faces = options.pop("find_faces", None)
    made = write_thumbnails(picture, full_size or picture.size, folder, RenderOptions(**options), find_faces)
    assert [rendition.kind for rendition in made] == [size.kind for size in RENDITION_SIZES]
    for rendition in made:
        path = folder / rendition.file_name
        assert path.stat().st_size == rendition.size_bytes
        with Image.open(path) as picture:
            assert picture.size == (rendition.width_px, rendition.height_px)
            assert picture.format == rendition.format.upper()
    return {rendition.kind: rendition for rendition in made}


def shown(folder: Path, rendition: Rendition, mode: str = "RGB") -> NDArray[np.uint8]:
    with Image.open(folder / rendition.file_name) as picture:
        return np.asarray(picture.convert(mode))


def sizes(made: dict[str, Rendition]) -> list[tuple[int, int]]:
    return [(rendition.width_px, rendition.height_px) for rendition in made.values()]


# ------------------------------------------------------------------------------------------------- whole pictures


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_boxes_of_all_kinds_are_fitted(width: int, height: int) -> None:
    # The rule itself; that the files follow it is shown below, for some sizes.
    boxes = [fit_box(width, height, size.longest_px) for size in RENDITION_SIZES]
    assert boxes == sorted(boxes)


@pytest.mark.parametrize("full_size", [(4032, 3024), (3001, 4999), (1600, 900), (2048, 2048)])
def test_sizes_come_from_the_original(tmp_path: Path, full_size: tuple[int, int]) -> None:
    made = written(tmp_path, quadrants(*fit_box(*full_size, 1700)), full_size)
    assert sizes(made) == [fit_box(*full_size, size.longest_px) for size in RENDITION_SIZES]
    assert all(rendition.crop is None for rendition in made.values())
    for rendition in made.values():
        with Image.open(tmp_path / rendition.file_name) as picture:
            assert is_close(corner_colors(picture), UPRIGHT, 12)


@pytest.mark.parametrize("thumbnail_format", FORMATS)
def test_the_preview_is_always_jpeg(tmp_path: Path, thumbnail_format: PictureFormat) -> None:
    made = written(tmp_path, quadrants(700, 500), thumbnail_format=thumbnail_format)
    assert made.pop("preview").file_name == "preview.jpg"
    assert {rendition.format for rendition in made.values()} == {thumbnail_format}


def test_small_sources_give_equal_bytes_for_equal_sizes(tmp_path: Path) -> None:
    made = written(tmp_path, quadrants(400, 200))
    assert sizes(made) == [(150, 75), (300, 150), (400, 200), (400, 200), (400, 200)]
    large = {(tmp_path / made[kind].file_name).read_bytes() for kind in ("thumb_600", "thumb_1200", "preview")}
    assert len(large) == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (40_000, 3), (3, 40_000)])
@pytest.mark.parametrize("squares", [(), ALL_SQUARES])
def test_dots_and_strips(tmp_path: Path, size: tuple[int, int], squares: tuple[int, ...]) -> None:
    picture = Image.new("RGB", fit_box(*size, 2048), RED)
    made = written(tmp_path, picture, size, thumbnail_squares=squares)
    for rendition, kind in zip(made.values(), RENDITION_SIZES, strict=True):
        is_square = kind.longest_px in squares and size[0] != size[1]
        wanted = (1, 1) if is_square else fit_box(*size, kind.longest_px)
        assert (rendition.width_px, rendition.height_px) == wanted
        assert np.abs(shown(tmp_path, rendition).astype(int) - RED).max() < 8


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_every_mode_looks_the_same(tmp_path: Path, mode: str) -> None:
    grey = Image.linear_gradient("L").resize((900, 700))
    made = written(tmp_path, grey.convert(mode))
    for rendition in made.values():
        wanted = np.asarray(grey.resize((rendition.width_px, rendition.height_px)).convert("RGB")).astype(int)
        assert np.abs(shown(tmp_path, rendition) - wanted).mean() < 2.5


def test_the_same_options_give_the_same_bytes(tmp_path: Path) -> None:
    picture = Image.effect_noise((700, 500), 50).convert("RGB")
    options: dict[str, Any] = {"thumbnail_squares": (300,), "thumbnail_crop": "center"}
    first = written(tmp_path, picture, **options)
    data = {kind: (tmp_path / rendition.file_name).read_bytes() for kind, rendition in first.items()}
    assert written(tmp_path, picture, **options) == first
    assert {kind: (tmp_path / rendition.file_name).read_bytes() for kind, rendition in first.items()} == data


def test_only_small_reduced_thumbnails_are_sharpened(tmp_path: Path) -> None:
    picture = Image.effect_noise((240, 160), 90).resize((1200, 800), Image.Resampling.BICUBIC)
    made = written(tmp_path, picture)
    plain = {size.kind: level for size, level in cascade(np.asarray(picture), picture.size)}
    steeper = {
        kind: steepness(shown(tmp_path, rendition, "L")) / steepness(plain[kind]) for kind, rendition in made.items()
    }
    assert min(steeper["thumb_150"], steeper["thumb_300"]) > 1.08
    assert max(steeper["thumb_600"], steeper["thumb_1200"], steeper["preview"]) < 1.03
    small = written(tmp_path, picture.resize((140, 93)))
    assert len({(tmp_path / rendition.file_name).read_bytes() for rendition in small.values()}) == 1


def steepness(pixels: NDArray[np.uint8]) -> float:
    return float(np.abs(np.diff(pixels.astype(float), axis=1)).mean())


# ------------------------------------------------------------------------------------------------- transparency


def transparent_disc() -> Image.Image:
    """A grey disc; what is transparent around it is magenta, and must never be seen."""
    picture = Image.new("RGBA", (1000, 800), (255, 0, 255, 0))
    ImageDraw.Draw(picture).ellipse((200, 100, 800, 700), (120, 120, 120, 255))
    return picture


def test_transparency_on_the_background(tmp_path: Path) -> None:
    made = written(tmp_path, transparent_disc(), background="#20c040")
    for rendition in made.values():
        pixels = shown(tmp_path, rendition).astype(int)
        height, width = pixels.shape[:2]
        assert np.abs(pixels[1, 1] - (0x20, 0xC0, 0x40)).max() < 8
        assert np.abs(pixels[height // 2, width // 2] - 120).max() < 8
        # Between grey and the green there is no red.
        assert pixels[..., 0].max() < 140
        assert (pixels[..., 0] <= pixels[..., 1] + 16).all()


@pytest.mark.parametrize("thumbnail_format", ["webp", "avif"])
def test_transparency_is_kept_where_there_is_some(tmp_path: Path, thumbnail_format: PictureFormat) -> None:
    made = written(tmp_path, transparent_disc(), thumbnail_format=thumbnail_format, thumbnail_squares=(150,))
    preview = shown(tmp_path, made.pop("preview"))
    assert preview[2, 2].tolist() == pytest.approx([255, 255, 255], abs=4)
    for rendition in made.values():
        pixels = shown(tmp_path, rendition, "RGBA").astype(int)
        assert pixels[0, 0, 3] <= 4
        assert pixels[pixels.shape[0] // 2, pixels.shape[1] // 2, 3] >= 251
        visible = pixels[pixels[..., 3] > 100][:, :3]
        assert np.abs(visible - 120).max() < 40
    opaque = Image.merge("RGBA", (*quadrants(500, 400).split(), Image.new("L", (500, 400), 255)))
    for rendition in written(tmp_path, opaque, thumbnail_format=thumbnail_format).values():
        with Image.open(tmp_path / rendition.file_name) as picture:
            assert picture.mode == "RGB"


# ------------------------------------------------------------------------------------------------- squares


def striped(width: int, height: int) -> Image.Image:
    """Red tells the place from left to right, green from top to bottom."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), 0 * x], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("full_size", [(4032, 3024), (3024, 4032), (1999, 1003), (700, 450), (90, 200)])
def test_the_middle_square(tmp_path: Path, full_size: tuple[int, int]) -> None:
    picture = striped(*fit_box(*full_size, 2048))
    made = written(tmp_path, picture, full_size, thumbnail_squares=ALL_SQUARES, thumbnail_crop="center")
    preview = made.pop("preview")
    assert (preview.crop, (preview.width_px, preview.height_px)) == (None, fit_box(*full_size, 1600))
    side = min(full_size)
    for kind, rendition in zip(RENDITION_SIZES, made.values(), strict=False):
        crop = rendition.crop
        assert crop is not None
        assert (crop.width_px, crop.height_px, crop.reason) == (side, side, "center")
        assert abs(crop.x_px - (full_size[0] - side) / 2) <= 4
        assert abs(crop.y_px - (full_size[1] - side) / 2) <= 4
        wanted = min(kind.longest_px, min(full_size), min(picture.size))
        assert (rendition.width_px, rendition.height_px) == (wanted, wanted)
        assert_shows(shown(tmp_path, rendition), crop, full_size)


def assert_shows(pixels: NDArray[np.uint8], crop: Crop, full_size: tuple[int, int]) -> None:
    """Compare the ramps of ``striped`` with what the record says is shown."""
    across, down = pixels[..., 0].mean() / 255, pixels[..., 1].mean() / 255
    assert across == pytest.approx((crop.x_px + crop.width_px / 2) / full_size[0], abs=0.02)
    assert down == pytest.approx((crop.y_px + crop.height_px / 2) / full_size[1], abs=0.02)
    left, right = pixels[:, 0, 0].mean() / 255, pixels[:, -1, 0].mean() / 255
    assert right - left == pytest.approx(crop.width_px / full_size[0], abs=0.04)


@pytest.mark.parametrize(("full_size", "at"), [((4032, 3024), 0.0), ((4032, 3024), 1.0), ((1500, 2000), 0.3)])
def test_the_square_that_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_size: tuple[int, int], at: float
) -> None:
    seen = []

    def choose(picture: NDArray[np.uint8], find_faces: object, *, smart: bool) -> SquareCrop:
        seen.append((picture.shape, find_faces, smart))
        height, width = picture.shape[:2]
        side = min(height, width)
        return SquareCrop(round((width - side) * at), round((height - side) * at), side, "faces")

    monkeypatch.setattr("media_assets.media.thumbnails.choose_square", choose)
    finder = list
    picture = striped(*fit_box(*full_size, 2048))
    made = written(tmp_path, picture, full_size, thumbnail_squares=(150, 600), find_faces=finder)
    small = fit_box(*full_size, 600)
    assert seen == [((small[1], small[0], 3), finder, True)]
    assert [kind for kind, rendition in made.items() if rendition.crop] == ["thumb_150", "thumb_600"]
    crop = made["thumb_600"].crop
    assert crop == made["thumb_150"].crop
    assert crop is not None
    assert crop.reason == "faces"
    room = max(full_size) - min(full_size)
    assert max(crop.x_px, crop.y_px) == pytest.approx(at * room, abs=4)
    assert max(crop.x_px, crop.y_px) in {0, room} or at not in {0.0, 1.0}
    assert_shows(shown(tmp_path, made["thumb_150"]), crop, full_size)
    assert_shows(shown(tmp_path, made["thumb_600"]), crop, full_size)


@given(
    st.tuples(st.integers(1, 9000), st.integers(1, 9000)).filter(lambda size: size[0] != size[1]),
    st.floats(0, 1),
    st.floats(0.2, 1),
)
def test_squares_lie_inside_the_original(full_size: tuple[int, int], at: float, share: float) -> None:
    from media_assets.media.thumbnails import _box_in, _scaled

    size = fit_box(*full_size, 600)
    side = max(1, int(min(size) * share))
    square = SquareCrop(int((size[0] - side) * at), int((size[1] - side) * at), side, "entropy")
    crop = _scaled(square, size, full_size)
    assert crop.width_px == crop.height_px >= 1
    assert 0 <= crop.x_px <= full_size[0] - crop.width_px
    assert 0 <= crop.y_px <= full_size[1] - crop.height_px
    assert share < 1 or side < min(size) or crop.width_px == min(full_size)
    for longest in (2048, 300):
        width, height = fit_box(*full_size, longest)
        left, top, box_side = _box_in(np.zeros((height, width), np.uint8), crop, full_size)
        assert 0 <= left <= width - box_side
        assert 0 <= top <= height - box_side
        assert box_side >= 1


def test_square_pictures_are_not_cut(tmp_path: Path) -> None:
    made = written(tmp_path, quadrants(800, 800), thumbnail_squares=ALL_SQUARES)
    assert all(rendition.crop is None for rendition in made.values())
    assert sizes(made) == [(150, 150), (300, 300), (600, 600), (800, 800), (800, 800)]


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_squares_of_other_modes(tmp_path: Path, mode: str) -> None:
    options: dict[str, Any] = {"thumbnail_squares": (150,), "thumbnail_format": "webp"}
    made = written(tmp_path, striped(600, 400).convert(mode), **options)
    assert (made["thumb_150"].width_px, made["thumb_150"].height_px) == (150, 150)


# ------------------------------------------------------------------------------------------------- placeholders


def test_placeholders(tmp_path: Path) -> None:
    made = written(tmp_path, striped(1000, 600), thumbnail_squares=(150, 300), thumbnail_crop="center")
    squares = {made.pop(kind).thumbhash for kind in ("thumb_150", "thumb_300")}
    whole = {rendition.thumbhash for rendition in made.values()}
    assert (len(squares), len(whole)) == (1, 1)
    assert squares != whole
    assert None not in squares | whole


# ------------------------------------------------------------------------------------------------- whole files


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_renditions_are_upright(run: Run, tmp_path: Path, format_name: str, orientation: int) -> None:
    transpose = STORED_AS[orientation]
    picture = quadrants(360, 240)
    stored = picture if transpose is None else picture.transpose(transpose)
    exif = exif_block({ExifTags.Base.Orientation: orientation})
    result = run(encoded(stored, format_name, exif=exif.tobytes()), metadata=False)
    assert (result.facts.width_px, result.facts.height_px) == (360, 240)
    assert sizes({r.kind: r for r in result.renditions}) == [(150, 100), (300, 200), *[(360, 240)] * 3]
    for rendition in result.renditions:
        with Image.open(tmp_path / "scratch" / rendition.file_name) as picture:
            assert is_close(corner_colors(picture), UPRIGHT)
            assert picture.getexif() == {}


SECRET = "48.137154N-Secret"


def telling(format_name: str) -> bytes:
    """A picture with all the metadata that its format can carry."""
    exif = exif_block(
        {ExifTags.Base.ImageDescription: SECRET, ExifTags.Base.Make: SECRET},
        gps={
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: (48.0, 8.0, 13.75),
            ExifTags.GPS.GPSLongitudeRef: "E",
            ExifTags.GPS.GPSLongitude: (11.0, 34.0, 31.0),
        },
    )
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><!-- {SECRET} --></x:xmpmeta>'.encode()
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": icc}
    if format_name == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", SECRET)
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options["pnginfo"] = text
    else:
        options["xmp"] = xmp
    if format_name == "JPEG":
        options["comment"] = SECRET
    picture = quadrants(700, 500)
    return encoded(picture.convert("RGBA") if format_name == "PNG" else picture, format_name, **options)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("thumbnail_format", FORMATS)
def test_no_rendition_tells_anything(
    run: Run, tmp_path: Path, format_name: str, thumbnail_format: PictureFormat
) -> None:
    data = telling(format_name)
    assert SECRET.encode() in data
    options = RenderOptions(thumbnail_format=thumbnail_format, thumbnail_squares=(300,), thumbnail_crop="center")
    result = run(data, options=options)
    assert result.metadata is not None
    assert result.metadata.latitude_deg == pytest.approx(48.137, abs=0.001)
    for rendition in result.renditions:
        written = (tmp_path / "scratch" / rendition.file_name).read_bytes()
        assert SECRET.encode() not in written
        assert parts(written, rendition.format) <= ALLOWED_PARTS[rendition.format]
