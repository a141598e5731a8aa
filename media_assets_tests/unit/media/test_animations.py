"""Web versions of animations: every frame and time of the source, composed as browsers do."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from media_assets.demo.photos import Photo, load_photo
from media_assets.media import animations
from media_assets.media.animation_frames import Animation
from media_assets.media.animation_mp4 import mp4_size
from media_assets.media.ssim import mean_ssim
from media_assets_tests.unit.media.samples import corner_colors, encoded, exif_block, is_close, noisy, quadrants
from media_assets_tests.unit.media.web_samples import WebVersions, web_versions

Pixels = NDArray[np.uint8]
TIMES_MS = [40, 250, 120, 90, 400, 60]
SIZE = (160, 120)


def moving(count: int = len(TIMES_MS), size: tuple[int, int] = SIZE) -> list[Image.Image]:
    """A ball over a photo."""
    frames = []
    for number in range(count):
        frame = load_photo(Photo.COFFEE, size)
        x = round((size[0] - 30) * number / count)
        ImageDraw.Draw(frame).ellipse((x, 20, x + 30, 50), fill=(200, 20 * number % 256, 30))
        frames.append(frame)
    return frames


def floating(count: int = len(TIMES_MS)) -> list[Image.Image]:
    """A ball over nothing, with a hole and a soft rim."""
    frames = []
    for number in range(count):
        frame = Image.new("RGBA", SIZE, (0, 0, 0, 0))
        draw = ImageDraw.Draw(frame)
        draw.ellipse((10 + 18 * number, 20, 60 + 18 * number, 90), fill=(220, 120, 30, 255))
        draw.ellipse((25 + 18 * number, 40, 40 + 18 * number, 60), fill=(0, 0, 0, 0))
        frames.append(frame)
    return frames


def animated(frames: Sequence[Image.Image], format_name: str, **options: Any) -> bytes:
    return encoded(
        frames[0], format_name, save_all=True, append_images=frames[1:], **({"duration": TIMES_MS} | options)
    )


def timeline(data: bytes) -> list[tuple[int, int, Image.Image]]:
    """Begin and end in ms, and picture, of each frame of an animated WebP."""
    found = []
    with Image.open(io.BytesIO(data)) as image:
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            begin = image.info["timestamp"]
            found.append((begin, begin + image.info["duration"], image.convert("RGBA")))
    return found


def shown_at(found: list[tuple[int, int, Image.Image]], time_ms: float) -> Image.Image:
    return next(picture for begin, end, picture in found if begin <= time_ms < end)


def video_frames(made: WebVersions) -> list[tuple[float, Pixels]]:
    with av.open(io.BytesIO(made.data("mp4"))) as container:
        return [(frame.time * 1000, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def on(background: str, picture: Image.Image) -> Pixels:
    canvas = Image.new("RGB", picture.size, background)
    canvas.paste(picture, mask=picture.convert("RGBA").getchannel("A"))
    return np.asarray(canvas)


def as_shown(source: bytes) -> list[Image.Image]:
    with Image.open(io.BytesIO(source)) as image:
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(image.convert("RGBA"))
    return frames


SOURCES = {
    "gif": lambda: animated(moving(), "GIF", loop=0),
    "gif that clears": lambda: animated(floating(), "GIF", loop=0, disposal=2),
    "gif that restores": lambda: animated(floating(), "GIF", loop=0, disposal=3),
    "apng": lambda: animated([*moving()], "PNG", loop=0),
    "apng that blends": lambda: animated(floating(), "PNG", loop=0, blend=1, disposal=1),
    "webp": lambda: animated(moving(), "WEBP", loop=0, lossless=True),
    "transparent webp": lambda: animated(
        floating(), "WEBP", loop=0, lossless=True, exif=exif_block({0x010E: "x" * 900})
    ),
    "avif": lambda: animated(moving(), "AVIF", quality=99),
}


@pytest.mark.parametrize("name", SOURCES)
def test_webp_shows_every_frame_at_its_time(name: str, tmp_path: Path) -> None:
    source = SOURCES[name]()
    made = web_versions(source, tmp_path)
    rendition = made.by_format["webp"]
    assert rendition.size_bytes <= len(source)
    found, begin = timeline(made.data("webp")), 0
    for expected, duration_ms in zip(as_shown(source), TIMES_MS, strict=True):
        picture = shown_at(found, begin + duration_ms / 2)
        for background in ("#ffffff", "#101010"):
            assert mean_ssim(on(background, picture), on(background, expected)) > 0.95
        begin += duration_ms
    assert found[-1][1] == pytest.approx(sum(TIMES_MS), abs=10)
    assert rendition.duration_s == pytest.approx(sum(TIMES_MS) / 1000, abs=0.01)
    assert rendition.ssim is not None
    assert rendition.ssim >= 0.97


@pytest.mark.parametrize("name", ["gif", "gif that clears", "apng that blends", "avif"])
def test_mp4_shows_every_frame_at_its_time(name: str, tmp_path: Path) -> None:
    source = SOURCES[name]()
    made = web_versions(source, tmp_path, animation_format="mp4", background="#30a050")
    found = video_frames(made)
    begins = np.cumsum([0, *TIMES_MS])
    assert [begin for begin, _ in found] == pytest.approx(begins[:-1].tolist(), abs=1)
    for (_, pixels), expected in zip(found, as_shown(source), strict=True):
        assert mean_ssim(pixels, on("#30a050", expected)) > 0.95
        assert np.abs(pixels.astype(int) - on("#30a050", expected)).mean() < 8
    assert made.by_format["mp4"].duration_s == pytest.approx(begins[-1] / 1000)
    with av.open(io.BytesIO(made.data("mp4"))) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(begins[-1] / 1000, abs=0.01)
        assert (stream.codec_context.name, stream.pix_fmt, len(container.streams)) == ("h264", "yuv420p", 1)


def test_mp4_streams_and_names_no_encoder(tmp_path: Path) -> None:
    data = web_versions(SOURCES["gif"](), tmp_path, animation_format="mp4").data("mp4")
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"ilst" not in data or b"\0\0\0\x08ilst" in data  # no tag in the list
    for mark in (b"x264", b"Lavf", b"Lavc", b"crf="):
        assert mark not in data


@pytest.mark.parametrize(("size", "expected"), [((161, 121), (160, 120)), ((2, 3), (2, 2)), ((1, 1), (2, 2))])
def test_mp4_has_even_sides(size: tuple[int, int], expected: tuple[int, int], tmp_path: Path) -> None:
    assert mp4_size(size) == expected
    frames = [noisy(*size), noisy(*size).transpose(Image.Transpose.ROTATE_180)]
    made = web_versions(animated(frames * 8, "PNG", duration=100), tmp_path, animation_format="mp4")
    if "mp4" in made.by_format:
        assert video_frames(made)[0][1].shape == (expected[1], expected[0], 3)
    else:
        assert size != (161, 121)


@pytest.mark.parametrize(
    ("format_name", "options", "plays"),
    [
        ("GIF", {}, 1),
        ("GIF", {"loop": 0}, 0),
        ("GIF", {"loop": 2}, 3),
        ("PNG", {"loop": 2}, 2),
        ("WEBP", {"loop": 5}, 5),
    ],
)
def test_webp_plays_as_often(format_name: str, options: dict[str, Any], plays: int, tmp_path: Path) -> None:
    source = animated(moving(), format_name, **options, **({"lossless": True} if format_name == "WEBP" else {}))
    with Image.open(io.BytesIO(web_versions(source, tmp_path).data("webp"))) as image:
        assert image.info["loop"] == plays


def test_frames_without_a_time_stay_apart(tmp_path: Path) -> None:
    source = animated(moving(), "GIF", duration=0, loop=0)
    found = timeline(web_versions(source, tmp_path).data("webp"))
    assert [end - begin for begin, end, _ in found] == [1] * len(TIMES_MS)
    video = web_versions(source, tmp_path / "mp4", animation_format="mp4")
    assert [begin for begin, _ in video_frames(video)] == pytest.approx([0, 100, 200, 300, 400, 500], abs=1)


def test_fractions_of_milliseconds_do_not_add_up(tmp_path: Path) -> None:
    source = animated(moving(30), "PNG", duration=1000 / 30, loop=0)
    rendition = web_versions(source, tmp_path).by_format["webp"]
    assert rendition.duration_s == pytest.approx(1.0, abs=0.01)


def test_the_picture_for_old_viewers_is_no_frame(tmp_path: Path) -> None:
    frames = moving()
    source = encoded(
        Image.new("RGB", SIZE, (0, 255, 0)),
        "PNG",
        save_all=True,
        append_images=frames,
        default_image=True,
        duration=TIMES_MS,
        loop=0,
    )
    found = timeline(web_versions(source, tmp_path).data("webp"))
    assert mean_ssim(on("#ffffff", found[0][2]), np.asarray(frames[0])) > 0.95
    assert found[-1][1] == sum(TIMES_MS)


@pytest.mark.parametrize("animation_format", ["webp", "mp4"])
def test_large_frames_are_fitted(animation_format: str, tmp_path: Path) -> None:
    frames = [quadrants(1500, 900), quadrants(1500, 900).rotate(180)]
    source = animated(frames, "PNG", duration=[100, 200], loop=0)
    made = web_versions(source, tmp_path, animation_format=animation_format).by_format
    rendition = next(iter(made.values()))
    assert rendition.size_bytes <= len(source)
    assert rendition.format == "png" or (rendition.width_px, rendition.height_px) == (1280, 768)


def test_animations_are_turned_upright_without_metadata(tmp_path: Path) -> None:
    source = animated(
        [frame.rotate(90, expand=True) for frame in moving()], "WEBP", exif=exif_block({0x0112: 6}), quality=99
    )
    made = web_versions(source, tmp_path)
    rendition = made.by_format["webp"]
    assert (rendition.width_px, rendition.height_px) == SIZE
    assert b"EXIF" not in made.data("webp")
    assert is_close(corner_colors(timeline(made.data("webp"))[0][2]), corner_colors(moving()[0]), 40)


def test_an_animation_that_cannot_get_smaller_is_copied(tmp_path: Path) -> None:
    source = animated(moving(), "WEBP", quality=5, exif=exif_block({0x010E: "SECRET-PLACE"}), loop=4)
    made = web_versions(source, tmp_path)
    copy = made.by_format["webp"]
    assert (copy.ssim, copy.quality) == (1.0, None)
    assert copy.size_bytes < len(source)
    assert b"SECRET-PLACE" not in made.data("webp")
    before, after = timeline(source), timeline(made.data("webp"))
    assert [times[:2] for times in before] == [times[:2] for times in after]
    assert copy.duration_s == pytest.approx(sum(TIMES_MS) / 1000)


def test_long_animations_are_scaled_down_and_then_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = animated(moving(), "PNG", loop=0)
    monkeypatch.setattr(animations, "_MAX_PIXELS", SIZE[0] * SIZE[1] * len(TIMES_MS) // 4)
    rendition = web_versions(source, tmp_path / "a").by_format["webp"]
    assert (rendition.width_px, rendition.height_px) == (SIZE[0] // 2, SIZE[1] // 2)
    monkeypatch.setattr(animations, "_MAX_PIXELS", 1000)
    made = web_versions(source, tmp_path / "b")
    assert list(made.by_format) == ["png"]
    assert "The animation has no web version: it has too many frames for its size." in made.notes


@pytest.mark.parametrize("animation_format", ["webp", "mp4"])
def test_the_same_animation_gives_the_same_bytes(animation_format: str, tmp_path: Path) -> None:
    source = SOURCES["gif"]()
    first, second = (web_versions(source, tmp_path / name, animation_format=animation_format) for name in "ab")
    assert first.data(animation_format) == second.data(animation_format)


def test_frames_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(SOURCES["gif"]())
    frames = Animation(path, "gif", 80).frames()
    first = next(frames)
    assert first.pixels.shape == (60, 80, 4)
    assert first.duration_ms == TIMES_MS[0]
    assert [frame.duration_ms for frame in frames] == TIMES_MS[1:]
