# ruff: noqa: DTZ001  # wall times have no zone
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.limits import Limits
from media_assets_tests.unit.media.conftest import Run
from media_assets_tests.unit.media.samples import BLUE, GREEN, RED, WHITE, corner_colors, is_close, noisy, write_video


@pytest.mark.parametrize(
    ("container", "codec", "name"),
    [
        ("mp4", "mpeg4", "mp4"),
        ("mov", "mpeg4", "mov"),
        ("matroska", "mpeg4", "mkv"),
        ("avi", "mpeg4", "avi"),
        ("webm", "libvpx", "webm"),
    ],
)
def test_facts_and_poster(tmp_path: Path, run: Run, container: str, codec: str, name: str) -> None:
    path = write_video(tmp_path / "v", container=container, codec=codec)
    result = run(path, f"clip.{name}")
    facts, metadata = result.facts, result.metadata
    assert metadata is not None
    assert (facts.media_type, facts.format, facts.width_px, facts.height_px) == ("video", name, 96, 64)
    assert facts.duration_s == pytest.approx(2.0, abs=0.15)
    assert (metadata.container, metadata.rotation_deg, metadata.audio_codec) == (name, 0, None)
    assert metadata.video_codec == ("vp8" if codec == "libvpx" else "mpeg4")
    assert metadata.frame_rate_fps == pytest.approx(10)
    assert [(r.width_px, r.height_px) for r in result.renditions] == [(96, 64)] * 6
    assert (result.renditions[-1].kind, result.renditions[-1].frame_s) == ("frame_01", pytest.approx(0, abs=2))
    with Image.open(tmp_path / "scratch" / "preview.jpg") as poster:
        assert is_close(corner_colors(poster), [RED, GREEN, BLUE, WHITE])
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("counter_clockwise", "clockwise", "corners"),
    [
        (-90, 90, [BLUE, RED, WHITE, GREEN]),
        (180, 180, [WHITE, BLUE, GREEN, RED]),
        (90, 270, [GREEN, WHITE, RED, BLUE]),
    ],
)
def test_rotation_is_applied(
    tmp_path: Path, run: Run, counter_clockwise: int, clockwise: int, corners: list[tuple[int, int, int]]
) -> None:
    result = run(write_video(tmp_path / "v", rotation=counter_clockwise), "clip.mp4")
    assert result.metadata is not None
    assert result.metadata.rotation_deg == clockwise
    size = (96, 64) if clockwise == 180 else (64, 96)
    assert (result.facts.width_px, result.facts.height_px) == size
    with Image.open(tmp_path / "scratch" / "preview.jpg") as poster:
        assert poster.size == size
        assert is_close(corner_colors(poster), corners)


def test_tags_of_the_container(tmp_path: Path, run: Run) -> None:
    tags = {
        "creation_time": "2024-05-01T10:00:00Z",
        "location": "+40.6358-111.8084/",
        "title": "At the lake",
        "comment": "Windy",
    }
    metadata = run(write_video(tmp_path / "v", tags=tags, audio=True), "clip.mp4").metadata
    assert metadata is not None
    assert metadata.captured_at == datetime(2024, 5, 1, 10, tzinfo=UTC)
    # The file stores UTC; the place has a time zone.
    assert (metadata.captured_at_local, metadata.utc_offset_minutes) == (datetime(2024, 5, 1, 4), -360)
    assert metadata.timezone == "America/Denver"
    assert metadata.captured_at_source == "quicktime:creation_time+timezone"
    assert (metadata.title, metadata.description) == ("At the lake", "Windy")
    assert metadata.latitude_deg == pytest.approx(40.6358, abs=1e-4)
    assert (metadata.audio_codec, metadata.audio_channels, metadata.sample_rate_hz) == ("aac", 1, 48_000)


def test_apple_keys_win(tmp_path: Path, run: Run) -> None:
    tags = {
        "creation_time": "2024-05-01T09:00:00Z",
        "com.apple.quicktime.creationdate": "2024-05-01T10:00:00+0200",
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "Phone",
    }
    path = write_video(tmp_path / "v", container="mov", tags=tags, options={"movflags": "use_metadata_tags"})
    metadata = run(path, "clip.mov").metadata
    assert metadata is not None
    assert metadata.captured_at_local == datetime(2024, 5, 1, 10)
    assert metadata.captured_at == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert (metadata.utc_offset_minutes, metadata.captured_at_source) == (120, "quicktime:creationdate")
    assert (metadata.camera_make, metadata.camera_model) == ("Apple", "Phone")


def test_fragmented_files_are_measured_by_packets(tmp_path: Path, run: Run) -> None:
    path = write_video(tmp_path / "v", options={"movflags": "frag_keyframe+empty_moov"})
    assert run(path, "clip.mp4").facts.duration_s == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("movflags", ["", "faststart", "frag_keyframe+empty_moov"])
def test_cut_videos_are_refused(tmp_path: Path, run: Run, movflags: str) -> None:
    pixels = np.asarray(noisy(96, 64))
    data = write_video(tmp_path / "v", pixels=pixels, options={"movflags": movflags} if movflags else None).read_bytes()
    assert run(data, "clip.mp4").facts.media_type == "video"
    with pytest.raises(ContentError) as caught:
        run(data[: len(data) * 60 // 100], "clip.mp4")
    assert caught.value.reason is ReasonCode.TRUNCATED


@pytest.mark.parametrize(("container", "codec"), [("matroska", "mpeg4"), ("webm", "libvpx"), ("avi", "mpeg4")])
def test_cut_streams_are_refused(tmp_path: Path, run: Run, container: str, codec: str) -> None:
    data = write_video(tmp_path / "v", container=container, codec=codec).read_bytes()
    with pytest.raises(ContentError) as caught:
        run(data[: len(data) * 60 // 100], "clip")
    assert caught.value.reason is ReasonCode.TRUNCATED


def test_sound_alone_has_no_picture(tmp_path: Path, run: Run) -> None:
    with pytest.raises(ContentError) as caught:
        run(write_video(tmp_path / "v", picture=False, audio=True), "clip.mp4")
    assert caught.value.reason is ReasonCode.NO_PICTURE


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(max_duration_s=1.0), ReasonCode.TOO_LONG),
        (Limits(max_pixels=96 * 64 - 1), ReasonCode.TOO_MANY_PIXELS),
        (Limits(max_streams=1), ReasonCode.TOO_MANY_STREAMS),
        (Limits(max_video_bytes=10), ReasonCode.TOO_MANY_BYTES),
    ],
)
def test_limits(tmp_path: Path, run: Run, limits: Limits, reason: ReasonCode) -> None:
    with pytest.raises(ContentError) as caught:
        run(write_video(tmp_path / "v", audio=True), "clip.mp4", limits=limits)
    assert caught.value.reason is reason


def test_playlists_are_never_opened(tmp_path: Path, run: Run) -> None:
    secret = write_video(tmp_path / "secret.mp4")
    for text in (f"#EXTM3U\n#EXTINF:1,\n{secret}\n", f"ffconcat version 1.0\nfile {secret}\n"):
        with pytest.raises(ContentError) as caught:
            run(text.encode(), "clip.mp4")
        assert caught.value.reason is ReasonCode.UNSUPPORTED_TYPE
