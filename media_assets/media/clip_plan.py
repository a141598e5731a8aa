"""What a web clip of a video needs: nothing, another container, or encoding.

Lives here: the decision and the sizes. Must not: decode, encode, write.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from PIL import Image

from media_assets.media.frames import square_size, upright_size
from media_assets.media.tone import needs_tone_map
from media_assets.media.video_open import VideoSource

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

CLIP_LONG_PX, CLIP_SHORT_PX = 1920, 1080
"""Box of a clip, in either orientation."""

CLIP_FPS = 60
"""Frames a second of a clip at most."""

MAX_BIT_RATE = 8_000_000
"""Bits a second above which a video is encoded although browsers can play it."""

_USUAL_RATE = Fraction(30)
_FPS_TOLERANCE = 1.02
_PROGRESSIVE = frozenset({0, 1})  # AV_FIELD_UNKNOWN, AV_FIELD_PROGRESSIVE
_MP4_TYPES = frozenset({"video/mp4", "video/x-m4v"})
_WEB_SOUNDS = frozenset({"aac", "mp3", "opus", "vorbis"})
_WEB_CODECS = frozenset({"h264", "vp8", "vp9", "av1"})

Way = Literal["none", "remux", "encode"]


@dataclass(frozen=True)
class ClipPlan:
    """How the clip is made.

    Attributes:
        way: ``none`` (the file itself will do), ``remux`` (its packets in another container) or ``encode``.
        why: For the log.
        width_px: Even width of the upright clip.
        height_px: Even height.
        upright: Width and height of the upright video with square pixels, which a copy of its packets has.
        transpose: What makes its frames upright.
        is_interlaced: Whether its frames are made of fields.
        is_wide: Whether its colours must be mapped to those of usual displays.
        may_remux: Whether browsers play its packets as they are, so that they may stand in for a larger encoding.
        is_same_size: Whether the clip is as large as the video: then it must be smaller in bytes.
        plays_anyway: Whether most browsers play the file itself, if at the cost of more bytes.
    """

    way: Way
    why: str
    width_px: int
    height_px: int
    upright: tuple[int, int]
    transpose: Image.Transpose | None
    is_interlaced: bool
    is_wide: bool
    may_remux: bool
    is_same_size: bool
    plays_anyway: bool


def plan_clip(
    source: VideoSource,
    container: "InputContainer",
    stream: "VideoStream",
    frame: "VideoFrame",
    transpose: Image.Transpose | None,
    *,
    mime_type: str,
    is_streamable: bool,
    has_odd_matrix: bool = False,
) -> ClipPlan:
    """Decide how a clip is made.

    Args:
        source: The video.
        container: The same, open.
        stream: Its picture.
        frame: Its first frame.
        transpose: What makes it upright.
        mime_type: Of the file: MP4 plays where its older sister QuickTime does not.
        is_streamable: Whether its index comes first, so that it plays while it loads.
        has_odd_matrix: Whether it asks to be turned by other than quarters, which a copy would ask for as well.
    """
    size = (frame.width, frame.height)
    square = square_size(*size, stream.sample_aspect_ratio)
    upright = upright_size(square, transpose)
    target = clip_size(*upright)
    is_interlaced = frame.interlaced_frame or int(stream.codec_context.field_order) not in _PROGRESSIVE
    is_wide = needs_tone_map(int(frame.color_trc), int(frame.color_primaries))
    audio = audio_stream(container)
    faults = [
        fault
        for fault, is_so in {
            "its codec": stream.codec_context.codec.canonical_name != "h264",
            "its pixel format": frame.format.name not in {"yuv420p", "yuvj420p"},
            "its sound": audio is not None and audio.codec_context.codec.canonical_name != "aac",
            "its rotation": transpose is not None or has_odd_matrix,
            "its sample aspect ratio": square != size,
            "interlacing": is_interlaced,
            "its colours": is_wide,
            "its size": max(upright) > CLIP_LONG_PX or min(upright) > CLIP_SHORT_PX,
            "its frame rate": stream.frames != 1 and frame_rate(stream) > CLIP_FPS * _FPS_TOLERANCE,
            "its container": source.demuxer not in {"mov", "matroska"},
        }.items()
        if is_so
    ]
    is_heavy = (container.bit_rate or 0) > MAX_BIT_RATE
    way: Way = "encode"
    if faults:
        why = "Encoded for " + ", ".join(faults) + "."
    elif is_heavy:
        why = "Encoded for its bit rate."
    elif mime_type in _MP4_TYPES and is_streamable:
        way, why = "none", "No clip is made: the video plays in browsers as it is."
    else:
        way, why = "remux", "Copied into another container."
    return ClipPlan(
        way,
        why,
        *target,
        upright,
        transpose,
        is_interlaced,
        is_wide,
        may_remux=not faults,
        is_same_size=max(upright[0] - target[0], upright[1] - target[1]) <= 1,
        plays_anyway=mime_type in {*_MP4_TYPES, "video/webm"}
        and stream.codec_context.codec.canonical_name in _WEB_CODECS
        and (audio is None or audio.codec_context.codec.canonical_name in _WEB_SOUNDS)
        and not (is_interlaced or is_wide),
    )


def clip_size(width_px: int, height_px: int) -> tuple[int, int]:
    """Return even sides of a clip that fits into 1920x1080 or 1080x1920, aspect kept, never enlarged by more than one.

    Args:
        width_px: Width of the upright frame with square pixels.
        height_px: Height of the same.
    """
    box = (CLIP_LONG_PX, CLIP_SHORT_PX) if width_px >= height_px else (CLIP_SHORT_PX, CLIP_LONG_PX)
    share = min(Fraction(1), Fraction(box[0], width_px), Fraction(box[1], height_px))
    return _even(width_px * share), _even(height_px * share)


def _even(side: Fraction) -> int:
    return max(2, 2 * int(side / 2 + Fraction(1, 4)))


def audio_stream(container: "InputContainer") -> "AudioStream | None":
    """Return the default, else the first, sound that can be decoded."""
    from av.stream import Disposition

    streams = [s for s in container.streams.audio if s.codec_context is not None and s.codec_context.channels]
    return max(streams, key=lambda s: bool(s.disposition & Disposition.default), default=None)


def frame_rate(stream: "VideoStream") -> Fraction:
    """Return the frame rate for an encoder: the lower one, where the header and the measure of FFmpeg differ."""
    return min((rate for rate in (stream.average_rate, stream.guessed_rate) if rate), default=_USUAL_RATE)
