"""Frames of a video that models look at: a few that show all of its scenes, as upright JPEG files.

Lives here: seeing a bounded number of frames, and the files. Must not: choose among what was seen (``frame_choice``),
find objects. Keyframes come first, because a seek and one packet are cheap; what lies between them is decoded only
where they are rare.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice, pairwise
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.decode import check_pixels, codec_errors
from media_assets.media.encode import QUALITY_OF, encode_picture, store
from media_assets.media.errors import ContentError
from media_assets.media.frame_choice import Look, choose_looks
from media_assets.media.frames import (
    decode_keyframe,
    frames_from,
    held_back,
    matrix_of,
    srgb_pixels,
    start_of,
    time_of,
)
from media_assets.media.limits import Limits
from media_assets.media.poster import crispness, look_at, picture_score
from media_assets.media.records import Rendition
from media_assets.media.rendering import FRAME_KINDS
from media_assets.media.resize import FRAME_LONGEST_PX, fit_box, resize_to
from media_assets.media.video import DecodedVideo
from media_assets.media.video_facts import display_matrix
from media_assets.media.video_open import VideoSource, open_video, picture_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_MAX_LOOKS = 64  # each is kept at the size in which it is written: about 60 MB
_MAX_KEYFRAME_PIXELS = 200_000_000  # of all keyframes together: 24 in 4K, about 2.5 s of CPU time in HEVC
_MAX_BETWEEN_PIXELS = 400_000_000  # of all frames between them, which cost a third of that or less
_SPARSE_S = 1.2  # from one keyframe to the next: farther apart, frames between them are looked at
_FEW_LOOKS, _FEW_SPARSE_S = 4, 0.4  # the same where there are fewer keyframes than this
_LEAST_STEP_S = 0.2
_DEADLINE_S = 60.0  # only files that are made to be slow come near; what was seen by then must do
_GRID = 16  # cells on each side, by which frames are compared
_FALLBACK_FPS = 25


@dataclass(frozen=True)
class _Seen:
    """A frame in the size in which it would be written, not turned yet, and how it compares with others."""

    look: Look
    frame: "VideoFrame"
    transpose: Image.Transpose | None


def write_analysis_frames(decoded: DecodedVideo, scratch: Path, limits: Limits, count: int) -> tuple[Rendition, ...]:
    """Write ``frame_01.jpg`` and so on into ``scratch``, in the order of time: upright, in sRGB, at most 1024 px.

    Damage costs the frames that it hits; where nothing else is found, it is the frame of the poster.

    Args:
        decoded: The video, with a poster of at least the size of the frames.
        scratch: Existing folder; files of the same names are replaced.
        limits: What the file may cost.
        count: Most frames, 1-16.

    Returns:
        One frame at least; none of a recording without frames.

    Raises:
        ScratchError: A file could not be written to its end.
    """
    if decoded.poster_s is None:
        return ()
    seen = _survey(decoded.source, decoded.span_s, limits)
    span_s = decoded.span_s or max((one.look.at_s for one in seen), default=0.0)
    made: list[Rendition] = []
    for position in choose_looks([one.look for one in seen], span_s, count):
        try:
            pixels = srgb_pixels(seen[position].frame, (seen[position].frame.width, seen[position].frame.height))
        except ContentError:
            continue
        transpose = seen[position].transpose
        upright = pixels if transpose is None else np.asarray(Image.fromarray(pixels).transpose(transpose))
        made.append(_written(upright, seen[position].look.at_s, FRAME_KINDS[len(made)], scratch))
    if not made:
        poster = resize_to(decoded.poster, fit_box(*decoded.poster.size, FRAME_LONGEST_PX))
        made.append(_written(np.asarray(poster), decoded.poster_s, FRAME_KINDS[0], scratch))
    return tuple(made)


def _written(pixels: NDArray[np.uint8], at_s: float, kind: str, scratch: Path) -> Rendition:
    quality = QUALITY_OF["jpeg"]
    size_bytes = store(encode_picture(pixels, "jpeg", quality), scratch / f"{kind}.jpg")
    height, width = pixels.shape[:2]
    return Rendition(kind, f"{kind}.jpg", "jpeg", width, height, size_bytes, quality=quality, frame_s=round(at_s, 3))


def _survey(source: VideoSource, span_s: float | None, limits: Limits) -> list[_Seen]:
    """Return what a bounded number of frames over the whole video looks like, in the order of time."""
    deadline = time.monotonic() + _DEADLINE_S
    seen, tries = _see_keyframes(source, span_s, limits, deadline) if span_s else ([], 1)
    if 2 * len(seen) < tries:  # most attempts led to keyframes that were known
        seen += _see_between(source, [one.look.at_s for one in seen], span_s, limits, deadline)
    return sorted(seen, key=lambda one: one.look.at_s)


def _see_keyframes(source: VideoSource, span_s: float, limits: Limits, deadline: float) -> tuple[list[_Seen], int]:
    """Look at keyframes that are spread evenly over the length, or at all of them; also return how many were sought."""
    seen: list[_Seen] = []
    known: set[int | None] = set()
    with open_video(source) as container:
        stream = picture_stream(container, source)
        if not stream.time_base:
            return [], 1
        tries = min(_MAX_LOOKS, 2 + _MAX_KEYFRAME_PIXELS // max(1, stream.width * stream.height))
        for number in range(tries):
            at = Fraction(span_s) * (2 * number + 1) / (2 * tries) / stream.time_base
            frame = decode_keyframe(container, stream, start_of(stream) + int(at), known)
            at_s = None if frame is None else time_of(frame, stream)
            if frame is not None and at_s is not None:
                seen += _see(frame, at_s, limits)
            if time.monotonic() > deadline:
                break
    return sorted(seen, key=lambda one: one.look.at_s), tries


def _see_between(
    source: VideoSource, known_s: Sequence[float], span_s: float | None, limits: Limits, deadline: float
) -> list[_Seen]:
    """Decode from keyframes after which there is none for long, and look at a frame now and then.

    Args:
        source: The video.
        known_s: When the keyframes are that were looked at, in order; without any, all of the video is a gap.
        span_s: Length of the video.
        limits: What the file may cost.
        deadline: When to stop, on the monotonic clock.
    """
    end_s = max(span_s or float("inf"), *known_s, 0.0)
    sparse_s = _SPARSE_S if len(known_s) >= _FEW_LOOKS else _FEW_SPARSE_S
    gaps = [(start, end) for start, end in pairwise([*known_s, end_s]) if end - start > sparse_s]
    gaps = gaps if known_s else [(0.0, end_s)]
    count = _MAX_LOOKS - len(known_s)
    total_s = sum(end - start for start, end in gaps)
    step_s = max(_LEAST_STEP_S, total_s / count) if isfinite(total_s) else _LEAST_STEP_S
    seen: list[_Seen] = []
    with open_video(source) as container:
        stream = picture_stream(container, source)
        stream.codec_context.skip_frame = "NONREF"  # frames that no other is made from: half of many files
        left = _MAX_BETWEEN_PIXELS // max(1, stream.width * stream.height)
        for number, (start, end) in enumerate(gaps):
            allowed = max(1, left // (len(gaps) - number))
            wanted = start + step_s if known_s else start
            for frame, at_s in islice(_frames_after(container, stream, start), allowed):
                left -= 1
                if at_s >= end or len(seen) >= count or time.monotonic() > deadline:
                    break
                if at_s >= wanted:
                    seen += _see(frame, at_s, limits)
                    wanted = at_s + step_s
    return seen


def _frames_after(
    container: "InputContainer", stream: "VideoStream", start_s: float
) -> "Iterator[tuple[VideoFrame, float]]":
    """Yield the frames from a keyframe on with their times, which are counted where the file does not tell them."""
    rate = float(stream.average_rate or _FALLBACK_FPS)
    # A little later than the keyframe: rounding must not lead to the one before it.
    frames = chain(frames_from(container, stream, start_s + 1e-3), held_back(stream))
    for number, frame in enumerate(frames):
        stated = time_of(frame, stream)
        yield frame, start_s + number / rate if stated is None else stated


def _see(frame: "VideoFrame", at_s: float, limits: Limits) -> list[_Seen]:
    """Return what is kept of a frame, in a list; nothing of one that cannot be converted."""
    size = fit_box(frame.width, frame.height, FRAME_LONGEST_PX)
    try:
        check_pixels(frame.width, frame.height, limits)
        small = _reduced(frame, size)
        with codec_errors("video"):
            cells = small.reformat(width=_GRID, height=_GRID, format="rgb24", interpolation="AREA").to_ndarray()
        look = Look(max(at_s, 0.0), cells.astype(np.float32), picture_score(look_at(small)), crispness(small))
    except ContentError:
        return []
    transpose, _ = display_matrix(frame, [])
    return [_Seen(look, small, transpose)]


def _reduced(frame: "VideoFrame", size: tuple[int, int]) -> "VideoFrame":
    """Return a frame in the size in which it is kept, as it is coded: colours are for those that are written."""
    from av import VideoFrame

    if not frame.interlaced_frame:
        try:
            with codec_errors("video"):
                small = frame.reformat(width=size[0], height=size[1], interpolation="BICUBIC")
        except ContentError:
            pass  # some formats can be read but not written, those with a palette for example
        else:
            small.colorspace = matrix_of(frame)  # what players assume depends on the size
            return small
    return VideoFrame.from_ndarray(srgb_pixels(frame, size), format="rgb24")
