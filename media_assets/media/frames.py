"""Frames of an open video: finding them over damage, their upright size, their pixels in sRGB.

Lives here: what posters, storyboards, previews and clips have in common. Must not: choose frames, encode.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.decode import check_pixels, codec_errors
from media_assets.media.limits import Limits
from media_assets.media.tone import needs_tone_map, to_srgb
from media_assets.media.video_facts import SWAPS_SIDES, display_matrix, read_packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

BT709, BT601, UNSPECIFIED = 1, 6, 2
"""Matrix coefficients, ITU-T H.273."""

_HD_HEIGHT_PX = 720  # from here on players take BT.709 where the file does not say
_MAX_SAMPLE_ASPECT = 16
_MAX_PACKETS = 600  # from where was sought to the keyframe
_COMBED = 1.4  # how much more lines of two fields differ than lines of one


def decode_packet(stream: "VideoStream", packet: "Packet[VideoStream] | None") -> "list[VideoFrame]":
    """Return the frames that a packet completes, none when it is damaged; ``None`` asks for what is still held back."""
    import av

    try:
        frames = stream.decode(packet if packet is not None and packet.size else None)
    except (MemoryError, av.error.MemoryError):
        raise
    except (av.FFmpegError, ValueError):
        return []
    return [frame for frame in frames if not frame.is_corrupt]


def frames_from(container: "InputContainer", stream: "VideoStream", at_s: float) -> "Iterator[VideoFrame]":
    """Yield the frames from the keyframe before a time on, over damaged packets, to where packets cannot be read.

    Args:
        container: Where to seek; where it cannot, reading goes on where it stopped.
        stream: The picture.
        at_s: Seconds after the start of the stream.
    """
    import av

    if stream.time_base:
        try:
            container.seek(start_of(stream) + int(Fraction(at_s) / stream.time_base), stream=stream, backward=True)
        except (av.FFmpegError, ValueError, OverflowError):
            stream.codec_context.flush_buffers()
    packets = read_packets(container, stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (MemoryError, av.error.MemoryError):
            raise
        except av.FFmpegError:  # the container is damaged from here on, which another way through it had not met
            return
        yield from decode_packet(stream, packet)


def held_back(stream: "VideoStream") -> "Iterator[VideoFrame]":
    """Yield the frames that the decoder holds back, when packets have ended before their time."""
    yield from decode_packet(stream, None)


def decode_keyframe(
    container: "InputContainer", stream: "VideoStream", at: int, seen: set[int | None]
) -> "VideoFrame | None":
    """Decode the keyframe before a time, unless it was decoded already: one packet and a flush.

    Args:
        container: Where to seek.
        stream: The picture.
        at: Time in units of the stream.
        seen: Times of the keyframes that were decoded; this one is added.

    Returns:
        ``None`` if it was, and where the file is damaged or cannot be sought in.
    """
    import av

    try:
        container.seek(at, stream=stream, backward=True)
        for packet in islice(read_packets(container, stream), _MAX_PACKETS):
            if packet.is_keyframe and packet.size and not packet.is_corrupt:
                if packet.pts in seen:
                    return None
                seen.add(packet.pts)
                frames = [*stream.decode(packet), *stream.decode(None)]
                return next((frame for frame in frames if not frame.is_corrupt), None)
    except (MemoryError, av.error.MemoryError):
        raise
    except (av.FFmpegError, ValueError, OverflowError):
        return None  # no index, or a damaged spot
    return None


def start_of(stream: "VideoStream") -> int:
    """Return when the stream starts, in units of its time base."""
    return stream.start_time or 0


def time_of(frame: "VideoFrame", stream: "VideoStream") -> float | None:
    """Return the time of a frame in seconds after the start of its stream, if it has one."""
    if frame.pts is None or not stream.time_base:
        return None
    return float((frame.pts - start_of(stream)) * stream.time_base)


def matrix_of(frame: "VideoFrame") -> int:
    """Return the matrix coefficients of a frame; what players take when the file does not say."""
    stated = int(frame.colorspace)
    if stated != UNSPECIFIED:
        return stated
    return BT709 if min(frame.width, frame.height) >= _HD_HEIGHT_PX else BT601


def square_size(width_px: int, height_px: int, aspect: Fraction | None) -> tuple[int, int]:
    """Return the size with square pixels: the side that is too short is stretched. Senseless aspects do not count."""
    if not aspect or not Fraction(1, _MAX_SAMPLE_ASPECT) <= aspect <= _MAX_SAMPLE_ASPECT:
        return width_px, height_px
    if aspect >= 1:
        return round(width_px * aspect), height_px
    return width_px, round(height_px / aspect)


def upright_size(size: tuple[int, int], transpose: Image.Transpose | None) -> tuple[int, int]:
    """Return the size after the frame is turned."""
    return (size[1], size[0]) if transpose in SWAPS_SIDES else size


def upright_picture(
    frame: "VideoFrame", limits: Limits, size: tuple[int, int], warnings: list[str]
) -> tuple[Image.Image, tuple[int, int], int]:
    """Return a frame as upright sRGB picture, the upright size of all of it, and its rotation in degrees.

    Args:
        frame: The frame.
        limits: Pixels that a frame may have.
        size: Width and height before the turn.
        warnings: Receives what is odd about the display matrix.
    """
    check_pixels(frame.width, frame.height, limits)
    transpose, rotation = display_matrix(frame, warnings)
    picture = Image.fromarray(srgb_pixels(frame, size))
    upright = picture if transpose is None else picture.transpose(transpose)
    return upright, upright_size((frame.width, frame.height), transpose), rotation


def srgb_pixels(frame: "VideoFrame", size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a frame in sRGB at a size (width, height), shape (height, width, 3): one field of it if both show combs.

    Raises:
        ContentError: FFmpeg cannot convert it.
    """
    width, height = size
    if frame.interlaced_frame and frame.height >= 4 and _is_combed(frame):
        field = np.ascontiguousarray(_rgb(frame, (frame.width, frame.height))[::2])
        return np.asarray(Image.fromarray(field).resize(size, Image.Resampling.LANCZOS))
    return _rgb(frame, (width, height))


def _rgb(frame: "VideoFrame", size: tuple[int, int]) -> NDArray[np.uint8]:
    is_wide = needs_tone_map(int(frame.color_trc), int(frame.color_primaries))
    with codec_errors("video"):
        pixels = frame.reformat(
            width=size[0],
            height=size[1],
            format="rgb48le" if is_wide else "rgb24",
            src_colorspace=matrix_of(frame),
            interpolation="LANCZOS",
        ).to_ndarray()
    if not is_wide:
        return np.asarray(pixels, np.uint8)
    signal = pixels.astype(np.float32) / np.float32(65535)
    return np.asarray(np.rint(to_srgb(signal, int(frame.color_trc)) * 255), np.uint8)


def gray_pixels(frame: "VideoFrame", size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the brightness of a frame as it is coded, 0-255, shape (height, width).

    Raises:
        ContentError: FFmpeg cannot convert it.
    """
    with codec_errors("video"):
        pixels = frame.reformat(width=size[0], height=size[1], format="gray8", interpolation="AREA").to_ndarray()
    return np.asarray(pixels, np.float32)


def _is_combed(frame: "VideoFrame") -> bool:
    """Tell whether the two fields show different moments: many files say interlaced that are not."""
    lines = gray_pixels(frame, (min(frame.width, 256), frame.height))
    between = np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean()
    within = np.abs(lines[2:-2] - (lines[:-4] + lines[4:]) / 2).mean()
    return bool(between > _COMBED * within)
