"""Storyboard, animated preview and clip of videos made in code."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from media_assets.media.clip_plan import clip_size
from media_assets.media.errors import ScratchError
from media_assets.media.frames import square_size
from media_assets.media.limits import Limits
from media_assets.media.records import Rendition
from media_assets.media.rendering import DEFAULT_OPTIONS
from media_assets.media.web_video import write_web_video
from media_assets_tests.unit.media.samples import BLUE, GREEN, RED, WHITE, corner_colors, is_close, quadrants
from media_assets_tests.unit.media.video_samples import patched

Picture = NDArray[Any]
FPS = 25


@dataclass
class Made:
    """What was written, by kind, and what was said about it."""

    scratch: Path
    renditions: dict[str, Rendition]
    notes: list[str]
    progress: list[float]

    @property
    def clip(self) -> Path:
        return self.scratch / self.renditions["clip"].file_name

    def frames(self) -> list[Picture]:
        with av.open(str(self.clip)) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    def times(self) -> list[float]:
        with av.open(str(self.clip)) as container:
            return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


Make = Callable[..., Made]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    scratch = tmp_path / "scratch"

    def make_web(path: Path, *, deadline_s: float = 60.0, limits: Limits | None = None, threads: int = 1) -> Made:
        scratch.mkdir(exist_ok=True)
        made = Made(scratch, {}, [], [])
        renditions = write_web_video(
            path,
            scratch,
            DEFAULT_OPTIONS,
            limits or Limits(),
            threads=threads,
            deadline_s=deadline_s,
            on_progress=made.progress.append,
            notes=made.notes,
        )
        made.renditions = {one.kind: one for one in renditions}
        for one in renditions:
            assert (scratch / one.file_name).stat().st_size == one.size_bytes
        assert {file.name for file in scratch.iterdir()} == {one.file_name for one in renditions}
        return made

    return make_web


def write(
    path: Path,
    *,
    container: str = "mp4",
    codec: str = "mpeg4",
    frames: int = 25,
    size: tuple[int, int] = (96, 64),
    pix_fmt: str = "yuv420p",
    rate: int = FPS,
    picture: Callable[[int], Picture] | None = None,
    pts: Callable[[int], int] | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    audio: str | None = None,
    sound_s: float = 1.0,
    layout: str = "stereo",
    color: tuple[int, int, int] | None = None,
    tags: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> Path:
    """Write quadrants, or what ``picture`` draws; ``color`` is primaries, transfer and matrix."""
    still = np.asarray(quadrants(*size))
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        output.metadata.update(tags or {})
        stream: Any = output.add_stream(codec, rate=Fraction(rate), options=codec_options or {})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, pix_fmt, 10
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if color:
            context = stream.codec_context
            context.color_primaries, context.color_trc, context.colorspace = color
        if rotation:
            stream.set_display_rotation(rotation)
        sound: Any = output.add_stream(audio, rate=44_100, layout=layout) if audio else None
        for number in range(frames):
            pixels = still if picture is None else picture(number)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le" if pixels.dtype == np.uint16 else "rgb24")
            if color:
                frame = frame.reformat(format=pix_fmt, dst_colorspace=color[2])
            if pts is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
                frame.pts, frame.time_base = pts(number), Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            write_tone(output, sound, sound_s, layout)
    return path


def write_tone(output: Any, sound: Any, seconds: float, layout: str) -> None:
    """Half a second of silence, then 440 Hz."""
    times = np.arange(int(seconds * 44_100)) / 44_100
    wave = (np.sin(2 * np.pi * 440 * times) * 12_000 * (times > 0.5)).astype(np.int16)
    channels = 1 if layout == "mono" else 2
    samples = av.AudioFrame.from_ndarray(np.repeat(wave, channels)[None], format="s16", layout=layout)
    samples.sample_rate, samples.pts = 44_100, 0
    resampler = av.AudioResampler(format=sound.format, layout=layout, rate=44_100, frame_size=sound.frame_size or 1024)
    for frame in [*resampler.resample(samples), *resampler.resample(None)]:
        output.mux(sound.encode(frame))
    output.mux(sound.encode(None))


def boxes(data_: bytes, path: tuple[bytes, ...] = ()) -> Iterator[tuple[tuple[bytes, ...], bytes]]:
    """Yield all boxes, depth first, with their bodies."""
    at = 0
    while at + 8 <= len(data_):
        size, kind = struct.unpack(">I4s", data_[at : at + 8])
        start, size = (at + 16, int.from_bytes(data_[at + 8 : at + 16], "big")) if size == 1 else (at + 8, size)
        body = data_[start : at + size]
        yield (*path, kind), body
        if kind in {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"edts"}:
            yield from boxes(body, (*path, kind))
        at += max(size, 8)


def noise(number: int, size: tuple[int, int] = (96, 64)) -> Picture:
    return np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)


def red_share(picture: Picture) -> float:
    """Share of the pixels that are clearly red."""
    rgb = picture.astype(int)
    return float(((rgb[..., 0] > 120) & (rgb[..., 1] < 90) & (rgb[..., 2] < 90)).mean())


# ---------------------------------------------------------------- storyboard and animated preview


def numbered(number: int) -> Picture:
    """A picture that is red from the left, more of it in each frame of a second."""
    pixels = np.asarray(quadrants(96, 64)).copy()
    pixels[:, : number * 96 // 100] = RED
    return pixels


def test_the_storyboard_shows_four_moments_in_order(tmp_path: Path, make: Make) -> None:
    made = make(write(tmp_path / "v", frames=100, picture=numbered))
    one = made.renditions["storyboard"]
    assert (one.format, one.width_px, one.height_px) == ("jpeg", 4 * 96, 64)
    with Image.open(made.scratch / one.file_name) as strip:
        cells = [np.asarray(strip.crop((n * 96, 0, n * 96 + 96, 64)).convert("RGB")) for n in range(4)]
    shares = [red_share(cell[:, 48:]) for cell in cells]
    assert shares == sorted(shares)
    assert shares[0] < 0.05
    assert shares[-1] > 0.6


def test_cells_of_the_storyboard_are_upright_and_fit_their_box(tmp_path: Path, make: Make) -> None:
    made = make(write(tmp_path / "v", size=(640, 400), rotation=-90))
    one = made.renditions["storyboard"]
    assert (one.width_px, one.height_px) == (4 * 200, 320)
    with Image.open(made.scratch / one.file_name) as strip:
        assert is_close(corner_colors(strip.crop((200, 0, 400, 320))), [BLUE, RED, WHITE, GREEN])


def test_the_preview_of_a_long_video_shows_six_cuts(tmp_path: Path, make: Make) -> None:
    made = make(write(tmp_path / "v", frames=300, picture=lambda n: numbered(n // 3)))
    one = made.renditions["animated_preview"]
    assert (one.format, one.width_px, one.height_px, one.duration_s) == ("webp", 96, 64, 3.0)
    with Image.open(made.scratch / one.file_name) as animation:
        assert animation.info["loop"] == 0
        shown = []
        for number in range(animation.n_frames):  # equal frames are stored once, and shown longer
            animation.seek(number)
            shown += [np.asarray(animation.convert("RGB"))] * (animation.info["duration"] // 100)
    assert len(shown) == 30
    shares = [red_share(frame) for frame in shown[2::5]]
    assert all(later > earlier + 0.02 for earlier, later in pairwise(shares))


def test_the_preview_of_a_short_video_shows_all_of_it(tmp_path: Path, make: Make) -> None:
    made = make(write(tmp_path / "v", frames=50, size=(960, 640), picture=lambda n: np.asarray(quadrants(960, 640))))
    one = made.renditions["animated_preview"]
    assert (one.width_px, one.height_px, one.duration_s) == (480, 320, 2.0)


# ---------------------------------------------------------------- clip: picture


def test_the_clip_is_h264_for_every_browser(tmp_path: Path, make: Make) -> None:
    made = make(write(tmp_path / "v"))
    one = made.renditions["clip"]
    assert (one.file_name, one.format, one.width_px, one.height_px) == ("clip.mp4", "mp4", 96, 64)
    assert one.duration_s == pytest.approx(1.0, abs=0.01)
    with av.open(str(made.clip)) as container:
        (stream,) = container.streams
        context = stream.codec_context
        assert (context.codec.canonical_name, context.pix_fmt, context.profile) == ("h264", "yuv420p", "High")
        assert (int(context.colorspace), int(context.color_trc), int(context.color_range)) == (1, 1, 1)
    frames = made.frames()
    assert len(frames) == 25
    assert is_close(corner_colors(Image.fromarray(frames[12])), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize(
    ("rotation", "size", "corners"),
    [
        (-90, (64, 96), [BLUE, RED, WHITE, GREEN]),
        (180, (96, 64), [WHITE, BLUE, GREEN, RED]),
        (90, (64, 96), [GREEN, WHITE, RED, BLUE]),
    ],
)
def test_rotation_is_baked_in(
    tmp_path: Path, make: Make, rotation: int, size: tuple[int, int], corners: list[tuple[int, int, int]]
) -> None:
    made = make(write(tmp_path / "v", codec="libx264", rotation=rotation, options={"movflags": "faststart"}))
    one = made.renditions["clip"]
    with av.open(str(made.clip)) as container:
        frame = next(container.decode(video=0))
        assert frame.rotation == 0
    picture = Image.fromarray(made.frames()[5])
    assert picture.size == size == (one.width_px, one.height_px)
    assert is_close(corner_colors(picture), corners)


def test_samples_become_square(tmp_path: Path, make: Make) -> None:
    made = make(write(tmp_path / "v", size=(90, 64), aspect=Fraction(16, 11)))
    one = made.renditions["clip"]
    assert (one.width_px, one.height_px) == (130, 64)
    with av.open(str(made.clip)) as container:
        assert container.streams.video[0].sample_aspect_ratio in {None, Fraction(1)}
    assert made.renditions["storyboard"].width_px == 4 * 131


def test_odd_sides_become_even(tmp_path: Path, make: Make) -> None:
    path = write(tmp_path / "v", container="webm", codec="libvpx", size=(97, 65), picture=lambda n: noise(n, (97, 65)))
    one = make(path).renditions["clip"]
    assert {one.width_px, one.height_px} <= {96, 98, 64, 66}
    assert make(path).frames()[0].shape == (one.height_px, one.width_px, 3)


@pytest.mark.parametrize(
    ("size", "clip"),
    [
        ((3840, 2160), (1920, 1080)),
        ((2160, 3840), (1080, 1920)),
        ((1920, 1440), (1440, 1080)),
        ((1080, 1080), (1080, 1080)),
        ((4000, 500), (1920, 240)),
        ((1, 1), (2, 2)),
        ((640, 360), (640, 360)),
    ],
)
def test_sizes_of_clips(size: tuple[int, int], clip: tuple[int, int]) -> None:
    assert clip_size(*size) == clip


@pytest.mark.parametrize("aspect", [None, Fraction(0), Fraction(1, 100), Fraction(100)])
def test_senseless_sample_aspects_do_not_count(aspect: Fraction | None) -> None:
    assert square_size(720, 576, aspect) == (720, 576)


def test_uneven_times_of_frames_are_kept(tmp_path: Path, make: Make) -> None:
    times_ms = [0, 40, 80, 500, 540, 1200, 1240, 1900]
    path = write(
        tmp_path / "v", container="matroska", codec="mpeg4", frames=8, pts=lambda n: times_ms[n], picture=noise
    )
    assert make(path).times() == pytest.approx([ms / 1000 for ms in times_ms], abs=0.002)


def test_slow_motion_has_sixty_frames_a_second(tmp_path: Path, make: Make) -> None:
    made = make(write(tmp_path / "v", frames=120, rate=240))
    assert len(made.frames()) == 30
    assert np.diff(made.times()).min() > 1 / 61


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.5807), (18, 0.75)], ids=["PQ", "HLG"])
def test_high_dynamic_range_becomes_bright_srgb(tmp_path: Path, make: Make, transfer: int, white: float) -> None:
    """Gray of a quarter of the light of white on the left, white (203 cd/m2) on the right."""
    quarter = {16: 0.4358, 18: 0.4331}[transfer]
    signal = np.full((64, 96, 3), quarter)
    signal[:, 48:] = white
    pixels = (signal * 65535).astype(np.uint16)
    path = write(
        tmp_path / "v",
        codec="libx265",
        pix_fmt="yuv420p10le",
        picture=lambda _: pixels,
        color=(9, transfer, 9),
        codec_options={"x265-params": "log-level=none"},
    )
    made = make(path)
    frame = made.frames()[3].astype(int)
    with Image.open(made.scratch / "storyboard.jpg") as strip:
        still = np.asarray(strip.convert("RGB"))[:, :96].astype(int)
    for picture in (frame, still):
        left, right = picture[20:40, 10:30].mean((0, 1)), picture[20:40, 66:86].mean((0, 1))
        assert np.ptp(left) < 8
        assert np.ptp(right) < 8
        assert 110 < left.mean() < 150
        assert 200 < right.mean() < 240
    assert np.abs(frame[20:40, 10:30].mean() - still[20:40, 10:30].mean()) < 8


def test_fields_are_joined(tmp_path: Path, make: Make) -> None:
    """A bar that moves between the fields leaves no comb."""

    def fields(number: int) -> Picture:
        pixels = np.full((64, 96, 3), 30, np.uint8)
        pixels[::2, number * 6 : number * 6 + 20] = 220
        pixels[1::2, number * 6 + 3 : number * 6 + 23] = 220
        return pixels

    path = write(
        tmp_path / "v",
        codec="libx264",
        frames=14,
        picture=fields,
        codec_options={"x264-params": "tff=1", "crf": "5"},
        pix_fmt="yuv420p",
    )
    made = make(path)
    assert "interlacing" in made.notes[0]
    gray = made.frames()[10].astype(int)[..., 1]
    assert np.abs(np.diff(gray, axis=0)).mean() < 0.3 * np.abs(np.diff(fields(10).astype(int)[..., 1], axis=0)).mean()


def test_damaged_packets_cost_their_frames_only(tmp_path: Path, make: Make) -> None:
    path = write(tmp_path / "v", codec="mjpeg", pix_fmt="yuvj420p", picture=noise, container="avi")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = list(container.demux(video=0))[12]
        start, size = packet.pos, packet.size
    content[start + 8 : start + 8 + size] = bytes(size)
    path.write_bytes(content)
    made = make(path)
    assert 20 <= len(made.frames()) <= 25
    assert made.renditions["clip"].duration_s == pytest.approx(1.0, abs=0.1)


# ---------------------------------------------------------------- clip: sound


@pytest.mark.parametrize(("container", "codec", "layout"), [("mov", "pcm_s16le", "stereo"), ("avi", "mp2", "mono")])
def test_sound_becomes_aac_in_sync(tmp_path: Path, make: Make, container: str, codec: str, layout: str) -> None:
    made = make(write(tmp_path / "v", container=container, audio=codec, layout=layout))
    with av.open(str(made.clip)) as clip:
        picture, sound = clip.streams.video[0], clip.streams.audio[0]
        assert (sound.codec_context.name, sound.codec_context.sample_rate) == ("aac", 48_000)
        assert sound.codec_context.layout.name == layout
        assert float(sound.duration * sound.time_base) == pytest.approx(
            float(picture.duration * picture.time_base), abs=0.1
        )
        heard = np.concatenate([frame.to_ndarray()[0] for frame in clip.decode(audio=0)])
    loud = np.flatnonzero(np.abs(heard) > 0.1)
    assert loud[0] / 48_000 == pytest.approx(0.5, abs=0.05)


# ---------------------------------------------------------------- clip: copies and none


def h264(path: Path, **changes: Any) -> Path:
    settings: dict[str, Any] = {"codec": "libx264", "audio": "aac", "picture": noise}
    return write(path, **settings | changes)


def test_a_video_that_plays_in_browsers_has_no_clip(tmp_path: Path, make: Make) -> None:
    made = make(h264(tmp_path / "v", options={"movflags": "faststart"}))
    assert list(made.renditions) == ["storyboard", "animated_preview"]
    assert made.notes == ["No clip is made: the video plays in browsers as it is."]


@pytest.mark.parametrize(
    ("container", "movflags"), [("mov", ""), ("mp4", ""), ("mp4", "frag_keyframe+empty_moov"), ("matroska", None)]
)
def test_a_wrong_container_is_replaced_without_encoding(
    tmp_path: Path, make: Make, container: str, movflags: str | None
) -> None:
    options = {"movflags": movflags} if movflags else {}
    path = h264(tmp_path / "v", container=container, options=options)
    made = make(path)
    assert made.notes == ["Copied into another container."]
    kinds = [names for names, _ in boxes(made.clip.read_bytes())]
    assert kinds.index((b"moov",)) < kinds.index((b"mdat",))
    with av.open(str(path)) as source:
        frames = list(source.decode(video=0))
        wanted, times = [frame.to_ndarray(format="gray") for frame in frames], [frame.time for frame in frames]
    with av.open(str(made.clip)) as clip:
        found = [frame.to_ndarray(format="gray") for frame in clip.decode(video=0)]
        assert {stream.type for stream in clip.streams} == {"video", "audio"}
    assert len(found) == len(wanted)
    assert all((a == b).all() for a, b in zip(found, wanted, strict=True))
    assert made.times() == pytest.approx(times, abs=0.002)
    assert made.renditions["clip"].duration_s == pytest.approx(1.0, abs=0.1)


def test_a_clip_is_not_larger_than_a_video_that_plays(tmp_path: Path, make: Make) -> None:
    path = write(
        tmp_path / "v", container="webm", codec="libvpx", picture=noise, codec_options={"crf": "63", "b": "10000"}
    )
    made = make(path)
    assert "clip" not in made.renditions
    assert "larger" in made.notes[-1]


# ---------------------------------------------------------------- clip: what it says of itself

TAGS = {
    "title": "Private title",
    "location": "+40.6358-111.8084/",
    "com.apple.quicktime.location.ISO6709": "+40.6358-111.8084+1400/",
    "com.apple.quicktime.model": "Private phone",
    "creation_time": "2024-05-01T10:00:00Z",
}


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"], ids=["copied", "encoded"])
def test_clips_carry_no_metadata(tmp_path: Path, make: Make, codec: str) -> None:
    options = {"movflags": "use_metadata_tags"}
    path = write(tmp_path / "v", container="mov", codec=codec, tags=TAGS, options=options, audio="aac", picture=noise)
    assert b"Private" in path.read_bytes()
    made = make(path)
    content = made.clip.read_bytes()
    names = [names for names, _ in boxes(content)]
    assert names.index((b"moov",)) < names.index((b"mdat",))
    assert not {kind for kinds in names for kind in kinds} & {b"uuid", b"\xa9xyz", b"loci", b"chpl", b"keys"}
    # FFmpeg always writes the list of items; it is empty.
    assert [body[-8:] for kinds, body in boxes(content) if kinds[-1] == b"meta"] == [b"\0\0\0\x08ilst"]
    words = [b"Private", b"40.6358", b"x264", b"Lavf", b"2024"]
    if codec != "libx264":
        words.append(b"Lavc")  # of the sound: where that is copied, so is what its encoder put between the samples
    assert [word for word in words if word in content] == []
    for kinds, body in boxes(content):
        if kinds[-1] in {b"mvhd", b"tkhd", b"mdhd"}:
            assert body[4:12] == bytes(8)  # times of creation and change
    with av.open(str(made.clip)) as clip:
        assert clip.metadata.keys() <= {"major_brand", "minor_version", "compatible_brands"}


# ---------------------------------------------------------------- time, space, order


def test_the_same_video_gives_the_same_bytes(tmp_path: Path, make: Make) -> None:
    path = write(tmp_path / "v", container="mov", audio="pcm_s16le", picture=noise)
    first, second = (
        {one.kind: (made.scratch / one.file_name).read_bytes() for one in made.renditions.values()}
        for made in (make(path, threads=2), make(path, threads=2))
    )
    assert first == second
    assert len(first) == 3


def test_after_the_deadline_nothing_unfinished_is_left(tmp_path: Path, make: Make) -> None:
    made = make(write(tmp_path / "v"), deadline_s=0.0)
    assert made.renditions == {}
    assert "clip_timeout_s" in made.notes[-1]


def test_a_deadline_in_the_clip_keeps_the_others(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from media_assets.media import pace

    clock = iter(range(10**6))
    monkeypatch.setattr(pace.time, "monotonic", lambda: float(next(clock)))
    path = write(tmp_path / "v", frames=400)
    everything = next(clock)
    made = make(path, deadline_s=10**6)
    took = next(clock) - everything
    late = make(path, deadline_s=took - 200)
    assert list(made.renditions) == ["storyboard", "animated_preview", "clip"]
    assert list(late.renditions) == ["storyboard", "animated_preview"]
    assert made.progress == sorted(made.progress)
    assert 0.9 < made.progress[-1] <= 1


def test_a_full_disk_is_no_fault_of_the_video(tmp_path: Path, make: Make) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    path = write(tmp_path / "v")
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "clip.mp4").symlink_to("/dev/full")
    with pytest.raises(ScratchError):
        make(path)


def test_a_recording_without_frames_has_nothing_to_show(tmp_path: Path, make: Make) -> None:
    from media_assets_tests.unit.media.video_samples import write_clip

    made = make(write_clip(tmp_path / "v", "asf", "msmpeg4", frames=0))
    assert made.renditions == {}
    assert made.notes == ["The video holds no frame: there is nothing to show."]


def test_the_size_of_a_sample_photo_survives(tmp_path: Path, make: Make) -> None:
    """A real picture, so that the quality of the encoder is seen."""
    photo = np.ascontiguousarray(data.astronaut()[:256, :320])
    made = make(write(tmp_path / "v", size=(320, 256), picture=lambda _: photo, codec_options={"qscale": "2"}))
    error = made.frames()[10].astype(float) - photo
    assert np.sqrt((error**2).mean()) < 12


def test_an_odd_display_matrix_is_not_copied(tmp_path: Path, make: Make) -> None:
    path = h264(tmp_path / "v")
    matrix = (0x7FFFFFFF).to_bytes(4, "big") * 2 + bytes(4) + (0x80000000).to_bytes(4, "big") + bytes(4)
    path.write_bytes(patched(path.read_bytes(), b"tkhd", 40, matrix))
    made = make(path)
    assert made.notes == ["Encoded for its rotation."]
    with av.open(str(made.clip)) as clip:
        assert next(clip.decode(video=0)).rotation == 0
    assert (made.renditions["clip"].width_px, made.renditions["clip"].height_px) == (96, 64)
