"""Still and moving summaries of a video: a strip of frames, and a short animation.

Lives here: which frames they show, and both files. Must not: open by itself other than through ``video_open``, encode
clips.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.decode import check_pixels
from media_assets.media.encode import QUALITY_OF, encode_picture, store
from media_assets.media.frames import frames_from, square_size, srgb_pixels, time_of
from media_assets.media.pace import Pace
from media_assets.media.poster import look_at, picture_score
from media_assets.media.records import Rendition
from media_assets.media.resize import fit_box
from media_assets.media.video_open import VideoSource, open_video, picture_stream

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

STORYBOARD_FRAMES, STORYBOARD_LONGEST_PX = 4, 320
"""Frames of a storyboard, side by side, and the longest side of each."""

PREVIEW_LONGEST_PX, PREVIEW_FPS, PREVIEW_S = 480, 10, 3.0
"""Longest side, frame rate and length of an animated preview."""

_PREVIEW_CUTS = 6
_WHOLE_UP_TO_S = 4.0  # shorter videos are shown as they are
_MAX_PREVIEW_BYTES = 1_000_000
_PREVIEW_QUALITIES = (70, 50, 30)
_MAX_SKIPPED_FRAMES = 300  # from a keyframe to where a frame is wanted; then any frame will do
_UNIFORM = 0.02  # score below which a frame shows nothing


@dataclass(frozen=True)
class Shown:
    """How a video is shown.

    Attributes:
        span_s: Its length.
        aspect: Width of a sample over its height.
        transpose: What makes its frames upright.
    """

    span_s: float
    aspect: Fraction | None
    transpose: Image.Transpose | None

    def fitted(self, frame: "VideoFrame", longest_px: int) -> tuple[int, int]:
        """Return the size of a frame in a box, with square pixels, before the turn."""
        return fit_box(*square_size(frame.width, frame.height, self.aspect), longest_px)

    def pixels(self, frame: "VideoFrame", size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return a frame upright in sRGB; ``size`` is that before the turn."""
        picture = Image.fromarray(srgb_pixels(frame, size))
        return np.asarray(picture if self.transpose is None else picture.transpose(self.transpose))


def write_storyboard(source: VideoSource, shown: Shown, scratch: Path, pace: Pace) -> Rendition | None:
    """Write ``storyboard.jpg``: four upright frames side by side, spread over the video; ``None`` without any frame.

    Raises:
        OutOfTimeError: The time is over.
        ScratchError: The file could not be written.
    """
    pictures: list[NDArray[np.uint8]] = []
    size: tuple[int, int] | None = None
    with open_video(source) as container:
        stream = picture_stream(container, source)
        for number in range(STORYBOARD_FRAMES):
            pace.tick(number / STORYBOARD_FRAMES)
            wanted = shown.span_s * (number + 0.5) / STORYBOARD_FRAMES
            near = wanted - shown.span_s / (4 * STORYBOARD_FRAMES)
            frame: VideoFrame | None = None
            for candidate in islice(frames_from(container, stream, wanted), _MAX_SKIPPED_FRAMES):
                pace.tick(number / STORYBOARD_FRAMES)
                frame = candidate
                at = time_of(frame, stream)
                if at is None or at >= near:
                    break
            if frame is not None:
                check_pixels(frame.width, frame.height, source.limits)
                size = size or shown.fitted(frame, STORYBOARD_LONGEST_PX)
                pictures.append(shown.pixels(frame, size))
    if not pictures:
        return None
    while len(pictures) < STORYBOARD_FRAMES:
        pictures.append(pictures[-1])
    strip = np.concatenate(pictures, axis=1)
    quality = QUALITY_OF["jpeg"]
    size_bytes = store(encode_picture(strip, "jpeg", quality), scratch / "storyboard.jpg")
    height, width = strip.shape[:2]
    return Rendition("storyboard", "storyboard.jpg", "jpeg", width, height, size_bytes, quality=quality)


