"""The frames of a video that analysis reads."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from media_assets.media import frames
from media_assets.media.records import Rendition
from media_assets.media.rendering import FRAME_KINDS, RenderOptions
from media_assets_tests.unit.media.conftest import Run
from media_assets_tests.unit.media.samples import BLUE, GREEN, RED, WHITE, corner_colors, is_close, write_video
from media_assets_tests.unit.media.video_samples import write_clip

Picture = NDArray[np.uint8]
PHOTO: Picture = np.ascontiguousarray(data.astronaut()[:256, :320])
OTHER: Picture = np.ascontiguousarray(data.coffee()[:256, :320])
FPS = 10


def write_frames(
    path: Path,
    frame: Callable[[int], Picture],
    count: int,
    *,
    gop: int = 5,
    codec: str = "libx264",
    container: str = "mp4",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames at 10 a second, with a keyframe every ``gop`` frames."""
    with av.open(str(path), "w", format=container) as output:
        quick = {"preset": "ultrafast", "sc_threshold": "0"} if codec == "libx264" else {}
        stream: Any = output.add_stream(codec, rate=Fraction(FPS), options=quick | (options or {}))
        stream.height, stream.width = frame(0).shape[:2]
        stream.gop_size, stream.pix_fmt = gop, pix_fmt
        for number in range(count):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame(number), format="rgb24")))
        output.mux(stream.encode(None))
    return path


def plain(color: tuple[int, int, int], size: tuple[int, int] = (96, 64)) -> Picture:
    return np.full((size[1], size[0], 3), color, np.uint8)


def frames_of(run: Run, path: Path, count: int = 16) -> list[Rendition]:
    result = run(path, "clip.mp4", options=RenderOptions(video_frames=count))
    return [one for one in result.renditions if one.kind in FRAME_KINDS]


def shown(tmp_path: Path, frame: Rendition) -> NDArray[np.float32]:
    with Image.open(tmp_path / "scratch" / frame.file_name) as picture:
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        assert picture.size == (frame.width_px, frame.height_px)
        return np.asarray(picture, np.float32)


