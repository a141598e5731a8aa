"""Animations as H.264 in MP4: what every browser plays as a video.

Lives here: PyAV's writer for frames whose times are known, and its reader for a look at what was written. Must not:
choose qualities or sizes beyond what H.264 asks for.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media_assets.media.animation_frames import Frame
from media_assets.media.encode import flatten
from media_assets.media.errors import ScratchError
from media_assets.media.resize import resize_pixels

if TYPE_CHECKING:
    from av.bitstream import BitStreamFilterContext
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

CRF_FIRST = 20
"""Constant rate factor that most animations need for the similarity of web pictures."""
CRF_LOWEST = 12
"""Below it, files grow and nothing is gained."""

_MILLISECONDS = Fraction(1, 1000)
_UNHURRIED_MS, _TOO_SHORT_MS = 100, 10  # browsers show frames of up to 10 ms for 100 ms
_MAX_DURATION_MS = 2**31 - 1
# Without frames that refer to later ones the last frame of the file is the last one shown, and its duration is kept.
_X264 = "bframes=0:rc-lookahead=20:threads=1"
_WITHOUT_MESSAGES = "filter_units=remove_types=6"  # SEI: x264 writes its version and all settings into one

_Pixels = NDArray[np.uint8]


def mp4_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the nearest width and height that 4:2:0 video can have: even, and at least 2 pixels."""
    return max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2)


def write_mp4(frames: Iterator[Frame], size: tuple[int, int], path: Path, background: str, crf: int) -> float:
    """Write frames one after the other and return how long they last in seconds.

    Times are kept to the millisecond; the index stands in front, so that it plays while it loads.

    Args:
        frames: In order; resized to ``size``.
        size: Width and height, even.
        path: File to write, replaced if it is there.
        background: ``#rrggbb`` under transparent parts.
        crf: Constant rate factor of x264.

    Raises:
        ContentError: A source frame is damaged.
        ScratchError: The file could not be written to its end.
    """
    import av
    from av.bitstream import BitStreamFilterContext

    now_ms = 0
    durations: dict[int, int] = {}
    try:
        with av.open(
            f"file:{path.absolute()}",
            "w",
            format="mp4",
            options={"movflags": "+faststart", "fflags": "+bitexact", "use_editlist": "0"},
        ) as output:
            stream = _stream(output, size, crf)
            output.start_encoding()
            messages = BitStreamFilterContext(_WITHOUT_MESSAGES, stream)
            for source in frames:
                shown = resize_pixels(flatten(source.pixels, background), size)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shown), format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
                frame.pts, frame.time_base = now_ms, _MILLISECONDS
                durations[now_ms] = _shown_ms(source.duration_ms)
                now_ms += durations[now_ms]
                _mux(output, stream.encode(frame), messages, durations)
            _mux(output, stream.encode(None), messages, durations)
    except av.FFmpegError as error:
        if isinstance(error, OSError) and not isinstance(error, ValueError):
            raise ScratchError(f"A rendition could not be written ({error.strerror}).") from error
        raise
    return now_ms / 1000


def _stream(output: "OutputContainer", size: tuple[int, int], crf: int) -> "VideoStream":
    from av.codec.context import Flags

    stream: VideoStream = output.add_stream("libx264")
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.time_base = stream.codec_context.time_base = _MILLISECONDS
    stream.codec_context.framerate = Fraction(25)
    stream.codec_context.flags |= Flags.bitexact
    context = stream.codec_context
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = 1, 1, 1, 1  # BT.709
    context.options = {"preset": "fast", "crf": str(crf), "x264-params": _X264}
    context.thread_count = 1
    return stream


def _mux(
    output: "OutputContainer",
    packets: "list[Packet[VideoStream]]",
    messages: "BitStreamFilterContext",
    durations: dict[int, int],
) -> None:
    for packet in packets:
        if packet.pts is not None:
            packet.duration = durations.pop(packet.pts)
        for bare in messages.filter(packet):
            output.mux(bare)


def _shown_ms(duration_ms: int) -> int:
    return _UNHURRIED_MS if duration_ms <= _TOO_SHORT_MS else min(duration_ms, _MAX_DURATION_MS)


def mp4_frames(path: Path, numbers: Sequence[int]) -> Iterator[_Pixels]:
    """Yield some frames of a file that :func:`write_mp4` has written.

    Args:
        path: The file.
        numbers: Which frames, counted from 0, rising.

    Yields:
        Shape (height, width, 3), sRGB.
    """
    import av

    wanted = set(numbers)
    with av.open(f"file:{path.absolute()}") as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                yield frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray().astype(np.uint8, copy=False)
