from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.limits import Limits
from media_assets.media.video_facts import read_packets
from media_assets_tests.unit.media.samples import BLUE, GREEN, RED, WHITE, corner_colors, is_close, noisy
from media_assets_tests.unit.media.video_samples import FPS, decode, patched, write_clip

# FFmpeg's container, our format, encoder, name of the codec, pixel format, sound.
CLIPS = [
    ("mp4", "mp4", "libx264", "h264", "yuv420p", "aac"),
    ("mp4", "mp4", "libx265", "hevc", "yuv420p10le", None),
    ("mp4", "mp4", "libsvtav1", "av1", "yuv420p", None),
    ("mp4", "mp4", "mpeg4", "mpeg4", "yuv420p", "libmp3lame"),
    ("mov", "mov", "prores_ks", "prores", "yuv422p10le", "pcm_s16le"),
    ("mov", "mov", "mjpeg", "mjpeg", "yuvj420p", None),
    ("3gp", "3gp", "h263", "h263", "yuv420p", None),
    ("matroska", "mkv", "libx264", "h264", "yuv420p", "libopus"),
    ("matroska", "mkv", "mpeg2video", "mpeg2video", "yuv420p", "ac3"),
    ("webm", "webm", "libvpx", "vp8", "yuv420p", "libopus"),
    ("webm", "webm", "libvpx-vp9", "vp9", "yuv420p", None),
    ("avi", "avi", "msmpeg4", "msmpeg4v3", "yuv420p", "libmp3lame"),
    ("avi", "avi", "mjpeg", "mjpeg", "yuvj420p", None),
    ("flv", "flv", "flv", "flv1", "yuv420p", "aac"),
    ("flv", "flv", "libx264", "h264", "yuv420p", None),
    ("asf", "asf", "wmv1", "wmv1", "yuv420p", None),
    ("asf", "asf", "wmv2", "wmv2", "yuv420p", "libmp3lame"),
    ("mpeg", "mpeg", "mpeg1video", "mpeg1video", "yuv420p", "mp2"),
    ("mpeg", "mpeg", "mpeg2video", "mpeg2video", "yuv420p", None),
    ("mpeg1video", "mpeg", "mpeg1video", "mpeg1video", "yuv420p", None),
    ("mpeg2video", "mpeg", "mpeg2video", "mpeg2video", "yuv420p", None),
    ("mpegts", "mpegts", "libx264", "h264", "yuv420p", "aac"),
    ("mpegts", "mpegts", "mpeg2video", "mpeg2video", "yuv420p", "mp2"),
    ("ogg", "ogg", "libvpx", "vp8", "yuv420p", "libopus"),
]
NAMES = [f"{clip[0]}-{clip[2]}" for clip in CLIPS]


@pytest.mark.parametrize(("container", "name", "encoder", "codec", "pix_fmt", "audio"), CLIPS, ids=NAMES)
def test_every_container_and_codec(
    tmp_path: Path, container: str, name: str, encoder: str, codec: str, pix_fmt: str, audio: str | None
) -> None:
    size = (176, 144) if codec == "h263" else (96, 64)
    # Program streams have a time for each packet only: many small frames in one packet would hide the last second.
    frames_px = (720, 576) if container == "mpeg" else size
    path = write_clip(tmp_path / "v", container, encoder, pix_fmt=pix_fmt, audio=audio, size=frames_px)
    decoded = decode(path, name, tmp_path)
    fields = decoded.fields
    assert (decoded.width_px, decoded.height_px) == frames_px
    assert decoded.duration_s == pytest.approx(2.0, abs=0.4 if container == "mpeg" else 0.15)
    assert fields["frame_rate_fps"] == pytest.approx(FPS, rel=0.01)
    assert (fields["container"], fields["video_codec"], fields["rotation_deg"]) == (name, codec, 0)
    sound = {None: None, "libmp3lame": "mp3", "libopus": "opus"}.get(audio, audio)
    assert fields["audio_codec"] == sound
    assert (fields["audio_channels"], fields["sample_rate_hz"] is None) == (1 if audio else None, audio is None)
    assert is_close(corner_colors(decoded.poster), [RED, GREEN, BLUE, WHITE], tolerance=45)
    assert decoded.warnings == ()


def test_bit_depth_and_pixel_format(tmp_path: Path) -> None:
    fields = decode(write_clip(tmp_path / "v", "mp4", "libx265", pix_fmt="yuv420p10le"), "mp4", tmp_path).fields
    assert (fields["bit_depth"], fields["pixel_format"], fields["has_alpha"]) == (10, "yuv420p10le", False)


def test_transport_stream_with_time_codes_of_blu_ray(tmp_path: Path) -> None:
    """M2TS and MTS put four bytes before each packet."""
    data = write_clip(tmp_path / "v", "mpegts", "libx264").read_bytes()
    m2ts = b"".join(b"\x0c\x00\x00\x01" + data[at : at + 188] for at in range(0, len(data), 188))
    decoded = decode(m2ts, "mpegts", tmp_path)
    assert decoded.fields["video_codec"] == "h264"
    assert decoded.duration_s == pytest.approx(2.0, abs=0.15)


