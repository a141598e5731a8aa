"""Facts of an open video: codecs, rates, colour, lengths and how its frames must be turned.

Lives here: what FFmpeg's streams and packets tell. Must not: open files, choose streams, read tags.
"""

import math
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.sidedata.sidedata import SideData
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_MAX_MEASURED_PACKETS = 5_000_000  # three hours of picture and sound have about one million
_RATE_PACKETS = 300
_MAX_PLAUSIBLE_FPS = 240.0  # above this, an average rate that equals the tick rate is no frame rate

# (a, b, c, d) of the display matrix, signs only -> what makes the frame upright (ISO/IEC 14496-12, 8.3.2).
_MATRIX_TRANSPOSES: dict[tuple[int, int, int, int], Image.Transpose] = {
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
SWAPS_SIDES = frozenset(
    {
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSPOSE,
        Image.Transpose.TRANSVERSE,
    }
)
"""Turns after which the width of a frame is its height."""

# ITU-T H.273 code points, in FFmpeg's names.
_TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 11: "iec61966-2-4",
    13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
_MATRICES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc", 10: "bt2020c"}


def stream_fields(container: "InputContainer", stream: "VideoStream", format_name: str) -> dict[str, Any]:
    """Return the technical fields of ``Metadata`` by name; ``None`` where the streams do not say.

    Codec names are FFmpeg's (``h264``, ``msmpeg4v3``), whichever decoder is at work. The frame rate is the average.
    """
    context = stream.codec_context
    audio = next((s for s in container.streams.audio if s.codec_context is not None), None)
    components = context.format.components if context.format is not None else ()
    has_alpha_layer = stream.metadata.get("alpha_mode") == "1"  # VP8 and VP9 carry it in a second layer (WebM)
    return {
        "container": format_name,
        "video_codec": context.codec.canonical_name,
        "audio_codec": audio.codec_context.codec.canonical_name if audio else None,
        "audio_channels": (audio.codec_context.channels or None) if audio else None,
        "sample_rate_hz": (audio.codec_context.sample_rate or None) if audio else None,
        "frame_rate_fps": stated_frame_rate(stream),
        "bit_rate_bps": container.bit_rate or None,
        "pixel_format": context.pix_fmt,
        "bit_depth": components[0].bits if components else None,
        "has_alpha": has_alpha_layer or any(part.is_alpha for part in components) if components else None,
        "color_transfer": _TRANSFERS.get(int(context.color_trc)),
        "color_space": _MATRICES.get(int(context.colorspace)),
    }


def stated_frame_rate(stream: "VideoStream") -> float | None:
    """Return the average frame rate, or ``None`` when there is none or it is only the tick rate of the clock."""
    rate = stream.average_rate
    if not rate:
        return None
    is_tick_rate = stream.time_base is not None and rate * stream.time_base == 1
    return None if is_tick_rate and rate > _MAX_PLAUSIBLE_FPS else float(rate)


def measured_frame_rate(container: "InputContainer", stream: "VideoStream") -> float | None:
    """Return the frame rate of the first packets by their times, or ``None`` when they have none."""
    packets = islice(read_packets(container, stream), _RATE_PACKETS)
    times = sorted({packet.pts for packet in packets if packet.pts is not None and packet.size})
    if len(times) < 3 or not stream.time_base:
        return None
    return float((len(times) - 1) / ((times[-1] - times[0]) * stream.time_base))


def stated_duration(container: "InputContainer") -> float | None:
    """Return the length in seconds that the container or its longest stream states."""
    if container.duration is not None and container.duration > 0:
        return container.duration / 1_000_000
    lengths = [float(s.duration * s.time_base) for s in container.streams if s.duration and s.time_base]
    return max(lengths, default=0.0) or None


def read_packets(container: "InputContainer", stream: "VideoStream | None" = None) -> "Iterator[Packet[Any]]":
    """Yield the packets of a stream, or of all; ends where a stream begins that was not there when the file was opened.

    FLV and MPEG may begin streams anywhere. PyAV 18 has no object for such a one and raises IndexError from inside its
    generator, which cannot go on after that.
    """
    try:
        yield from container.demux() if stream is None else container.demux(stream)
    except IndexError:
        return


def packet_duration(container: "InputContainer", max_duration_s: float) -> float | None:
    """Return the span of all packets in seconds: reads the file once without decoding.

    Args:
        container: Freshly opened.
        max_duration_s: Nothing is read after a span longer than this.
    """
    first, last = math.inf, -math.inf
    for packet in islice(read_packets(container), _MAX_MEASURED_PACKETS):  # a demuxer may never come to an end
        if last - first > max_duration_s:
            break
        if packet.pts is None or packet.time_base is None or packet.stream.type not in {"video", "audio"}:
            continue
        first = min(first, float(packet.pts * packet.time_base))
        last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return last - first if last > first else None


def frames_duration(container: "InputContainer", stream: "VideoStream") -> float | None:
    """Return the length of an elementary stream, which has no times: its pictures over its frame rate."""
    rate = stream.average_rate or stream.guessed_rate
    count = sum(1 for packet in islice(read_packets(container, stream), _MAX_MEASURED_PACKETS) if packet.size)
    return float(count / rate) if count and rate else None


def display_matrix(frame: "VideoFrame", warnings: list[str]) -> tuple[Image.Transpose | None, int]:
    """Return what makes the frame upright, and the rotation that the file asks for: clockwise degrees, 0 to 359.

    A matrix that is neither a quarter turn nor a mirror is not applied, with a warning, as in players; its angle is
    returned all the same, because the file says so (the rule of FFmpeg's ``av_display_rotation_get``).
    """
    # PyAV types the container as a mapping, but it iterates over its values.
    try:
        sides = cast("Iterable[SideData]", frame.side_data)
        raw = next((bytes(side) for side in sides if side.type.name == "DISPLAYMATRIX"), b"")
    except ValueError:  # PyAV 18 raises on side data that it has no name for (multiview HEVC); remove when it does not
        radians = math.radians(-frame.rotation)
        a, b = round(0x10000 * math.cos(radians)), round(0x10000 * math.sin(radians))
        c, d = -b, a
    else:
        if len(raw) < 36:
            return None, 0
        a, b, _, c, d = struct.unpack("=5i", raw[:20])
    # Each row by its own length: a matrix may also stretch, which a sample aspect ratio does too and is not applied.
    row_1, row_2 = max(abs(a), abs(b)) or 1, max(abs(c), abs(d)) or 1
    signs = (round(a / row_1), round(b / row_1), round(c / row_2), round(d / row_2))
    if signs == (1, 0, 0, 1):
        return None, 0
    transpose = _MATRIX_TRANSPOSES.get(signs)
    if transpose is None:
        warnings.append("The display matrix of the video is no rotation by quarter turns and was not applied.")
        column_1, column_2 = math.hypot(a, c) or 1.0, math.hypot(b, d) or 1.0
        # Whole degrees, cut off as players do; the sum keeps 45 from becoming 44.
        return None, math.trunc(math.degrees(math.atan2(b / column_2, a / column_1)) + 1e-6) % 360
    return transpose, round(math.degrees(math.atan2(signs[1], signs[0]))) % 360
