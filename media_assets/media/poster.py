"""The frame that stands for a video: bright, sharp and full of detail, and no fade.

Lives here: the choice. Must not: open files by itself other than through ``video_open``, scale, encode. Keyframes only:
one packet and a flush cost half of what decoding until a frame comes out does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media_assets.media.decode import codec_errors
from media_assets.media.frames import decode_keyframe, decode_packet, gray_pixels, held_back, start_of
from media_assets.media.resize import fit_box
from media_assets.media.video_facts import read_packets
from media_assets.media.video_open import VideoSource, open_video, picture_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Shares of the length, in the order of trying: near the start but past fade-ins and lens caps, then everywhere.
_SHARES = tuple(Fraction(share, 100) for share in (10, 20, 35, 50, 65, 80, 5))
_MAX_DECODED_PIXELS = 48_000_000  # of all candidates together, beside the first two: about 2 s of CPU time
_MAX_PACKETS = 600  # of the video stream, before giving up on a decodable frame
_LOOK_LONGEST_PX = 160
_FAIR = 0.15  # a frame that is worse shows next to nothing
_MAX_FRAMES, _FRAMES_APART = 240, 12  # of the start, that are decoded when keyframes show nothing
_CRISP_LONGEST_PX = 480
_CRISPER = 1.4  # times steeper edges are seen
_GOOD_ENOUGH = 0.7  # a frame that is this good ends the search
_WORTH_IT = 0.06  # by so much a later frame must be better
_FADE_FRAMES = 9  # a fade takes longer
_FADE_CHANGE, _FADE_BEND = 8.0, 0.2
_FADE_MIN_SPAN_S = 15.0  # shorter videos are seldom edited


@dataclass(frozen=True)
class _Candidate:
    frame: "VideoFrame"
    score: float


def choose_poster(source: VideoSource, span: float | None) -> "VideoFrame | None":
    """Return the frame that shows the video best, else the first that decodes, else ``None``.

    Args:
        source: The video.
        span: Its length in seconds, if it is known.
    """
    best, keyframes = _best_keyframe(source, span) if span is not None else (None, 0)
    if best is not None and best.score >= _FAIR:
        # Nothing to choose among: the only keyframe of a short video may be in the middle of a swing of the camera.
        return best.frame if keyframes > 1 else _crisper(source, best).frame
    # Damaged keyframes, or only a black one at the start: what comes between them may be better.
    with open_video(source) as container, codec_errors("video"):
        stream = picture_stream(container, source)
        many = _MAX_DECODED_PIXELS // max(1, stream.width * stream.height)
        for number, frame in enumerate(islice(_decode_all(container, stream), max(1, min(many, _MAX_FRAMES)))):
            if number % _FRAMES_APART:
                continue
            score = picture_score(look_at(frame))
            if best is None or score > best.score + _WORTH_IT:
                best = _Candidate(frame, score)
            if score >= _FAIR:
                break
    return None if best is None else best.frame


def look_at(frame: "VideoFrame") -> NDArray[np.float32]:
    """Return the small gray picture by which frames are judged, values 0-255."""
    return gray_pixels(frame, fit_box(frame.width, frame.height, _LOOK_LONGEST_PX))


def picture_score(gray: NDArray[np.float32]) -> float:
    """Return how much a small gray picture shows, 0 (nearly uniform) to 1: spread, detail and sharpness, exposure."""
    spread = float(gray.std())
    if spread < 5:
        return 0.0
    counts, _ = np.histogram(gray, bins=64, range=(0, 256))
    shares = counts[counts > 0] / gray.size
    entropy = float(-(shares * np.log2(shares)).sum())
    inner = gray[1:-1, 1:-1]
    edges = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * inner
    sharpness = float(edges.std()) if edges.size else 0.0
    mean = float(gray.mean())
    exposure = min(1.0, mean / 80, (255 - mean) / 60)
    worth = 0.35 * min(spread / 64, 1) + 0.35 * min(entropy / 5.5, 1) + 0.3 * min(sharpness / 24, 1)
    return worth * max(exposure, 0.05)


def crispness(frame: "VideoFrame") -> float:
    """Return how steep the edges of a frame are, in gray levels a pixel, in the direction in which they are less so.

    Motion blurs one direction only, and in the small picture of :func:`look_at` it is not to be seen.
    """
    gray = gray_pixels(frame, fit_box(frame.width, frame.height, _CRISP_LONGEST_PX))
    if min(gray.shape) < 2:
        return 0.0
    steps = (np.abs(np.diff(gray, axis=axis)) for axis in (0, 1))
    return min(float(np.percentile(step, 99)) for step in steps)


def _crisper(source: VideoSource, found: _Candidate) -> _Candidate:
    """Return a frame from the start of the video that shows as much and is clearly less blurred, else the given one."""
    best, least = found, crispness(found.frame) * _CRISPER
    with open_video(source) as container, codec_errors("video"):
        stream = picture_stream(container, source)
        many = _MAX_DECODED_PIXELS // max(1, stream.width * stream.height)
        for number, frame in enumerate(islice(_decode_all(container, stream), min(many, _MAX_FRAMES))):
            if number % _FRAMES_APART or picture_score(look_at(frame)) < min(found.score, _GOOD_ENOUGH):
                continue
            crisp = crispness(frame)
            if crisp > least:
                best, least = _Candidate(frame, found.score), crisp
    return best


def _best_keyframe(source: VideoSource, span: float) -> tuple[_Candidate | None, int]:
    """Try keyframes over the length until one is good enough; return it, and how many different ones there were.

    A search that ends early has not seen all: it counts as two at least where a second one was never asked for.
    """
    best: _Candidate | None = None
    seen: set[int | None] = set()
    with open_video(source) as container:
        stream = picture_stream(container, source)
        if not stream.time_base:
            return None, 0
        tries = 2 + _MAX_DECODED_PIXELS // max(1, stream.width * stream.height)
        for share in islice(_SHARES, tries):
            at = start_of(stream) + int(Fraction(span) * share / stream.time_base)
            frame = decode_keyframe(container, stream, at, seen)
            if frame is None:
                continue
            candidate = _Candidate(frame, picture_score(look_at(frame)))
            if best is not None and candidate.score <= best.score + _WORTH_IT:
                continue
            if span >= _FADE_MIN_SPAN_S and candidate.score > 0 and _is_fade(container, stream, at):
                candidate = _Candidate(frame, candidate.score / 3)  # better than black
                if best is not None and candidate.score <= best.score + _WORTH_IT:
                    continue
            best = candidate
            if best.score >= _GOOD_ENOUGH:
                break
        is_only = len(seen) == 1 and _last_keyframe(container, stream, span) in seen
    return best, 1 if is_only else max(2, len(seen))


def _last_keyframe(container: "InputContainer", stream: "VideoStream", span: float) -> int | None:
    """Return the time of the last keyframe, in units of the stream."""
    import av

    at = start_of(stream) + int(Fraction(span) * _SHARES[5] / (stream.time_base or 1))
    try:
        container.seek(at, stream=stream, backward=True)
        for packet in islice(read_packets(container, stream), _MAX_PACKETS):
            if packet.is_keyframe and packet.size:
                return packet.pts
    except (av.FFmpegError, ValueError, OverflowError):
        pass
    return None


def _is_fade(container: "InputContainer", stream: "VideoStream", at: int) -> bool:
    """Tell whether the picture changes into another one as a whole: then the frame in the middle is their mean.

    What moves is not: it is here, then there, and never half in both places.
    """
    import av

    looks: list[NDArray[np.float32]] = []
    try:
        container.seek(at, stream=stream, backward=True)
        for packet in islice(read_packets(container, stream), _MAX_PACKETS):
            looks += [look_at(frame) for frame in stream.decode(packet if packet.size else None)]
            if len(looks) >= _FADE_FRAMES:
                break
    except (MemoryError, av.error.MemoryError):
        raise
    except (av.FFmpegError, ValueError, OverflowError):
        return False
    if len(looks) < 3 or len({look.shape for look in looks}) > 1:
        return False
    looks = looks[:_FADE_FRAMES]
    first, middle, last = looks[0], looks[len(looks) // 2], looks[-1]
    share = (len(looks) // 2) / (len(looks) - 1)
    change = float(np.abs(last - first).mean())
    bend = float(np.abs(middle - (first * (1 - share) + last * share)).mean())
    return change > _FADE_CHANGE and bend < _FADE_BEND * change


def _decode_all(container: "InputContainer", stream: "VideoStream") -> "Iterator[VideoFrame]":
    """Decode from the start, over damaged packets."""
    for packet in islice(read_packets(container, stream), _MAX_PACKETS):
        yield from decode_packet(stream, packet)
    yield from held_back(stream)