def test_live_matroska_states_no_duration(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "v", "webm", "libvpx", options={"live": "1"})
    decoded = decode(path, "webm", tmp_path)
    assert decoded.duration_s is None
    assert any("states no duration; its data spans 2.0 s" in warning for warning in decoded.warnings)
    with pytest.raises(ContentError) as caught:
        decode(path, "webm", tmp_path, Limits(max_duration_s=1.0))
    assert caught.value.reason is ReasonCode.TOO_LONG


def test_a_matrix_that_is_no_quarter_turn_is_told_and_not_applied(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "v", "mp4", "mpeg4").read_bytes()
    matrix = (0x7FFFFFFF).to_bytes(4, "big") * 2 + bytes(4) + (0x80000000).to_bytes(4, "big") + bytes(4)
    decoded = decode(patched(data, b"tkhd", 40, matrix), "mp4", tmp_path)
    assert (decoded.fields["rotation_deg"], decoded.width_px, decoded.height_px) == (54, 96, 64)
    assert decoded.warnings == ("The display matrix of the video is no rotation by quarter turns and was not applied.",)


def test_a_matrix_that_turns_and_stretches(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "v", "mp4", "mpeg4").read_bytes()
    one, two = (0x10000).to_bytes(4, "big"), (-0x20000).to_bytes(4, "big", signed=True)
    turned = bytes(4) + one + bytes(4) + two + bytes(4)
    decoded = decode(patched(data, b"tkhd", 40, turned), "mp4", tmp_path)
    assert (decoded.fields["rotation_deg"], decoded.width_px, decoded.height_px) == (90, 64, 96)
    assert is_close(corner_colors(decoded.poster), [BLUE, RED, WHITE, GREEN])


def test_an_empty_recording_is_shown_black(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "v", "asf", "msmpeg4", frames=0)
    decoded = decode(path, "asf", tmp_path)
    assert (decoded.width_px, decoded.height_px, decoded.duration_s) == (96, 64, None)
    assert decoded.poster.getextrema() == ((0, 0),) * 3
    assert decoded.warnings == ("The video holds no frame; its poster is black.",)


@pytest.mark.parametrize(
    ("container", "name", "encoder"),
    [
        ("mp4", "mp4", "libx264"),
        ("mov", "mov", "mjpeg"),
        ("matroska", "mkv", "libx264"),
        ("webm", "webm", "libvpx"),
        ("avi", "avi", "mpeg4"),
        ("asf", "asf", "wmv2"),
    ],
)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_cut_files_are_refused(tmp_path: Path, container: str, name: str, encoder: str, share: float) -> None:
    pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
    image = np.asarray(noisy(96, 64))
    data = write_clip(tmp_path / "v", container, encoder, pix_fmt=pix_fmt, image=image).read_bytes()
    assert decode(data, name, tmp_path).width_px == 96
    with pytest.raises(ContentError) as caught:
        decode(data[: round(len(data) * share)], name, tmp_path)
    assert caught.value.reason is ReasonCode.TRUNCATED


@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov", "frag_keyframe+default_base_moof"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_cut_movies_with_the_index_in_front_are_refused(tmp_path: Path, movflags: str, share: float) -> None:
    image = np.asarray(noisy(96, 64))
    path = write_clip(tmp_path / "v", "mp4", "libx264", image=image, options={"movflags": movflags})
    data = path.read_bytes()
    assert decode(data, "mp4", tmp_path).duration_s == pytest.approx(2.0, abs=0.15)
    with pytest.raises(ContentError) as caught:
        decode(data[: round(len(data) * share)], "mp4", tmp_path)
    assert caught.value.reason is ReasonCode.TRUNCATED


@pytest.mark.parametrize(
    ("container", "name", "encoder"),
    [("flv", "flv", "flv"), ("mpeg", "mpeg", "mpeg2video"), ("mpegts", "mpegts", "libx264"), ("ogg", "ogg", "libvpx")],
)
def test_streams_without_a_stated_end_play_to_the_cut(tmp_path: Path, container: str, name: str, encoder: str) -> None:
    image = np.asarray(noisy(96, 64))
    data = write_clip(tmp_path / "v", container, encoder, image=image).read_bytes()
    decoded = decode(data[: len(data) * 9 // 10], name, tmp_path)
    assert (decoded.width_px, decoded.height_px) == (96, 64)
    with pytest.raises(ContentError):
        decode(data[:20], name, tmp_path)


class _LateStream:
    """A container in whose middle a stream begins that was not there when it was opened, as PyAV 18 shows it."""

    def demux(self, *streams: object) -> Iterator[str]:
        yield "first"
        raise IndexError("list index out of range")


def test_packets_end_where_an_unknown_stream_begins() -> None:
    assert list(read_packets(cast("Any", _LateStream()))) == ["first"]
