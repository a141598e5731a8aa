"""Videos that may be shared: upright frames of the original, painted over, encoded anew; nothing else is carried over.

Lives here: the way from the original to its copy, and back to frames. Must not: decide what is covered. Frames, colours
and sound take the way of the web clip (``clip``); metadata, chapters, subtitles and data tracks have none.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from media_assets.media.clip import ClipRun, clip_frames, encode_clip
from media_assets.media.clip_plan import ClipPlan
from media_assets.media.covers import Area, cover_pixels, scaled_polygon
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.frames import srgb_pixels
from media_assets.media.limits import Limits
from media_assets.media.movie_writer import MovieError
from media_assets.media.sniff import sniff_file
from media_assets.media.video_open import VideoSource, picture_stream, video_source
from media_assets.media.web_video import look_at_video

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# BT.709 in the range of television: the grey of pictures, and no colour.
_FILL_LUMA, _FILL_CHROMA = 78, 128
_LOOK_STEPS = (24, 32)  # rows and columns of the coarse picture by which shots are told apart
_CUT_DIFFERENCE = 28.0  # mean difference of it, in grey levels, from which a frame starts a shot
_COLOURS = "colours.cube"

Paint = Callable[[int, float], Sequence[Area]]
"""Tells what to cover in a frame: its number and its time in seconds."""


@dataclass(frozen=True)
class SharedFrame:
    """A frame of the copy before it is covered, or after.

    Attributes:
        number: From 0.
        at_s: Seconds after the start.
        frame: As FFmpeg has it, upright, 8-bit 4:2:0.
        starts_shot: Whether it differs much from the one before it.
    """

    number: int
    at_s: float
    frame: "VideoFrame"
    starts_shot: bool

    def rgb(self) -> NDArray[np.uint8]:
        """The frame as a picture, shape (height, width, 3)."""
        return srgb_pixels(self.frame, (self.frame.width, self.frame.height))


@dataclass(frozen=True)
class OpenedVideo:
    """An original, ready to be covered.

    Attributes:
        source: How it is opened.
        plan: Size, turn and colours of its copy.
        span_s: Its length in seconds.
    """

    source: VideoSource
    plan: ClipPlan
    span_s: float

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the copy to one of the upright original: x and y."""
        width, height = self.plan.upright
        return self.plan.width_px / width, self.plan.height_px / height

    def frames(self, folder: Path, run: ClipRun) -> Iterator[SharedFrame]:
        """Yield the frames that :func:`write_covered` will paint, in order."""
        return _numbered(clip_frames(self.source, self.plan, folder, run))


def open_original_video(path: Path, limits: Limits, *, longest_px: int | None) -> OpenedVideo:
    """Look at a video and plan its copy.

    Args:
        path: Video of any known format.
        limits: What the file may cost.
        longest_px: Longest side of the copy; it ends at 1920 x 1080 in any case.

    Raises:
        ContentError: It is no video, damaged, too large, or has no frame.
    """
    with path.open("rb") as file:
        sniffed = sniff_file(file)
    if sniffed.media_type != "video":
        raise ContentError(ReasonCode.UNSUPPORTED_TYPE, "The file is no video. Upload the original.", "protect")
    source = video_source(path, sniffed, limits)
    seen = look_at_video(source, sniffed.mime_type)
    if seen is None:
        raise ContentError(ReasonCode.NO_PICTURE, "The video holds no frame. Upload the original.", "protect")
    shown, plan = seen
    if longest_px is not None and max(plan.width_px, plan.height_px) > longest_px:
        share = Fraction(longest_px, max(plan.width_px, plan.height_px))
        width, height = (max(2, 2 * int(side * share / 2)) for side in (plan.width_px, plan.height_px))
        plan = replace(plan, width_px=width, height_px=height)
    return OpenedVideo(source, plan, shown.span_s)


def write_covered(opened: OpenedVideo, path: Path, paint: Paint, run: ClipRun) -> float:
    """Write the copy as H.264 in MP4 and return its length in seconds.

    Args:
        opened: The original.
        path: File to write; its folder also receives a table of colours while this runs.
        paint: What to cover in each frame.
        run: What it may take; whether sound is kept.

    Raises:
        ContentError: No frame can be decoded, or none can be encoded.
        OutOfTimeError: The time is over.
        ScratchError: There is no space.
    """
    numbers = iter(range(2**63))

    def painted(frame: "VideoFrame") -> "VideoFrame":
        return _covered(frame, paint(next(numbers), _time_s(frame)))

    try:
        duration_s = encode_clip(opened.source, opened.plan, path, replace(run, paint=painted))
    except MovieError as error:
        raise ContentError(
            ReasonCode.UNSUPPORTED_TYPE, f"No copy of the video can be written ({error}). Upload it as MP4.", "protect"
        ) from error
    finally:
        (path.parent / _COLOURS).unlink(missing_ok=True)
    if not duration_s:
        raise ContentError(ReasonCode.NO_PICTURE, "No frame of the video can be decoded.", "protect")
    return duration_s


def frames_of_copy(path: Path) -> Iterator[SharedFrame]:
    """Yield the frames of a copy, as whoever receives it sees them."""
    import av

    with av.open(f"file:{path.absolute()}", format="mp4", options={"protocol_whitelist": "file"}) as container:
        source = VideoSource(path, "mov", Limits())
        yield from _numbered(container.decode(picture_stream(container, source)))


def _numbered(frames: "Iterator[VideoFrame]") -> Iterator[SharedFrame]:
    last: Any = None
    for number, frame in enumerate(frames):
        luma = _plane(frame, 0)
        steps = (max(1, side // count) for side, count in zip(luma.shape, _LOOK_STEPS, strict=True))
        rows, columns = steps
        look = luma[rows // 2 :: rows, columns // 2 :: columns].astype(np.int16)
        is_new = last is None or look.shape != last.shape or float(np.abs(look - last).mean()) >= _CUT_DIFFERENCE
        last = look
        yield SharedFrame(number, _time_s(frame), frame, is_new)


def _time_s(frame: "VideoFrame") -> float:
    return float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base is not None else 0.0


def _plane(frame: "VideoFrame", index: int) -> NDArray[np.uint8]:
    """Return a plane of a frame without the padding of its rows."""
    plane = frame.planes[index]
    rows: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def _covered(frame: "VideoFrame", areas: Sequence[Area]) -> "VideoFrame":
    """Return a frame in which the areas are covered; the frame itself, where there is none.

    Planes are painted as they are: the rest of the frame is the same to the bit.
    """
    if not areas:
        return frame
    from av.video.frame import VideoFrame

    made: Any = VideoFrame(frame.width, frame.height, "yuv420p")
    for index, fill in enumerate((_FILL_LUMA, _FILL_CHROMA, _FILL_CHROMA)):
        pixels = _plane(frame, index).copy()
        scale = pixels.shape[1] / frame.width, pixels.shape[0] / frame.height
        cover_pixels(pixels, [Area(scaled_polygon(one.polygon, *scale), one.style) for one in areas], (fill,))
        plane = made.planes[index]
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = pixels
        plane.update(padded)
    made.pts, made.time_base, made.pict_type = frame.pts, frame.time_base, 0
    made.colorspace, made.color_range = frame.colorspace, frame.color_range
    covered: VideoFrame = made
    return covered