@pytest.mark.parametrize("gop", [5, 500], ids=["many keyframes", "one keyframe"])
def test_each_scene_has_a_frame_with_its_time(run: Run, tmp_path: Path, gop: int) -> None:
    """Three seconds of each colour."""
    colors = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]
    path = write_frames(tmp_path / "v", lambda n: plain(colors[n // 30]), 90, gop=gop)
    frames = frames_of(run, path)
    assert [one.kind for one in frames] == ["frame_01", "frame_02", "frame_03"]
    for number, (frame, color) in enumerate(zip(frames, colors, strict=True)):
        assert frame.frame_s is not None
        assert 3 * number <= frame.frame_s < 3 * number + 3
        assert np.abs(shown(tmp_path, frame) - color).mean() < 12


def test_the_time_is_that_of_the_frame(run: Run, tmp_path: Path) -> None:
    """The brightness of each frame tells its number."""
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, 48:] = 120

    def numbered(number: int) -> Picture:
        return np.asarray(stripes + np.uint8(2 * number), np.uint8)

    for frame in frames_of(run, write_frames(tmp_path / "v", numbered, 60)):
        assert frame.frame_s is not None
        assert shown(tmp_path, frame)[:, :40].mean() / 2 == pytest.approx(frame.frame_s * FPS, abs=1.5)


def test_a_still_video_has_one_frame(run: Run, tmp_path: Path) -> None:
    path = write_frames(tmp_path / "v", lambda n: PHOTO, 400, gop=10)
    assert len(frames_of(run, path)) == 1


@pytest.mark.parametrize("count", [1, 2, 4])
def test_no_more_frames_than_asked_for(run: Run, tmp_path: Path, count: int) -> None:
    colors = np.random.default_rng(1).integers(30, 220, (8, 3))
    path = write_frames(tmp_path / "v", lambda n: plain(tuple(colors[n // 10])), 80)
    frames = frames_of(run, path, count)
    assert [one.kind for one in frames] == list(FRAME_KINDS[:count])
    assert sorted(path.name for path in (tmp_path / "scratch").glob("frame_*")) == [one.file_name for one in frames]
    times = [one.frame_s for one in frames if one.frame_s is not None]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    ("counter_clockwise", "corners"),
    [(-90, [BLUE, RED, WHITE, GREEN]), (180, [WHITE, BLUE, GREEN, RED]), (90, [GREEN, WHITE, RED, BLUE])],
)
def test_frames_are_upright(
    run: Run, tmp_path: Path, counter_clockwise: int, corners: list[tuple[int, int, int]]
) -> None:
    frames = frames_of(run, write_video(tmp_path / "v", rotation=counter_clockwise))
    assert len(frames) == 1
    with Image.open(tmp_path / "scratch" / "frame_01.jpg") as picture:
        assert picture.size == ((96, 64) if counter_clockwise == 180 else (64, 96))
        assert is_close(corner_colors(picture), corners)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_very_short_clips_have_a_frame(run: Run, tmp_path: Path, count: int) -> None:
    frames = frames_of(run, write_frames(tmp_path / "v", lambda n: PHOTO, count))
    assert len(frames) == 1
    assert frames[0].frame_s is not None
    assert frames[0].frame_s < count / FPS


def test_large_frames_are_made_smaller_and_small_ones_not_larger(run: Run, tmp_path: Path) -> None:
    large = np.ascontiguousarray(np.tile(PHOTO, (4, 5, 1))[:900, :1600])
    frames = frames_of(run, write_frames(tmp_path / "v", lambda n: large, 2))
    assert (frames[0].width_px, frames[0].height_px) == (1024, 576)
    with Image.open(tmp_path / "scratch" / "frame_01.jpg") as picture:
        wanted = Image.fromarray(large).resize((1024, 576))
        assert np.abs(np.asarray(picture, np.float32) - np.asarray(wanted, np.float32)).mean() < 8


def test_black_parts_and_transitions_are_not_shown(run: Run, tmp_path: Path) -> None:
    """Two seconds of black, two of one picture, one of a cross-fade, two of another one."""

    def edited(number: int) -> Picture:
        share = min(max((number - 40) / 10, 0), 1)
        return np.zeros_like(PHOTO) if number < 20 else (PHOTO * (1 - share) + OTHER * share).astype(np.uint8)

    frames = frames_of(run, write_frames(tmp_path / "v", edited, 70, gop=2))
    times = [one.frame_s for one in frames]
    assert len(times) == 2
    assert 2 <= (times[0] or 0) <= 4.2
    assert (times[1] or 0) >= 4.8


def test_a_black_video_has_one_frame(run: Run, tmp_path: Path) -> None:
    frames = frames_of(run, write_frames(tmp_path / "v", lambda n: np.zeros_like(PHOTO), 30))
    assert len(frames) == 1
    assert shown(tmp_path, frames[0]).max() < 20


def test_the_sharp_frame_of_a_scene_is_shown(run: Run, tmp_path: Path) -> None:
    blurred = np.asarray(Image.fromarray(PHOTO).resize((40, 32)).resize((320, 256)))
    path = write_frames(tmp_path / "v", lambda n: PHOTO if 15 <= n < 20 else blurred, 40)
    assert [one.frame_s for one in frames_of(run, path)] == [1.5]


def damaged(path: Path, start: float, end: float) -> Path:
    """Overwrite a part of the coded pictures with noise."""
    content = bytearray(path.read_bytes())
    at, size = content.index(b"mdat") + 4, len(content)
    noise = np.random.default_rng(1).integers(0, 256, int((end - start) * (size - at)), np.uint8).tobytes()
    first = at + int(start * (size - at))
    content[first : first + len(noise)] = noise
    path.write_bytes(bytes(content))
    return path


def test_damage_costs_the_frames_that_it_hits(run: Run, tmp_path: Path) -> None:
    """Moving textures, so that each frame has about as many bytes."""
    path = write_frames(
        tmp_path / "v",
        lambda n: np.ascontiguousarray(np.roll(PHOTO if n < 60 else OTHER, 8 * n, axis=1)),
        90,
        options={"x264-params": "keyint=5"},
    )
    before = frames_of(run, path)
    assert len(before) >= 2
    moov = path.read_bytes().index(b"moov")
    size = len(path.read_bytes())
    frames = frames_of(run, damaged(path, 0.3, 0.5 * moov / size))
    assert len(frames) >= 2
    assert (frames[0].frame_s or 0) < 6 <= (frames[-1].frame_s or 0)


@pytest.mark.parametrize(
    ("container", "codec", "pix_fmt"),
    [
        ("mpegts", "mpeg2video", "yuv420p"),
        ("mpeg1video", "mpeg1video", "yuv420p"),
        ("avi", "mpeg4", "yuv420p"),
        ("flv", "flv", "yuv420p"),
        ("webm", "libvpx", "yuv420p"),
        ("mov", "qtrle", "rgb24"),
        ("mp4", "libx264", "yuv444p"),
        ("mp4", "libx264", "yuv420p10le"),
    ],
)
def test_containers_and_codings(run: Run, tmp_path: Path, container: str, codec: str, pix_fmt: str) -> None:
    """MPEG-1 without a container has neither times nor an index."""
    options = {"libx264": {}, "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "2M"}}.get(codec, {"b": "2M"})
    path = tmp_path / "v"
    rate = 25 if codec.startswith("mpeg") else FPS
    with av.open(str(path), "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=Fraction(rate), options=options)
        stream.height, stream.width = PHOTO.shape[:2]
        stream.gop_size, stream.pix_fmt = 12, pix_fmt
        for number in range(4 * rate):
            picture = PHOTO if number < 2 * rate else OTHER
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    frames = frames_of(run, path)
    assert len(frames) == 2
    for frame, picture, (start, end) in zip(frames, (PHOTO, OTHER), ((0, 2), (2, 4)), strict=True):
        assert frame.frame_s is not None
        assert start <= frame.frame_s < end
        assert np.abs(shown(tmp_path, frame) - picture).mean() < 15


def test_interlaced_frames_are_shown_without_combs(run: Run, tmp_path: Path) -> None:
    """What moves by 16 pixels from field to field: one field is shown."""
    stripes = np.zeros((128, 192, 3), np.uint8)
    stripes[:, ::48] = 255
    for shift in range(24):
        stripes[:, shift::48] = 255

    def combed(number: int) -> Picture:
        picture = np.roll(stripes, 16 * 2 * number, axis=1).copy()
        picture[1::2] = np.roll(stripes, 16 * (2 * number + 1), axis=1)[1::2]
        return picture

    path = tmp_path / "v"
    with av.open(str(path), "w", format="mp4") as output:
        stream: Any = output.add_stream("libx264", rate=Fraction(25), options={"x264-params": "tff=1:qp=10"})
        stream.width, stream.height, stream.gop_size = 192, 128, 5
        for number in range(10):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(combed(number), format="rgb24")))
        output.mux(stream.encode(None))
    frames = frames_of(run, path)
    picture = shown(tmp_path, frames[0]).mean(axis=2)
    assert np.abs(picture[1:-1] - (picture[:-2] + picture[2:]) / 2).mean() < 12


def test_high_dynamic_range_is_shown_as_the_poster_is(run: Run, tmp_path: Path) -> None:
    path = write_frames(
        tmp_path / "v",
        lambda n: PHOTO,
        5,
        pix_fmt="yuv420p10le",
        options={"x264-params": "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"},
    )
    frames = frames_of(run, path)
    with Image.open(tmp_path / "scratch" / "preview.jpg") as poster:
        assert np.abs(shown(tmp_path, frames[0]) - np.asarray(poster, np.float32)).mean() < 3
    assert np.abs(shown(tmp_path, frames[0]) - PHOTO).mean() > 10  # it was mapped at all


def test_the_same_file_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    path = write_frames(tmp_path / "v", lambda n: PHOTO if n < 25 else OTHER, 50, gop=50)
    contents = []
    for _ in range(2):
        frames = frames_of(run, path)
        contents.append([(tmp_path / "scratch" / one.file_name).read_bytes() for one in frames])
    assert len(contents[0]) == 2
    assert contents[0] == contents[1]


def test_pictures_have_no_frames(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "p"
    Image.fromarray(PHOTO).save(path, "JPEG")
    assert not [one for one in run(path).renditions if one.kind in FRAME_KINDS or one.frame_s is not None]


def test_without_thumbnails_no_frames(run: Run, tmp_path: Path) -> None:
    path = write_frames(tmp_path / "v", lambda n: PHOTO, 5)
    assert run(path, "clip.mp4", renditions=False).renditions == ()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_when_nothing_can_be_compared_the_poster_is_the_frame(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a video whose damage lets the poster be found once, and nothing after it."""
    monkeypatch.setattr("media_assets.media.analysis_frames._see", lambda *_: [])
    frames = frames_of(run, write_frames(tmp_path / "v", lambda n: PHOTO, 40))
    assert [one.kind for one in frames] == ["frame_01"]
    assert frames[0].frame_s is not None
    assert 0 <= frames[0].frame_s < 4
    assert np.abs(shown(tmp_path, frames[0]) - PHOTO).mean() < 15


def test_a_recording_without_frames_has_none(run: Run, tmp_path: Path) -> None:
    result = run(write_clip(tmp_path / "v", "asf", "msmpeg4", frames=0), "clip.wmv")
    assert len(result.renditions) == 5
    assert not [one for one in result.renditions if one.kind in FRAME_KINDS]


def test_packets_that_cannot_be_read_end_the_frames(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in cases 2836 and 4532 of ``make fuzz`` with seed 3: the first way through the file met no damage."""
    path = write_frames(tmp_path / "clip.mp4", lambda number: plain((10 * number, 80, 200)), 20, gop=20)
    whole = len(frames_of(run, path))
    real = frames.read_packets

    def damaged(*arguments: Any) -> Any:
        for number, packet in enumerate(real(*arguments)):
            if number == 3:
                raise av.error.InvalidDataError(1094995529, "Invalid data found when processing input")
            yield packet

    monkeypatch.setattr(frames, "read_packets", damaged)
    assert 1 <= len(frames_of(run, path)) <= whole