def write_animated_preview(source: VideoSource, shown: Shown, scratch: Path, pace: Pace) -> Rendition | None:
    """Write ``animated_preview.webp``: six cuts of half a second, or all of a short video, without end and sound.

    Returns:
        ``None`` when fewer than two frames can be decoded.

    Raises:
        OutOfTimeError: The time is over.
        ScratchError: The file could not be written.
    """
    cuts = _cuts(source, shown, pace)
    # A cut that shows nothing, black perhaps, is worth less than a shorter preview.
    frames = [frame for cut in cuts if cut.worth > _UNIFORM for frame in cut.frames]
    if len(frames) < 2:
        frames = [frame for cut in cuts for frame in cut.frames]
    if len(frames) < 2:
        return None
    for quality in _PREVIEW_QUALITIES:
        pace.tick(0.7)
        data = _animation(frames, quality)
        if len(data) <= _MAX_PREVIEW_BYTES:
            break
    size_bytes = store(data, scratch / "animated_preview.webp")
    height, width = frames[0].shape[:2]
    duration_s = len(frames) / PREVIEW_FPS
    return Rendition(
        "animated_preview",
        "animated_preview.webp",
        "webp",
        width,
        height,
        size_bytes,
        quality=quality,
        duration_s=duration_s,
    )


def _animation(frames: list[NDArray[np.uint8]], quality: int) -> bytes:
    buffer = io.BytesIO()
    first, *others = (Image.fromarray(frame) for frame in frames)
    duration_ms = 1000 // PREVIEW_FPS
    first.save(
        buffer, "WEBP", save_all=True, append_images=others, duration=duration_ms, loop=0, quality=quality, method=3
    )
    return buffer.getvalue()


@dataclass(frozen=True)
class _Cut:
    frames: list[NDArray[np.uint8]]
    worth: float


def _cuts(source: VideoSource, shown: Shown, pace: Pace) -> list[_Cut]:
    is_whole = shown.span_s <= _WHOLE_UP_TO_S
    count = 1 if is_whole else _PREVIEW_CUTS
    length_s = shown.span_s if is_whole else PREVIEW_S / _PREVIEW_CUTS
    cuts: list[_Cut] = []
    size: tuple[int, int] | None = None
    shown_to = -1.0
    with open_video(source) as container:
        stream = picture_stream(container, source)
        for number in range(count):
            pace.tick(0.7 * number / count)
            wanted = 0.0 if is_whole else shown.span_s * (number + 0.5) / count - length_s / 2
            # A keyframe that is a little early saves decoding up to the time that is wanted.
            earliest = max(shown_to, wanted - shown.span_s / (3 * count))
            cut = _Cut([], 0.0)
            for frame, at in _sampled(frames_from(container, stream, wanted), stream, earliest, length_s):
                pace.tick(0.7 * number / count)
                check_pixels(frame.width, frame.height, source.limits)
                if not cut.frames:
                    cut = _Cut([], picture_score(look_at(frame)))
                size = size or shown.fitted(frame, PREVIEW_LONGEST_PX)
                cut.frames.append(shown.pixels(frame, size))
                shown_to = at
            cuts.append(cut)
    return cuts


def _sampled(
    frames: "Iterable[VideoFrame]", stream: "VideoStream", earliest_s: float, length_s: float
) -> "Iterator[tuple[VideoFrame, float]]":
    """Yield frames and their times at the rate of the preview, from a time on; slower videos repeat theirs."""
    count = max(1, round(length_s * PREVIEW_FPS))
    started: float | None = None
    given, skipped, at = 0, 0, 0.0
    for frame in frames:
        stated = time_of(frame, stream)
        at = at + 1 / 25 if stated is None else stated
        if at < earliest_s and skipped < _MAX_SKIPPED_FRAMES:
            skipped += 1
            continue
        started = at if started is None else started
        while given < count and at >= started + given / PREVIEW_FPS - 1e-3:
            given += 1
            yield frame, at
        if given == count:
            return
